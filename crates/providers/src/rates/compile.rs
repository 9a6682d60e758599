//! A checked `rates:` section into a [`RateCard`].
//!
//! Everything that could be missing or wrong here has been found by `check.rs`; what is left falls back to
//! the cautious side (a source that is not there cites nothing, a formula that does not parse reads nothing).

use std::sync::Arc;

use rust_decimal::Decimal;
use serde_saphyr::Spanned;
use spantally_price::{
    Bound, Citation, Condition, Credit, Exchange, Formula, HALF, Is, Meter, Pattern, Period, PolicyRow,
    PriceRow, RateCard, ReportedCost, Rounding, Source, Stage, StatusRange, Tariff, Terms, When,
};
use spantally_stitch::{FactSource, UnixNanos};

use super::check;
use super::date::Day;
use super::section::{
    AssumeRule, CancelWord, Comparison, DiscountRule, FactorRule, MeterRule, PolicyRule, PriceRule,
    QuantityRule, RatesSection, ReportedRule, StageWord, TariffRule, Voice, WhenRule,
};
use super::words::{ChargeWord, Number};
use crate::error::{LoadError, Source as File};
use crate::vocabulary::StatusPattern;

/// Checks a section and compiles it.
pub(crate) fn compile(provider: &str, rates: &RatesSection, file: &File) -> Result<RateCard, Vec<LoadError>> {
    let findings = check::check(file, rates);
    if !findings.is_empty() {
        return Err(findings);
    }
    let compiler = Compiler { provider, rates };
    Ok(RateCard::new(
        provider.into(),
        rates.tariffs.iter().map(|tariff| compiler.tariff(tariff)).collect(),
        rates.policy.iter().map(|row| compiler.policy(row)).collect(),
        compiler.credits(),
    )
    .with_exchange(compiler.exchange())
    .with_reported(compiler.reported(&rates.reported)))
}

struct Compiler<'a> {
    provider: &'a str,
    rates: &'a RatesSection,
}

