//! Unit prices on their way to a charge: the range that is possible, factors, credits, and other currencies.
//!
//! Everything is exact or refused. The next file in the flow is `charge.rs`.

use std::sync::Arc;

use rust_decimal::Decimal;
use spantally_stitch::{Attempt, UnixNanos};

use crate::bill::{Bound, UnpricedReason};
use crate::card::RateCard;
use crate::condition::all_hold;
use crate::exact::{self, PRICE_PLACES};
use crate::price::{self, Credit, PriceRow};

/// A unit price, and the range it is in where the spans do not show what selects it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Prices {
    pub(crate) min: Decimal,
    pub(crate) expected: Decimal,
    pub(crate) max: Decimal,
    /// Whether the facts leave only one price.
    pub(crate) is_sure: bool,
}

impl Prices {
    pub(crate) fn of(price: Decimal) -> Self {
        Self { min: price, expected: price, max: price, is_sure: true }
    }

    pub(crate) fn cost(self, quantity: Bound) -> Option<Bound> {
        Some(Bound {
            min: exact::product(quantity.min, self.min)?,
            expected: exact::product(quantity.expected, self.expected)?,
            max: exact::product(quantity.max, self.max)?,
        })
    }

    /// So many credits, with as many places as any quantity.
    pub(crate) fn credits(self, quantity: Bound) -> Option<Bound> {
        self.cost(quantity)?.try_map(|value| Some(exact::quantity(value)))
    }

    /// Each price times the factor of its side; none when a price would need too many places.
    pub(crate) fn times(self, factor: Self) -> Option<Self> {
        let product = |price: Decimal, factor: Decimal| {
            let product = exact::product(price, factor)?.normalize();
            (product.scale() <= PRICE_PLACES).then_some(product)
        };
        Some(Self {
            min: product(self.min, factor.min)?,
            expected: product(self.expected, factor.expected)?,
            max: product(self.max, factor.max)?,
            is_sure: self.is_sure && factor.is_sure,
        })
    }
}

/// What a rate table and the factors beside it make of an attempt.
pub(crate) fn of_meter(
    rows: &[PriceRow],
    multipliers: &[Vec<PriceRow>],
    attempt: &Attempt,
) -> Result<Prices, UnpricedReason> {
    let mut prices = from_table(rows, attempt)?;
    for table in multipliers {
        let factor = from_table(table, attempt)?;
        prices = prices.times(factor).ok_or(UnpricedReason::OutOfRange)?;
    }
    Ok(prices)
}

fn from_table(rows: &[PriceRow], attempt: &Attempt) -> Result<Prices, UnpricedReason> {
    let rate = price::select(rows, attempt)?;
    Ok(Prices { min: rate.min, expected: rate.row.unit_price, max: rate.max, is_sure: rate.is_sure })
}

/// The money price of a credit for an attempt, over all packs that may have paid it, and its currency.
pub(crate) fn of_credit<'c>(
    card: &'c RateCard,
    name: &str,
    attempt: &Attempt,
) -> Result<(Prices, &'c Arc<str>), UnpricedReason> {
    let mut found: Option<(Prices, &Arc<str>)> = None;
    let sold = |credit: &&Credit| *credit.name == *name && credit.period.contains(attempt.started_at);
    let own = |credit: &Credit| !credit.when.is_empty() && all_hold(&credit.when, attempt) == Some(true);
    let has_own = card.credits().iter().filter(sold).any(own);
    let takes = |credit: &&Credit| if has_own { own(credit) } else { credit.when.is_empty() };
    for credit in card.credits().iter().filter(sold).filter(takes) {
        let price = credit.unit_price;
        found = Some(match found {
            None => (Prices::of(price), &credit.currency),
            Some((so_far, currency)) => {
                let prices = Prices {
                    min: so_far.min.min(price),
                    expected: if credit.is_default { price } else { so_far.expected },
                    max: so_far.max.max(price),
                    is_sure: false,
                };
                (prices, currency)
            }
        });
    }
    found.ok_or(UnpricedReason::NoPriceAtTime)
}

/// A price in the currency that the card charges in: the same, unless the card has an exchange rate for it.
pub(crate) fn exchanged(
    card: &RateCard,
    prices: Prices,
    currency: &Arc<str>,
    at: UnixNanos,
) -> Result<(Prices, Arc<str>), UnpricedReason> {
    match card.exchange(currency, at)? {
        None => Ok((prices, Arc::clone(currency))),
        Some(exchange) => {
            let prices = prices.times(Prices::of(exchange.rate)).ok_or(UnpricedReason::OutOfRange)?;
            Ok((prices, Arc::clone(&exchange.to)))
        }
    }
}

