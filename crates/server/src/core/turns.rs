//! Which rows of the journal are still needed, and when they came.
//!
//! Evidence is needed for hours after it was applied: late evidence may revise its job. It is not copied into
//! the ledger for that, since most of it is never asked for again: the journal keeps its rows. A start
//! reads them once more, and gives each to the stitcher with the time at which it first came
//! ([`Core::rehydrate`](super::Core::rehydrate)), which gives the stitcher that there was.
//!
//! Rows are given back some minutes after their evidence is past the retention, or when there are more spans
//! in the journal than memory may hold. What then is still in memory and came with those rows (a job of a
//! day, a task that is polled for hours) is *carried* over into the ledger's open state first. This is looked
//! at once in a while ([`CARRY_EVERY_MS`]), since it goes through everything in memory.

use std::collections::VecDeque;

use spantally_stitch::UnixNanos;
use spantally_store::{Seq, TurnRow};

/// Time between two looks at what may be given back.
const CARRY_EVERY_MS: u64 = 5 * 60_000;
/// Rows stay for so much longer than the retention, which counts from a job's last call: few jobs last longer
/// than this, and only what does has to be carried.
const GRACE_MS: u64 = 5 * 60_000;
/// It is looked at earlier when the journal holds more spans than it may by one part in this many.
const CROWDED: u64 = 8;

/// A turn that applied something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    /// The last row that it includes.
    pub(super) applied: Seq,
    /// When it was made.
    pub(super) at: UnixNanos,
    /// What time it was for the core when the turn's rows came: that of the turn before.
    arrival: UnixNanos,
    /// The next creation number of each shard.
    pub(super) marks: Vec<u64>,
    /// Spans of its rows.
    spans: u64,
}

/// Turns whose rows the journal still has, oldest first.
#[derive(Debug, Default)]
pub(super) struct Turns {
    kept: VecDeque<Turn>,
    /// Spans of all their rows.
    spans: u64,
    /// Spans applied since the last turn.
    applied_spans: u64,
    /// Spans applied since the process began.
    total_spans: u64,
    done: Seq,
    /// Turns whose marks are in this process's numbers.
    marked: usize,
    looked: UnixNanos,
    /// Most spans that may stay, for lack of room in the journal; none while there is room.
    squeezed: Option<u64>,
    /// When the last turn was made, also one that applied nothing.
    turned: UnixNanos,
}

impl Turns {
    /// Notes spans that were applied.
    pub(super) fn note(&mut self, spans: usize) {
        self.applied_spans += spans as u64;
        self.total_spans += spans as u64;
    }

    /// Spans noted so far.
    pub(super) fn total_spans(&self) -> u64 {
        self.total_spans
    }

    /// Makes a turn of what was applied since the last one; none if nothing was.
    pub(super) fn make(&mut self, applied: Seq, at: UnixNanos, marks: Vec<u64>) -> Option<TurnRow> {
        let arrival = std::mem::replace(&mut self.turned, at);
        if self.kept.back().map_or(self.done, |last| last.applied) >= applied {
            return None;
        }
        let spans = std::mem::take(&mut self.applied_spans);
        self.spans += spans;
        let numbers = [spans, arrival.0].into_iter().chain(marks.iter().copied());
        let mark = numbers.flat_map(u64::to_le_bytes).collect();
        self.kept.push_back(Turn { applied, at, arrival, marks, spans });
        Some(TurnRow { applied, unix_nanos: at.0, mark })
    }

    /// Takes back what [`Self::make`] gave, and when the last turn was made, of which there is no row if it
    /// applied nothing: what the journal has beyond came when it was that time. False when a row is not
    /// readable.
    pub(super) fn restore(&mut self, done: Seq, rows: &[TurnRow], turned: UnixNanos) -> bool {
        (self.done, self.turned) = (done, turned);
        for row in rows {
            let (numbers, rest) = row.mark.as_chunks::<8>();
            let mut numbers = numbers.iter().map(|bytes| u64::from_le_bytes(*bytes));
            let (Some(spans), Some(arrival), []) = (numbers.next(), numbers.next(), rest) else {
                return false;
            };
            self.spans += spans;
            let (at, arrival) = (UnixNanos(row.unix_nanos), UnixNanos(arrival));
            self.kept.push_back(Turn { applied: row.applied, at, arrival, marks: numbers.collect(), spans });
        }
        true
    }

    /// The core's time when the given row arrived.
    pub(super) fn arrival(&self, seq: Seq) -> UnixNanos {
        let turn = self.kept.partition_point(|turn| turn.applied < seq);
        self.kept.get(turn).map_or(self.turned, |turn| turn.arrival)
    }

    /// Marks the turns before a row anew, or all that are left: each process numbers what it has in its own
    /// way, and by the numbers of another one the wrong things would be carried.
    pub(super) fn mark_before(&mut self, seq: Option<Seq>, marks: impl Fn() -> Vec<u64>) {
        while let Some(turn) = self.kept.get_mut(self.marked)
            && seq.is_none_or(|seq| turn.applied < seq)
        {
            turn.marks = marks();
            self.marked += 1;
        }
    }

