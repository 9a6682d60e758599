//! Retry chains that cross.
//!
//! The assignment of failed submits to their resubmissions looks at one link at a time: how its wait fits
//! what came before it. What it does to the link *after* it, it does not see. Where two clients fail at the
//! same time with the same request, a chain of growing waits may then run into the beginning of the other
//! one, whose first wait is short again, and go on with it: four attempts and one, in place of two and three.
//!
//! So the chains that were found are looked at once more as wholes. A link may end elsewhere, or two links
//! exchange their ends, if that makes all the chains concerned likelier together. Each change makes the whole
//! better, so it comes to an end; chains that do not cross are left as they are.

use std::collections::{BTreeMap, BTreeSet};

/// What led to an attempt: the wait of the link before it, in seconds, and that link's place in its chain
/// (first, second, any further).
pub(super) type Before = Option<(f64, u8)>;

/// A change must be worth this much, in nats: what makes a join likely. On captures changes worth one were
/// wrong, and one worth five was right.
const WORTH_NATS: f64 = 3.0;
/// The ends of a link that are tried: more of them lie near only in a storm, whose waits tell little.
const MAX_ENDS: usize = 8;
/// Most changes that are weighed, so that a storm takes no longer than a few milliseconds.
const MAX_TRIED: usize = 2048;
/// So many links after a change still feel it: places in a chain are counted to the third.
const FELT: usize = 3;

/// How much a link is worth after what led to it, in nats, and how long its wait is.
pub(super) trait Links {
    fn gain(&self, from: usize, to: usize, before: Before) -> f64;
    fn gap(&self, from: usize, to: usize) -> f64;
}

/// The links of all chains, and the attempts that each failed one may go on with.
struct Chains<'a, L> {
    links: &'a L,
    next: BTreeMap<usize, usize>,
    previous: BTreeMap<usize, usize>,
}

/// Gives links other ends for as long as all become likelier together; tells the new ends with how much less
/// likely the nearest other choice is, in nats.
pub(super) fn untangle(
    links: &impl Links,
    candidates: &[(usize, usize)],
    pairs: impl Iterator<Item = (usize, usize)>,
) -> BTreeMap<usize, (usize, f64)> {
    let next: BTreeMap<usize, usize> = pairs.collect();
    let previous = next.iter().map(|(&from, &to)| (to, from)).collect();
    let mut chains = Chains { links, next, previous };
    let mut changed = BTreeMap::new();
    let mut tried = 0;
    loop {
        let mut better = false;
        for near in candidates.chunk_by(|one, other| one.0 == other.0) {
            for &(from, to) in near.iter().take(MAX_ENDS) {
                tried += 1;
                if tried > MAX_TRIED {
                    return changed;
                }
                let Some(gained) = chains.try_end(from, to, candidates) else { continue };
                better = true;
                for link in gained.links {
                    changed.insert(link.0, (link.1, gained.nats));
                }
            }
        }
        if !better {
            return changed;
        }
    }
}

/// Links that have other ends now, and how much likelier all are together.
struct Gained {
    links: Vec<(usize, usize)>,
    nats: f64,
}

