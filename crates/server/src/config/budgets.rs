//! Budgets and prepaid accounts, the lists of sections: each entry checked whole.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use rust_decimal::Decimal;
use serde_saphyr::{Location, Spanned};
use spantally_stitch::UnixNanos;

use super::error::ConfigError;
use super::file::{self, Leaf};
use super::leaf::Resolver;
use super::named::Kind;
use super::settings::Settings;
use super::text::{FromText, one_word_of};
use crate::budgets::{AccountDefinition, BudgetDefinition, Measure, PeriodKind, Scope, TopUp};

/// Most budgets, most accounts and most invoices: each of the former looks at every counter once.
const MAX_ENTRIES: usize = 100;
/// The labels that every job has.
const COMMON_LABELS: [&str; 5] = ["provider", "model", "operation", "service", "tenant"];

/// A list of sections that know their places.
pub(super) type Entries<T> = Option<Vec<Spanned<T>>>;

impl Resolver<'_> {
    /// Reads both lists; the extra labels must have been read.
    pub(super) fn budgets(
        &self,
        budgets: Entries<file::Budget>,
        accounts: Entries<file::Account>,
        settings: &mut Settings,
    ) -> Result<(), ConfigError> {
        let labels = &settings.correlation.labels;
        for entry in budgets.unwrap_or_default() {
            let budget = self.budget(&entry, labels)?;
            let is_known = settings.budgets.iter().any(|known| known.name == budget.name);
            self.check_entry("budgets", &budget.name, is_known, settings.budgets.len(), entry.referenced)?;
            settings.budgets.push(budget);
        }
        for entry in accounts.unwrap_or_default() {
            let account = self.account(&entry, labels)?;
            let is_known = settings.prepaid.iter().any(|known| known.name == account.name);
            self.check_entry("prepaid", &account.name, is_known, settings.prepaid.len(), entry.referenced)?;
            settings.prepaid.push(account);
        }
        Ok(())
    }

    pub(super) fn check_entry(
        &self,
        list: &str,
        name: &str,
        is_known: bool,
        before: usize,
        at: Location,
    ) -> Result<(), ConfigError> {
        if is_known {
            let message = format!("{list}: `{name}` is listed twice");
            return Err(self.source.error(at, &message, "listed before", None));
        }
        if before >= MAX_ENTRIES {
            let message = format!("{list}: expected at most {MAX_ENTRIES} entries");
            return Err(self.source.error(at, &message, "one too many", None));
        }
        Ok(())
    }

    fn budget(
        &self,
        entry: &Spanned<file::Budget>,
        labels: &[String],
    ) -> Result<BudgetDefinition, ConfigError> {
        let (written, at) = (&entry.value, entry.referenced);
        Ok(BudgetDefinition {
            name: self.needed::<Name>("budgets.name", &written.name, at)?.0,
            limit: self.needed::<Positive>("budgets.limit", &written.limit, at)?.0,
            measure: self.measure("budgets", &written.currency, &written.unit, at)?,
            period: self.optional("budgets.period", &written.period)?.unwrap_or(PeriodKind::Month),
            time_zone: self
                .optional::<Zone>("budgets.time_zone", &written.time_zone)?
                .map_or(TimeZone::UTC, |zone| zone.0),
            scope: self.scope("budgets.scope", written.scope.as_ref(), labels)?,
        })
    }

    fn account(
        &self,
        entry: &Spanned<file::Account>,
        labels: &[String],
    ) -> Result<AccountDefinition, ConfigError> {
        let (written, at) = (&entry.value, entry.referenced);
        let mut top_ups = Vec::new();
        for top_up in written.top_ups.iter().flatten() {
            let (written, at) = (&top_up.value, top_up.referenced);
            top_ups.push(TopUp {
                amount: self.needed::<Positive>("prepaid.top_ups.amount", &written.amount, at)?.0,
                at: self.needed::<Moment>("prepaid.top_ups.at", &written.at, at)?.0,
                expires: self.optional::<Moment>("prepaid.top_ups.expires", &written.expires)?.map(|m| m.0),
            });
        }
        Ok(AccountDefinition {
            name: self.needed::<Name>("prepaid.name", &written.name, at)?.0,
            measure: self.measure("prepaid", &written.currency, &written.unit, at)?,
            balance: self.needed::<NotNegative>("prepaid.balance", &written.balance, at)?.0,
            as_of: self.needed::<Moment>("prepaid.as_of", &written.as_of, at)?.0,
            expires: self.optional::<Moment>("prepaid.expires", &written.expires)?.map(|m| m.0),
            top_ups,
            scope: self.scope("prepaid.scope", written.scope.as_ref(), labels)?,
        })
    }

    /// Exactly one of `currency` and `unit`.
    fn measure(
        &self,
        list: &str,
        currency: &Leaf,
        unit: &Leaf,
        at: Location,
    ) -> Result<Measure, ConfigError> {
        let named = |kind, key: &str, leaf: &Leaf| {
            let name = self.optional::<Name>(key, leaf)?.map(|name| name.0);
            if let (Some(name), Some(leaf)) = (&name, leaf) {
                self.note_name(kind, &format!("{list}.{key}"), name, leaf.referenced);
            }
            Ok(name)
        };
        match (named(Kind::Currency, "currency", currency)?, named(Kind::Unit, "unit", unit)?) {
            (Some(currency), None) => Ok(Measure::Currency(currency)),
            (None, Some(unit)) => Ok(Measure::Unit(unit)),
            _ => {
                let message = format!("{list}: each needs one of `currency` and `unit`");
                let help = "for example `currency: USD`, or `unit: credit` where a provider counts credits";
                Err(self.source.error(at, &message, "not exactly one in this one", Some(help.to_owned())))
            }
        }
    }

    fn scope(
        &self,
        key: &str,
        written: Option<&BTreeMap<String, Spanned<String>>>,
        labels: &[String],
    ) -> Result<Scope, ConfigError> {
        let mut scope = Scope::default();
        for (name, value) in written.into_iter().flatten() {
            let is_label = COMMON_LABELS.contains(&name.as_str()) || labels.contains(name);
            if !is_label {
                let known = COMMON_LABELS.join(", ");
                let message = format!("{key}: there is no label `{name}`");
                let help = format!("there are {known}, and those of processors.spantally.labels");
                return Err(self.source.error(value.referenced, &message, "of this", Some(help)));
            }
            let word = self.parse_leaf::<Name>(key, &value.value, value.referenced)?.0;
            if name == "provider" {
                self.note_name(Kind::Provider, &format!("{key}.{name}"), &word, value.referenced);
            }
            scope.labels.push((name.clone(), word));
        }
        Ok(scope)
    }

    pub(super) fn needed<T: FromText>(&self, key: &str, leaf: &Leaf, at: Location) -> Result<T, ConfigError> {
        let Some(value) = self.optional(key, leaf)? else {
            let help = format!("expected {}", T::expected());
            return Err(self.source.error(at, &format!("{key} is missing"), "not in this one", Some(help)));
        };
        Ok(value)
    }

    pub(super) fn optional<T: FromText>(&self, key: &str, leaf: &Leaf) -> Result<Option<T>, ConfigError> {
        leaf.as_ref().map(|leaf| self.parse_leaf(key, &leaf.value, leaf.referenced)).transpose()
    }
}

