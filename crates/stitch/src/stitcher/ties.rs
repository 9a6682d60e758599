//! What was matched, for the next process.
//!
//! # Why
//!
//! Spans tied by a trace or a name come back tied, with the evidence. What was matched by times across traces
//! was matched with the evidence that was in memory then, and is firm after a while ([`super::publish`]). A
//! process that begins anew has hours of evidence at once, and must not match it again: with other neighbours
//! the result may differ, and jobs that were published long ago would change. So a pocket that matching made
//! is *tied*: its members and [`Pin`]s are given to the caller to keep, and come back before anything is
//! solved.
//!
//! # States
//!
//! A tie has a number, and belongs to one pocket. It *changes* when its pocket grows by a match, and is given
//! out again under its number; it is *gone* when its pocket is forgotten, or becomes part of another tied
//! one. A job that moves out of a tied crowd has a tie of its own.
//!
//! # Start, late, never
//!
//! [`Stitcher::restore_tie`] takes a tie back, in any order with evidence; [`Stitcher::forget_old`] and
//! [`Stitcher::recall`] tie what is in memory of it. A tie of which nothing came back is gone. Calls are
//! named by fingerprint, as in [`super::tombstones`], since slots are those of one process.

use std::collections::BTreeSet;

use hashbrown::HashMap;

use crate::id::SpanKey;
use crate::job::{Confidence, JoinRule};
use crate::solve::Pin;
use crate::stitcher::item::fingerprint;
use crate::stitcher::{Fixed, Stitcher};

/// A pocket that matching made. Items are named by the fingerprint of one of their calls.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tie {
    /// What is in it.
    pub members: Vec<u64>,
    /// What was decided.
    pub pins: Vec<TiePin>,
}

/// A decided tie between two items: a submit and what it made, or a task and deliveries of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TiePin {
    /// The submit, or the task.
    pub shot: u64,
    /// What it made, or the first delivery.
    pub made: u64,
    /// By which rule.
    pub rule: JoinRule,
    /// How sure.
    pub confidence: Confidence,
    /// See [`Join::margin`](crate::Join::margin).
    pub margin: Option<f64>,
    /// See [`Join::instead`](crate::Join::instead).
    pub instead: Option<SpanKey>,
}

/// The ties of one stitcher.
#[derive(Debug, Default)]
pub(super) struct Ties {
    /// By pocket.
    numbers: HashMap<u32, u64, Fixed>,
    /// The newest number.
    last: u64,
    /// Pockets whose tie is to be given out.
    changed: BTreeSet<u32>,
    gone: Vec<u64>,
    /// Those of an earlier process whose evidence is still to come.
    restored: Vec<(u64, Tie)>,
}

impl Ties {
    pub(super) fn has(&self, pocket: u32) -> bool {
        self.numbers.contains_key(&pocket)
    }

    /// A pocket was made by a match, or grew by one.
    pub(super) fn note(&mut self, pocket: u32) {
        self.numbers.entry(pocket).or_insert_with(|| {
            self.last += 1;
            self.last
        });
        self.changed.insert(pocket);
    }

    /// A pocket became part of another one.
    pub(super) fn merge(&mut self, from: u32, into: u32) {
        self.changed.remove(&from);
        let Some(number) = self.numbers.remove(&from) else { return };
        self.give(into, number);
        self.changed.insert(into);
    }

    /// A pocket is no more.
    pub(super) fn drop(&mut self, pocket: u32) {
        self.changed.remove(&pocket);
        self.gone.extend(self.numbers.remove(&pocket));
    }

    /// Whether the tie of a pocket changed since it was last given out.
    pub(super) fn is_to_be_given_out(&self, pocket: u32) -> bool {
        self.changed.contains(&pocket)
    }

    /// A pocket is put aside; the number of its tie.
    pub(super) fn take_out(&mut self, pocket: u32) -> Option<u64> {
        self.numbers.remove(&pocket)
    }

    /// It comes back.
    pub(super) fn put_back(&mut self, pocket: u32, number: u64) {
        self.numbers.insert(pocket, number);
    }

    /// Of two numbers of a pocket the newer one stays, and stands for both.
    fn give(&mut self, pocket: u32, number: u64) {
        if let Some(other) = self.numbers.insert(pocket, number) {
            self.gone.push(other);
            self.changed.insert(pocket);
        }
    }
}

