//! How far sending has got in a queue: up to which row all is done, and which items of the rows after it are
//! not.
//!
//! A tenant whose requests a destination defers is left behind while others go on, so what is done is not one
//! position. It is written beside the queue as text: the row up to which nothing waits, and if there is more
//! to say the newest row that was looked at, and a line for each row that has items left.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use spantally_store::Seq;

/// Where an item stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) row: Seq,
    /// Among the items of the row.
    pub(super) index: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// Up to here nothing waits.
    done: Seq,
    /// The newest row that was looked at.
    seen: Seq,
    /// Of rows that were looked at, those with items left, and which.
    left: BTreeMap<Seq, BTreeSet<u32>>,
}

impl Progress {
    pub(super) fn new(done: Seq) -> Self {
        Self { done, seen: done, left: BTreeMap::new() }
    }

    /// Reads what [`Self::text`] wrote; of a text that is none all is to be sent.
    pub(super) fn read(text: &str) -> Self {
        Self::parse(text).unwrap_or_default()
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let mut progress = Self::new(Seq(lines.next()?.trim().parse().ok()?));
        let Some(seen) = lines.next() else { return Some(progress) };
        progress.seen = Seq(seen.trim().parse().ok()?);
        for line in lines {
            let mut numbers = line.split_whitespace();
            let row = Seq(numbers.next()?.parse().ok()?);
            let left = numbers.map(str::parse).collect::<Result<_, _>>().ok()?;
            progress.left.insert(row, left);
        }
        Some(progress)
    }

    pub(super) fn text(&self) -> String {
        let mut text = self.done.to_string();
        if self.seen > self.done {
            let _: std::fmt::Result = write!(text, "\n{}", self.seen);
        }
        for (row, left) in &self.left {
            let _: std::fmt::Result = write!(text, "\n{row}");
            for index in left {
                let _: std::fmt::Result = write!(text, " {index}");
            }
        }
        text
    }

    /// Up to here nothing waits.
    pub(super) fn done(&self) -> Seq {
        self.done
    }

    /// The newest row that was looked at.
    pub(super) fn seen(&self) -> Seq {
        self.seen
    }

    /// Rows that have items left.
    pub(super) fn rows_left(&self) -> usize {
        self.left.len()
    }

    /// Looks at a row of so many items, none if it cannot be read.
    pub(super) fn look_at(&mut self, row: Seq, items: usize) {
        if row > self.seen {
            self.seen = row;
            if items > 0 {
                self.left.insert(row, (0..items as u32).collect());
            }
        }
    }

    /// Whether an item of a row that was looked at is left.
    pub(super) fn is_left(&self, place: Place) -> bool {
        self.left.get(&place.row).is_some_and(|left| left.contains(&place.index))
    }

    /// Whether a row was looked at and has nothing left.
    pub(super) fn is_done(&self, row: Seq) -> bool {
        row <= self.seen && !self.left.contains_key(&row)
    }

    /// An item is sent, or given up.
    pub(super) fn finish(&mut self, place: Place) {
        let Some(left) = self.left.get_mut(&place.row) else { return };
        left.remove(&place.index);
        if left.is_empty() {
            self.left.remove(&place.row);
        }
    }

    /// Moves on to the first row that has something left, and tells by how many rows.
    pub(super) fn advance(&mut self) -> u64 {
        let first_left = self.left.first_key_value();
        let done = first_left.map_or(self.seen, |(first, _)| Seq(first.0.saturating_sub(1)));
        let rows = done.0.saturating_sub(self.done.0);
        self.done = self.done.max(done);
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(row: u64, index: u32) -> Place {
        Place { row: Seq(row), index }
    }

    #[test]
    fn what_is_behind_is_left_and_all_else_is_done() {
        let mut progress = Progress::new(Seq(4));
        (5..9).for_each(|row| progress.look_at(Seq(row), 2));
        // It cannot be read.
        progress.look_at(Seq(9), 0);
        for (row, index) in [(5, 0), (6, 0), (6, 1), (8, 1), (6, 1), (40, 1)] {
            progress.finish(place(row, index));
        }
        assert_eq!((progress.advance(), progress.done()), (0, Seq(4)));
        assert_eq!(progress.text(), "4\n9\n5 1\n7 0 1\n8 0");
        let mut again = Progress::read(&progress.text());
        assert_eq!(again, progress);
        assert_eq!([5, 6, 9, 10].map(|row| again.is_done(Seq(row))), [false, true, true, false]);
        again.look_at(Seq(8), 2);
        assert_eq!([0, 1].map(|index| again.is_left(place(8, index))), [true, false]);
        again.finish(place(5, 1));
        assert_eq!((again.advance(), again.done()), (2, Seq(6)));
        for (row, index) in [(7, 0), (7, 1), (8, 0)] {
            again.finish(place(row, index));
        }
        assert_eq!((again.advance(), again.text().as_str()), (3, "9"));
    }

    #[test]
    fn a_text_that_is_none_is_nothing_done() {
        for text in ["", "x", "4\n9\n5 x", "4\nnine"] {
            assert_eq!(Progress::read(text), Progress::default(), "{text}");
        }
        assert_eq!(Progress::read("12\n"), Progress::new(Seq(12)));
    }
}
