//! What is wrong with credits, exchange rates, discounts and factors: everything that a price goes through on
//! its way to a charge.

use rust_decimal::Decimal;
use serde_saphyr::Spanned;
use spantally_price::{Is, MODEL, OPERATION, PRICE_PLACES, Pattern, Period};

use super::check::{Checker, is_iso};
use super::compile::{conditions, period, remaining, unit_price};
use super::section::{CreditRule, DiscountRule, ExchangeRule, FactorRule, MeterRule, TariffRule};

pub(super) fn check(checker: &mut Checker<'_>) {
    let rates = checker.rates;
    for (index, credit) in rates.credits.iter().enumerate() {
        check_credit(checker, credit, &rates.credits[..index]);
    }
    for (index, exchange) in rates.exchange.iter().enumerate() {
        check_exchange(checker, exchange, &rates.exchange[..index]);
    }
    for discount in &rates.discounts {
        check_discount(checker, discount);
    }
}

/// A period must have a day.
fn check_period(
    checker: &mut Checker<'_>,
    own: Period,
    until: Option<&Spanned<super::date::Day>>,
    field: &str,
) {
    if let Some(until) = until.filter(|_| own.from >= own.until) {
        checker.find(until.referenced, field, "`effective_until` is not after `effective_from`");
    }
}

fn check_credit<'a>(checker: &mut Checker<'a>, credit: &'a CreditRule, earlier: &[CreditRule]) {
    if is_iso(&credit.name.value) {
        let problem = "a credit is not named like a currency";
        checker.find(credit.name.referenced, "rates.credits.name", problem);
    }
    if !is_iso(&credit.currency.value) {
        let problem = "the price of a credit is in money: an ISO 4217 code such as USD";
        let finding = checker.find(credit.currency.referenced, "rates.credits.currency", problem);
        finding.value.clone_from(&credit.currency.value);
    }
    checker.price_places(Some(credit.price.value.0), &credit.price, "rates.credits.price");
    checker.source(&credit.source, "rates.credits.source");
    checker.facts(&credit.when, "rates.credits.when");
    let whose = |credit: &CreditRule| conditions(credit.when.iter());
    let own = period(credit.effective_from, credit.effective_until.as_ref());
    check_period(checker, own, credit.effective_until.as_ref(), "rates.credits");
    for other in earlier.iter().filter(|other| other.name.value == credit.name.value) {
        let together = own.overlaps(&period(other.effective_from, other.effective_until.as_ref()));
        if !together || whose(other) != whose(credit) {
            continue;
        }
        let line = other.name.referenced.line();
        let problem = if other.pack == credit.pack {
            format!("line {line} has a price of this credit for the same time")
        } else if other.default && credit.default {
            format!("the pack at line {line} is the default at the same time")
        } else if other.currency.value != credit.currency.value {
            format!("the pack at line {line} is sold in another currency")
        } else {
            continue;
        };
        checker.find(credit.name.referenced, "rates.credits", problem);
    }
}

fn check_exchange<'a>(checker: &mut Checker<'a>, rule: &'a ExchangeRule, earlier: &[ExchangeRule]) {
    for (code, field) in [(&rule.from, "rates.exchange.from"), (&rule.to, "rates.exchange.to")] {
        if !is_iso(&code.value) {
            let finding = checker.find(code.referenced, field, "not an ISO 4217 code such as CNY");
            finding.value.clone_from(&code.value);
        }
    }
    if rule.from.value == rule.to.value {
        checker.find(rule.to.referenced, "rates.exchange.to", "a currency is not exchanged for itself");
    }
    checker.above_zero(Some(&rule.rate), PRICE_PLACES, "rates.exchange.rate");
    checker.source(&rule.source, "rates.exchange.source");
    let own = period(rule.effective_from, rule.effective_until.as_ref());
    check_period(checker, own, rule.effective_until.as_ref(), "rates.exchange");
    let clash = earlier.iter().find(|other| {
        other.from.value == rule.from.value
            && own.overlaps(&period(other.effective_from, other.effective_until.as_ref()))
    });
    if let Some(line) = clash.map(|other| other.from.referenced.line()) {
        let problem = format!("line {line} has a rate of this currency for the same time");
        checker.find(rule.from.referenced, "rates.exchange", problem);
    }
    if let Some(line) = earlier.iter().find(|other| other.to.value == rule.from.value).map(line_of) {
        let problem = format!("line {line} charges in this currency: what is charged is not exchanged again");
        checker.find(rule.from.referenced, "rates.exchange.from", problem);
    }
}

fn line_of(rule: &ExchangeRule) -> u64 {
    rule.from.referenced.line()
}