/// An amount that somebody stated, in the currency that the card charges in. A file whose prices would be too
/// fine after the exchange is refused, but a statement may have any number of places: it is rounded after the
/// exchange as it was when it was read.
pub(crate) fn exchanged_statement(
    card: &RateCard,
    amount: Decimal,
    currency: &Arc<str>,
    at: UnixNanos,
) -> Result<(Decimal, Arc<str>), UnpricedReason> {
    Ok(match card.exchange(currency, at)? {
        None => (amount, Arc::clone(currency)),
        Some(exchange) => {
            let amount = exact::nearest_product(amount, exchange.rate);
            (exact::rounded(amount, PRICE_PLACES), Arc::clone(&exchange.to))
        }
    })
}

impl RateCard {
    /// What an amount that a provider's bill states, in a currency or in a credit of the card, is in the
    /// currency that the card charges in: a range where several packs are in force, for a bill does not say
    /// from which one it was paid.
    ///
    /// # Errors
    /// No price of the credit, or no rate of the currency, is in force at that time.
    pub fn in_money(
        &self,
        amount: Decimal,
        currency: &Arc<str>,
        at: UnixNanos,
    ) -> Result<(Bound, Arc<str>), UnpricedReason> {
        if !self.is_credit(currency) {
            let (amount, currency) = exchanged_statement(self, amount, currency, at)?;
            return Ok((Bound::exactly(amount), currency));
        }
        let sold = |credit: &&Credit| credit.name == *currency && credit.period.contains(at);
        let packs: Vec<&Credit> = self.credits().iter().filter(sold).collect();
        let default = packs.iter().find(|pack| pack.is_default).or(packs.first());
        let default = default.ok_or(UnpricedReason::NoPriceAtTime)?;
        let mut money = None;
        for pack in packs.iter().filter(|pack| pack.currency == default.currency) {
            let cost = exact::nearest_product(amount, pack.unit_price);
            let (cost, _) = exchanged_statement(self, cost, &pack.currency, at)?;
            let so_far = money.get_or_insert(Bound::exactly(cost));
            so_far.min = so_far.min.min(cost);
            so_far.max = so_far.max.max(cost);
            if std::ptr::eq(*pack, *default) {
                so_far.expected = cost;
            }
        }
        let (_, money_is_in) = exchanged_statement(self, amount, &default.currency, at)?;
        money.map(|money| (money, money_is_in)).ok_or(UnpricedReason::NoPriceAtTime)
    }
}

#[cfg(test)]
mod tests {
    use crate::fixture::{bound, credit, dec};
    use crate::{Credit, Exchange, Period};

    use super::*;

    #[test]
    fn what_a_bill_states_is_money_at_the_rates_of_its_time() {
        let early = Period { from: UnixNanos(0), until: UnixNanos(100) };
        let late = Period { from: UnixNanos(100), until: UnixNanos(200) };
        let usual = Credit { is_default: true, ..credit("clips_credit", "0.02", late) };
        let credits =
            vec![credit("clips_credit", "0.05", early), credit("clips_credit", "0.01", late), usual];
        let yuan = Exchange {
            from: "CNY".into(),
            to: "USD".into(),
            rate: dec("0.14"),
            period: early,
            citation: crate::Citation::default(),
        };
        let card = RateCard::new("clips".into(), Vec::new(), Vec::new(), credits).with_exchange(vec![yuan]);
        for (amount, currency, at, expected) in [
            ("3", "USD", 0, Ok((bound("3", "3", "3"), "USD"))),
            ("10", "clips_credit", 99, Ok((bound("0.50", "0.50", "0.50"), "USD"))),
            ("10", "clips_credit", 100, Ok((bound("0.10", "0.20", "0.20"), "USD"))),
            ("-10", "clips_credit", 100, Ok((bound("-0.20", "-0.20", "-0.10"), "USD"))),
            ("10", "clips_credit", 200, Err(UnpricedReason::NoPriceAtTime)),
            ("10", "CNY", 0, Ok((bound("1.40", "1.40", "1.40"), "USD"))),
            ("10", "CNY", 100, Err(UnpricedReason::NoPriceAtTime)),
        ] {
            let found = card.in_money(dec(amount), &currency.into(), UnixNanos(at));
            let expected = expected.map(|(money, currency)| (money, Arc::from(currency)));
            assert_eq!(found, expected, "{amount} {currency} at {at}");
        }
    }
}
