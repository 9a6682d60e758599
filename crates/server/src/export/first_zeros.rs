//! A new series is zero on the pages that Prometheus scrapes until every scraper has seen the zero.
//!
//! `increase` and `rate` compare samples of a series; they cannot tell a series that begins with 5 from one
//! that was 5 all along, so they leave out what it had when it was first scraped. The series of a job are
//! made at zero when it opens ([`crate::core`]), which is not enough: spans may come late or in a burst, a
//! job may settle between two scrapes, and the first money of a model or a customer would be in no panel
//! and no alert. So what is counted in a new series is held back on the page, never in the ledger:
//!
//! - **A page and a time.** Two Prometheus servers scrape the same process for availability, and each needs
//!   a zero of its own. They cannot be told apart for sure (addresses are shared behind proxies), so from
//!   the first page that has a series on, it stays at zero for `exporters.prometheus.new_series_at_zero`: the
//!   longest interval at which anybody scrapes. With one scraper any longer interval does as well.
//! - **Only for scrapers.** Who opens the page by hand wants what is booked, and would take a zero for the
//!   truth. Prometheus says how long it waits in a header (`X-Prometheus-Scrape-Timeout-Seconds`), and
//!   vmagent, Alloy and the Collector's receiver do as it does; pages for others hold nothing back, and do
//!   not count as seen.
//! - **No counter falls.** What an earlier process may have shown is in the ledger, and what is restored
//!   from there is not held back. Within a process a series goes from zero to its value, once. Metrics that
//!   the ledger does not keep that way (of the process, of what is forwarded) are left alone.
//! - **Nothing old comes in one piece.** If the first scraper comes long after the start, then what was
//!   counted before is no news: it would be an hour's or a week's spend in one minute, and alerts on its pace
//!   would go off. What is there by then is shown as it is.
//!
//! Histograms are held back with their exemplars. `_created` is when the series was made, on every page.
//! Sums over series agree with the ledger again once the newest series has been on pages for that long.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use spantally_stitch::UnixNanos;

/// Which scraper's page is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scrape {
    /// When the process began.
    pub began: UnixNanos,
    /// The time of this page.
    pub at: UnixNanos,
}

/// A scraper that first comes so long after the start was not there before.
const SCRAPED_SINCE_START: Duration = Duration::from_mins(10);

impl Scrape {
    fn is_late(self) -> bool {
        self.at > after(self.began, SCRAPED_SINCE_START)
    }
}

fn after(at: UnixNanos, time: Duration) -> UnixNanos {
    UnixNanos(at.0.saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)))
}

/// Which series of a metric are held back; by index, since series are made in that order and stay.
#[derive(Debug, Default)]
pub(super) struct FirstZeros {
    /// Those before this one are shown with their values.
    shown: usize,
    /// Those before this one have been on a page for scrapers.
    seen: usize,
    /// When series up to an index were first on such a page.
    waiting: VecDeque<(UnixNanos, usize)>,
    is_scraped: bool,
}

impl FirstZeros {
    /// Series before this one may have been shown by an earlier process.
    pub(super) fn restored(&mut self, until: usize) {
        self.shown = self.shown.max(until);
        self.seen = self.seen.max(until);
    }

    /// Whether a series is held back.
    pub(super) fn holds(&self, index: usize) -> bool {
        index >= self.shown
    }

    /// A page for scrapers has the first so many series. Those whose time is over are let go: their indexes.
    pub(super) fn scrape(&mut self, series: usize, scrape: Scrape, time: Duration) -> Range<usize> {
        let first = self.shown;
        if !std::mem::replace(&mut self.is_scraped, true) && scrape.is_late() {
            self.restored(series);
        }
        if self.seen < series {
            self.seen = series;
            self.waiting.push_back((scrape.at, series));
        }
        while let Some(&(seen_at, until)) = self.waiting.front()
            && after(seen_at, time) <= scrape.at
        {
            self.waiting.pop_front();
            self.shown = until;
        }
        first..self.shown
    }
}

#[cfg(test)]
mod tests;
