//! Tables: one query a column, cells that lead on.

use serde_json::{Value, json};

use super::palette::UNKNOWN;
use super::panel::Panel;

/// Labels that may be empty, with the hidden columns that links take them from: a field gives a link the text
/// that is shown, which for an empty label is [`UNKNOWN`], and no series has that.
const RAW: [(&str, &str); 2] = [("model", "raw_model"), ("service", "raw_service")];

/// A column of numbers may shrink to this, in pixels; otherwise the last ones of a wide table are cut off.
const NARROW: u32 = 90;

/// A column: its title, its query, and how its values look.
#[derive(Clone, Debug)]
pub struct Column {
    title: &'static str,
    query: String,
    look: Look,
}

/// How a column's values look.
#[derive(Clone, Copy, Debug)]
pub enum Look {
    /// An amount, with places after the point.
    Money(u32),
    /// A whole number.
    Count,
    /// A number with one place after the point.
    Number,
    /// A share from 0 to 1 as a bar; orange and red from these on.
    Share(f64, f64),
    /// A share from 0 up, as a number.
    Percent,
    /// A change: red above zero, green below.
    Change,
    /// The same as a share.
    ChangeShare,
    /// A length of time in seconds.
    Seconds,
    /// A moment, in seconds since 1970, as how far away it is.
    Moment,
}

/// A column of a table.
pub fn column(title: &'static str, query: &str, look: Look) -> Column {
    Column { title, query: query.to_owned(), look }
}

/// A table of `labels` (label, title, width) and columns, with its largest values of `sorted` first.
pub fn table(
    title: &'static str,
    description: &'static str,
    size: (u32, u32),
    labels: &[(&str, &str, u32)],
    columns: &[Column],
    sorted: &str,
) -> Panel {
    let mut panel = Panel::table(title, description, size);
    let (mut order, mut names) = (json!({}), json!({}));
    for (place, (label, title, width)) in labels.iter().enumerate() {
        order[label] = place.into();
        names[label] = (*title).into();
        let mut properties = vec![json!({"id": "noValue", "value": UNKNOWN})];
        if *width > 0 {
            properties.push(json!({"id": "custom.width", "value": width}));
        }
        panel = panel.field(title, &properties.into());
    }
    let raw: Vec<_> =
        RAW.into_iter().filter(|(raw, _)| labels.iter().any(|(label, ..)| label == raw)).collect();
    for (_, hidden) in &raw {
        order[hidden] = (labels.len() + columns.len()).into();
        panel = panel.field(hidden, &json!([{"id": "custom.hidden", "value": true}]));
    }
    for (place, column) in columns.iter().enumerate() {
        let value = match columns.len() {
            1 => "Value".to_owned(),
            _ => format!("Value #{}", char::from(b'A' + place as u8)),
        };
        order[&value] = (labels.len() + place).into();
        names[&value] = column.title.into();
        let mut properties = column.look.properties();
        if let Some(properties) = properties.as_array_mut() {
            properties.push(json!({"id": "custom.minWidth", "value": NARROW}));
        }
        let query = raw.iter().fold(column.query.clone(), |query, (label, hidden)| {
            format!("label_replace({query}, \"{hidden}\", \"$1\", \"{label}\", \"(.*)\")")
        });
        panel = panel.column(&query).field(column.title, &properties);
    }
    let organized = json!({"excludeByName": {"Time": true}, "indexByName": order, "renameByName": names});
    panel
        .unit("none", 2)
        .transform("merge", &json!({}))
        .transform("organize", &organized)
        .option("sortBy", json!([{"desc": true, "displayName": sorted}]))
}

impl Panel {
    /// A last row with the sums of some columns.
    pub fn totals(self, columns: &[&str]) -> Self {
        let footer = json!({"countRows": false, "fields": columns, "reducer": ["sum"], "show": true});
        self.option("footer", footer)
    }

    /// Links of a column's cells: title and address.
    pub fn cell_links(self, column: &str, links: &[(&str, &str)]) -> Self {
        let links: Vec<Value> = links
            .iter()
            .map(|(title, url)| json!({"targetBlank": url.starts_with('$'), "title": title, "url": url}))
            .collect();
        self.field(column, &json!([{"id": "links", "value": links}]))
    }
}

