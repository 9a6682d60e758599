//! What was written: `manifest.json` beside the files, so that the next run need not write it again.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use spantally_store::DayRows;

/// The version of this file.
const VERSION: u32 = 1;
const NAME: &str = "manifest.json";

/// Everything that was written.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Manifest {
    version: u32,
    /// In the order of table, day and format.
    pub(super) files: Vec<Entry>,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) table: String,
    /// `2026-11-20`.
    pub(super) day: String,
    pub(super) format: String,
    /// Relative to the manifest.
    pub(super) path: String,
    /// Rows in the file.
    pub(super) rows: u64,
    pub(super) bytes: u64,
    /// Whether the day was over, so that nothing can be missing.
    pub(super) is_complete: bool,
    /// First and last row of the ledger, and their jobs: what tells whether the ledger still has the same.
    pub(super) ledger_rows: [u64; 2],
    pub(super) ledger_jobs: [String; 2],
    /// Whether no row of the day before its last one is missing.
    #[serde(default)]
    pub(super) has_all_before: bool,
    /// Files beside it with what came when the ledger did not have all that is in it any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) parts: Vec<Part>,
}

/// A further file of a day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Part {
    /// Relative to the manifest.
    pub(super) path: String,
    /// Rows in the file.
    pub(super) rows: u64,
    pub(super) bytes: u64,
    /// The last row of the ledger that it is of, and its job.
    pub(super) last_row: u64,
    pub(super) last_job: String,
}

impl Entry {
    /// Whether it was written from these rows of this ledger. Where the ledger's retention has removed the
    /// beginning of the day since, the file has it still.
    pub(super) fn is_of(&self, day: &DayRows) -> bool {
        let [first, last] = job_ids(day);
        let begins = self.ledger_rows[0] == day.rows.0 && self.ledger_jobs[0] == first;
        (begins || self.has_what_is_gone(day)) && self.end() == (day.rows.1, last.as_str())
    }

    /// Whether it is of this ledger and of the beginning of this day, of which more rows came since. That it
    /// has rows which are gone is asked first.
    pub(super) fn is_beginning_of(&self, day: &DayRows) -> bool {
        self.end().0 <= day.rows.1 && self.ledger_jobs[0] == job_ids(day)[0]
    }

    /// Whether it has rows that the ledger's retention has removed from this day.
    pub(super) fn has_what_is_gone(&self, day: &DayRows) -> bool {
        day.is_cut && self.ledger_rows[0] < day.rows.0
    }

    /// The last row of the ledger that it has, and its job.
    pub(super) fn end(&self) -> (u64, &str) {
        let own = (self.ledger_rows[1], self.ledger_jobs[1].as_str());
        self.parts.last().map_or(own, |part| (part.last_row, part.last_job.as_str()))
    }

    /// Whether any of its files is there, however long.
    pub(super) fn any_is_there(&self, directory: &Path) -> bool {
        let parts = self.parts.iter().map(|part| &part.path);
        std::iter::once(&self.path).chain(parts).any(|path| directory.join(path).exists())
    }

    /// It as far as its files are there and as long as they were; none when the first is not.
    pub(super) fn that_is_there(&self, directory: &Path) -> Option<Self> {
        let is_there = |path: &str, bytes: u64| {
            fs::metadata(directory.join(path)).is_ok_and(|found| found.len() == bytes)
        };
        let parts = self.parts.iter().take_while(|part| is_there(&part.path, part.bytes));
        is_there(&self.path, self.bytes).then(|| {
            let parts: Vec<_> = parts.cloned().collect();
            let is_complete = self.is_complete && parts.len() == self.parts.len();
            Self { is_complete, parts, ..self.clone() }
        })
    }

    /// The file that was written last: its path, rows and bytes.
    pub(super) fn newest(&self) -> (&str, u64, u64) {
        let own = (self.path.as_str(), self.rows, self.bytes);
        self.parts.last().map_or(own, |part| (part.path.as_str(), part.rows, part.bytes))
    }
}

/// The jobs of a day's first and last row, as text.
pub(super) fn job_ids(day: &DayRows) -> [String; 2] {
    [day.jobs.0, day.jobs.1].map(job_text)
}

/// A job's id as text.
pub(super) fn job_text(id: [u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(id))
}

impl Manifest {
    /// The manifest of a directory; an empty one where there is none.
    pub(super) fn read(directory: &Path) -> io::Result<Self> {
        let text = match fs::read(directory.join(NAME)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self { version: VERSION, files: Vec::new() });
            }
            Err(error) => return Err(error),
        };
        let manifest: Self = serde_json::from_slice(&text)?;
        if manifest.version != VERSION {
            let found = manifest.version;
            let message = format!("{NAME} is of version {found}, expected {VERSION}: export elsewhere");
            return Err(io::Error::other(message));
        }
        Ok(manifest)
    }

    pub(super) fn find(&self, (table, day, format): (&str, &str, &str)) -> Option<&Entry> {
        self.files.iter().find(|entry| (&*entry.table, &*entry.day, &*entry.format) == (table, day, format))
    }

    /// Adds a file, or says anew what it is.
    pub(super) fn set(&mut self, entry: Entry) {
        let key = |entry: &Entry| (entry.table.clone(), entry.day.clone(), entry.format.clone());
        match self.files.binary_search_by_key(&key(&entry), key) {
            Ok(at) => self.files[at] = entry,
            Err(at) => self.files.insert(at, entry),
        }
    }

    /// Puts it in the place of the one before, whole or not at all.
    pub(super) fn write(&self, directory: &Path) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        replace(directory, &directory.join(NAME), |mut file| {
            file.write_all(&text)?;
            Ok(file)
        })
    }
}

/// Writes a file beside its place and puts it there once all of it is on the disk: whoever reads meanwhile
/// has the old one or the new one, also after a crash.
pub(super) fn replace<E: From<io::Error>>(
    directory: &Path,
    path: &Path,
    write: impl FnOnce(File) -> Result<File, E>,
) -> Result<(), E> {
    let temporary = tempfile::Builder::new().prefix(".writing-").tempfile_in(directory)?;
    let file = write(temporary.reopen()?)?;
    file.sync_all()?;
    temporary.persist(path).map_err(|error| error.error)?;
    // The name, too. Where a directory cannot be opened (not on Linux), the file system sees to it.
    if let Some(Ok(parent)) = path.parent().map(File::open) {
        parent.sync_all()?;
    }
    Ok(())
}
