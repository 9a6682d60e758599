//! The ledger's retention: when rows go, and which must stay.
//!
//! It is looked at once a minute, and every turn while there is more to do: a slice a turn, so that a turn
//! stays short. Counters are not touched; the ledger keeps the sums of what went.
//!
//! **What stays whatever the bound says**: rows of jobs that may still be revised, and rows that a budget's
//! running period or a prepaid account counts from when the server starts. Not what an invoice is compared
//! with: an old one would hold everything since; its verdict says that rows are removed.
//!
//! **While the clock is behind what it was** nothing goes ([`super::thread`]): the core has the time of
//! before then, and if that was wrong, rows would go too soon.
//!
//! **What comes too late**: evidence of a time whose rows are gone could be of a job that was counted. It is
//! taken to be: its job is counted as late (`spantally_late_jobs_total`) and changes no sum.

use std::time::Duration;

use rust_decimal::Decimal;
use spantally_stitch::UnixNanos;
use spantally_store::{Ledger, RetentionBound, StoreError};

use super::Core;
use super::published::read_entries;
use crate::export::{MetricId, SetId};

/// How much a ledger keeps; all, if nothing is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LedgerRetention {
    /// Rows that were settled longer ago go.
    pub max_age: Option<Duration>,
    /// The oldest rows go while the file has more bytes in use.
    pub max_bytes: Option<u64>,
}

const LOOK_EVERY_MS: u64 = 60_000;
/// Some ten milliseconds.
const ROWS_A_SLICE: u64 = 2000;
/// Beyond the longest that a job may be open and revised.
const MARGIN_MS: u64 = 3_600_000;

/// When it was looked at last.
#[derive(Debug)]
pub(super) struct Removal {
    retention: LedgerRetention,
    looked: UnixNanos,
    is_more: bool,
    failing: bool,
}

impl Removal {
    /// Shows at once what the ledger has, so that no counter is lower than the last process showed it.
    pub(super) fn new(retention: LedgerRetention, core: &mut Core, ledger: &Ledger) -> Self {
        let removal = Self { retention, looked: UnixNanos::default(), is_more: false, failing: false };
        if let Err(error) = removal.show(core, ledger) {
            tracing::warn!(%error, "the size of the ledger cannot be read; it is tried again");
        }
        removal
    }

    /// Removes a slice, if it is time.
    pub(super) fn turn(&mut self, core: &mut Core, ledger: &mut Ledger) {
        let now = core.now();
        if !self.is_more && self.looked.plus_ms(LOOK_EVERY_MS) > now {
            return;
        }
        self.looked = now;
        let done = self.remove(core, ledger).and_then(|()| self.show(core, ledger));
        match done {
            Ok(()) => self.failing = false,
            Err(error) => {
                self.is_more = false;
                let own = ["ledger", error.fault().as_str()];
                let faults = core.books.registry.series(MetricId::StorageFaults, SetId::NONE, &own, core.now);
                core.books.registry.add(faults, Decimal::ONE);
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!(%error, "old rows of the ledger cannot be removed; it is tried again");
                }
            }
        }
    }

    fn remove(&mut self, core: &mut Core, ledger: &mut Ledger) -> Result<(), StoreError> {
        let LedgerRetention { max_age, max_bytes } = self.retention;
        if max_age.is_none() && max_bytes.is_none() {
            return Ok(());
        }
        let age_ms = |age: Duration| u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        let bound = RetentionBound {
            before: max_age.map(|age| core.now().minus_ms(age_ms(age)).0),
            max_bytes,
            hold_from: hold_from(core).0,
            max_rows: ROWS_A_SLICE,
        };
        let removed = ledger.remove_old(&bound, &read_entries)?;
        self.is_more = removed.is_more;
        core.books.removed_until = UnixNanos(removed.until_unix_nanos);
        Ok(())
    }

    fn show(&self, core: &mut Core, ledger: &Ledger) -> Result<(), StoreError> {
        let (size, now) = (ledger.size()?, core.now());
        let oldest = size.oldest_unix_nanos.map(|nanos| nanos / 1_000_000_000);
        for (metric, value) in [
            (MetricId::LedgerBytes, Some(size.used_bytes)),
            (MetricId::LedgerLimit, self.retention.max_bytes),
            (MetricId::LedgerOldest, oldest),
            (MetricId::LedgerRemoved, Some(size.removed_rows)),
        ] {
            let Some(value) = value else { continue };
            let series = core.books.registry.series(metric, SetId::NONE, &[], now);
            core.books.registry.set(series, Decimal::from(value));
        }
        Ok(())
    }
}

/// What was settled at this moment or later stays.
fn hold_from(core: &Core) -> UnixNanos {
    let settings = &core.stitching;
    let revisable = settings.retention_ms.max(settings.idle_timeout_ms);
    let longest = revisable.saturating_add(settings.absolute_timeout_ms).saturating_add(MARGIN_MS);
    let held = core.outages.before(core.now(), longest);
    core.budgets.counts_from().map_or(held, |from| from.min(held))
}
