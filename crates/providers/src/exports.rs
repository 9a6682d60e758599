//! The `exports:` section of a provider file: a provider's own usage or billing export, column by column.
//!
//! [`ExportRule`] is an entry as written; [`check`] finds what is well formed and still wrong; [`Export`] is
//! what a reader of such a file works with: which columns it needs, and what a row of text says. Reading
//! files, and what times mean, is the server's work (`reconcile`). `docs/providers.md` explains the section.

use std::borrow::Cow;
use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::Deserialize;
use serde_saphyr::Spanned;

use crate::error::{LoadError, Source};

/// One export of a provider.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportRule {
    /// Unique in the file, for example `billing_events`.
    pub name: Spanned<String>,
    /// Key of `rates.sources`: who says that the export has these columns.
    pub source: Spanned<String>,
    /// In JSON: keys with dots between them that lead to the rows; absent: each object is a row.
    pub rows: Option<Spanned<String>>,
    /// What is in which column.
    pub columns: ColumnsRule,
    /// One of the cost column is so much of the currency; 1 when absent.
    pub scale: Option<Spanned<String>>,
    /// ISO 4217 code or credit of the cost, where no column tells it.
    pub currency: Option<Spanned<String>>,
    /// Unit of the quantity, where no column tells it; absent: the unit that the task is billed in.
    pub unit: Option<Spanned<String>>,
}

/// Names of the export's columns; in JSON, keys with dots between them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnsRule {
    /// The task id, as in jobs.
    pub task_id: Option<Spanned<String>>,
    /// The model, as in jobs.
    pub model: Option<Spanned<String>>,
    /// When: a moment or a day.
    pub time: Option<Spanned<String>>,
    /// How much was billed.
    pub quantity: Option<Spanned<String>>,
    /// Of which unit.
    pub unit: Option<Spanned<String>>,
    /// Price of one unit, before any discount.
    pub unit_price: Option<Spanned<String>>,
    /// Discount in percent.
    pub discount_percent: Option<Spanned<String>>,
    /// What it cost, after any discount.
    pub cost: Option<Spanned<String>>,
    /// In which currency.
    pub currency: Option<Spanned<String>>,
}

/// What a column of an export is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Column {
    /// The task id, as in jobs.
    TaskId,
    /// The model, as in jobs.
    Model,
    /// When: a moment or a day.
    Time,
    /// How much was billed.
    Quantity,
    /// Of which unit.
    Unit,
    /// Price of one unit, before any discount.
    UnitPrice,
    /// Discount in percent.
    DiscountPercent,
    /// What it cost, after any discount.
    Cost,
    /// In which currency.
    Currency,
}

impl Column {
    /// Every value.
    pub const ALL: [Self; 9] = [
        Self::TaskId,
        Self::Model,
        Self::Time,
        Self::Quantity,
        Self::Unit,
        Self::UnitPrice,
        Self::DiscountPercent,
        Self::Cost,
        Self::Currency,
    ];

    /// The word in files and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TaskId => "task_id",
            Self::Model => "model",
            Self::Time => "time",
            Self::Quantity => "quantity",
            Self::Unit => "unit",
            Self::UnitPrice => "unit_price",
            Self::DiscountPercent => "discount_percent",
            Self::Cost => "cost",
            Self::Currency => "currency",
        }
    }

    /// The column of a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|column| column.as_str() == word)
    }

    /// Whether a file that lacks it is another export. The others may be left out where they are empty.
    fn is_needed(self) -> bool {
        matches!(self, Self::TaskId | Self::Time | Self::Quantity | Self::Cost)
    }
}

impl ColumnsRule {
    fn get(&self, column: Column) -> Option<&Spanned<String>> {
        let name = match column {
            Column::TaskId => &self.task_id,
            Column::Model => &self.model,
            Column::Time => &self.time,
            Column::Quantity => &self.quantity,
            Column::Unit => &self.unit,
            Column::UnitPrice => &self.unit_price,
            Column::DiscountPercent => &self.discount_percent,
            Column::Cost => &self.cost,
            Column::Currency => &self.currency,
        };
        name.as_ref()
    }
}

/// An export, ready to read rows with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Export {
    /// Its name in the provider file.
    pub name: String,
    /// In JSON: the keys that lead to the rows; empty: each object is a row.
    pub rows: Vec<String>,
    /// Names of the columns.
    pub columns: BTreeMap<Column, String>,
    /// One of the cost column is so much of the currency; none: 1.
    pub scale: Option<Decimal>,
    /// Currency or credit of the cost, where no column tells it.
    pub currency: Option<String>,
    /// Unit of the quantity, where no column tells it.
    pub unit: Option<String>,
}

