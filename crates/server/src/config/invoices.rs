//! What providers' invoices say, a list of sections.

use jiff::Span;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_saphyr::Spanned;
use spantally_stitch::UnixNanos;

use super::budgets::{Entries, Name, NotNegative, Zone};
use super::error::ConfigError;
use super::file;
use super::leaf::Resolver;
use super::named::Kind;
use super::settings::Settings;
use super::text::FromText;
use crate::invoice::Invoice;

impl Resolver<'_> {
    /// Reads the list.
    pub(super) fn invoices(
        &self,
        written: Entries<file::Invoice>,
        settings: &mut Settings,
    ) -> Result<(), ConfigError> {
        for entry in written.unwrap_or_default() {
            let invoice = self.invoice(&entry)?;
            let key = |invoice: &Invoice| {
                [&invoice.provider, &invoice.period, &invoice.currency].map(String::as_str).join(" ")
            };
            let name = key(&invoice);
            let is_known = settings.invoices.iter().any(|known| key(known) == name);
            self.check_entry("invoices", &name, is_known, settings.invoices.len(), entry.referenced)?;
            settings.invoices.push(invoice);
        }
        Ok(())
    }

    fn invoice(&self, entry: &Spanned<file::Invoice>) -> Result<Invoice, ConfigError> {
        let (written, at) = (&entry.value, entry.referenced);
        let period = self.needed::<Days>("invoices.period", &written.period, at)?;
        let zone = self.optional::<Zone>("invoices.time_zone", &written.time_zone)?;
        let zone = zone.map_or(TimeZone::UTC, |zone| zone.0);
        let Some([from, until]) = period.moments(&zone) else {
            let message = format!("invoices.period: `{}` is not within the calendar", period.text);
            return Err(self.source.error(at, &message, "of this one", None));
        };
        let named = |kind, key: &str, leaf: &file::Leaf| {
            let name = self.needed::<Name>(key, leaf, at)?.0;
            self.note_name(kind, key, &name, leaf.as_ref().map_or(at, |leaf| leaf.referenced));
            Ok::<_, ConfigError>(name)
        };
        Ok(Invoice {
            provider: named(Kind::Provider, "invoices.provider", &written.provider)?,
            amount: self.needed::<NotNegative>("invoices.amount", &written.amount, at)?.0,
            currency: named(Kind::Currency, "invoices.currency", &written.currency)?,
            period: period.text,
            from,
            until,
        })
    }
}

/// A month, or days from the first to the last.
#[derive(Clone, Debug)]
pub(crate) struct Days {
    text: String,
    first: Date,
    /// The day after the last.
    end: Date,
}

impl Days {
    /// Reads one from a command line.
    ///
    /// # Errors
    /// What was expected.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        Self::from_text(text).ok_or_else(|| format!("expected {}", Self::expected()))
    }

    /// The first moment in a zone, and the first one after it; none outside the calendar.
    pub(crate) fn moments(&self, zone: &TimeZone) -> Option<[UnixNanos; 2]> {
        let midnight = |day: Date| {
            let at = day.to_zoned(zone.clone()).ok()?.timestamp().as_nanosecond();
            u64::try_from(at).ok().map(UnixNanos)
        };
        Some([midnight(self.first)?, midnight(self.end)?])
    }
}

impl FromText for Days {
    fn expected() -> String {
        "a month such as `2026-10`, or the first and the last day such as `2026-10-01/2026-10-31`".to_owned()
    }

    fn from_text(text: &str) -> Option<Self> {
        let (first, end) = if let Some((first, last)) = text.split_once('/') {
            (first.parse::<Date>().ok()?, last.parse::<Date>().ok()?.tomorrow().ok()?)
        } else {
            let first = format!("{text}-01").parse::<Date>().ok()?;
            (first, first.checked_add(Span::new().months(1)).ok()?)
        };
        (first < end).then(|| Self { text: text.to_owned(), first, end })
    }
}
