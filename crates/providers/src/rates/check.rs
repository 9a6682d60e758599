//! What is well formed in a `rates:` section and still wrong: prices and tariffs. The policy is in
//! `policy.rs`.
//!
//! All findings are returned at once, each with its place. Next: `compile.rs`.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde_saphyr::{Location, Spanned};
use spantally_price::{Formula, MODEL, OPERATION, PRICE_PLACES, Pattern, QUANTITY_PLACES, SERVICE, TENANT};

use super::compile::{conditions, period, plain, unit_price};
use super::section::{
    AssumeRule, Comparison, MeterRule, PriceRule, QuantityRule, RatesSection, ReportedRule, TariffRule,
};
use super::words::{Number, UNITS};
use super::{money, policy};
use crate::error::{LoadError, Source};

/// Everything that is wrong with a section.
pub(super) fn check(file: &Source, rates: &RatesSection) -> Vec<LoadError> {
    let mut checker = Checker { file, rates, findings: Vec::new(), names: BTreeMap::new() };
    if let Some(currency) = &rates.currency {
        checker.currency(currency, "rates.currency");
    }
    for (index, tariff) in rates.tariffs.iter().enumerate() {
        checker.tariff(tariff, &rates.tariffs[..index]);
    }
    checker.reported(&rates.reported);
    money::check(&mut checker);
    policy::check(&mut checker);
    checker.findings
}

pub(super) struct Checker<'a> {
    pub(super) file: &'a Source,
    pub(super) rates: &'a RatesSection,
    pub(super) findings: Vec<LoadError>,
    /// Names of meters, reported costs and policy rows, with their line.
    names: BTreeMap<&'a str, u64>,
}

impl<'a> Checker<'a> {
    pub(super) fn find(&mut self, at: Location, field: &str, problem: impl Into<String>) -> &mut LoadError {
        self.findings.push(self.file.finding(at, field, problem));
        let last = self.findings.len() - 1;
        &mut self.findings[last]
    }

    fn wrong(&mut self, at: &Spanned<String>, field: &str, problem: impl Into<String>, allowed: &[&str]) {
        let finding = self.file.finding(at.referenced, field, problem).value(&at.value);
        self.findings.push(finding.allowed(&at.value, allowed));
    }