/// The waste dashboard for a row's provider, model and service.
pub const TO_WASTE: (&str, &str) = (
    "What of it is waste",
    "/d/spantally-waste?${datasource:queryparam}&${job:queryparam}&${instance:queryparam}\
     &${currency:queryparam}&${operation:queryparam}&${tenant:queryparam}&${spantally:queryparam}\
     &var-provider=${__data.fields.Provider:percentencode}&var-model=${__data.fields.raw_model:percentencode}\
     &var-service=${__data.fields.raw_service:percentencode}&${__url_time_range}",
);
/// The jobs dashboard for a row's provider, model and service.
pub const TO_JOBS: (&str, &str) = (
    "How its jobs go",
    "/d/spantally-jobs?${datasource:queryparam}&${job:queryparam}&${instance:queryparam}\
     &${currency:queryparam}&${operation:queryparam}&${tenant:queryparam}&${spantally:queryparam}\
     &var-provider=${__data.fields.Provider:percentencode}&var-model=${__data.fields.raw_model:percentencode}\
     &var-service=${__data.fields.raw_service:percentencode}&${__url_time_range}",
);
/// The jobs themselves, on Spantally's page: each names its traces. A list is of one tenant and one model.
pub const TO_JOB_LIST: (&str, &str) = (
    "The jobs, with their traces",
    "${spantally}/#/jobs?provider=${__data.fields.Provider:percentencode}\
     &service=${__data.fields.raw_service:percentencode}&model=${__data.fields.raw_model:percentencode}",
);

impl Look {
    fn properties(self) -> Value {
        let unit = |unit: &str, decimals: u32| {
            let decimals = json!({"id": "decimals", "value": decimals});
            json!([{"id": "unit", "value": unit}, decimals])
        };
        match self {
            Self::Money(decimals) => {
                // Not in this currency, or without a price: neither is nothing.
                let unknown = json!({"id": "noValue", "value": "-"});
                json!([{"id": "unit", "value": "none"}, {"id": "decimals", "value": decimals}, unknown])
            }
            Self::Count => unit("locale", 0),
            Self::Number => unit("locale", 1),
            Self::Percent => unit("percentunit", 1),
            Self::Seconds => unit("s", 1),
            Self::Moment => unit("dateTimeFromNow", 0),
            Self::Change => colored(unit("none", 2), "color-text"),
            Self::ChangeShare => without_before(colored(unit("percentunit", 0), "color-text")),
            Self::Share(orange, red) => share(orange, red),
        }
    }
}

/// What was not there before has no share by which it changed.
fn without_before(mut properties: Value) -> Value {
    let result = json!({"match": "null", "result": {"text": "new", "color": "text"}});
    let mappings = json!({"id": "mappings", "value": [{"type": "special", "options": result}]});
    if let Some(properties) = properties.as_array_mut() {
        properties.push(mappings);
    }
    properties
}

/// Green below zero, red above.
fn colored(mut properties: Value, cell: &str) -> Value {
    let steps = json!([
        {"color": "green", "value": null},
        {"color": "text", "value": 0},
        {"color": "red", "value": 0.005},
    ]);
    if let Some(properties) = properties.as_array_mut() {
        properties.extend([
            json!({"id": "thresholds", "value": {"mode": "absolute", "steps": steps}}),
            json!({"id": "color", "value": {"mode": "thresholds"}}),
            json!({"id": "custom.cellOptions", "value": {"type": cell}}),
        ]);
    }
    properties
}

/// A share as a bar in its cell.
fn share(orange: f64, red: f64) -> Value {
    let steps = json!([
        {"color": "green", "value": null},
        {"color": "orange", "value": orange},
        {"color": "red", "value": red},
    ]);
    json!([
        {"id": "unit", "value": "percentunit"},
        {"id": "decimals", "value": 1},
        {"id": "min", "value": 0},
        {"id": "max", "value": 1},
        {"id": "thresholds", "value": {"mode": "absolute", "steps": steps}},
        {"id": "color", "value": {"mode": "thresholds"}},
        {"id": "custom.cellOptions", "value": {"mode": "basic", "type": "gauge", "valueDisplayMode": "text"}},
    ])
}
