//! Panels of a dashboard, each with a title, the question that it answers, and its queries.

use serde_json::{Value, json};

/// Name of the variable that chooses the Prometheus.
pub const SOURCE: &str = "datasource";

/// The Prometheus that the variable names.
pub fn source() -> Value {
    json!({"type": "prometheus", "uid": format!("${{{SOURCE}}}")})
}

/// One panel.
#[derive(Clone, Debug)]
pub struct Panel {
    title: &'static str,
    description: &'static str,
    kind: &'static str,
    /// Columns of the grid.
    pub width: u32,
    /// Rows of the grid.
    pub height: u32,
    targets: Vec<Value>,
    defaults: Value,
    overrides: Vec<Value>,
    options: Value,
    transformations: Vec<Value>,
    links: Vec<Value>,
}

impl Panel {
    fn new(kind: &'static str, title: &'static str, description: &'static str, size: (u32, u32)) -> Self {
        Self {
            title,
            description,
            kind,
            width: size.0,
            height: size.1,
            targets: Vec::new(),
            defaults: json!({"mappings": [], "noValue": "none"}),
            overrides: Vec::new(),
            options: json!({}),
            transformations: Vec::new(),
            links: Vec::new(),
        }
    }

    /// A line across the dashboard that names the panels below it.
    pub fn row(title: &'static str) -> Self {
        Self::new("row", title, "", (24, 1))
    }

    /// One number for the dashboard's time range.
    pub fn stat(title: &'static str, description: &'static str) -> Self {
        let mut panel = Self::new("stat", title, description, (6, 3));
        panel.options = json!({
            "colorMode": "value",
            "graphMode": "none",
            "justifyMode": "auto",
            "orientation": "auto",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": false},
            "textMode": "auto",
        });
        panel.thresholds(&[(None, "text")])
    }

    /// Values over time; `stacked` draws bars on one another.
    pub fn time_series(
        title: &'static str,
        description: &'static str,
        size: (u32, u32),
        stacked: bool,
    ) -> Self {
        let mut panel = Self::new("timeseries", title, description, size);
        panel.defaults["color"] = json!({"mode": "palette-classic"});
        panel.defaults["custom"] = json!({
            "axisSoftMin": 0,
            "drawStyle": if stacked { "bars" } else { "line" },
            "fillOpacity": if stacked { 80 } else { 0 },
            "lineWidth": if stacked { 0 } else { 2 },
            "showPoints": "never",
            "spanNulls": !stacked,
            "stacking": {"group": "A", "mode": if stacked { "normal" } else { "none" }},
        });
        panel.options = json!({
            "tooltip": {"mode": "multi", "sort": "desc"},
        });
        panel.legend("table", "bottom")
    }

    /// How a distribution moves: a column of cells for each time, the darker the more.
    pub fn heatmap(title: &'static str, description: &'static str, size: (u32, u32)) -> Self {
        let mut panel = Self::new("heatmap", title, description, size);
        panel.options = json!({
            "calculate": false,
            "cellGap": 1,
            "color": {
                "exponent": 0.5, "fill": "blue", "mode": "scheme", "reverse": false, "scale": "exponential",
                "scheme": "Blues", "steps": 64,
            },
            "filterValues": {"le": 1e-9},
            "legend": {"show": true},
            "rowsFrame": {"layout": "auto"},
            "tooltip": {"mode": "single", "showColorScale": false, "yHistogram": true},
            "yAxis": {"axisPlacement": "left", "reverse": false, "unit": "s"},
        });
        panel
    }

    /// The largest of several values, as bars.
    pub fn bars(title: &'static str, description: &'static str, size: (u32, u32)) -> Self {
        let mut panel = Self::new("bargauge", title, description, size);
        panel.defaults["min"] = 0.into();
        // Sizes are fixed: with few bars Grafana would write so large that names are cut off.
        panel.options = json!({
            "displayMode": "basic",
            "maxVizHeight": 32,
            "minVizHeight": 10,
            "minVizWidth": 8,
            "namePlacement": "left",
            "orientation": "horizontal",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": false},
            "showUnfilled": true,
            "sizing": "manual",
            "text": {"titleSize": 12, "valueSize": 14},
            "valueMode": "color",
        });
        panel.thresholds(&[(None, "blue")])
    }