/// What a row of an export says. What it does not tell is none, never zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExportRow {
    /// The task id.
    pub task_id: Option<String>,
    /// The model.
    pub model: Option<String>,
    /// When, as it is written.
    pub time: Option<String>,
    /// How much was billed.
    pub quantity: Option<Decimal>,
    /// Of which unit.
    pub unit: Option<String>,
    /// Price of one unit, before any discount.
    pub unit_price: Option<Decimal>,
    /// Discount in percent.
    pub discount_percent: Option<Decimal>,
    /// What it cost in `currency`; negative for a refund.
    pub cost: Option<Decimal>,
    /// ISO 4217 code, or the name of a credit.
    pub currency: Option<String>,
}

/// A cell that is not what its column holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongCell {
    /// The column's name in the export.
    pub name: String,
    /// What stands there.
    pub value: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

/// Most characters of an id or a name in an export: longer ones are no ids.
const CELL_CHARS_MAX: usize = 512;

impl Export {
    /// The FinOps Open Cost and Usage Specification, which some providers and most cost tools write: one cost
    /// and currency a row, by the start of its charge period. It names no task and no model that spans have.
    ///
    /// Source: <https://focus.finops.org/focus-specification/v1-0/>, read 2026-11-27.
    pub fn focus() -> Self {
        let columns = [
            (Column::Time, "ChargePeriodStart"),
            (Column::Cost, "BilledCost"),
            (Column::Currency, "BillingCurrency"),
        ];
        let columns = columns.map(|(column, name)| (column, name.to_owned()));
        Self { name: "focus".to_owned(), columns: columns.into(), ..Self::default() }
    }

    pub(crate) fn compile(rule: &ExportRule) -> Self {
        let column = |column: Column| Some((column, rule.columns.get(column)?.value.clone()));
        let keys = |path: &Spanned<String>| path.value.split('.').map(str::to_owned).collect();
        Self {
            name: rule.name.value.clone(),
            rows: rule.rows.as_ref().map(keys).unwrap_or_default(),
            columns: Column::ALL.into_iter().filter_map(column).collect(),
            scale: rule.scale.as_ref().and_then(|scale| decimal(&scale.value)),
            currency: rule.currency.as_ref().map(|currency| currency.value.clone()),
            unit: rule.unit.as_ref().map(|unit| unit.value.clone()),
        }
    }

    /// The needed columns that a file lacks, by name.
    pub fn missing(&self, has: impl Fn(&str) -> bool) -> Vec<(Column, &str)> {
        let needed = self.columns.iter().filter(|(column, _)| column.is_needed());
        needed.filter(|(_, name)| !has(name)).map(|(column, name)| (*column, name.as_str())).collect()
    }

    /// What a row says, of which `cell` gives the text of a column by its name, none where it is empty.
    ///
    /// # Errors
    /// A cell is not what its column holds.
    pub fn read<'c>(&self, cell: impl Fn(&str) -> Option<Cow<'c, str>>) -> Result<ExportRow, WrongCell> {
        let cell = |column: Column| {
            let name = self.columns.get(&column)?;
            let value = cell(name)?;
            let value = value.trim();
            (!value.is_empty()).then(|| (name, value.to_owned()))
        };
        let text = |column| match cell(column) {
            Some((name, value)) if value.chars().count() > CELL_CHARS_MAX => {
                let value = value.chars().take(40).collect();
                Err(WrongCell { name: name.clone(), value, problem: "longer than any name or id" })
            }
            found => Ok(found.map(|(_, value)| value)),
        };
        let number = |column| {
            let Some((name, value)) = cell(column) else { return Ok(None) };
            let parsed = decimal(&value).ok_or(WrongCell {
                name: name.clone(),
                value,
                problem: "not a decimal number such as 0.025",
            });
            parsed.map(Some)
        };
        let cost = match (number(Column::Cost)?, self.scale) {
            (Some(cost), Some(scale)) => Some(cost.checked_mul(scale).ok_or_else(|| WrongCell {
                name: self.columns.get(&Column::Cost).cloned().unwrap_or_default(),
                value: cost.to_string(),
                problem: "too large to be a cost",
            })?),
            (cost, _) => cost,
        };
        Ok(ExportRow {
            task_id: text(Column::TaskId)?,
            model: text(Column::Model)?,
            time: text(Column::Time)?,
            quantity: number(Column::Quantity)?,
            unit: text(Column::Unit)?.or_else(|| self.unit.clone()),
            unit_price: number(Column::UnitPrice)?,
            discount_percent: number(Column::DiscountPercent)?,
            cost: cost.map(|cost| cost.normalize()),
            currency: text(Column::Currency)?
                .or_else(|| self.currency.clone())
                .map(|code| in_capitals(&code)),
        })
    }
}

