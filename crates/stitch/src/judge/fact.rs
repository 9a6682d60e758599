//! Facts of an attempt: of each name the best source, then the largest number or the latest word.
//!
//! A usage snapshot repeats on every poll and grows until the end, so the largest is the terminal one. A word
//! does not grow: what a later span says replaces it.
//!
//! Applications write `spantally.seconds` where it suits them, on the request and on the span around the job
//! as well, before anything was made. There it is what was asked for, and gives way to what an answer says.

use std::cmp::Ordering;

use crate::call::{Call, Fact, FactSource, FactValue, Role, TaskState, Verdict};
use crate::evidence::{Evidence, What};
use crate::id::{SpanKey, UnixNanos};
use crate::solve::pool::{Pool, Shot, call_of};

/// Names of facts of what was made that say what was asked for as well: who asks again asks for the same.
pub const ASKED_FACTS: [&str; 20] = [
    "audio",
    "audio_seconds",
    "channels",
    "characters",
    "dynamic_range",
    "fps",
    "height",
    "images",
    "input_images",
    "input_seconds",
    "mode",
    "outputs",
    "quality",
    "reference_images",
    "resolution",
    "seconds",
    "size",
    "tier",
    "voice",
    "width",
];

/// How near a statement is to what was made and billed, the weakest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    /// What the request asked for.
    Asked,
    /// Written as if it had been made, where nothing was made yet: it can only have been asked for.
    Foretold,
    /// What a span above the calls says was made.
    Above,
    /// What an answer says was made.
    Made,
    /// What the provider says it bills.
    Reported,
}

/// Where a statement stands.
#[derive(Clone, Copy)]
struct Place {
    /// What a statement of what was made counts for here.
    made: Weight,
    end: UnixNanos,
    span: SpanKey,
}

/// A statement, and where it stands.
struct Held<'a> {
    fact: &'a Fact,
    weight: Weight,
    place: Place,
}

impl<'a> Held<'a> {
    fn new(fact: &'a Fact, place: Place) -> Self {
        let weight = match fact.source {
            FactSource::Request => Weight::Asked,
            FactSource::Response if ASKED_FACTS.contains(&&*fact.name) => place.made,
            FactSource::Response => Weight::Made,
            FactSource::Reported => Weight::Reported,
        };
        Self { fact, weight, place }
    }

    /// The better one of two statements of a name is the greater: by weight, then the larger number, a number
    /// before a word, and the later word.
    fn cmp(&self, other: &Self) -> Ordering {
        let since = |held: &Self| (held.place.end, held.place.span);
        self.weight.cmp(&other.weight).then_with(|| match (&self.fact.value, &other.fact.value) {
            (FactValue::Number(own), FactValue::Number(other)) => own.cmp(other),
            (FactValue::Number(_), FactValue::Text(_)) => Ordering::Greater,
            (FactValue::Text(_), FactValue::Number(_)) => Ordering::Less,
            (FactValue::Text(own), FactValue::Text(text)) => {
                since(self).cmp(&since(other)).then_with(|| own.cmp(text))
            }
        })
    }

    fn into_fact(self) -> Fact {
        let is_asked = matches!(self.weight, Weight::Asked | Weight::Foretold);
        let source = if is_asked { FactSource::Request } else { self.fact.source };
        Fact { source, ..self.fact.clone() }
    }
}

