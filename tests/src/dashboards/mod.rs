//! The Grafana dashboards as code: what `grafana/dashboards/` holds is written by `cargo run -p
//! spantally-tests --bin dashboards`, and a test fails when it differs.
//!
//! [`query`] makes PromQL from the metrics' names, [`panel`] makes panels, [`overview`] is the first
//! dashboard. The classic JSON model is used, which Grafana 10 to 13 load from a file.

pub mod overview;
pub mod panel;
pub mod query;

use serde_json::{Value, json};

use panel::{Panel, SOURCE, source};

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
    vec![overview::dashboard()]
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
            "links": [],
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

/// The variable that chooses the Prometheus.
pub fn source_variable() -> Value {
    json!({
        "hide": 0,
        "label": "Data source",
        "name": SOURCE,
        "query": "prometheus",
        "refresh": 1,
        "regex": "",
        "type": "datasource",
    })
}

/// A variable with the values of a label; several or all may be chosen.
pub fn label_variable(name: &str, title: &str, metric_selector: &str) -> Value {
    let query = format!("label_values({metric_selector}, {name})");
    json!({
        "allValue": ".*",
        "current": {"selected": true, "text": ["All"], "value": ["$__all"]},
        "datasource": source(),
        "definition": query,
        "hide": 0,
        "includeAll": true,
        "label": title,
        "multi": true,
        "name": name,
        "query": {"query": query, "refId": "StandardVariableQuery"},
        "refresh": 2,
        "sort": 1,
        "type": "query",
    })
}

/// A variable with the values of a label of which exactly one is chosen.
pub fn single_label_variable(name: &str, title: &str, metric_selector: &str, first: &str) -> Value {
    let mut variable = label_variable(name, title, metric_selector);
    variable["multi"] = false.into();
    variable["includeAll"] = false.into();
    variable["allValue"] = Value::Null;
    variable["current"] = json!({"selected": true, "text": first, "value": first});
    variable
}