    /// Rows and columns.
    pub fn table(title: &'static str, description: &'static str, size: (u32, u32)) -> Self {
        let mut panel = Self::new("table", title, description, size);
        panel.defaults["custom"] =
            json!({"align": "auto", "cellOptions": {"type": "auto"}, "inspect": false});
        panel.options = json!({"cellHeight": "sm", "showHeader": true});
        panel
    }

    /// Adds a query whose value at the end of the time range counts.
    pub fn instant(self, expression: &str, legend: &str) -> Self {
        self.target(expression, legend, "time_series", true)
    }

    /// Adds a query that is a column of a table.
    pub fn column(self, expression: &str) -> Self {
        self.target(expression, "", "table", true)
    }

    /// Adds a query over the time range.
    pub fn range(self, expression: &str, legend: &str) -> Self {
        self.target(expression, legend, "time_series", false)
    }

    /// Adds a query for the buckets of a histogram: one bar for each, not cumulative.
    pub fn buckets(self, expression: &str) -> Self {
        self.target(expression, "{{le}}", "heatmap", true)
    }

    /// Adds a query for the buckets of a histogram over time: a column of cells each.
    pub fn cells(self, expression: &str) -> Self {
        self.target(expression, "{{le}}", "heatmap", false)
    }

    /// Asks for exemplars too: points that lead to a trace and a job.
    pub fn exemplars(mut self) -> Self {
        for target in &mut self.targets {
            target["exemplar"] = true.into();
        }
        self
    }

    fn target(mut self, expression: &str, legend: &str, format: &str, instant: bool) -> Self {
        let reference = char::from(b'A' + self.targets.len() as u8).to_string();
        let mut target = json!({
            "datasource": source(),
            "editorMode": "code",
            "expr": expression,
            "format": format,
            "instant": instant,
            "range": !instant,
            "refId": reference,
        });
        if !legend.is_empty() {
            target["legendFormat"] = legend.into();
        }
        if !instant {
            // shorter steps show a comb: a few jobs a minute are much
            target["interval"] = "1m".into();
        }
        self.targets.push(target);
        self
    }

    /// Columns and rows of the grid.
    pub fn size(mut self, width: u32, height: u32) -> Self {
        (self.width, self.height) = (width, height);
        self
    }

    /// A link of the whole panel, in its corner.
    pub fn link(mut self, title: &str, url: &str) -> Self {
        self.links.push(json!({"targetBlank": false, "title": title, "url": url}));
        self
    }

    /// A word in place of a value.
    pub fn word_for(mut self, value: &str, word: &str, color: &str) -> Self {
        let shown = json!({"color": color, "text": word});
        self.defaults["mappings"] = json!([{"type": "value", "options": {value: shown}}]);
        self
    }

    /// Unit and places after the point, in Grafana's names.
    pub fn unit(mut self, unit: &str, decimals: u32) -> Self {
        self.defaults["unit"] = unit.into();
        self.defaults["decimals"] = decimals.into();
        self
    }

    /// Colours from a value upwards; the first has none.
    pub fn thresholds(mut self, steps: &[(Option<f64>, &str)]) -> Self {
        let steps: Vec<Value> =
            steps.iter().map(|(value, color)| json!({"color": color, "value": value})).collect();
        self.defaults["thresholds"] = json!({"mode": "absolute", "steps": steps});
        self.defaults["color"] = json!({"mode": "thresholds"});
        self
    }

    /// A dashed line at a value of a time series.
    pub fn threshold_line(self, at: f64) -> Self {
        self.threshold_lines(&[(at, "red")])
    }

