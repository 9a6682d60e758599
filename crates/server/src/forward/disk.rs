//! The files of a queue: a journal of the store, and beside it how far sending has got.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use spantally_store::{DataDir, Dropped, Journal, JournalOptions, Seq, SqliteJournal, StoreError};

use super::item::Item;
use super::progress::{Place, Progress};
use super::queue::Loaded;
use crate::clock;

/// Room of the file beyond the queue's own limit: rows that were sent and are not dropped yet.
const SLACK_BYTES: u64 = 256 << 20;

/// Room that the files of an empty queue keep. In ordinary traffic a queue is emptied all the time, and files
/// that are there already are written faster.
const SPARE_BYTES: u64 = 64 << 20;

/// Time between two times at which more is given back, so that traffic that needs it does not make it anew
/// whenever the queue is empty for a moment.
const GIVE_BACK_EVERY: Duration = Duration::from_mins(10);

/// The files, in the hands of one thread.
pub(super) struct Disk {
    directory: PathBuf,
    journal: SqliteJournal,
    pub(super) progress: Progress,
    /// When room was last given back, or that was tried.
    given_back: Option<Instant>,
}

impl Disk {
    /// Opens or makes the files; they may have `max_bytes`, and some more.
    pub(super) fn open(directory: &Path, max_bytes: u64) -> Result<Self, StoreError> {
        let data = DataDir::open(directory)?;
        let text = std::fs::read_to_string(directory.join("sent")).unwrap_or_default();
        let mut progress = Progress::read(&text);
        let sent = progress.done();
        let options = JournalOptions {
            primed_bytes: 0,
            max_bytes: max_bytes + SLACK_BYTES,
            ..JournalOptions::default()
        };
        // Without the file `sent` (it was lost, or never written) everything that is there is sent.
        let journal = match SqliteJournal::open(&data, (sent, sent), options) {
            Err(StoreError::Gap { first: Some(first), .. }) => {
                let before = Seq(first.0.saturating_sub(1));
                progress = Progress::new(before);
                SqliteJournal::open(&data, (before, before), options)?
            }
            opened => opened?,
        };
        if progress.seen() > journal.last() {
            // Of other rows than these, which have the same numbers.
            progress = Progress::new(sent);
        }
        Ok(Self { directory: directory.to_owned(), journal, progress, given_back: None })
    }

    /// The bytes of every row that is not done with those before it.
    pub(super) fn row_bytes(&mut self) -> Result<VecDeque<u32>, StoreError> {
        let mut bytes = VecDeque::new();
        self.replay(&mut |_, row| {
            bytes.push_back(row.len() as u32);
            ControlFlow::Continue(())
        })?;
        Ok(bytes)
    }