impl<L: Links> Chains<'_, L> {
    /// Lets a link end elsewhere if that is better. Who had that end takes the one that is left.
    fn try_end(&mut self, from: usize, to: usize, candidates: &[(usize, usize)]) -> Option<Gained> {
        let end = *self.next.get(&from)?;
        if end == to || !self.is_in_a_chain(from, end, to) {
            return None;
        }
        let other = self.previous.get(&to).copied();
        if other.is_some_and(|other| candidates.binary_search(&(other, end)).is_err()) {
            return None;
        }
        let concerned = [Some(from), other, Some(end), Some(to)];
        let before = self.worth(concerned);
        self.link(from, to, other.map(|other| (other, end)));
        let nats = self.worth(concerned) - before;
        if nats > WORTH_NATS {
            let links = std::iter::once((from, to)).chain(other.map(|other| (other, end))).collect();
            return Some(Gained { links, nats });
        }
        self.link(from, end, other.map(|other| (other, to)));
        None
    }

    /// Whether anything hangs on where the link ends but the link itself.
    fn is_in_a_chain(&self, from: usize, end: usize, to: usize) -> bool {
        self.next.contains_key(&end) || self.next.contains_key(&to) || self.previous.contains_key(&from)
    }

    /// Sets the end of a link, and that of the one that had it.
    fn link(&mut self, from: usize, to: usize, other: Option<(usize, usize)>) {
        for (from, _) in std::iter::once((from, to)).chain(other) {
            if let Some(end) = self.next.remove(&from) {
                self.previous.remove(&end);
            }
        }
        for (from, to) in std::iter::once((from, to)).chain(other) {
            self.next.insert(from, to);
            self.previous.insert(to, from);
        }
    }

    /// How likely the links are that begin at some attempts, with those that go on from them.
    fn worth(&self, attempts: [Option<usize>; 4]) -> f64 {
        let mut links = BTreeSet::new();
        for mut at in attempts.into_iter().flatten() {
            for _ in 0..FELT {
                let Some(&to) = self.next.get(&at) else { break };
                links.insert((at, to));
                at = to;
            }
        }
        links.into_iter().map(|(from, to)| self.links.gain(from, to, self.before(from))).sum()
    }

    fn before(&self, from: usize) -> Before {
        let &first = self.previous.get(&from)?;
        let gap = self.links.gap(first, from);
        let index =
            self.previous.get(&first).map_or(0, |second| 1 + u8::from(self.previous.contains_key(second)));
        Some((gap, index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Starts and ends of attempts, in tenths of a second. A wait is to be twice the one before, and a first
    /// one a tenth.
    struct Attempts(&'static [(u32, u32)]);

    impl Links for Attempts {
        fn gain(&self, from: usize, to: usize, before: Before) -> f64 {
            let due = before.map_or(0.1, |(gap, _)| 2.0 * gap);
            5.0 - 6.0 * (self.gap(from, to) / due).ln().abs()
        }

        fn gap(&self, from: usize, to: usize) -> f64 {
            f64::from(self.0[to].0 - self.0[from].1) / 10.0
        }
    }

    /// Two chains: waits of 1 and 2 beside a wait of 1. The second one begins before the first one goes on.
    const CROSS: Attempts = Attempts(&[(0, 1), (2, 3), (4, 5), (5, 6), (6, 7)]);

    #[test]
    fn a_chain_does_not_go_on_with_the_beginning_of_another() {
        let candidates = [(0, 1), (1, 2), (1, 3), (2, 4)];
        let found = untangle(&CROSS, &candidates, [(0, 1), (1, 2), (2, 4)].into_iter());
        let ends: Vec<_> = found.iter().map(|(from, (to, _))| (*from, *to)).collect();
        assert_eq!(ends, [(1, 3)]);
        assert!(found[&1].1 > WORTH_NATS);
    }

    #[test]
    fn what_is_likeliest_already_stays() {
        let candidates = [(0, 1), (1, 2), (1, 3), (2, 4)];
        assert!(untangle(&CROSS, &candidates, [(0, 1), (1, 3), (2, 4)].into_iter()).is_empty());
        // Nothing hangs on either end of a single link: the assignment knows best.
        assert!(untangle(&CROSS, &[(1, 2), (1, 3)], [(1, 2)].into_iter()).is_empty());
    }

    #[test]
    fn two_links_exchange_their_ends() {
        // Both would go on at 5; the chain that waited a tenth before can rather wait a second.
        let both = Attempts(&[(0, 1), (2, 3), (3, 4), (5, 6), (13, 14)]);
        let candidates = [(0, 1), (1, 3), (1, 4), (2, 3), (2, 4)];
        let found = untangle(&both, &candidates, [(0, 1), (1, 3), (2, 4)].into_iter());
        let ends: Vec<_> = found.iter().map(|(from, (to, _))| (*from, *to)).collect();
        assert_eq!(ends, [(1, 4), (2, 3)]);
        // Not where one of them cannot.
        let less = [(0, 1), (1, 3), (2, 3), (2, 4)];
        assert!(untangle(&both, &less, [(0, 1), (1, 3), (2, 4)].into_iter()).is_empty());
    }
}
