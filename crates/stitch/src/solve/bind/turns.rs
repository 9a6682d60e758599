//! Equal pairs that crossed by a hair.
//!
//! Two submits of a client are answered within milliseconds of each other, and so are their tasks asked for:
//! which belongs to which is hardly told by the gaps, whose noise is as large as what sets them apart. But a
//! client's timers run out in the order in which they were set. On captures five of six such pairs that had
//! crossed were wrong.

use crate::id::UnixNanos;
use crate::solve::assign::Pair;

/// Farthest apart, in seconds, that two ends, or two first calls, are at the same time.
const TOGETHER_SECONDS: f64 = 0.02;
/// What the gaps may tell for the crossing, in nats.
const LITTLE_NATS: f64 = 1.0;

/// Lets pairs that crossed exchange what they have, if little speaks for the crossing. `pairs` are sorted;
/// `ended` is the end of a submit, `began` the first call about a task, `same` whether two tasks are asked
/// for by one client in one way.
pub(super) fn keep(
    pairs: &mut [Pair],
    ended: impl Fn(usize) -> UnixNanos,
    began: impl Fn(usize) -> UnixNanos,
    same: impl Fn(usize, usize) -> bool,
) {
    for at in 0..pairs.len() {
        let one = pairs[at];
        let rival = one.rival.and_then(|left| pairs.binary_search_by_key(&left, |pair| pair.left).ok());
        let Some(other) = rival.filter(|&other| pairs[other].rival == Some(one.left)) else { continue };
        let two = pairs[other];
        let ends = ended(two.left).seconds_since(ended(one.left));
        let begins = began(two.right).seconds_since(began(one.right));
        let crossed = ends * begins < 0.0;
        let together = ends.abs().max(begins.abs()) < TOGETHER_SECONDS;
        let little = one.margin.max(two.margin) < LITTLE_NATS;
        if crossed && together && little && same(one.right, two.right) {
            (pairs[at].right, pairs[other].right) = (two.right, one.right);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two pairs whose submits end and whose tasks begin at these milliseconds: what each has afterwards.
    fn kept(ends: [u64; 2], begins: [u64; 2], margin: f64) -> [usize; 2] {
        let mut pairs = [0, 1].map(|at| Pair { left: at, right: at, margin, rival: Some(1 - at) });
        let at_ms = |ms: u64| UnixNanos(1_795_168_800_000_000_000).plus_ms(ms);
        keep(&mut pairs, |left| at_ms(ends[left]), |right| at_ms(begins[right]), |_, _| true);
        pairs.map(|pair| pair.right)
    }

    #[test]
    fn what_crossed_by_a_hair_goes_in_turn() {
        assert_eq!(kept([500, 502], [1301, 1300], 0.2), [1, 0]);
        assert_eq!(kept([502, 500], [1300, 1301], 0.2), [1, 0]);
        assert_eq!(kept([500, 502], [1300, 1301], 0.2), [0, 1], "they did not cross");
        assert_eq!(kept([500, 500], [1301, 1300], 0.2), [0, 1], "none is first");
    }

    #[test]
    fn what_the_gaps_tell_is_kept() {
        assert_eq!(kept([500, 502], [1301, 1300], 1.5), [0, 1], "they fit better so");
        assert_eq!(kept([500, 530], [1301, 1300], 0.2), [0, 1], "the submits are apart");
        assert_eq!(kept([500, 502], [1330, 1300], 0.2), [0, 1], "the tasks are apart");
    }
}
