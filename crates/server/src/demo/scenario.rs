//! How jobs go: a table of scenarios, each with how often it happens.
//!
//! A scenario is data; [`super::play`] acts it out against the SDK behaviour of [`super::catalog`].

use spantally_stitch::FailureReason;

use super::catalog::{Model, Provider};

/// How the provider answers one submit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Submit {
    /// It takes it.
    Accept,
    /// It refuses with a status; nothing is made.
    Refuse(u16, FailureReason),
    /// It refuses the request itself as invalid, with the provider's own status.
    Invalid,
    /// Moderation refuses the input.
    Moderate,
    /// The client gives up waiting for the answer; `created` says what it cannot know.
    TimeOut {
        /// The task runs all the same.
        created: bool,
    },
    /// The provider answers 500; `created` says what the client cannot know.
    ServerError {
        /// The task runs all the same.
        created: bool,
    },
}

/// How an accepted task ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The output is made and fetched.
    Succeed,
    /// The provider fails.
    Fail(FailureReason),
    /// Moderation refuses the output.
    Moderate,
    /// It ends well and holds no output.
    Empty,
    /// The client stops asking; the provider finishes.
    GiveUp,
    /// The client cancels it while it runs.
    Cancel,
    /// No submit was accepted.
    Nothing,
}

/// How the client learns of the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// It polls at the SDK's rhythm.
    Poll,
    /// It is called back.
    Webhook,
    /// It is called back, refuses, and is called again.
    WebhookRedelivered,
    /// Its webhook endpoint is down; it polls in the end.
    WebhookDead,
}

/// Where a scenario can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Where {
    /// With every model.
    Anywhere,
    /// Where a submit makes a task to wait for.
    Queued,
    /// Where the provider calls back.
    Callbacks,
    /// With one provider's queued models.
    Only(Provider),
}

/// Submits until one is accepted or the client gives up, and what becomes of the task.
#[derive(Debug)]
pub struct Round {
    /// Answers, in order.
    pub submits: &'static [Submit],
    /// The end of the last one's task.
    pub fate: Fate,
}

/// How a job goes.
#[derive(Debug)]
pub struct Scenario {
    /// For the reader of a truth file.
    pub name: &'static str,
    /// How often, in parts of the sum of all that fit a model.
    pub weight: u32,
    /// Where it can happen.
    pub place: Where,
    /// The application starts again after each round but the last.
    pub rounds: &'static [Round],
    /// How the client learns of the end.
    pub watch: Watch,
    /// The user clicks twice: the first submit is sent twice and both are accepted.
    pub clicked_twice: bool,
}

impl Scenario {
    /// Whether it can happen with a model.
    pub fn fits(&self, model: &Model) -> bool {
        match self.place {
            Where::Anywhere => true,
            Where::Queued => !model.is_sync,
            Where::Callbacks => !model.is_sync && model.provider.sdk().callbacks,
            Where::Only(provider) => !model.is_sync && model.provider == provider,
        }
    }
}

const GOOD: &[Round] = &[Round { submits: &[Submit::Accept], fate: Fate::Succeed }];

const fn plain(name: &'static str, weight: u32, place: Where, rounds: &'static [Round]) -> Scenario {
    Scenario { name, weight, place, rounds, watch: Watch::Poll, clicked_twice: false }
}

const fn called_back(name: &'static str, weight: u32, watch: Watch) -> Scenario {
    Scenario { name, weight, place: Where::Callbacks, rounds: GOOD, watch, clicked_twice: false }
}

macro_rules! rounds {
    ($([$($submit:expr),+] => $fate:expr),+) => {
        &[$(Round { submits: &[$($submit),+], fate: $fate }),+]
    };
}

const BUSY: Submit = Submit::Refuse(429, FailureReason::RateLimit);
const NO_MACHINE: Submit = Submit::Refuse(503, FailureReason::Capacity);
const LOST: Submit = Submit::TimeOut { created: false };
const UNSEEN: Submit = Submit::TimeOut { created: true };

/// Every scenario. Weights are a guess at a busy studio with a mediocre day, heavy on what costs money.
pub(crate) const SCENARIOS: &[Scenario] = &[
    plain("success", 420, Where::Anywhere, GOOD),
    called_back("webhook", 90, Watch::Webhook),
    called_back("webhook_redelivered", 25, Watch::WebhookRedelivered),
    called_back("webhook_dead", 12, Watch::WebhookDead),
    plain("rate_limited", 40, Where::Anywhere, rounds!([BUSY, Submit::Accept] => Fate::Succeed)),
    plain("rate_limited_twice", 20, Where::Anywhere, rounds!([BUSY, BUSY, Submit::Accept] => Fate::Succeed)),
    plain("no_capacity_then_ok", 15, Where::Queued, rounds!([NO_MACHINE, Submit::Accept] => Fate::Succeed)),
    plain("no_capacity", 10, Where::Anywhere, rounds!([NO_MACHINE, NO_MACHINE, NO_MACHINE] => Fate::Nothing)),
    plain(
        "server_error_then_ok",
        20,
        Where::Anywhere,
        rounds!([Submit::ServerError { created: false }, Submit::Accept] => Fate::Succeed),
    ),
    plain(
        "accepted_then_500",
        15,
        Where::Queued,
        rounds!([Submit::ServerError { created: true }, Submit::Accept] => Fate::Succeed),
    ),
    plain("time_out_lost", 20, Where::Anywhere, rounds!([LOST, Submit::Accept] => Fate::Succeed)),
    plain("time_out_made", 35, Where::Anywhere, rounds!([UNSEEN, Submit::Accept] => Fate::Succeed)),
    plain("time_out_gives_up", 6, Where::Queued, rounds!([UNSEEN, LOST, LOST] => Fate::Nothing)),
    plain("invalid_input", 25, Where::Anywhere, rounds!([Submit::Invalid] => Fate::Nothing)),
    plain("moderated_input", 15, Where::Anywhere, rounds!([Submit::Moderate] => Fate::Nothing)),
    plain("moderated_output", 18, Where::Queued, rounds!([Submit::Accept] => Fate::Moderate)),
    plain("failed", 25, Where::Queued, rounds!([Submit::Accept] => Fate::Fail(FailureReason::ProviderError))),
    plain(
        "failed_then_ok",
        25,
        Where::Queued,
        rounds!(
            [Submit::Accept] => Fate::Fail(FailureReason::ProviderError),
            [Submit::Accept] => Fate::Succeed
        ),
    ),
    plain(
        "provider_time_out",
        10,
        Where::Queued,
        rounds!([Submit::Accept] => Fate::Fail(FailureReason::ProviderTimeout)),
    ),
    plain("empty", 8, Where::Queued, rounds!([Submit::Accept] => Fate::Empty)),
    plain("canceled", 15, Where::Queued, rounds!([Submit::Accept] => Fate::Cancel)),
    plain("given_up", 15, Where::Queued, rounds!([Submit::Accept] => Fate::GiveUp)),
    Scenario {
        name: "clicked_twice",
        weight: 35,
        place: Where::Queued,
        rounds: GOOD,
        watch: Watch::Poll,
        clicked_twice: true,
    },
];