    /// Gives every row after those that are done to `visit`, in order, until it breaks.
    pub(super) fn replay(
        &mut self,
        visit: &mut dyn FnMut(Seq, &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.journal.replay(self.progress.done(), visit)
    }

    /// Writes a row; it is on disk when this returns.
    pub(super) fn append_row(&mut self, row: &[u8]) -> Result<Seq, StoreError> {
        self.journal.append(row)
    }

    /// Reads what is left of the rows after one.
    pub(super) fn load(&mut self, after: Seq, max_bytes: usize) -> Result<Loaded, StoreError> {
        let Self { journal, progress, .. } = self;
        let (mut items, mut left_out, mut bytes) = (Vec::new(), 0, 0);
        let mut to = after.max(progress.done());
        journal.replay(to, &mut |seq, row| {
            if progress.is_done(seq) {
                to = seq;
                return ControlFlow::Continue(());
            }
            if bytes > 0 && bytes + row.len() > max_bytes {
                return ControlFlow::Break(());
            }
            bytes += row.len();
            to = seq;
            let of_row = Item::decode_all(row);
            progress.look_at(seq, of_row.as_ref().map_or(0, Vec::len));
            if let Some(of_row) = of_row {
                let placed = (0..).map(|index| Place { row: seq, index }).zip(of_row);
                items.extend(placed.filter(|(place, _)| progress.is_left(*place)));
            } else {
                left_out += 1;
                tracing::warn!(%seq, "a row of the queue is of another version and is left out");
            }
            ControlFlow::Continue(())
        })?;
        Ok(Loaded { items, left_out, to })
    }

    /// Reads items again; places are sorted.
    pub(super) fn read(&mut self, places: &[Place]) -> Result<Vec<(Place, Item<'static>)>, StoreError> {
        let mut items = Vec::new();
        for of_row in places.chunk_by(|one, next| one.row == next.row) {
            let row = of_row[0].row;
            self.journal.replay(Seq(row.0.saturating_sub(1)), &mut |seq, bytes| {
                let found = Item::decode_all(bytes).filter(|_| seq == row).unwrap_or_default();
                let placed = (0..).map(|index| Place { row, index }).zip(found);
                items.extend(placed.filter(|(place, _)| of_row.binary_search(place).is_ok()));
                ControlFlow::Break(())
            })?;
        }
        Ok(items)
    }

    /// Nothing up to here waits any more.
    pub(super) fn forget(&mut self, to: Seq) -> Result<(), StoreError> {
        if to <= self.progress.done() {
            return Ok(());
        }
        self.progress = Progress::new(to);
        self.write()
    }

    /// Writes how far sending has got, and gives back what is not needed any more.
    pub(super) fn write(&mut self) -> Result<(), StoreError> {
        let (path, new) = (self.directory.join("sent"), self.directory.join("sent.new"));
        std::fs::write(&new, self.progress.text())
            .and_then(|()| std::fs::rename(&new, &path))
            .map_err(|source| StoreError::Directory { path, action: "write", source })?;
        while self.journal.drop_to(self.progress.done())? == Dropped::Some {}
        self.give_back()
    }

    /// Gives room back that an outage of the destination took, once nothing waits any more.
    fn give_back(&mut self) -> Result<(), StoreError> {
        let now = clock::instant();
        let is_recent = |at| now.saturating_duration_since(at) < GIVE_BACK_EVERY;
        if self.progress.done() < self.journal.last() || self.given_back.is_some_and(is_recent) {
            return Ok(());
        }
        let given = self.journal.give_back(SPARE_BYTES);
        if !matches!(given, Ok(false)) {
            self.given_back = Some(now);
        }
        given.map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A destination that was away for a day must not cost its room for ever.
    #[test]
    fn files_that_grew_while_a_destination_was_away_are_small_once_nothing_waits() {
        let directory = tempfile::tempdir().unwrap();
        let bytes = || -> u64 {
            let files = std::fs::read_dir(directory.path()).unwrap().map(|file| file.unwrap().metadata());
            files.map(|file| file.unwrap().len()).sum()
        };
        let mut disk = Disk::open(directory.path(), 1 << 30).unwrap();
        let row = vec![7; 4 << 20];
        let last = (0..20).map(|_| disk.append_row(&row).unwrap()).last().unwrap();
        disk.forget(Seq(last.0 - 1)).unwrap();
        assert!(bytes() > SPARE_BYTES, "one waits, and has the room of all: {}", bytes());
        disk.forget(last).unwrap();
        assert!(bytes() < 2 * row.len() as u64, "{}", bytes());
        assert_eq!(disk.append_row(&row).unwrap(), Seq(last.0 + 1));
        // Not so soon again.
        let last = (0..20).map(|_| disk.append_row(&row).unwrap()).last().unwrap();
        disk.forget(last).unwrap();
        assert!(bytes() > SPARE_BYTES, "{}", bytes());
        drop(disk);
        let mut disk = Disk::open(directory.path(), 1 << 30).unwrap();
        assert_eq!(disk.append_row(&row).unwrap(), Seq(last.0 + 1));
        disk.forget(Seq(last.0 + 1)).unwrap();
        assert!(bytes() < 2 * row.len() as u64, "the next process: {}", bytes());
    }
}