    /// No row that the journal still has came before this.
    pub(super) fn oldest_arrival(&self) -> UnixNanos {
        self.kept.front().map_or(UnixNanos(u64::MAX), |turn| turn.arrival)
    }

    /// Everything up to here is not needed.
    pub(super) fn done(&self) -> Seq {
        self.done
    }

    /// The journal is short of room: at the next look a third of its spans goes.
    pub(super) fn squeeze(&mut self, is_short: bool) {
        self.squeezed = is_short.then_some(self.spans * 2 / 3);
    }

    /// Whether rows can be given back now, and if so, the newest turn of them. It is taken to be carried.
    pub(super) fn take_old(&mut self, now: UnixNanos, retention_ms: u64, max_spans: u64) -> Option<Turn> {
        let max_spans = self.squeezed.map_or(max_spans, |squeezed| max_spans.min(squeezed));
        let crowded = self.spans > max_spans + max_spans / CROWDED;
        if !crowded && self.looked.plus_ms(CARRY_EVERY_MS) > now {
            return None;
        }
        self.looked = now;
        let mut last = None;
        while let Some(turn) = self.kept.front()
            && (turn.at.plus_ms(retention_ms + GRACE_MS) <= now || self.spans > max_spans)
        {
            self.spans -= turn.spans;
            self.done = turn.applied;
            last = self.kept.pop_front();
        }
        last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: u64) -> UnixNanos {
        UnixNanos(minute * 60_000_000_000)
    }

    fn made() -> (Turns, Vec<TurnRow>) {
        let mut turns = Turns::default();
        let mut rows = Vec::new();
        assert_eq!(turns.make(Seq(0), at(2), vec![0]), None, "the first turn of a process");
        for turn in 1..=4 {
            turns.note(100);
            rows.extend(turns.make(Seq(turn * 10), at(turn * 10), vec![turn * 7]));
            assert_eq!(turns.make(Seq(turn * 10), at(turn * 10 + 1), vec![0]), None, "nothing came");
        }
        (turns, rows)
    }

    #[test]
    fn rows_came_with_the_turn_before() {
        let (turns, rows) = made();
        let mut again = Turns::default();
        assert!(again.restore(Seq(0), &rows, at(41)));
        for turns in [turns, again] {
            for (seq, minute) in [(1, 2), (10, 2), (11, 11), (20, 11), (40, 31)] {
                assert_eq!(turns.arrival(Seq(seq)), at(minute), "{seq}");
            }
        }
        let torn = TurnRow { mark: vec![1, 2], ..TurnRow::default() };
        assert!(!Turns::default().restore(Seq(0), &[torn], at(41)));
    }

    /// The row that the first turn of a process makes is of what came while the last process still lived.
    #[test]
    fn rows_that_a_start_applies_came_with_the_last_turn_of_the_process_before() {
        let (mut turns, mut rows) = made();
        let mut again = Turns::default();
        assert!(again.restore(Seq(0), &rows, at(41)));
        for turns in [&mut turns, &mut again] {
            turns.note(10);
            rows.extend(turns.make(Seq(50), at(55), vec![30]));
        }
        assert_eq!((rows[4].unix_nanos, &rows[4]), (at(55).0, &rows[5]));
        let mut third = Turns::default();
        assert!(third.restore(Seq(0), &rows[..5], at(56)));
        for turns in [turns, again, third] {
            assert_eq!((turns.arrival(Seq(45)), turns.oldest_arrival()), (at(41), at(2)));
        }
    }

    #[test]
    fn what_is_past_the_retention_is_given_back_now_and_then() {
        let (mut turns, _) = made();
        let old = turns.take_old(at(35), 10 * 60_000, 1000).unwrap();
        assert_eq!((old.applied, old.marks, turns.done()), (Seq(20), vec![14], Seq(20)));
        assert_eq!(turns.take_old(at(36), 0, 1000), None, "looked at a minute ago");
        assert_eq!(turns.take_old(at(45), 6 * 3_600_000, 1000), None);
        assert_eq!(turns.take_old(at(50), 15 * 60_000, 1000).map(|turn| turn.applied), Some(Seq(30)));
    }

    #[test]
    fn a_journal_short_of_room_gives_back_a_third() {
        let (mut turns, _) = made();
        turns.looked = at(40);
        turns.squeeze(true);
        assert_eq!(turns.take_old(at(41), 6 * 3_600_000, 1000).map(|turn| turn.applied), Some(Seq(20)));
        turns.squeeze(false);
        assert_eq!(turns.take_old(at(42), 6 * 3_600_000, 1000), None);
    }

    #[test]
    fn more_spans_than_memory_holds_are_not_kept() {
        let (mut turns, _) = made();
        assert_eq!(turns.take_old(at(40), 6 * 3_600_000, 400), None);
        turns.looked = at(40);
        assert_eq!(turns.take_old(at(41), 6 * 3_600_000, 390), None, "not worth a look yet");
        assert_eq!(turns.take_old(at(41), 6 * 3_600_000, 250).map(|turn| turn.applied), Some(Seq(20)));
    }
}
