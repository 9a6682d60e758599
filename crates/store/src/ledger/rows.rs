//! What a checkpoint holds.

use std::borrow::Cow;
use std::sync::Arc;

use rust_decimal::Decimal;

use crate::seq::Seq;

/// One moment of the server: everything that changed since the last one. Written whole or not at all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checkpoint {
    /// The journal position that all of this includes.
    pub applied: Seq,
    /// Live state by creation number: a new blob, or none when it is gone.
    pub open: Vec<(u64, Option<Vec<u8>>)>,
    /// The turn that this is, if it applied something.
    pub turn: Option<TurnRow>,
    /// Turns up to this position, and the journal's rows, are not needed any more.
    pub done: Seq,
    /// Fingerprints of what was forgotten since the last checkpoint.
    pub tombstones: Vec<u64>,
    /// Counters that changed, as they now stand.
    pub counters: Vec<CounterRow>,
    /// Forms of documents that the jobs below are the first to use.
    pub forms: Vec<FormRow>,
    /// Revisions of jobs to append.
    pub jobs: Vec<JobRow>,
    /// Single values by name, for example a clock or a learned model. The names `applied` and `done` are
    /// taken.
    pub meta: Vec<(String, Vec<u8>)>,
}

/// When the rows of the journal up to a position had been applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TurnRow {
    /// The position.
    pub applied: Seq,
    /// The moment, in nanoseconds since 1970.
    pub unix_nanos: u64,
    /// What the caller wants to know of that moment.
    pub mark: Vec<u8>,
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
    /// Fingerprint of what the job's spans say: equal ones need no new revision.
    pub digest: u64,
    /// The job as JSON, in the form that the API gives out.
    pub detail: Detail,
    /// What this revision adds to, or takes from, the charges of those before it. Those of a document with a
    /// form are the form's.
    pub charges: Arc<[ChargeRow]>,
    /// What it adds to the counters, in the caller's own encoding; empty when it is the form's.
    pub booked: Vec<u8>,
}

/// A job's document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Detail {
    /// As it is.
    Whole(Vec<u8>),
    /// The parts that fill a form: a JSON array of texts.
    Filled {
        /// Number of the form: of the same checkpoint or an earlier one.
        form: u64,
        /// The parts.
        parts: Vec<u8>,
    },
}

impl Default for Detail {
    fn default() -> Self {
        Self::Whole(Vec::new())
    }
}

impl Detail {
    /// The document, where it is whole: a reader gives no other out. Parts of a form are no document, and
    /// neither is what is not UTF-8: both are empty text here, which no reader takes for JSON.
    pub fn into_text(self) -> String {
        match self {
            Self::Whole(bytes) => String::from_utf8(bytes).unwrap_or_default(),
            Self::Filled { .. } => String::new(),
        }
    }
}

/// What many documents have in common.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FormRow {
    /// Its number, counted from 1.
    pub id: u64,
    /// Fingerprint of what is shared, by which it is found again after a start.
    pub key: [u8; 16],
    /// A JSON array of texts and of numbers of parts: 0 to 2 are the job's id, start and end, further ones
    /// those of [`Detail::Filled`].
    pub pieces: String,
    /// The charges that all its jobs have.
    pub charges: Arc<[ChargeRow]>,
    /// What each of its jobs adds to the counters, in the caller's own encoding.
    pub booked: Vec<u8>,
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
