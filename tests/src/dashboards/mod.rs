//! The Grafana dashboards as code: what `grafana/dashboards/` holds is written by `cargo run -p
//! spantally-tests --bin dashboards`, and a test fails when it differs.
//!
//! [`query`] makes PromQL from the metrics' names, [`panel`] makes panels, [`table`] those with rows and
//! columns, [`palette`] gives a cause its colour, [`variables`] what the viewer may choose. Each dashboard
//! answers one question: [`overview`] what is spent, [`waste`] what of it for nothing, [`jobs`] whether jobs
//! flow, [`budgets`] whether the money lasts and the numbers are sure, [`voice`] what a minute costs,
//! [`pipeline`] whether Spantally itself is well. The classic JSON model is used, which Grafana 10 to 13 load
//! from a file.

pub mod bounds;
pub mod budgets;
pub mod certificates;
pub mod intake;
pub mod jobs;
pub mod overview;
pub mod palette;
pub mod panel;
pub mod pipeline;
pub mod query;
pub mod table;
pub mod variables;
pub mod voice;
pub mod waste;

use serde_json::{Value, json};

use panel::{Panel, source};

/// A dashboard and the name of its file in `grafana/dashboards/`.
pub struct Dashboard {
    /// File name without extension.
    pub file: &'static str,
    /// Fixed id, part of its address.
    pub uid: &'static str,
    /// Title.
    pub title: &'static str,
    /// Which question it answers.
    pub description: &'static str,
    /// What the viewer may choose.
    pub variables: Vec<Value>,
    /// Panels from left to right and top to bottom.
    pub panels: Vec<Panel>,
}

/// Every dashboard.
pub fn all() -> Vec<Dashboard> {
    vec![
        overview::dashboard(),
        waste::dashboard(),
        jobs::dashboard(),
        budgets::dashboard(),
        voice::dashboard(),
        pipeline::dashboard(),
    ]
}

impl Dashboard {
    /// The file's text.
    pub fn to_text(&self) -> String {
        let value = json!({
            "annotations": {"list": [firing_alerts()]},
            "description": self.description,
            "editable": false,
            "fiscalYearStartMonth": 0,
            "graphTooltip": 1,
            "id": null,
            "links": [others()],
            "panels": self.placed(),
            "refresh": "30s",
            "schemaVersion": 39,
            "tags": ["spantally"],
            "templating": {"list": self.variables},
            "time": {"from": "now-6h", "to": "now"},
            "timezone": "browser",
            "title": self.title,
            "uid": self.uid,
        });
        format!("{value:#}\n")
    }

    /// Panels with their ids and places: each follows the one before it, on a new row where it would not fit.
    fn placed(&self) -> Vec<Value> {
        let (mut x, mut y, mut row_height) = (0, 0, 0);
        let mut placed = Vec::new();
        for (index, panel) in self.panels.iter().enumerate() {
            if x + panel.width > GRID_WIDTH {
                (x, y, row_height) = (0, y + row_height, 0);
            }
            let place = json!({"h": panel.height, "w": panel.width, "x": x, "y": y});
            x += panel.width;
            row_height = panel.height.max(row_height);
            placed.push(panel.to_json(index + 1, &place));
        }
        placed
    }
}

/// Columns of Grafana's grid.
const GRID_WIDTH: u32 = 24;

/// Marks when one of our alerts fired.
fn firing_alerts() -> Value {
    json!({
        "datasource": source(),
        "enable": true,
        "expr": "ALERTS{alertname=~\"Spantally.*\",alertstate=\"firing\"}",
        "iconColor": "red",
        "name": "Firing alerts",
        "step": "60s",
        "tagKeys": "provider,severity",
        "titleFormat": "{{alertname}}",
    })
}

/// The other dashboards, with the same time range and variables.
fn others() -> Value {
    json!({
        "asDropdown": false,
        "icon": "external link",
        "includeVars": true,
        "keepTime": true,
        "tags": ["spantally"],
        "targetBlank": false,
        "title": "Spantally",
        "tooltip": "",
        "type": "dashboards",
        "url": "",
    })
}
