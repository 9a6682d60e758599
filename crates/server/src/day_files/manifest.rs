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
}

impl Entry {
    /// Whether it was written from these rows of this ledger. Where the ledger's retention has removed the
    /// beginning of the day since, the file has it still.
    pub(super) fn is_of(&self, day: &DayRows) -> bool {
        let [first, last] = job_ids(day);
        let begins = self.ledger_rows[0] == day.rows.0 && self.ledger_jobs[0] == first;
        let is_cut = day.is_cut && self.ledger_rows[0] < day.rows.0;
        (begins || is_cut) && self.ledger_rows[1] == day.rows.1 && self.ledger_jobs[1] == last
    }

    /// Whether it is of this ledger and of the beginning of this day, of which more rows came since.
    pub(super) fn is_beginning_of(&self, day: &DayRows) -> bool {
        self.ledger_rows[1] <= day.rows.1 && (day.is_cut || self.ledger_jobs[0] == job_ids(day)[0])
    }
}

/// The jobs of a day's first and last row, as text.
pub(super) fn job_ids(day: &DayRows) -> [String; 2] {
    [day.jobs.0, day.jobs.1].map(|id| format!("{:032x}", u128::from_be_bytes(id)))
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
