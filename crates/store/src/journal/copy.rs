//! A copy of a journal, for who wants to read it while a server writes it: `spantally verify`.
//!
//! The server has its journal for itself (exclusive locking costs commits less), so nobody else can open the
//! file. Its bytes can be copied, though, and a copy is whole if the write-ahead log was not begun anew
//! meanwhile: whatever is half written in the copied file was copied from frames that the copied log still
//! has, and a frame that is cut off fails its checksum and ends the log. The log's header says when it was
//! begun; if it changed, the copy is made again.

use std::fs::{self, File};
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::path::Path;

use rusqlite::OpenFlags;
use tempfile::TempDir;

use super::Seq;
use super::sqlite::{SCHEMA, check_row};
use crate::error::StoreError;
use crate::files::{journal_path, log_of};
use crate::sqlite::Database;

/// Salts and number of a write-ahead log stand in its header.
const LOG_HEADER_BYTES: usize = 32;
/// A log of 16 MiB takes a second and more to fill.
const TRIES: usize = 8;

/// A group, or what is wrong with it.
pub type Checked<'a> = Result<&'a [u8], String>;

/// A journal as it was at one moment, in a directory for temporary files.
#[derive(Debug)]
pub struct JournalCopy {
    database: Database,
    _directory: TempDir,
}

impl JournalCopy {
    /// Copies the journal of a data directory, whether a server has it or not; none when there is no journal.
    ///
    /// # Errors
    /// [`StoreError::Copy`] when it cannot be copied, for example for want of room in the directory for
    /// temporary files (`TMPDIR`); what opening a file may meet.
    pub fn take(directory: &Path) -> Result<Option<Self>, StoreError> {
        let from = journal_path(directory);
        if !from.exists() {
            return Ok(None);
        }
        let failed = |source| StoreError::Copy { path: from.clone(), to: std::env::temp_dir(), source };
        let copy = tempfile::tempdir().map_err(failed)?;
        let to = journal_path(copy.path());
        copy_files(&from, &to).map_err(failed)?;
        let database = Database::open(&to, SCHEMA.kind, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        database.version(&SCHEMA)?;
        Ok(Some(Self { database, _directory: copy }))
    }

    /// The first group that is there.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn first(&self) -> Result<Option<Seq>, StoreError> {
        self.database
            .connection
            .query_row("SELECT min(seq) FROM journal WHERE seq > 0", [], |row| row.get::<_, Option<i64>>(0))
            .map(|first| first.map(|first| Seq(first.unsigned_abs())))
            .map_err(self.database.failed("read the journal"))
    }

    /// Gives every group to `visit`, in order, until it breaks; of one that is damaged, what is wrong.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn visit(
        &self,
        visit: &mut dyn FnMut(Seq, Checked<'_>) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        (|| {
            let mut select = self
                .database
                .connection
                .prepare("SELECT seq, version, crc, batch FROM journal WHERE seq > 0 ORDER BY seq")?;
            let mut rows = select.query([])?;
            while let Some(row) = rows.next()? {
                let seq = Seq(row.get::<_, i64>(0)?.unsigned_abs());
                let batch = row.get_ref(3)?.as_blob().unwrap_or_default();
                let checked = check_row(seq, (row.get(1)?, row.get(2)?), batch).map(|()| batch);
                if visit(seq, checked).is_break() {
                    break;
                }
            }
            Ok(())
        })()
        .map_err(self.database.failed("read the journal"))
    }
}

fn copy_files(from: &Path, to: &Path) -> io::Result<()> {
    for _ in 0..TRIES {
        let before = log_header(&log_of(from))?;
        fs::copy(from, to)?;
        match fs::copy(log_of(from), log_of(to)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        if log_header(&log_of(from))? == before {
            return Ok(());
        }
    }
    Err(io::Error::other("it is written faster than it can be copied; try again when less comes in"))
}

/// The beginning of a log; none when there is no log, or nothing in it.
fn log_header(log: &Path) -> io::Result<Option<[u8; LOG_HEADER_BYTES]>> {
    let mut header = [0; LOG_HEADER_BYTES];
    match File::open(log).and_then(|mut file| file.read_exact(&mut header)) {
        Ok(()) => Ok(Some(header)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