impl Compiler<'_> {
    fn rule(&self, name: &Spanned<String>) -> Arc<str> {
        format!("{}/{}", self.provider, name.value).into()
    }

    fn currency(&self, own: Option<&Spanned<String>>) -> Arc<str> {
        own.or(self.rates.currency.as_ref()).map_or("", |currency| currency.value.as_str()).into()
    }

    fn citation(&self, source: Option<&Spanned<String>>, as_of: Option<Day>, note: &str) -> Citation {
        let Some(rule) = source.and_then(|key| self.rates.sources.get(&key.value)) else {
            return Citation { note: note.into(), ..Citation::default() };
        };
        let note = if note.is_empty() { &rule.note } else { note };
        Citation {
            source: rule.url.value.as_str().into(),
            as_of: as_of.unwrap_or(rule.as_of).0,
            third_party: rule.confidence == Voice::ThirdParty,
            note: note.into(),
        }
    }

    fn tariff(&self, rule: &TariffRule) -> Tariff {
        Tariff {
            models: patterns(&rule.models.value),
            operations: patterns(&rule.operations),
            reported: self.reported(&rule.reported),
            meters: rule.meters.iter().map(|meter| self.meter(meter)).collect(),
            policy: rule.policy.iter().map(|row| self.policy(row)).collect(),
        }
    }

    fn reported(&self, rules: &[ReportedRule]) -> Vec<ReportedCost> {
        let reported = rules.iter().map(|rule| ReportedCost {
            rule: self.rule(&rule.name),
            amount: fact(&rule.fact, FactSource::Reported, rule.scale.as_ref()),
            currency: self.currency(rule.currency.as_ref()),
            interrupted: quantities(&rule.interrupted),
            citation: self.citation(Some(&rule.source), None, ""),
        });
        reported.collect()
    }

    fn meter(&self, rule: &MeterRule) -> Meter {
        Meter {
            rule: self.rule(&rule.name),
            unit: rule.unit.value.as_str().into(),
            quantity: quantities(&rule.quantity.value),
            rounding: Rounding {
                free: number(rule.free.as_ref()),
                block: number(rule.block.as_ref()),
                minimum: number(rule.minimum.as_ref()),
            },
            credit_rounding: Rounding {
                free: None,
                block: number(rule.credit_block.as_ref()),
                minimum: number(rule.credit_minimum.as_ref()),
            },
            interrupted: quantities(&rule.interrupted),
            cause: rule.cause.as_ref().map(|word| word.0),
            currency: self.currency(rule.currency.as_ref()),
            prices: rule.prices.iter().map(|row| self.price(&row.value)).collect(),
            multipliers: self.multipliers(rule),
        }
    }

    /// The meter's own tables of factors, then the discounts of the file.
    fn multipliers(&self, rule: &MeterRule) -> Vec<Vec<PriceRow>> {
        let own = rule.multipliers.iter().map(|table| {
            let rows = table.factors.value.iter().map(|row| self.factor(&row.value));
            otherwise_one(rows.collect())
        });
        let discounts =
            self.rates.discounts.iter().map(|discount| otherwise_one(vec![self.discount(discount)]));
        own.chain(discounts).collect()
    }

    fn factor(&self, rule: &FactorRule) -> PriceRow {
        PriceRow {
            when: conditions(rule.when.iter()),
            is_default: rule.default,
            unit_price: rule.factor.value.0,
            period: period(rule.effective_from, rule.effective_until.as_ref()),
            citation: self.citation(Some(&rule.source), rule.as_of, &rule.note),
        }
    }

    fn discount(&self, rule: &DiscountRule) -> PriceRow {
        PriceRow {
            when: conditions(rule.when.iter()),
            is_default: false,
            unit_price: remaining(rule.percent.value.0),
            period: period(rule.effective_from, rule.effective_until.as_ref()),
            citation: self.citation(Some(&rule.source), None, &rule.note),
        }
    }

    fn price(&self, rule: &PriceRule) -> PriceRow {
        PriceRow {
            when: conditions(rule.when.iter()),
            is_default: rule.default,
            unit_price: unit_price(rule).unwrap_or_default(),
            period: period(rule.effective_from, rule.effective_until.as_ref()),
            citation: self.citation(Some(&rule.source), rule.as_of, &rule.note),
        }
    }

    fn policy(&self, rule: &PolicyRule) -> PolicyRow {
        let sources = quantities(&rule.quantity);
        let unknown = Terms::Unknown { probability: number(rule.probability.as_ref()).unwrap_or(HALF) };
        let terms = match (rule.charge.value.0, &sources[..]) {
            (ChargeWord::Full, _) => Terms::Full,
            (ChargeWord::None, _) => Terms::None,
            (ChargeWord::Reported, _) => Terms::Reported,
            (ChargeWord::Fixed, [Source::Constant(quantity)]) => Terms::Fixed(*quantity),
            (ChargeWord::Prorated, [_, ..]) => Terms::Prorated(sources),
            (ChargeWord::Unknown | ChargeWord::Prorated | ChargeWord::Fixed, _) => unknown,
        };
        PolicyRow {
            name: self.rule(&rule.name),
            when: when(&rule.when),
            terms,
            citation: self.citation(rule.source.as_ref(), rule.as_of, &rule.note),
        }
    }

    fn credits(&self) -> Vec<Credit> {
        let credits = self.rates.credits.iter().map(|rule| Credit {
            name: rule.name.value.as_str().into(),
            pack: rule.pack.as_str().into(),
            when: conditions(rule.when.iter()),
            is_default: rule.default,
            unit_price: rule.price.value.0,
            currency: rule.currency.value.as_str().into(),
            period: period(rule.effective_from, rule.effective_until.as_ref()),
            citation: self.citation(Some(&rule.source), rule.as_of, &rule.note),
        });
        credits.collect()
    }

    fn exchange(&self) -> Vec<Exchange> {
        let rates = self.rates.exchange.iter().map(|rule| Exchange {
            from: rule.from.value.as_str().into(),
            to: rule.to.value.as_str().into(),
            rate: rule.rate.value.0,
            period: period(rule.effective_from, rule.effective_until.as_ref()),
            citation: self.citation(Some(&rule.source), rule.as_of, &rule.note),
        });
        rates.collect()
    }
}

/// A table of factors is a rate table whose last row is "as it is".
fn otherwise_one(mut rows: Vec<PriceRow>) -> Vec<PriceRow> {
    rows.push(PriceRow {
        when: Vec::new(),
        is_default: rows.iter().all(|row| !row.is_default),
        unit_price: Decimal::ONE,
        period: Period { from: UnixNanos(0), until: UnixNanos(u64::MAX) },
        citation: Citation::default(),
    });
    rows
}

/// What is left after so many percent are taken off.
pub(super) fn remaining(percent: Decimal) -> Decimal {
    (Decimal::ONE - percent / Decimal::ONE_HUNDRED).normalize()
}

fn patterns(texts: &[Spanned<String>]) -> Vec<Pattern> {
    texts.iter().map(|text| Pattern::new(&text.value)).collect()
}

