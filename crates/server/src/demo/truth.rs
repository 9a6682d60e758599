//! What really happened: what the provider made and billed, and what the client saw of it.
//!
//! Kept beside the spans by [`super::play`]; [`super::report`] lays it beside what the server found. Where
//! the spans cannot tell (a time-out whose task ran, a failure that answers 200), truth and finding differ by
//! design, and the report shows by how much.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;
use spantally_stitch::{Accepted, Cause, FailureReason, Outcome, SpanKey, UnixNanos};

/// How one submit and its task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Refused at the submit.
    Refused(FailureReason),
    /// The client never learned whether it was taken.
    Ambiguous,
    /// The provider failed.
    Failed(FailureReason),
    /// Moderation refused the output.
    Moderated,
    /// Nobody fetched the result.
    GivenUp,
    /// The client canceled it.
    Canceled,
    /// It was made and fetched.
    Succeeded,
}

/// Units that the provider billed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Billed {
    /// The unit.
    pub unit: &'static str,
    /// How many.
    pub quantity: u64,
    /// Price of one, in billionths of a US dollar.
    pub price_nano_usd: u64,
}

impl Billed {
    /// The money, in US dollars.
    pub fn cost(&self) -> Decimal {
        (Decimal::new(self.price_nano_usd.cast_signed(), 9) * Decimal::from(self.quantity)).normalize()
    }
}

/// One submit, and the task that it made.
#[derive(Clone, Debug)]
pub struct AttemptTruth {
    /// Name of the provider.
    pub provider: &'static str,
    /// The model asked for.
    pub model: &'static str,
    /// The provider's id of the task, when it has one.
    pub task: Option<String>,
    /// The provider made a task, whatever the client saw.
    pub created: bool,
    /// What the client saw of the submit.
    pub accepted: Accepted,
    /// The end.
    pub ending: Ending,
    /// The second of two clicks.
    pub is_twin: bool,
    /// Why it was made.
    pub cause: Cause,
    /// So much of what was billed was made and never played.
    pub unheard: u64,
    /// What the provider billed.
    pub billed: Option<Billed>,
    /// How often its state was asked for.
    pub polls: u64,
}

impl AttemptTruth {
    /// What was billed, by why it was spent.
    pub fn charges(&self) -> impl Iterator<Item = (Cause, Billed)> {
        let part = |cause, quantity| move |billed: Billed| (cause, Billed { quantity, ..billed });
        let of = |cause, quantity| self.billed.filter(|_| quantity > 0).map(part(cause, quantity));
        let heard = self.billed.map_or(0, |billed| billed.quantity - self.unheard);
        of(self.cause, heard).into_iter().chain(of(Cause::Interrupted, self.unheard))
    }
}

/// What the application wanted once.
#[derive(Clone, Debug)]
pub struct JobTruth {
    /// Name of the scenario.
    pub scenario: &'static str,
    /// Service that asked.
    pub service: &'static str,
    /// The attempts, in order.
    pub attempts: Vec<AttemptTruth>,
    /// Deliveries of the provider.
    pub webhooks: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// Every span of this job alone.
    pub spans: Vec<SpanKey>,
    /// Start of the first submit.
    pub started_at: UnixNanos,
    /// End of the last call.
    pub ended_at: UnixNanos,
}

impl JobTruth {
    /// Gives each attempt its cause and the job its outcome. Voice legs have theirs already: do not call it
    /// for them.
    pub fn judge(&mut self) {
        let fetched = |attempt: &AttemptTruth| attempt.ending == Ending::Succeeded && !attempt.is_twin;
        let delivered = self.attempts.iter().position(fetched);
        let last = self.attempts.len().saturating_sub(1);
        for (at, attempt) in self.attempts.iter_mut().enumerate() {
            attempt.cause = match delivered {
                Some(delivered) if delivered == at => Cause::Delivered,
                None if at == last => own_cause(attempt.ending),
                _ if attempt.is_twin => Cause::Duplicate,
                _ => replaced_cause(attempt.ending),
            };
        }
        let end = self.attempts.get(delivered.unwrap_or(last)).map(|attempt| attempt.ending);
        self.outcome = end.map_or(Outcome::Unknown, outcome);
    }
}

/// The cause of a job's last attempt when none was delivered.
fn own_cause(ending: Ending) -> Cause {
    match ending {
        Ending::Succeeded => Cause::Delivered,
        Ending::Moderated | Ending::Refused(FailureReason::ModerationInput) => Cause::Moderated,
        Ending::GivenUp => Cause::Abandoned,
        Ending::Canceled => Cause::Canceled,
        Ending::Refused(_) | Ending::Failed(_) | Ending::Ambiguous => Cause::Failed,
    }
}

/// The cause of an attempt that another one followed.
fn replaced_cause(ending: Ending) -> Cause {
    match ending {
        Ending::Ambiguous => Cause::TimeoutResubmit,
        Ending::Canceled => Cause::Canceled,
        Ending::Succeeded | Ending::GivenUp => Cause::Duplicate,
        Ending::Refused(_) | Ending::Failed(_) | Ending::Moderated => Cause::Retry,
    }
}

fn outcome(ending: Ending) -> Outcome {
    match ending {
        Ending::Succeeded => Outcome::Succeeded,
        Ending::Moderated | Ending::Refused(FailureReason::ModerationInput | FailureReason::InvalidInput) => {
            Outcome::Rejected
        }
        Ending::GivenUp => Outcome::Abandoned,
        Ending::Canceled => Outcome::Canceled,
        Ending::Refused(_) | Ending::Failed(_) | Ending::Ambiguous => Outcome::Failed,
    }
}

/// Everything that happened.
#[derive(Clone, Debug, Default)]
pub struct Truth {
    /// Every job begun, in order of start.
    pub jobs: Vec<JobTruth>,
    /// Spans handed out, those of no job included, repeats not.
    pub spans: u64,
    /// Spans handed out once more.
    pub repeated_spans: u64,
}

/// Sums over jobs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Jobs.
    pub jobs: u64,
    /// Submits.
    pub attempts: u64,
    /// Tasks that providers made.
    pub tasks: u64,
    /// Polls.
    pub polls: u64,
    /// Webhook deliveries.
    pub webhooks: u64,
    /// Jobs by outcome.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// Attempts by cause.
    pub causes: BTreeMap<Cause, u64>,
    /// US dollars by cause; a cause that cost nothing is not in it.
    pub cost: BTreeMap<Cause, Decimal>,
    /// Units by name.
    pub units: BTreeMap<&'static str, u64>,
}

impl Truth {
    /// Sums over all jobs.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for job in &self.jobs {
            totals.jobs += 1;
            totals.webhooks += job.webhooks;
            *totals.outcomes.entry(job.outcome).or_default() += 1;
            for attempt in &job.attempts {
                totals.attempts += 1;
                totals.tasks += u64::from(attempt.created);
                totals.polls += attempt.polls;
                *totals.causes.entry(attempt.cause).or_default() += 1;
                for (cause, billed) in attempt.charges() {
                    *totals.cost.entry(cause).or_default() += billed.cost();
                    *totals.units.entry(billed.unit).or_default() += billed.quantity;
                }
            }
        }
        totals
    }

    /// How many different spans belong to jobs.
    pub fn job_spans(&self) -> usize {
        self.jobs.iter().flat_map(|job| &job.spans).collect::<BTreeSet<_>>().len()
    }
}
