//! Usage of a realtime session: one connection, many answers, each with a span of its own.
//!
//! What the session's own span says, or a span above it, is of the whole session. Where neither says how
//! much was used, the spans of its answers do: those below the session's span, or beside it under a span
//! of this job alone. An answer tells its own usage (OpenAI's `response.done`), so the figures are added
//! up; a span with `spantally.usage: cumulative` tells the usage so far, and then the largest is the
//! whole.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;

use crate::call::{Fact, FactSource, FactValue, Role};
use crate::evidence::What;
use crate::frame::Frame;
use crate::id::SpanKey;
use crate::job::Attempt;
use crate::solve::group::JobDraft;
use crate::solve::pool::Pool;

/// The fact by which a span says that its usage is of the session so far, and the word for it.
const USAGE: &str = "usage";
const CUMULATIVE: &str = "cumulative";

/// Gives each session what its answers used. `order` has the places of the attempts in the draft.
pub(super) fn add_answers(pool: &Pool<'_>, draft: &JobDraft<'_>, order: &[usize], attempts: &mut [Attempt]) {
    let sessions: Vec<usize> =
        (0..attempts.len()).filter(|&at| attempts[at].count(Role::Session) > 0).collect();
    if sessions.is_empty() {
        return;
    }
    let own: BTreeSet<SpanKey> = draft.frames.iter().map(|&frame| pool.frames[frame].span).collect();
    let mut answers: Vec<Vec<&Frame>> = vec![Vec::new(); attempts.len()];
    for (answer, near) in answers_near(pool, draft, order, &sessions, &own) {
        let evidence = pool.frames[answer];
        let What::Frame(frame) = &evidence.what else { continue };
        if own.contains(&evidence.span) {
            continue;
        }
        let is_of = |at: &&usize| is_provider(frame, &attempts[**at]);
        let beside = || {
            let mut fitting = sessions.iter().filter(is_of);
            fitting.next().filter(|_| near.is_beside && fitting.next().is_none())
        };
        if let Some(&at) = near.above.iter().find(is_of).or_else(beside) {
            answers[at].push(frame);
        }
    }
    for (attempt, answers) in attempts.iter_mut().zip(answers) {
        add(attempt, &answers);
    }
}

/// How an answer stands to the sessions of a job.
#[derive(Default)]
struct Near {
    /// The sessions that it is below, in order.
    above: Vec<usize>,
    /// It is below a span of this job alone.
    is_beside: bool,
}

/// The answers that may be of the sessions of a job, by their place among the frames.
fn answers_near(
    pool: &Pool<'_>,
    draft: &JobDraft<'_>,
    order: &[usize],
    sessions: &[usize],
    own: &BTreeSet<SpanKey>,
) -> BTreeMap<usize, Near> {
    let mut near: BTreeMap<usize, Near> = BTreeMap::new();
    for &at in sessions {
        for call in &draft.attempts[order[at]].parts {
            for &answer in pool.answers.below(call.span) {
                near.entry(answer).or_default().above.push(at);
            }
        }
    }
    for &answer in own.iter().flat_map(|&span| pool.answers.below(span)) {
        near.entry(answer).or_default().is_beside = true;
    }
    near
}

/// Whether an answer may be of the provider of a session: it names that one or none.
fn is_provider(frame: &Frame, attempt: &Attempt) -> bool {
    frame.rare.provider.is_empty() || frame.rare.provider == attempt.provider
}

fn add(attempt: &mut Attempt, answers: &[&Frame]) {
    let mut sums: Vec<Fact> = Vec::new();
    for frame in answers {
        let so_far = frame.rare.facts.iter().any(|fact| {
            &*fact.name == USAGE && matches!(&fact.value, FactValue::Text(word) if **word == *CUMULATIVE)
        });
        for fact in frame.rare.facts.iter().filter(|fact| fact.source != FactSource::Request) {
            let FactValue::Number(number) = fact.value else { continue };
            match sums.iter_mut().find(|sum| sum.name == fact.name && sum.source == fact.source) {
                Some(sum) => sum.value = FactValue::Number(grown(&sum.value, number, so_far)),
                None => sums.push(fact.clone()),
            }
        }
        if attempt.model.is_empty() {
            attempt.model = frame.rare.model.clone();
        }
    }
    sums.retain(|sum| attempt.fact(&sum.name).is_none_or(|whole| whole.source < sum.source));
    attempt.facts.retain(|fact| sums.iter().all(|sum| sum.name != fact.name));
    attempt.facts.append(&mut sums);
    attempt.facts.sort_unstable_by(|a, b| (&a.name, a.source).cmp(&(&b.name, b.source)));
    attempt.facts.dedup_by(|later, earlier| {
        let is_same = later.name == earlier.name;
        if is_same {
            std::mem::swap(later, earlier);
        }
        is_same
    });
}