/// The name of something, a label's value.
pub(super) struct Name(pub(super) String);

impl FromText for Name {
    fn expected() -> String {
        "a name: some text without control characters".to_owned()
    }

    fn from_text(text: &str) -> Option<Self> {
        (!text.trim().is_empty() && !text.contains(char::is_control)).then(|| Self(text.to_owned()))
    }
}

/// An amount above zero.
struct Positive(Decimal);

impl FromText for Positive {
    fn expected() -> String {
        "a decimal number above 0, for example `2500` or `99.50`".to_owned()
    }

    fn from_text(text: &str) -> Option<Self> {
        Decimal::from_str_exact(text).ok().filter(|value| *value > Decimal::ZERO).map(Self)
    }
}

/// An amount of zero or more.
pub(super) struct NotNegative(pub(super) Decimal);

impl FromText for NotNegative {
    fn expected() -> String {
        "a decimal number of 0 or more, for example `2500` or `99.50`".to_owned()
    }

    fn from_text(text: &str) -> Option<Self> {
        Decimal::from_str_exact(text).ok().filter(|value| *value >= Decimal::ZERO).map(Self)
    }
}

/// A moment, or the first one of a day in UTC.
struct Moment(UnixNanos);

impl FromText for Moment {
    fn expected() -> String {
        "a moment such as `2026-11-01T09:00:00Z`, or a day such as `2026-11-01` (0:00 UTC)".to_owned()
    }

    fn from_text(text: &str) -> Option<Self> {
        let day = || Some(text.parse::<Date>().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp());
        let at = if text.contains(['T', 't']) { text.parse::<Timestamp>().ok()? } else { day()? };
        u64::try_from(at.as_nanosecond()).ok().map(|nanos| Self(UnixNanos(nanos)))
    }
}

/// A place, by the name of its time zone.
pub(super) struct Zone(pub(super) TimeZone);

impl FromText for Zone {
    fn expected() -> String {
        "the name of a time zone, for example `UTC` or `Europe/Berlin` (the system's tzdata must have it)"
            .to_owned()
    }

    fn from_text(text: &str) -> Option<Self> {
        TimeZone::get(text).ok().map(Self)
    }
}

one_word_of!(PeriodKind);
