//! The files of a queue: a journal of the store, and beside it how far sending has got.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use spantally_store::{DataDir, Dropped, Journal, JournalOptions, Seq, SqliteJournal, StoreError};

use super::item::Item;
use super::progress::{Place, Progress};
use super::queue::Loaded;

/// Room of the file beyond the queue's own limit: rows that were sent and are not dropped yet.
const SLACK_BYTES: u64 = 256 << 20;

/// The files, in the hands of one thread.
pub(super) struct Disk {
    directory: PathBuf,
    journal: SqliteJournal,
    pub(super) progress: Progress,
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
        Ok(Self { directory: directory.to_owned(), journal, progress })
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
        Ok(())
    }
}