/// Most of a number in an export, without its sign: what is larger is no quantity and no cost, and sums of
/// millions of rows stay within a decimal.
const NUMBER_MAX: Decimal = Decimal::from_parts(2_764_472_320, 232_830, 0, false, 0);

/// A number as it is written: also `1.5e-05`, as some languages write small ones.
fn decimal(text: &str) -> Option<Decimal> {
    let text = text.strip_prefix('+').unwrap_or(text);
    let parsed = Decimal::from_str_exact(text).or_else(|_| Decimal::from_scientific(text));
    // More digits than a decimal has are those of a binary fraction: the first 28 are what was meant.
    let parsed = parsed.or_else(|_| text.parse());
    parsed.ok().filter(|number| number.abs() <= NUMBER_MAX)
}

/// Codes of currencies are told apart from names of credits by their length, and written in capitals.
fn in_capitals(currency: &str) -> String {
    let is_code = currency.len() == 3 && currency.bytes().all(|byte| byte.is_ascii_alphabetic());
    if is_code { currency.to_ascii_uppercase() } else { currency.to_owned() }
}

/// What is well formed and still wrong; `cited` are the keys of `rates.sources`.
pub(crate) fn check(source: &Source, rules: &[ExportRule], cited: &[&str]) -> Vec<LoadError> {
    let mut findings = Vec::new();
    let mut names = BTreeMap::<&str, u64>::new();
    for rule in rules {
        let at = rule.name.referenced;
        if let Some(line) = names.insert(&rule.name.value, at.line()) {
            let problem = format!("line {line} has this name too");
            findings.push(source.finding(at, "exports.name", problem).value(&rule.name.value));
        }
        check_columns(source, rule, &mut findings);
        check_values(source, rule, cited, &mut findings);
    }
    findings
}

/// Columns without which no row can be compared.
fn check_columns(source: &Source, rule: &ExportRule, findings: &mut Vec<LoadError>) {
    let has = |column| rule.columns.get(column).is_some();
    let has_currency = has(Column::Currency) || rule.currency.is_some();
    for (is_good, problem) in [
        (has(Column::Cost) || has(Column::Quantity), "neither a cost nor a quantity: nothing to compare"),
        (has(Column::TaskId) || has(Column::Time), "neither a task id nor a time: no row can be matched"),
        (!has(Column::Cost) || has_currency, "no column and no `currency` says what the cost is in"),
    ] {
        if !is_good {
            findings.push(source.finding(rule.name.referenced, "exports.columns", problem));
        }
    }
    for name in Column::ALL.into_iter().filter_map(|column| rule.columns.get(column)) {
        if name.value.trim().is_empty() {
            findings.push(source.finding(name.referenced, "exports.columns", "an empty name"));
        }
    }
}

fn check_values(source: &Source, rule: &ExportRule, cited: &[&str], findings: &mut Vec<LoadError>) {
    if let Some(rows) = rule.rows.as_ref().filter(|rows| rows.value.split('.').any(str::is_empty)) {
        let problem = "not keys with a dot between each two";
        findings.push(source.finding(rows.referenced, "exports.rows", problem).value(&rows.value));
    }
    let is_more_than_nothing = |scale: &str| decimal(scale).is_some_and(|scale| scale > Decimal::ZERO);
    if let Some(scale) = rule.scale.as_ref().filter(|scale| !is_more_than_nothing(&scale.value)) {
        let problem = "not a decimal number above 0";
        findings.push(source.finding(scale.referenced, "exports.scale", problem).value(&scale.value));
    }
    if !cited.contains(&rule.source.value.as_str()) {
        let problem = "not a key of `rates.sources`";
        let finding = source.finding(rule.source.referenced, "exports.source", problem);
        findings.push(finding.value(&rule.source.value).allowed(&rule.source.value, cited));
    }
}

#[cfg(test)]
mod tests;
