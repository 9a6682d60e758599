//! What a checkpoint holds.

use std::borrow::Cow;
use std::sync::Arc;

use rust_decimal::Decimal;

use crate::journal::Seq;

/// One moment of the server: everything that changed since the last one. Written whole or not at all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checkpoint {
    /// The journal position that all of this includes.
    pub applied: Seq,
    /// Live state by creation number: a new blob, or none when it is gone.
    pub open: Vec<(u64, Option<Vec<u8>>)>,
    /// Counters that changed, as they now stand.
    pub counters: Vec<CounterRow>,
    /// Revisions of jobs to append.
    pub jobs: Vec<JobRow>,
    /// Single values by name, for example a clock or a learned model. The name `applied` is taken.
    pub meta: Vec<(String, Vec<u8>)>,
}

/// One series of a counter.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct CounterRow {
    /// Name of the metric.
    pub name: Arc<str>,
    /// Its labels, written so that equal sets are equal text.
    pub labels: Arc<str>,
    /// The value as decimal text; a histogram or another compound is its own text.
    pub value: String,
    /// When the series began, which is what tells a restart from a reset.
    pub start_unix_nanos: u64,
}

/// One revision of a job.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JobRow {
    /// The job.
    pub job_id: [u8; 16],
    /// 1 for the first; each further one is one more.
    pub revision: u32,
    /// Where the job stands, for example `settled`.
    pub state: Cow<'static, str>,
    /// Tenant; empty when there is only one.
    pub tenant: Arc<str>,
    /// The service that submitted it.
    pub service: Arc<str>,
    /// Provider.
    pub provider: Arc<str>,
    /// Model; empty when no span names it.
    pub model: Arc<str>,
    /// Operation; empty when no span names it.
    pub operation: Arc<str>,
    /// How it ended.
    pub outcome: Cow<'static, str>,
    /// Why, when it did not succeed.
    pub failure_reason: Option<Cow<'static, str>>,
    /// Number of attempts.
    pub attempts: u32,
    /// Start of its earliest call, in nanoseconds since 1970.
    pub started_at: u64,
    /// End of its latest call, in nanoseconds since 1970.
    pub ended_at: u64,
    /// When this revision was made, in nanoseconds since 1970.
    pub settled_at: u64,
    /// The job as JSON, in the form that the API gives out.
    pub detail: Vec<u8>,
    /// What this revision adds to, or takes from, the charges of those before it.
    pub charges: Vec<ChargeRow>,
}

/// A charge, or the difference that a later revision makes to one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChargeRow {
    /// Index of the attempt in the job.
    pub attempt: u32,
    /// Provider of the attempt (a leg of a voice session may have its own).
    pub provider: Arc<str>,
    /// Model of the attempt.
    pub model: Arc<str>,
    /// Operation of the attempt.
    pub operation: Arc<str>,
    /// Unit, for example `second`.
    pub unit: Arc<str>,
    /// Expected quantity.
    pub quantity: Decimal,
    /// Price of one unit; none when unpriced.
    pub unit_price: Option<Decimal>,
    /// The least that it may cost.
    pub cost_min: Decimal,
    /// What it is expected to cost; what the counters count.
    pub cost_expected: Decimal,
    /// The most that it may cost.
    pub cost_max: Decimal,
    /// ISO 4217 code, or the name of a provider's credit.
    pub currency: Arc<str>,
    /// Why the money was spent.
    pub cause: Cow<'static, str>,
    /// How sure it is.
    pub basis: Cow<'static, str>,
    /// `provider/meter`.
    pub rule: Arc<str>,
}