fn grown(sum: &FactValue, number: Decimal, so_far: bool) -> Decimal {
    match sum {
        FactValue::Number(sum) if so_far => number.max(*sum),
        FactValue::Number(sum) => sum.saturating_add(number),
        FactValue::Text(_) => number,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::call::{Accepted, Answer, Call, Endpoint};
    use crate::evidence::{Client, Evidence};
    use crate::frame::{FrameKind, FrameRare};
    use crate::id::{SpanId, TraceId, UnixNanos};
    use crate::rare::Rare;
    use crate::stitcher::Change;
    use crate::{Settings, Stitcher};

    const BEGIN: UnixNanos = UnixNanos(1_795_168_800_000_000_000);

    /// What a process observes, one span after another.
    struct Process {
        stitcher: Stitcher,
        client: Arc<Client>,
        endpoint: Arc<Endpoint>,
        spans: u64,
    }

    impl Process {
        fn new() -> Self {
            Self {
                stitcher: Stitcher::new(Settings::default()),
                client: Arc::default(),
                endpoint: Arc::new(Endpoint { provider: "voices".into(), ..Endpoint::default() }),
                spans: 0,
            }
        }

        fn observe(&mut self, trace: u64, parent: SpanId, at_ms: u64, what: What) -> SpanId {
            self.spans += 1;
            let span = SpanId(self.spans.to_be_bytes());
            self.stitcher.observe(Evidence {
                span: SpanKey { trace: TraceId(u128::from(trace).to_be_bytes()), span },
                parent,
                start: BEGIN.plus_ms(at_ms),
                end: BEGIN.plus_ms(at_ms + 1000),
                client: self.client.clone(),
                what,
            });
            span
        }

        /// A connection under a span of its own, and its answers; each says that it used so many tokens.
        fn session(&mut self, trace: u64, at_ms: u64, answers: u64) {
            let frame = |facts| {
                let rare = Rare::new(FrameRare { facts, ..FrameRare::default() });
                What::Frame(Frame { kind: FrameKind::Internal, verdict: None, rare })
            };
            let above = self.observe(trace, SpanId::default(), at_ms, frame(Vec::new()));
            let connection = What::Call(Call {
                role: Role::Session,
                endpoint: self.endpoint.clone(),
                task: None,
                answer: Answer::Status(101),
                accepted: Accepted::Yes,
                verdict: None,
                request: 7,
                agent: 7,
                rare: Rare::default(),
            });
            let connection = self.observe(trace, above, at_ms, connection);
            for answer in 0..answers {
                let used = FactValue::Number(trace.into());
                let fact = Fact { name: "tokens".into(), value: used, source: FactSource::Response };
                // Below the connection, or beside it.
                let parent = if answer % 2 == 0 { connection } else { above };
                self.observe(trace, parent, at_ms + answer, frame(vec![fact]));
            }
        }

        /// The tokens of each job, by start.
        fn tokens(&mut self) -> Vec<Option<FactValue>> {
            let changes = self.stitcher.finish().into_iter();
            let mut jobs: Vec<_> = changes
                .filter_map(|change| match change {
                    Change::Published { job, .. } => Some(job),
                    Change::Forgotten(_) => None,
                })
                .collect();
            jobs.sort_by_key(|job| job.started_at);
            let tokens = jobs.iter().flat_map(|job| &job.attempts);
            tokens.map(|attempt| Some(attempt.fact("tokens")?.value.clone())).collect()
        }
    }

    #[test]
    fn a_long_talk_has_all_its_answers() {
        let mut process = Process::new();
        process.session(1, 0, 100);
        process.session(2, 5000, 10);
        let tokens = [100, 20].map(|tokens| Some(FactValue::Number(tokens.into())));
        assert_eq!(process.tokens(), tokens);
    }

    /// That each session goes through the answers of all would be noticed: it would take minutes.
    #[test]
    fn thousands_of_sessions_that_are_judged_at_once_each_have_their_own_answers() {
        let mut process = Process::new();
        for session in 0..4000 {
            process.session(session + 1, session * 1000, 10);
        }
        let wanted = (0..4000_u64).map(|session| Some(FactValue::Number((10 * (session + 1)).into())));
        assert!(process.tokens().into_iter().eq(wanted));
    }
}
