//! What the provider billed: the rows of its export, added up by task, or by day and model.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use rust_decimal::Decimal;
use spantally_price::{Bound, RateCard};
use spantally_providers::{Column, Export, ExportRow};
use spantally_stitch::UnixNanos;

use super::file::{Place, Rows};
use super::when::{Period, When};
use crate::clock;

/// How the export can be laid beside jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// Its rows name tasks.
    Task,
    /// They are of a day, and maybe a model.
    Day,
}

/// What rows come to that are about one task, or one day and model.
#[derive(Clone, Debug, Default)]
pub(super) struct Billed {
    /// Cost by currency; empty where no row tells one.
    pub cost: BTreeMap<Arc<str>, Bound>,
    /// Whether some row tells no cost.
    pub lacks_cost: bool,
    /// How much, where every row tells it in one unit.
    pub quantity: Option<Decimal>,
    /// The unit, where the export tells it.
    pub unit: Option<String>,
    /// Price of one unit, where all rows have the same.
    pub unit_price: Option<Decimal>,
    /// Discount in percent, where all rows have the same.
    pub discount_percent: Option<Decimal>,
    /// The model of the first row.
    pub model: String,
    /// The day of the first row.
    pub day: Option<Date>,
    /// The first row.
    pub place: Option<Place>,
    /// Whether some row is of the period.
    pub is_inside: bool,
    /// Whether a job was found for it.
    pub is_taken: bool,
}

/// The rows of an export.
#[derive(Debug)]
pub(super) struct Theirs {
    /// How they are laid beside jobs.
    pub by: By,
    /// By task.
    pub tasks: HashMap<String, Billed>,
    /// Rows that name no task, where others do: subscriptions, refunds.
    pub nameless: Vec<Billed>,
    /// By day and model.
    pub days: BTreeMap<(Date, String), Billed>,
    /// What the export covers.
    pub period: Option<Period>,
}

/// What the rows are read with.
pub(super) struct Reading<'a> {
    /// The provider's prices of credits and rates of currencies.
    pub card: Option<&'a RateCard>,
    /// The zone of its days.
    pub zone: &'a TimeZone,
    /// What was asked for.
    pub period: Option<Period>,
}

impl Theirs {
    /// Adds rows up; those whose time cannot be read are skipped.
    pub(super) fn of(export: &Export, rows: &mut Rows, reading: &Reading<'_>) -> Self {
        let by = if export.columns.contains_key(&Column::TaskId) { By::Task } else { By::Day };
        let mut theirs = Self {
            by,
            tasks: HashMap::new(),
            nameless: Vec::new(),
            days: BTreeMap::new(),
            period: reading.period,
        };
        let mut seen: Option<Period> = None;
        for (row, place) in std::mem::take(&mut rows.read) {
            let when = match row.time.as_deref().map(|text| (text, When::parse(text, reading.zone))) {
                Some((text, None)) => {
                    rows.skip(place, format!("`{text}`: not a time such as 2026-11-20T10:00:00Z"));
                    continue;
                }
                Some((_, when)) => when,
                None => None,
            };
            // A row of sums is of its whole day, also where it says when the day begins.
            let of_day = |when: When| if by == By::Day { When::Day(when.day(reading.zone)) } else { when };
            if let Some(own) = when.and_then(|when| of_day(when).period(reading.zone)) {
                seen = Some(seen.map_or(own, |seen| seen.and(own)));
            }
            theirs.add(&row, place, when, reading);
        }
        theirs.period = reading.period.or(seen);
        theirs
    }

    fn add(&mut self, row: &ExportRow, place: Place, when: Option<When>, reading: &Reading<'_>) {
        let day = when.map(|when| when.day(reading.zone));
        let own = when.and_then(|when| when.period(reading.zone));
        let model = row.model.clone().unwrap_or_default();
        let billed = match (self.by, &row.task_id, day) {
            (By::Task, Some(task), _) => self.tasks.entry(task.clone()).or_default(),
            (By::Day, _, Some(day)) => self.days.entry((day, model.clone())).or_default(),
            _ => {
                self.nameless.push(Billed::default());
                let last = self.nameless.len() - 1;
                &mut self.nameless[last]
            }
        };
        let is_first = billed.place.is_none();
        if is_first {
            (billed.model, billed.day, billed.place) = (model, day, Some(place));
        }
        billed.is_inside |= match (reading.period, own) {
            (Some(period), Some(own)) => period.contains(own.from),
            _ => true,
        };
        billed.add(row, is_first, own.map(|own| own.from), reading.card);
    }
}

impl Billed {
    fn add(&mut self, row: &ExportRow, is_first: bool, at: Option<jiff::Timestamp>, card: Option<&RateCard>) {
        let same = |own: Option<Decimal>, rows: Option<Decimal>| rows.filter(|_| is_first || own == rows);
        self.unit_price = same(self.unit_price, row.unit_price);
        self.discount_percent = same(self.discount_percent, row.discount_percent);
        let is_one_unit = is_first || self.unit == row.unit;
        let so_far = if is_first { Some(Decimal::ZERO) } else { self.quantity };
        let sum = so_far.zip(row.quantity).map(|(sum, quantity)| sum.saturating_add(quantity));
        self.quantity = sum.filter(|_| is_one_unit);
        if is_first {
            self.unit.clone_from(&row.unit);
        }
        let Some(cost) = row.cost else {
            self.lacks_cost = true;
            return;
        };
        let currency: Arc<str> = row.currency.as_deref().unwrap_or_default().into();
        // A bill without times is read at the rates of today.
        let nanos = at.map(|at| u64::try_from(at.as_nanosecond()).unwrap_or_default());
        let at = nanos.map_or_else(clock::now, UnixNanos);
        let money = card.and_then(|card| card.in_money(cost, &currency, at).ok());
        // Without a rate it stays what it is; it is never taken for another currency.
        let (money, currency) = money.unwrap_or((Bound::exactly(cost), currency));
        let sum = self.cost.entry(currency).or_default();
        *sum = *sum + money;
    }

    /// The two together: models of a day.
    pub(super) fn and(mut self, other: Self) -> Self {
        for (currency, bound) in other.cost {
            let sum = self.cost.entry(currency).or_default();
            *sum = *sum + bound;
        }
        self.lacks_cost |= other.lacks_cost;
        let quantities = self.quantity.zip(other.quantity).filter(|_| self.unit == other.unit);
        self.quantity = quantities.map(|(sum, quantity)| sum.saturating_add(quantity));
        (self.unit_price, self.discount_percent) = (None, None);
        self
    }

    /// Whether nothing was billed, as far as the rows tell.
    pub(super) fn is_nothing(&self) -> bool {
        let is_quantity_nothing = self.quantity.is_some_and(|quantity| quantity.is_zero());
        if self.lacks_cost && self.cost.is_empty() {
            is_quantity_nothing
        } else {
            self.cost.values().all(Bound::is_zero) && !self.lacks_cost
        }
    }
}
