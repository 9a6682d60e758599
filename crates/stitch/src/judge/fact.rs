//! Facts of an attempt: of each name the best source, then the largest value.
//!
//! A usage snapshot repeats on every poll and grows until the end, so the largest is the terminal one.

use crate::call::{Evidence, Fact, FactSource, FactValue, What};
use crate::solve::pool::call_of;

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

/// `frames` are above this attempt alone; of `shared` ones, above others too, only what was asked for holds
/// for each: what was made and billed was so once, see [`add_made`]. An attempt that says something else
/// itself knows better.
pub(super) fn best(parts: &[&Evidence], frames: &[&Evidence], shared: &[&Evidence]) -> Vec<Fact> {
    let mut found: Vec<Fact> = Vec::new();
    for part in parts {
        call_of(part).into_iter().flat_map(|call| &call.rare.facts).for_each(|fact| keep(&mut found, fact));
    }
    frames.iter().flat_map(|frame| facts_of(frame)).for_each(|fact| keep(&mut found, fact));
    let above: Vec<&Fact> = shared.iter().flat_map(|frame| facts_of(frame)).collect();
    above.iter().filter(|fact| fact.source == FactSource::Request).for_each(|fact| keep(&mut found, fact));
    for fact in above.into_iter().filter(|fact| ASKED_FACTS.contains(&&*fact.name)) {
        if !found.iter().any(|held| held.name == fact.name) {
            found.push(Fact { source: FactSource::Request, ..fact.clone() });
        }
    }
    found.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    found
}

/// Adds what a span above several attempts says was made or billed, to the one of them that made it.
pub(super) fn add_made(facts: &mut Vec<Fact>, frame: &Evidence) {
    let made = facts_of(frame).iter().filter(|fact| fact.source != FactSource::Request);
    made.for_each(|fact| keep(facts, fact));
    facts.sort_unstable_by(|a, b| a.name.cmp(&b.name));
}

fn facts_of(frame: &Evidence) -> &[Fact] {
    match &frame.what {
        What::Frame(frame) => &frame.rare.facts,
        What::Call(_) => &[],
    }
}

fn keep(found: &mut Vec<Fact>, fact: &Fact) {
    let Some(held) = found.iter_mut().find(|held| held.name == fact.name) else {
        found.push(fact.clone());
        return;
    };
    let larger = match (&fact.value, &held.value) {
        (FactValue::Number(new), FactValue::Number(old)) => new > old,
        (FactValue::Text(new), FactValue::Text(old)) => new > old,
        (FactValue::Number(_), FactValue::Text(_)) => true,
        (FactValue::Text(_), FactValue::Number(_)) => false,
    };
    if fact.source > held.source || (fact.source == held.source && larger) {
        *held = fact.clone();
    }
}
