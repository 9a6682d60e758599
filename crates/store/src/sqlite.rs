//! What both files need of SQLite: opening, whose file it is, and its schema version.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::error::StoreError;

/// An open database and the name by which its errors call it.
#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) connection: Connection,
    pub(crate) path: PathBuf,
}

/// Whose file it is and what its tables look like.
pub(crate) struct Schema {
    /// What the file is called in errors.
    pub(crate) kind: &'static str,
    /// SQLite's `application_id`, which tells our files from others'.
    pub(crate) application_id: i32,
    /// Step `n` leads from version `n` to version `n + 1`; a new file takes them all.
    pub(crate) steps: &'static [&'static str],
}

impl Database {
    pub(crate) fn open(path: &Path, kind: &'static str, flags: OpenFlags) -> Result<Self, StoreError> {
        Self::connect(path, flags)?.checked(kind)
    }

    /// The same for this process alone: nothing is shared with others, so there is no file for it. It is said
    /// before anything is read, because reading would make that file.
    pub(crate) fn open_exclusive(
        path: &Path,
        kind: &'static str,
        flags: OpenFlags,
    ) -> Result<Self, StoreError> {
        let database = Self::connect(path, flags)?;
        database.execute("set the file up", "PRAGMA locking_mode = EXCLUSIVE")?;
        database.checked(kind)
    }

    fn connect(path: &Path, flags: OpenFlags) -> Result<Self, StoreError> {
        let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)
            .map_err(|error| StoreError::from_sqlite(path, "open the file", error))?;
        connection.set_prepared_statement_cache_capacity(32);
        Ok(Self { connection, path: path.to_owned() })
    }

    fn checked(self, kind: &'static str) -> Result<Self, StoreError> {
        let database = self;
        match database.pragma("schema_version") {
            Err(StoreError::Corrupt { path, detail }) if !is_sqlite(&path) => {
                Err(StoreError::Foreign { path, expected: kind, found: detail })
            }
            other => other.map(|_| database),
        }
    }

    /// Says which file a failure was in and what it stopped.
    pub(crate) fn failed(&self, action: &'static str) -> impl FnOnce(rusqlite::Error) -> StoreError {
        let path = self.path.clone();
        move |error| StoreError::from_sqlite(&path, action, error)
    }

    pub(crate) fn execute(&self, action: &'static str, sql: &str) -> Result<(), StoreError> {
        self.connection.execute_batch(sql).map_err(self.failed(action))
    }

    /// The value of an integer pragma.
    pub(crate) fn pragma(&self, name: &str) -> Result<i64, StoreError> {
        self.connection
            .pragma_query_value(None, name, |row| row.get(0))
            .map_err(self.failed("read the file's header"))
    }

    /// Refuses files of others and of newer versions; brings a new or older one to the newest version, all
    /// or nothing.
    pub(crate) fn migrate(&self, schema: &Schema) -> Result<(), StoreError> {
        let version = self.version(schema)?;
        if version == schema.steps.len() {
            return Ok(());
        }
        let (steps, id, newest) =
            (schema.steps[version..].concat(), schema.application_id, schema.steps.len());
        let script = format!(
            "BEGIN IMMEDIATE;\n{steps}\n\
             PRAGMA application_id = {id};\nPRAGMA user_version = {newest};\nCOMMIT;"
        );
        let migrated = self.execute("bring the file to this version's schema", &script);
        if migrated.is_err() {
            self.roll_back();
        }
        migrated
    }

    /// The file's version: 0 for an empty file.
    pub(crate) fn version(&self, schema: &Schema) -> Result<usize, StoreError> {
        let (found, id) = (self.pragma("user_version")?, self.pragma("application_id")?);
        let untouched = found == 0 && id == 0 && self.pragma("schema_version")? == 0;
        if !untouched && id != i64::from(schema.application_id) {
            return Err(StoreError::Foreign {
                path: self.path.clone(),
                expected: schema.kind,
                found: format!("an SQLite file with application_id {id}"),
            });
        }
        match usize::try_from(found) {
            Ok(version) if version <= schema.steps.len() => Ok(version),
            _ => Err(StoreError::Newer {
                path: self.path.clone(),
                found,
                supported: i64::try_from(schema.steps.len()).unwrap_or(i64::MAX),
            }),
        }
    }

    /// Leaves a transaction that a failed statement left open, so that the next call starts clean.
    pub(crate) fn roll_back(&self) {
        if !self.connection.is_autocommit() {
            // When the rollback fails too, SQLite has already left the transaction or does so at the next
            // statement.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
    }

    /// Copies the write-ahead log into the file as far as no reader needs it; how many bytes the log now
    /// holds.
    pub(crate) fn checkpoint(&self, mode: &str) -> Result<u64, StoreError> {
        let outcome = self
            .connection
            .query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| row.get::<_, i64>(1));
        match outcome {
            Ok(frames) => Ok(u64::try_from(frames).unwrap_or(0) * self.pragma("page_size")?.unsigned_abs()),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => Ok(0),
            Err(error) => Err(self.failed("copy the write-ahead log into the file")(error)),
        }
    }
}

/// Whether a file begins as SQLite files do: damaged ones do, others' do not.
fn is_sqlite(path: &Path) -> bool {
    use std::io::Read;
    let mut head = [0; 16];
    std::fs::File::open(path)
        .and_then(|mut file| file.read_exact(&mut head))
        .is_ok_and(|()| head == *b"SQLite format 3\0")
}
