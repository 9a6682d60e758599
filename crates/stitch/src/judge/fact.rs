//! Facts of an attempt: of each name the best source, then the largest value.
//!
//! A usage snapshot repeats on every poll and grows until the end, so the largest is the terminal one.

use crate::call::{Evidence, Fact, FactSource, FactValue, What};
use crate::solve::pool::call_of;

/// `frames` are above this attempt alone; of `shared` ones, above others too, only what was asked for holds
/// for each: what was made and billed was so once, see [`add_made`].
pub(super) fn best(parts: &[&Evidence], frames: &[&Evidence], shared: &[&Evidence]) -> Vec<Fact> {
    let mut found: Vec<Fact> = Vec::new();
    for part in parts {
        call_of(part).into_iter().flat_map(|call| &call.rare.facts).for_each(|fact| keep(&mut found, fact));
    }
    for frame in frames {
        if let What::Frame(frame) = &frame.what {
            frame.rare.facts.iter().for_each(|fact| keep(&mut found, fact));
        }
    }
    for frame in shared {
        if let What::Frame(frame) = &frame.what {
            let asked = frame.rare.facts.iter().filter(|fact| fact.source == FactSource::Request);
            asked.for_each(|fact| keep(&mut found, fact));
        }
    }
    found.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    found
}

/// Adds what a span above several attempts says was made or billed, to the one of them that made it.
pub(super) fn add_made(facts: &mut Vec<Fact>, frame: &Evidence) {
    let What::Frame(frame) = &frame.what else { return };
    let made = frame.rare.facts.iter().filter(|fact| fact.source != FactSource::Request);
    made.for_each(|fact| keep(facts, fact));
    facts.sort_unstable_by(|a, b| a.name.cmp(&b.name));
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
