//! Which part of a job comes in time, and which comes when its job is forgotten.
//!
//! A job that is over is kept for the retention, counted from the last turn before its newest part came. In
//! the end the ledger has the moments of turns: those at which it has settled jobs. Of each part the client
//! knows a moment before which nobody had it, and one at which the server had it for sure. So of most parts
//! it is certain whether they came in time, and only that is right. Of a part that came near the end of the
//! retention (its client sent it while the server was being killed) either may be; then the ledger says which
//! of the two it was, and everything else must follow from that.

use std::time::Duration;

use spantally_stitch::{Outages, UnixNanos};

use crate::process::Process;
use crate::query::query;
use crate::sent::{Part, SentJob, Told, counts};
use crate::traffic::{Kind, Truth};

/// What is acknowledged is applied, and what is due is forgotten, within so long.
const LAG: Duration = Duration::from_secs(1);

/// What the server did when.
pub(crate) struct Turns {
    /// Moments of turns whose checkpoint was written, in order.
    made: Vec<UnixNanos>,
    outages: Outages,
    retention_ms: u64,
}

/// Where a job may have been cut: at the first part that came when the rest was forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Everything came in time.
    Whole,
    /// This part and all after it came late.
    Before(usize),
}

fn millis(duration: Duration) -> u64 {
    duration.as_millis() as u64
}

impl Turns {
    /// What the ledger tells now.
    pub(crate) fn read(process: &Process) -> Self {
        let moments = query(process, "SELECT DISTINCT settled_at AS at FROM job_row ORDER BY settled_at");
        // The first start makes a turn too.
        let mut made = vec![process.events[0].0];
        made.extend(moments.iter().map(|row| UnixNanos(row["at"].as_u64().unwrap())));
        let noted = "SELECT CAST(value AS TEXT) AS text FROM meta WHERE name = 'outages_unix_nanos'";
        let mut outages = Outages::default();
        for row in query(process, noted) {
            for line in row["text"].as_str().unwrap().lines() {
                let (from, until) = line.split_once(' ').unwrap();
                outages.note(UnixNanos(from.parse().unwrap()), UnixNanos(until.parse().unwrap()));
            }
        }
        Self { made, outages, retention_ms: millis(process.profile.retention) }
    }

    /// Every moment of a turn that is known.
    pub(crate) fn all(&self) -> &[UnixNanos] {
        &self.made
    }

    /// The last turn until a moment.
    fn turn_before(&self, moment: UnixNanos) -> UnixNanos {
        let after = self.made.partition_point(|&turn| turn <= moment);
        self.made[after.saturating_sub(1)]
    }

    /// The turn after the first one from a moment on.
    fn second_turn_after(&self, moment: UnixNanos) -> UnixNanos {
        let first = self.made.partition_point(|&turn| turn < moment);
        self.made.get(first + 1).copied().unwrap_or(UnixNanos(u64::MAX))
    }

    /// Whether what came last in some parts may be forgotten when something comes between two moments, and
    /// whether it must be.
    fn forgotten(&self, parts: &[Part], from: UnixNanos, until: UnixNanos) -> (bool, bool) {
        let newest = |moments: &dyn Fn(&Part) -> UnixNanos| parts.iter().map(moments).max().unwrap();
        let earliest = newest(&|part| self.turn_before(part.delivery.from));
        let latest = newest(&|part| part.delivery.until.plus_ms(millis(LAG)));
        let end = |from| self.outages.after(from, self.retention_ms);
        let may = end(earliest) <= until.plus_ms(millis(LAG));
        (may, may && self.second_turn_after(end(latest)).plus_ms(millis(LAG)) < from)
    }

    /// Where a job may have been cut. One place, if that is certain.
    pub(crate) fn cuts(&self, job: &SentJob) -> Vec<Cut> {
        let mut cuts = Vec::new();
        for (at, part) in job.parts.iter().enumerate() {
            let before = &job.parts[..at];
            if !before.iter().flat_map(|part| &part.told).any(|told| told.ends()) {
                continue;
            }
            let (may, must) = self.forgotten(before, part.delivery.from, part.delivery.until);
            if may {
                cuts.push(Cut::Before(at));
            }
            if must {
                return cuts;
            }
        }
        cuts.push(Cut::Whole);
        cuts
    }

    /// Whether nothing of a job can have been forgotten by now.
    pub(crate) fn keeps(&self, job: &SentJob) -> bool {
        let now = self.made.last().copied().unwrap_or_default();
        !self.forgotten(&job.parts, now, now).0
    }

    /// How many spans above calls may have been taken for new once more: their jobs were forgotten when they
    /// were sent again.
    pub(crate) fn requests_again(&self, job: &SentJob) -> u64 {
        let again = |part: &&Part| {
            let again = part.delivery.tries > 1 && part.told.contains(&Told::Request);
            again && self.forgotten(&job.parts, part.delivery.last, part.delivery.last).0
        };
        job.parts.iter().filter(again).count() as u64
    }
}

impl SentJob {
    fn told(&self, parts: std::ops::Range<usize>) -> impl Iterator<Item = Told> {
        self.parts[parts].iter().flat_map(|part| part.told.iter().copied())
    }

    fn cut_at(&self, cut: Cut) -> usize {
        match cut {
            Cut::Whole => self.parts.len(),
            Cut::Before(at) => at,
        }
    }

    /// Calls of the job that has its task, by where it was cut.
    pub(crate) fn calls(&self, cut: Cut) -> [u64; 3] {
        counts(&self.told(0..self.cut_at(cut)).collect::<Vec<_>>())
    }

    /// Spans that came for a forgotten task: they are counted as late, and booked nowhere.
    pub(crate) fn late_spans(&self, cut: Cut) -> u64 {
        self.told(self.cut_at(cut)..self.parts.len()).filter(|told| told.names_task()).count() as u64
    }

    /// What it comes to. Its submits, if they came when its task was forgotten, name nothing that is known:
    /// they are a job of their own, open until the idle limit and then abandoned. The job that was settled
    /// without them has no model and thus no price.
    pub(crate) fn truths(&self, cut: Cut, is_idle_over: bool) -> Vec<Truth> {
        let calls = self.calls(cut);
        let late: Vec<Told> = self.told(self.cut_at(cut)..self.parts.len()).collect();
        let submits = counts(&late)[0];
        let (outcome, charged) = self.kind.end(calls);
        let waits = self.kind == Kind::Open && !is_idle_over;
        let mut truths = vec![Truth {
            outcome: (!waits).then_some(outcome),
            charged: (!waits).then_some(charged),
            is_priced: calls[0] > 0,
            attempts: calls[0].max(1),
            calls,
        }];
        if submits > 0 {
            truths.push(Truth {
                outcome: is_idle_over.then_some("abandoned"),
                charged: is_idle_over.then_some(("abandoned", 10)),
                is_priced: true,
                attempts: submits,
                calls: [submits, 0, 0],
            });
        }
        truths
    }
}