/// `frames` are above this attempt alone; of `shared` ones, above others too, only what was asked for holds
/// for each: what was made and billed was so once, see [`add_made`]. An attempt that says something else
/// itself knows better.
pub(super) fn best(
    pool: &Pool<'_>,
    shot: Option<&Shot<'_>>,
    parts: &[&Evidence],
    frames: &[&Evidence],
    shared: &[&Evidence],
) -> Vec<Fact> {
    let mut held: Vec<Held<'_>> = Vec::new();
    for part in parts {
        let Some(call) = call_of(part) else { continue };
        call.rare.facts.iter().for_each(|fact| keep(&mut held, Held::new(fact, place(part, of_call(call)))));
    }
    for frame in frames {
        let made = if is_asking(pool, shot, frame) { Weight::Foretold } else { Weight::Above };
        for fact in facts_of(frame) {
            keep(&mut held, Held::new(fact, place(frame, made)));
        }
    }
    let above = || shared.iter().flat_map(|frame| facts_of(frame).iter().map(move |fact| (*frame, fact)));
    for (frame, fact) in above().filter(|(_, fact)| fact.source == FactSource::Request) {
        keep(&mut held, Held::new(fact, place(frame, Weight::Above)));
    }
    let mut found: Vec<Fact> = held.into_iter().map(Held::into_fact).collect();
    for (_, fact) in above().filter(|(_, fact)| ASKED_FACTS.contains(&&*fact.name)) {
        if !found.iter().any(|held| held.name == fact.name) {
            found.push(Fact { source: FactSource::Request, ..fact.clone() });
        }
    }
    found.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    found
}

/// Adds what a span above several attempts says was made or billed, to the one of them that made it. What it
/// can only have asked for (`is_asking`) was asked for by each of them, which [`best`] knows.
pub(super) fn add_made(facts: &mut Vec<Fact>, frame: &Evidence, is_asking: bool) {
    for fact in facts_of(frame).iter().filter(|fact| fact.source != FactSource::Request) {
        let is_askable = fact.source == FactSource::Response && ASKED_FACTS.contains(&&*fact.name);
        if is_askable && is_asking {
            continue;
        }
        let Some(held) = facts.iter_mut().find(|held| held.name == fact.name) else {
            facts.push(fact.clone());
            continue;
        };
        let is_larger = match (&fact.value, &held.value) {
            (FactValue::Number(new), FactValue::Number(old)) => !is_askable && new > old,
            (FactValue::Number(_), FactValue::Text(_)) => !is_askable,
            (FactValue::Text(_), _) => false,
        };
        if fact.source > held.source || (fact.source == held.source && is_larger) {
            *held = fact.clone();
        }
    }
    facts.sort_unstable_by(|a, b| a.name.cmp(&b.name));
}

/// Whether a span above an attempt was there when its task was asked for, and does not say that something
/// came of it: what it says of seconds or images may be no more than what was wanted. Calls that return what
/// they make are told of after the fact.
pub(super) fn is_asking(pool: &Pool<'_>, shot: Option<&Shot<'_>>, frame: &Evidence) -> bool {
    let verdict = match &frame.what {
        What::Frame(frame) => frame.verdict,
        What::Call(_) => None,
    };
    let asked_below = |shot: &Shot<'_>| {
        shot.is_async() && pool.lineage.frames(shot.evidence).any(|(above, _)| above.span == frame.span)
    };
    !brought(verdict) && shot.is_some_and(asked_below)
}

fn of_call(call: &Call) -> Weight {
    let is_asking = call.role == Role::Submit && !brought(call.verdict);
    if is_asking { Weight::Foretold } else { Weight::Made }
}

fn brought(verdict: Option<Verdict>) -> bool {
    verdict.is_some_and(|verdict| matches!(verdict.state, TaskState::Succeeded | TaskState::Partial))
}

fn place(evidence: &Evidence, made: Weight) -> Place {
    Place { made, end: evidence.end, span: evidence.span }
}

fn facts_of(frame: &Evidence) -> &[Fact] {
    match &frame.what {
        What::Frame(frame) => &frame.rare.facts,
        What::Call(_) => &[],
    }
}

fn keep<'a>(held: &mut Vec<Held<'a>>, new: Held<'a>) {
    match held.iter_mut().find(|held| held.fact.name == new.fact.name) {
        None => held.push(new),
        Some(held) if new.cmp(held).is_gt() => *held = new,
        Some(_) => {}
    }
}