fn number(number: Option<&Spanned<Number>>) -> Option<Decimal> {
    number.map(|number| number.value.0)
}

/// The price of one unit; none when the division by `per` is not exact.
pub(super) fn unit_price(rule: &PriceRule) -> Option<Decimal> {
    let price = rule.price.value.0;
    let per = number(rule.per.as_ref()).unwrap_or(Decimal::ONE);
    let one = price.checked_div(per)?.normalize();
    (spantally_price::product(one, per)? == price).then_some(one)
}

/// From a day until another; without one, for ever.
pub(super) fn period(from: Day, until: Option<&Spanned<Day>>) -> Period {
    Period { from: from.0, until: until.map_or(UnixNanos(u64::MAX), |day| day.value.0) }
}

fn fact(name: &Spanned<String>, at_least: FactSource, scale: Option<&Spanned<Number>>) -> Source {
    Source::Fact { name: name.value.as_str().into(), at_least, scale: number(scale).unwrap_or(Decimal::ONE) }
}

fn quantities(rules: &[Spanned<QuantityRule>]) -> Vec<Source> {
    rules.iter().filter_map(|source| quantity(&source.value)).collect()
}

fn quantity(rule: &QuantityRule) -> Option<Source> {
    let scale = rule.scale.as_ref();
    let facts = [
        (&rule.reported, FactSource::Reported),
        (&rule.response, FactSource::Response),
        (&rule.request, FactSource::Request),
    ];
    if let Some((name, at_least)) = facts.iter().find_map(|(name, from)| Some((name.as_ref()?, *from))) {
        return Some(fact(name, at_least, scale));
    }
    if let Some(assume) = &rule.assume {
        let formula = |text: &Spanned<String>| Formula::new(&text.value).ok();
        return plain(assume).map(Source::Assume).or_else(|| {
            let formulas = [formula(&assume.smallest)?, formula(&assume.default)?, formula(&assume.largest)?];
            Some(Source::Estimate(Box::new(formulas)))
        });
    }
    let constant = number(rule.constant.as_ref()).map(Source::Constant);
    let count = || rule.count.as_ref().map(|role| Source::Count(role.0));
    let elapsed = || rule.elapsed.as_ref().map(|role| Source::Elapsed(role.0));
    let formula = || Formula::new(&rule.formula.as_ref()?.value).ok().map(Source::Formula);
    constant.or_else(count).or_else(elapsed).or_else(formula)
}

/// The three figures, when all are plain numbers.
pub(super) fn plain(assume: &AssumeRule) -> Option<Bound> {
    let number = |text: &Spanned<String>| Decimal::from_str_exact(&text.value).ok();
    let (min, max) = (number(&assume.smallest)?, number(&assume.largest)?);
    Some(Bound { min, expected: number(&assume.default)?, max })
}

pub(super) fn conditions<'a>(
    rules: impl Iterator<Item = (&'a String, &'a Spanned<Comparison>)>,
) -> Vec<Condition> {
    let is = |comparison: &Comparison| match comparison {
        Comparison::One(text) => Is::OneOf(vec![Pattern::new(text)]),
        Comparison::Any(texts) => Is::OneOf(texts.iter().map(|text| Pattern::new(text)).collect()),
        Comparison::Range(range) => {
            Is::Between(range.at_least.map(|number| number.0), range.at_most.map(|number| number.0))
        }
    };
    rules
        .map(|(fact, rule)| Condition {
            facts: fact.split('|').map(Into::into).collect(),
            is: is(&rule.value),
        })
        .collect()
}

pub(super) fn when(rule: &WhenRule) -> When {
    When {
        outcomes: rule.outcome.iter().map(|word| word.0).collect(),
        reasons: rule.reason.iter().map(|word| word.0).collect(),
        stage: rule.stage.map(|stage| match stage {
            StageWord::Refused => Stage::Refused,
            StageWord::Accepted => Stage::Accepted,
        }),
        canceled_before_start: rule.canceled.map(|at| at == CancelWord::BeforeStart),
        statuses: rule.status.iter().filter_map(|status| status_range(status.value)).collect(),
        facts: conditions(rule.facts.iter()),
    }
}

/// None for what has no status code: a policy on it would be about a request that was never answered.
pub(super) fn status_range(pattern: StatusPattern) -> Option<StatusRange> {
    match pattern {
        StatusPattern::Code(code) => Some(StatusRange { from: code, to: code }),
        StatusPattern::Class(class) => Some(StatusRange { from: class * 100, to: class * 100 + 99 }),
        StatusPattern::Wire(_) => None,
    }
}
