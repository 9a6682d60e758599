//! Usage of a realtime session: one connection, many answers, each with a span of its own.
//!
//! What the session's own span says, or a span above it, is of the whole session. Where neither says how
//! much was used, the spans of its answers do: those below the session's span, or beside it under a span
//! of this job alone. An answer tells its own usage (OpenAI's `response.done`), so the figures are added
//! up; a span with `spantally.usage: cumulative` tells the usage so far, and then the largest is the
//! whole.

use rust_decimal::Decimal;

use crate::call::{Evidence, Fact, FactSource, FactValue, Role, What};
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
    let own: Vec<SpanKey> = draft.frames.iter().map(|&frame| pool.frames[frame].span).collect();
    let mut answers: Vec<Vec<&Frame>> = vec![Vec::new(); attempts.len()];
    for evidence in pool.frames.iter().filter(|evidence| !own.contains(&evidence.span)) {
        let What::Frame(frame) = &evidence.what else { continue };
        if !frame.rare.facts.iter().any(|fact| fact.source != FactSource::Request) {
            continue;
        }
        let is_of = |at: &&usize| is_provider(frame, &attempts[**at]);
        let below = sessions.iter().filter(is_of).find(|&&at| {
            let calls = draft.attempts[order[at]].parts.iter();
            calls.into_iter().any(|call| is_below(pool, evidence, call.span))
        });
        let beside = || {
            let mut fitting = sessions.iter().filter(is_of);
            let only = fitting.next().filter(|_| fitting.next().is_none());
            only.filter(|_| own.iter().any(|&above| is_below(pool, evidence, above)))
        };
        if let Some(&at) = below.or_else(beside) {
            answers[at].push(frame);
        }
    }
    for (attempt, answers) in attempts.iter_mut().zip(answers) {
        add(attempt, &answers);
    }
}

/// Whether an answer may be of the provider of a session: it names that one or none.
fn is_provider(frame: &Frame, attempt: &Attempt) -> bool {
    frame.rare.provider.is_empty() || frame.rare.provider == attempt.provider
}

fn is_below(pool: &Pool<'_>, evidence: &Evidence, above: SpanKey) -> bool {
    let parent = |evidence: &Evidence| SpanKey { trace: evidence.span.trace, span: evidence.parent };
    parent(evidence) == above || pool.lineage.ancestors(evidence).any(|evidence| parent(evidence) == above)
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