    /// Dashed lines at values of a time series.
    pub fn threshold_lines(mut self, lines: &[(f64, &str)]) -> Self {
        let lines = lines.iter().map(|(value, color)| json!({"color": color, "value": value}));
        let below = json!({"color": "transparent", "value": null});
        let steps: Vec<Value> = std::iter::once(below).chain(lines).collect();
        self.defaults["thresholds"] = json!({"mode": "absolute", "steps": steps});
        self.defaults["custom"]["thresholdsStyle"] = json!({"mode": "dashed"});
        self
    }

    /// Lower end of a time series' axis, and how far up it reaches at least.
    pub fn axis(mut self, min: f64, reaches: f64) -> Self {
        self.defaults["min"] = min.into();
        self.defaults["custom"]["axisSoftMax"] = reaches.into();
        self
    }

    /// The value at which a bar is full.
    pub fn scale_to(mut self, max: f64) -> Self {
        self.defaults["max"] = max.into();
        self
    }

    /// Dashes for the series whose names match.
    pub fn dashed(mut self, names: &str) -> Self {
        let style = json!({"dash": [8, 8], "fill": "dash"});
        self.overrides.push(json!({
            "matcher": {"id": "byRegexp", "options": format!("/{names}/")},
            "properties": [{"id": "custom.lineStyle", "value": style}],
        }));
        self
    }

    /// What stands where there is no value.
    pub fn no_value(mut self, text: &str) -> Self {
        self.defaults["noValue"] = text.into();
        self
    }

    /// Always the same colour for a series of that name.
    pub fn colors(mut self, colors: &[(&str, &str)]) -> Self {
        self.overrides.extend(colors.iter().map(|(name, color)| {
            let fixed = json!({"fixedColor": color, "mode": "fixed"});
            override_of(name, &json!([{"id": "color", "value": fixed}]))
        }));
        self
    }

    /// The same for series whose names end so, after a colon.
    pub fn colors_at_end(mut self, colors: &[(&str, &str)]) -> Self {
        self.overrides.extend(colors.iter().map(|(end, color)| {
            let fixed = json!({"fixedColor": color, "mode": "fixed"});
            json!({
                "matcher": {"id": "byRegexp", "options": format!("/: {end}$/")},
                "properties": [{"id": "color", "value": fixed}],
            })
        }));
        self
    }

    /// Properties of the field of that name.
    pub fn field(mut self, name: &str, properties: &Value) -> Self {
        self.overrides.push(override_of(name, properties));
        self
    }

    /// The legend of a time series: a `table` has the largest value, a `list` only names. No mean: where a
    /// series is nothing most of the time, that is left out, and the mean of the rest says too much.
    pub fn legend(mut self, mode: &str, placement: &str) -> Self {
        let calculations = if mode == "table" { json!(["max"]) } else { json!([]) };
        self.options["legend"] = json!({
            "calcs": calculations, "displayMode": mode, "placement": placement, "showLegend": true,
        });
        self
    }

    /// Changes an option.
    pub fn option(mut self, name: &str, value: Value) -> Self {
        self.options[name] = value;
        self
    }

    /// Adds a transformation.
    pub fn transform(mut self, id: &str, options: &Value) -> Self {
        self.transformations.push(json!({"id": id, "options": options}));
        self
    }

    pub(super) fn to_json(&self, id: usize, place: &Value) -> Value {
        if self.kind == "row" {
            return json!({
                "collapsed": false,
                "gridPos": place,
                "id": id,
                "panels": [],
                "title": self.title,
                "type": "row",
            });
        }
        let mut panel = json!({
            "datasource": source(),
            "description": self.description,
            "fieldConfig": {"defaults": self.defaults, "overrides": self.overrides},
            "gridPos": place,
            "id": id,
            "options": self.options,
            "targets": self.targets,
            "title": self.title,
            "type": self.kind,
        });
        if !self.links.is_empty() {
            panel["links"] = self.links.clone().into();
        }
        if !self.transformations.is_empty() {
            panel["transformations"] = self.transformations.clone().into();
        }
        panel
    }
}

fn override_of(name: &str, properties: &Value) -> Value {
    json!({"matcher": {"id": "byName", "options": name}, "properties": properties})
}
