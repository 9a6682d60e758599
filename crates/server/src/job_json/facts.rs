//! What a job was priced by, so that the ledger alone can price it by other files (`spantally reprice
//! --ledger`): the facts of each attempt, and the day of its submit.

use serde::{Serialize, Serializer};
use spantally_stitch::{Attempt, Fact, FactValue, Job, UnixNanos};
use spantally_store::DAY_NANOS;

use super::Rfc3339;

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
pub(super) fn is_false(value: &bool) -> bool {
    !value
}

/// A day in UTC, counted from 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Day(pub(super) u64);

/// The day on which an attempt began, by which its price goes, where that is not the day of the job.
pub(super) fn other_day(job: &Job, attempt: &Attempt) -> Option<Day> {
    let day = |at: UnixNanos| at.0 / DAY_NANOS;
    (day(job.started_at) != day(attempt.started_at)).then(|| Day(day(attempt.started_at)))
}

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let moment = Rfc3339(UnixNanos(self.0 * DAY_NANOS)).to_string();
        serializer.serialize_str(moment.split('T').next().unwrap_or_default())
    }
}

#[derive(Serialize)]
pub(super) struct FactFields<'a> {
    name: &'a str,
    value: FactText<'a>,
    source: &'static str,
}

impl<'a> FactFields<'a> {
    pub(super) fn new(fact: &'a Fact) -> Self {
        Self { name: &fact.name, value: FactText(&fact.value), source: fact.source.as_str() }
    }
}

/// A number or a word, as text.
struct FactText<'a>(&'a FactValue);

impl Serialize for FactText<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            FactValue::Number(number) => serializer.collect_str(&number.normalize()),
            FactValue::Text(text) => serializer.serialize_str(text),
        }
    }
}