impl Stitcher {
    /// Ties that were made or changed since the last call, by number, and none where one is gone.
    pub fn take_ties(&mut self) -> Vec<(u64, Option<Tie>)> {
        let gone = std::mem::take(&mut self.ties.gone).into_iter().map(|number| (number, None));
        let changed = std::mem::take(&mut self.ties.changed);
        let changed = changed.into_iter().filter_map(|pocket| {
            let number = *self.ties.numbers.get(&pocket)?;
            Some((number, Some(self.tie_of(pocket)?)))
        });
        gone.chain(changed).collect()
    }

    fn tie_of(&self, pocket: u32) -> Option<Tie> {
        let pocket = self.pockets.get(pocket)?;
        let name = |slot: u32| Some(fingerprint(self.index.item(slot)?.first()));
        let pin = |pin: &Pin| {
            let Pin { shot, made, rule, confidence, margin, instead } = *pin;
            Some(TiePin { shot: name(shot)?, made: name(made)?, rule, confidence, margin, instead })
        };
        Some(Tie {
            members: pocket.members.iter().filter_map(|&slot| name(slot)).collect(),
            pins: pocket.pins.iter().filter_map(pin).collect(),
        })
    }

    /// Takes back what [`Self::take_ties`] gave, before [`Self::recall`].
    pub fn restore_tie(&mut self, number: u64, tie: Tie) {
        self.ties.last = self.ties.last.max(number);
        self.ties.restored.push((number, tie));
    }

    /// All evidence is in memory again: ties what was tied.
    pub(super) fn tie_again(&mut self) {
        let restored = std::mem::take(&mut self.ties.restored);
        if restored.is_empty() {
            return;
        }
        let wanted: BTreeSet<u64> = restored.iter().flat_map(|(_, tie)| &tie.members).copied().collect();
        let mut slots: HashMap<u64, u32, Fixed> = HashMap::default();
        let members = self.pockets.iter().flat_map(|(_, pocket)| &pocket.members);
        for (&slot, item) in members.filter_map(|slot| Some((slot, self.index.item(*slot)?))) {
            let names = item.calls().map(fingerprint).filter(|name| wanted.contains(name));
            slots.extend(names.map(|name| (name, slot)));
        }
        for (number, tie) in restored {
            let known: Vec<u32> = tie.members.iter().filter_map(|name| slots.get(name).copied()).collect();
            let Some((&first, rest)) = known.split_first() else {
                self.ties.gone.push(number);
                continue;
            };
            for &other in rest {
                self.merge(first, other);
            }
            let Some(pocket) = self.pocket_of(first) else { continue };
            self.ties.give(pocket, number);
            let pin = |pin: &TiePin| {
                let TiePin { shot, made, rule, confidence, margin, instead } = *pin;
                let (shot, made) = (*slots.get(&shot)?, *slots.get(&made)?);
                Some(Pin { shot, made, rule, confidence, margin, instead })
            };
            if let Some(pocket) = self.pockets.get_mut(pocket) {
                pocket.pins.extend(tie.pins.iter().filter_map(pin));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(ties: &mut Ties) -> (Vec<(u32, u64)>, Vec<u64>) {
        let changed = std::mem::take(&mut ties.changed).into_iter().map(|at| (at, ties.numbers[&at]));
        (changed.collect(), std::mem::take(&mut ties.gone))
    }

    #[test]
    fn a_tie_keeps_its_number_until_its_pocket_goes() {
        let mut ties = Ties::default();
        ties.note(7);
        ties.note(9);
        ties.note(7);
        assert_eq!(given(&mut ties), (vec![(7, 1), (9, 2)], vec![]));
        ties.note(7);
        assert_eq!(given(&mut ties), (vec![(7, 1)], vec![]));
        ties.drop(7);
        ties.drop(8);
        assert_eq!(given(&mut ties), (vec![], vec![1]));
        ties.note(7);
        assert_eq!(given(&mut ties), (vec![(7, 3)], vec![]), "a slot that was given out again");
    }

    #[test]
    fn where_pockets_become_one_so_do_their_ties() {
        let mut ties = Ties::default();
        ties.note(1);
        ties.merge(1, 2);
        assert!(ties.has(2) && !ties.has(1));
        assert_eq!(given(&mut ties), (vec![(2, 1)], vec![]));
        ties.note(3);
        ties.merge(3, 2);
        assert_eq!(given(&mut ties), (vec![(2, 2)], vec![1]));
        ties.give(2, 7);
        assert_eq!(given(&mut ties), (vec![(2, 7)], vec![2]), "what the other one held is given out again");
        ties.merge(4, 2);
        assert_eq!(given(&mut ties), (vec![], vec![]), "there was no tie");
    }
}