fn check_discount<'a>(checker: &mut Checker<'a>, rule: &'a DiscountRule) {
    let percent = rule.percent.value.0;
    if percent <= Decimal::ZERO || percent > Decimal::ONE_HUNDRED {
        let problem = "a discount is more than 0 and at most 100 percent";
        checker.find(rule.percent.referenced, "rates.discounts.percent", problem).value = percent.to_string();
    }
    checker.source(&rule.source, "rates.discounts.source");
    checker.facts(&rule.when, "rates.discounts.when");
    let own = period(rule.effective_from, rule.effective_until.as_ref());
    check_period(checker, own, rule.effective_until.as_ref(), "rates.discounts");
}

/// Tables of factors of one meter; and whether a price still fits when everything has multiplied it.
pub(super) fn check_multipliers<'a>(checker: &mut Checker<'a>, tariff: &TariffRule, meter: &'a MeterRule) {
    const FIELD: &str = "rates.tariffs.meters.multipliers";
    let mut places = 0;
    for table in &meter.multipliers {
        if table.factors.value.is_empty() {
            checker.find(table.factors.referenced, FIELD, "a multiplier needs a factor");
        }
        for (index, row) in table.factors.value.iter().enumerate() {
            check_factor(checker, row, &table.factors.value[..index]);
        }
        let factors = table.factors.value.iter().map(|row| row.value.factor.value.0);
        places += factors.map(|factor| factor.normalize().scale()).max().unwrap_or_default();
    }
    let rates = checker.rates;
    let discounts = rates.discounts.iter().filter(|discount| may_apply(discount, tariff));
    let discounts = discounts.map(|discount| remaining(discount.percent.value.0));
    places += discounts.map(|factor| factor.scale()).sum::<u32>();
    let is_credit = meter
        .currency
        .as_ref()
        .or(rates.currency.as_ref())
        .is_some_and(|name| checker.is_credit(&name.value));
    let currency = meter.currency.as_ref().or(rates.currency.as_ref()).map(|name| name.value.as_str());
    let exchange = rates.exchange.iter().filter(|rule| !is_credit && currency == Some(&*rule.from.value));
    places += exchange.map(|rule| rule.rate.value.0.normalize().scale()).max().unwrap_or_default();
    if places == 0 {
        return;
    }
    for row in &meter.prices {
        let price = unit_price(&row.value).unwrap_or_default();
        let all = price.normalize().scale() + places;
        if all > PRICE_PLACES {
            let problem = format!(
                "with its factors, discounts and exchange rate the price of one unit needs {all} decimal \
                 places, of at most {PRICE_PLACES}"
            );
            let finding =
                checker.find(row.value.price.referenced, "rates.tariffs.meters.prices.price", problem);
            finding.value = row.value.price.value.0.to_string();
            finding.help = "round the rate or the factor, or count in a larger unit".into();
        }
    }
}

/// Whether a discount may be on a price of a tariff: whether some model and operation are of both. The empty
/// pattern is a model or an operation that no span names, which may be any.
fn may_apply(discount: &DiscountRule, tariff: &TariffRule) -> bool {
    let patterns = |names: &[Spanned<String>]| -> Vec<Pattern> {
        names.iter().map(|name| Pattern::new(&name.value)).collect()
    };
    let (models, operations) = (patterns(&tariff.models.value), patterns(&tariff.operations));
    conditions(discount.when.iter()).iter().all(|condition| {
        let own = match &condition.facts[..] {
            [name] if **name == *MODEL => &models,
            [name] if **name == *OPERATION && !operations.is_empty() => &operations,
            _ => return true,
        };
        let Is::OneOf(wanted) = &condition.is else { return true };
        let meets = |own: &Pattern| own.as_str().is_empty() || wanted.iter().any(|w| w.may_overlap(own));
        own.iter().any(meets)
    })
}

fn check_factor<'a>(
    checker: &mut Checker<'a>,
    row: &'a Spanned<FactorRule>,
    earlier: &[Spanned<FactorRule>],
) {
    const FIELD: &str = "rates.tariffs.meters.multipliers.factors";
    let rule = &row.value;
    if rule.factor.value.0 < Decimal::ZERO {
        let value = rule.factor.value.0.to_string();
        checker.find(rule.factor.referenced, FIELD, "a factor is not negative").value = value;
    }
    checker.source(&rule.source, FIELD);
    checker.facts(&rule.when, FIELD);
    let own = period(rule.effective_from, rule.effective_until.as_ref());
    check_period(checker, own, rule.effective_until.as_ref(), FIELD);
    for other in earlier {
        if !own.overlaps(&period(other.value.effective_from, other.value.effective_until.as_ref())) {
            continue;
        }
        let line = other.referenced.line();
        let problem = if conditions(other.value.when.iter()) == conditions(rule.when.iter()) {
            format!("the factor at line {line} is in force at the same time for the same facts")
        } else if other.value.when.is_empty() {
            format!("never used: the factor at line {line} has no `when` and comes first")
        } else {
            continue;
        };
        checker.find(row.referenced, FIELD, problem);
    }
}
