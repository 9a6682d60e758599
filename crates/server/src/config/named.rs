//! Words of the lists that are names of somebody else's: of a provider, of what it bills by, of a currency.
//!
//! No type can check them, for a provider file that comes later may bring them. But a word that is misspelt
//! is a budget that never counts, and nobody would know. So they are kept with their places, and compared
//! with what the provider files have once these are read.

use std::collections::BTreeSet;
use std::fmt;

use spantally_price::{Cards, RateCard};

use super::error::nearest;

/// What a word is the name of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Provider,
    Unit,
    Currency,
}

/// A name as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) kind: Kind,
    /// File, line, column and key, for example `spantally.yaml:12:15: budgets.currency`.
    pub(super) place: String,
    pub(super) word: String,
}

/// A name that no provider file knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unknown {
    named: Named,
    nearest: Option<String>,
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Named { kind, place, word } = &self.named;
        let problem = match kind {
            Kind::Provider => "no provider file has the name",
            Kind::Unit => "no provider file bills by the unit",
            Kind::Currency => "no provider file charges in the currency",
        };
        write!(f, "{place}: {problem} `{word}`")?;
        if let Some(nearest) = &self.nearest {
            write!(f, "; did you mean `{nearest}`?")?;
        }
        f.write_str(" (until one does, nothing counts here)")
    }
}

/// The names that no card has, in the order in which they are written.
pub(super) fn unknown(names: &[Named], cards: &Cards) -> Vec<Unknown> {
    let known = [Kind::Provider, Kind::Unit, Kind::Currency].map(|kind| (kind, known(kind, cards)));
    let of = |kind: Kind| known.iter().find(|(known, _)| *known == kind).map(|(_, words)| words);
    let unknown = names.iter().filter_map(|named| {
        let known = of(named.kind).filter(|known| !known.contains(named.word.as_str()))?;
        let nearest = nearest(&named.word, known.iter().copied()).map(str::to_owned);
        Some(Unknown { named: named.clone(), nearest })
    });
    unknown.collect()
}

fn known(kind: Kind, cards: &Cards) -> BTreeSet<&str> {
    let meters = || cards.iter().flat_map(|card| card.tariffs().iter().flat_map(|tariff| &tariff.meters));
    match kind {
        Kind::Provider => cards.iter().map(|card| &*card.provider).collect(),
        // A task is what has no price or states its own, a credit what is billed where one is sold.
        Kind::Unit => meters().map(|meter| &*meter.unit).chain(["task", "credit"]).collect(),
        // Dollars need no file: a span may state them.
        Kind::Currency => cards.iter().flat_map(RateCard::currencies).chain(["USD"]).collect(),
    }
}