    /// A name must be good for a metric label, and unique: a charge shows it.
    pub(super) fn name(&mut self, name: &'a Spanned<String>, field: &str) {
        let is_good =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'.');
        if name.value.is_empty() || !name.value.bytes().all(is_good) {
            let problem = "a name has lower-case letters, digits, `_` and `.` only";
            self.find(name.referenced, field, problem).value.clone_from(&name.value);
        }
        if let Some(line) = self.names.insert(&name.value, name.referenced.line()) {
            let finding = self.find(name.referenced, field, format!("line {line} has this name too"));
            finding.value.clone_from(&name.value);
            finding.help =
                "a charge shows the name of its meter and of its policy row: give each its own".into();
        }
    }

    pub(super) fn source(&mut self, key: &Spanned<String>, field: &str) {
        if !self.rates.sources.contains_key(&key.value) {
            let keys: Vec<&str> = self.rates.sources.keys().map(String::as_str).collect();
            self.wrong(key, field, "not a key of `rates.sources`", &keys);
        }
    }

    /// An ISO 4217 code, or a credit of the section.
    fn currency(&mut self, currency: &Spanned<String>, field: &str) {
        let text = currency.value.as_str();
        if is_iso(text) || self.is_credit(text) {
            return;
        }
        let mut allowed: Vec<&str> =
            self.rates.credits.iter().map(|credit| credit.name.value.as_str()).collect();
        allowed.push("an ISO 4217 code such as USD");
        self.wrong(currency, field, "neither a currency nor a credit of this file", &allowed);
    }

    pub(super) fn is_credit(&self, name: &str) -> bool {
        self.rates.credits.iter().any(|credit| credit.name.value == name)
    }

    fn fact(&mut self, name: &Spanned<String>, field: &str) {
        self.fact_name(&name.value, name.referenced, field);
    }

    fn fact_name(&mut self, name: &str, at: Location, field: &str) {
        if !crate::vocabulary::FACT_NAMES.contains(&name) {
            let finding = self.file.finding(at, field, "no span attribute becomes a fact of this name");
            self.findings.push(finding.value(name).allowed(name, crate::vocabulary::FACT_NAMES));
        }
    }

    pub(super) fn facts(&mut self, facts: &BTreeMap<String, Spanned<Comparison>>, field: &str) {
        for (name, comparison) in facts {
            for name in name.split('|').filter(|name| ![MODEL, OPERATION, TENANT, SERVICE].contains(name)) {
                self.fact_name(name, comparison.referenced, field);
            }
        }
    }

    /// More than zero, and no finer than a quantity can be.
    fn positive(&mut self, number: Option<&Spanned<Number>>, field: &str) {
        self.above_zero(number, QUANTITY_PLACES, field);
    }

    /// More than zero, and no finer than money can be: a tick of a ten-thousand-millionth of a dollar.
    fn scale(&mut self, number: Option<&Spanned<Number>>, field: &str) {
        self.above_zero(number, PRICE_PLACES, field);
    }

    pub(super) fn above_zero(&mut self, number: Option<&Spanned<Number>>, places: u32, field: &str) {
        let Some(number) = number else { return };
        let value = number.value.0;
        if value <= Decimal::ZERO || value.normalize().scale() > places {
            let problem = format!("must be more than 0, with at most {places} decimal places");
            self.find(number.referenced, field, problem).value = value.to_string();
        }
    }

    pub(super) fn price_places(&mut self, value: Option<Decimal>, at: &Spanned<Number>, field: &str) {
        if at.value.0 < Decimal::ZERO {
            self.find(at.referenced, field, "a price is not negative").value = at.value.0.to_string();
        } else if value.is_none_or(|value| value.normalize().scale() > PRICE_PLACES) {
            let problem = format!("the price of one unit needs more than {PRICE_PLACES} decimal places");
            let finding = self.find(at.referenced, field, problem);
            finding.value = at.value.0.to_string();
            finding.help = "count in a larger unit, so that money stays exact".into();
        }
    }

    fn tariff(&mut self, tariff: &'a TariffRule, earlier: &[TariffRule]) {
        if tariff.models.value.is_empty() {
            let finding = self.find(tariff.models.referenced, "rates.tariffs.models", "names no model");
            finding.help =
                "write model patterns; \"*\" takes every named model, \"\" what no span names".into();
        }
        if let Some(line) = earlier.iter().find(|other| covers(other, tariff)).map(line_of) {
            let problem = format!("never used: the tariff at line {line} takes every model of this one");
            let finding = self.find(tariff.models.referenced, "rates.tariffs.models", problem);
            finding.help =
                "the first tariff that takes a model is the one: put the narrower one first".into();
        }
        self.reported(&tariff.reported);
        for meter in &tariff.meters {
            self.meter(tariff, meter);
        }
    }

    fn reported(&mut self, rules: &'a [ReportedRule]) {
        for reported in rules {
            self.name(&reported.name, "rates.tariffs.reported.name");
            self.fact(&reported.fact, "rates.tariffs.reported.fact");
            self.scale(reported.scale.as_ref(), "rates.tariffs.reported.scale");
            self.source(&reported.source, "rates.tariffs.reported.source");
            let currency = reported.currency.as_ref();
            if let Some(currency) = currency {
                self.currency(currency, "rates.tariffs.reported.currency");
            }
            let is_credit = currency.is_some_and(|currency| self.is_credit(&currency.value));
            for source in &reported.interrupted {
                const FIELD: &str = "rates.tariffs.reported.interrupted";
                self.quantity(source, FIELD);
                if !is_credit {
                    self.find(source.referenced, FIELD, "only credits have parts; the currency here is none");
                }
            }
        }
    }

    fn meter(&mut self, tariff: &TariffRule, meter: &'a MeterRule) {
        self.name(&meter.name, "rates.tariffs.meters.name");
        if !UNITS.contains(&meter.unit.value.as_str()) {
            self.wrong(&meter.unit, "rates.tariffs.meters.unit", "not a unit that anything bills by", UNITS);
        }
        if meter.quantity.value.is_empty() {
            let at = meter.quantity.referenced;
            self.find(at, "rates.tariffs.meters.quantity", "a meter needs a source of its quantity");
        }
        self.quantities(&meter.quantity.value, "rates.tariffs.meters.quantity");
        self.positive(meter.free.as_ref(), "rates.tariffs.meters.free");
        self.positive(meter.block.as_ref(), "rates.tariffs.meters.block");
        self.positive(meter.minimum.as_ref(), "rates.tariffs.meters.minimum");
        self.positive(meter.credit_block.as_ref(), "rates.tariffs.meters.credit_block");
        self.positive(meter.credit_minimum.as_ref(), "rates.tariffs.meters.credit_minimum");
        for source in &meter.interrupted {
            self.quantity(source, "rates.tariffs.meters.interrupted");
        }
        match meter.currency.as_ref().or(self.rates.currency.as_ref()) {
            Some(currency) => {
                self.currency(currency, "rates.tariffs.meters.currency");
                self.credit_rounding(meter, &currency.value);
            }
            None if !meter.prices.is_empty() => {
                let problem = "neither the meter nor the section names a currency";
                self.find(meter.name.referenced, "rates.tariffs.meters.currency", problem);
            }
            None => {}
        }
        for (index, row) in meter.prices.iter().enumerate() {
            self.price(row, &meter.prices[..index]);
        }
        money::check_multipliers(self, tariff, meter);
    }

    fn credit_rounding(&mut self, meter: &MeterRule, currency: &str) {
        let Some(rounding) = meter.credit_block.as_ref().or(meter.credit_minimum.as_ref()) else { return };
        if !self.is_credit(currency) {
            let problem = format!("the meter is priced in {currency}, which is no credit of this file");
            self.find(rounding.referenced, "rates.tariffs.meters.credit_minimum", problem);
        } else if !meter.interrupted.is_empty() {
            let problem = "cannot stand beside `interrupted`: two parts would each be rounded";
            self.find(rounding.referenced, "rates.tariffs.meters.credit_minimum", problem);
        }
    }

    pub(super) fn quantities(&mut self, sources: &[Spanned<QuantityRule>], field: &str) {
        let mut always = None;
        for source in sources {
            self.quantity(source, field);
            if let Some(line) = always {
                let problem = format!("never read: the source at line {line} always has a value");
                self.find(source.referenced, field, problem);
            }
            let rule = &source.value;
            let is_plain = rule.assume.as_ref().is_some_and(|assume| plain(assume).is_some());
            if rule.constant.is_some() || rule.count.is_some() || is_plain {
                always = always.or(Some(source.referenced.line()));
            }
        }
    }

    fn quantity(&mut self, source: &Spanned<QuantityRule>, field: &str) {
        let rule = &source.value;
        let facts = [&rule.reported, &rule.response, &rule.request];
        let facts = facts.into_iter().flatten();
        let given = facts.clone().count()
            + usize::from(rule.constant.is_some())
            + usize::from(rule.count.is_some())
            + usize::from(rule.elapsed.is_some())
            + usize::from(rule.formula.is_some())
            + usize::from(rule.assume.is_some());
        if given != 1 {
            let problem = format!("a source has exactly one of its keys, this one has {given}");
            self.find(source.referenced, field, problem).help =
                "keys: reported, response, request, constant, count, elapsed, formula, assume".into();
        }
        for fact in facts {
            self.fact(fact, field);
        }
        self.positive(rule.scale.as_ref(), field);
        if let Some(constant) = rule.constant.as_ref().filter(|constant| constant.value.0 < Decimal::ZERO) {
            let value = constant.value.0.to_string();
            self.find(constant.referenced, field, "a quantity is not negative").value = value;
        }
        if let Some(formula) = &rule.formula {
            self.formula(formula, field);
        }
        if let Some(assume) = &rule.assume {
            self.assume(assume, field);
        }
    }

    fn assume(&mut self, assume: &AssumeRule, field: &str) {
        self.source(&assume.source, field);
        let Some(bound) = plain(assume) else {
            let texts = [&assume.smallest, &assume.default, &assume.largest];
            return texts.into_iter().for_each(|text| self.formula(text, field));
        };
        if bound.min < Decimal::ZERO || bound.min > bound.expected || bound.expected > bound.max {
            let problem = "must be 0 <= smallest <= default <= largest";
            self.find(assume.default.referenced, field, problem).value =
                format!("{}, {}, {}", bound.min, bound.expected, bound.max);
        }
    }

    fn formula(&mut self, formula: &Spanned<String>, field: &str) {
        match Formula::new(&formula.value) {
            Ok(parsed) => {
                for fact in parsed.facts() {
                    self.fact_name(fact, formula.referenced, field);
                }
            }
            Err(error) => {
                let problem = format!("not a formula that can be computed: {error}");
                self.find(formula.referenced, field, problem).value.clone_from(&formula.value);
            }
        }
    }

    fn price(&mut self, row: &Spanned<PriceRule>, earlier: &[Spanned<PriceRule>]) {
        const FIELD: &str = "rates.tariffs.meters.prices";
        let rule = &row.value;
        self.positive(rule.per.as_ref(), "rates.tariffs.meters.prices.per");
        self.price_places(unit_price(rule), &rule.price, "rates.tariffs.meters.prices.price");
        self.source(&rule.source, "rates.tariffs.meters.prices.source");
        self.facts(&rule.when, "rates.tariffs.meters.prices.when");
        let own = period(rule.effective_from, rule.effective_until.as_ref());
        if let Some(until) = rule.effective_until.as_ref().filter(|_| own.from >= own.until) {
            self.find(until.referenced, FIELD, "`effective_until` is not after `effective_from`");
        }
        for other in earlier {
            let theirs = period(other.value.effective_from, other.value.effective_until.as_ref());
            if !own.overlaps(&theirs) {
                continue;
            }
            let line = other.referenced.line();
            let problem = if conditions(other.value.when.iter()) == conditions(rule.when.iter()) {
                format!("the row at line {line} is in force at the same time for the same facts")
            } else if other.value.when.is_empty() {
                format!("never used: the row at line {line} has no `when` and comes first")
            } else if other.value.default && rule.default {
                format!("the row at line {line} is the default at the same time")
            } else {
                continue;
            };
            self.find(row.referenced, FIELD, problem);
        }
    }
}

pub(super) fn is_iso(text: &str) -> bool {
    text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase())
}

fn line_of(tariff: &TariffRule) -> u64 {
    tariff.models.referenced.line()
}

/// Whether every model and operation of `narrow` is taken by `wide`.
fn covers(wide: &TariffRule, narrow: &TariffRule) -> bool {
    let all = |wide: &[Spanned<String>], narrow: &[Spanned<String>]| {
        narrow.iter().all(|narrow| {
            let narrow = Pattern::new(&narrow.value);
            wide.iter().any(|wide| Pattern::new(&wide.value).covers(&narrow))
        })
    };
    let operations = wide.operations.is_empty()
        || !narrow.operations.is_empty() && all(&wide.operations, &narrow.operations);
    operations && !narrow.models.value.is_empty() && all(&wide.models.value, &narrow.models.value)
}
