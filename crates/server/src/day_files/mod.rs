//! The ledger as files by day, for warehouses and notebooks: what `spantally export` writes.
//!
//! `OUT/charges/day=2026-11-20/charges.parquet`: the layout that DuckDB, Spark, pyarrow and others read as
//! one table with a column `day`. A day is the UTC day on which a revision was settled, as in
//! [`spantally_store::DayRows`]: so a day that is over never changes, and late evidence comes out as rows of
//! a later day, charges as differences. Which day a job was started on is a column.
//!
//! **Restartable.** Each file is written beside its place and then put there; the manifest ([`manifest`])
//! says from which rows of the ledger. A run writes what is missing, what was not over when it was written
//! and has grown, and what does not agree with the ledger, which it tells as a finding; nothing else. The
//! ledger is only read, a day at a time, while the server may write it.
//!
//! Files: [`table`] (what is in them), [`text`] and [`columnar`] (how).

mod columnar;
mod manifest;
mod table;
#[cfg(test)]
mod tests;
mod text;

use std::fs::{self, File, TryLockError};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use rust_decimal::Decimal;
use spantally_stitch::UnixNanos;
use spantally_store::{DAY_NANOS, DayRows, LedgerReader, StoreError};

use self::columnar::ParquetFile;
use self::manifest::{Entry, Manifest, job_ids, replace};
pub use self::table::Table;
use self::table::{Cell, Column};
use crate::job_json::Rfc3339;

/// How a file is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum FileFormat {
    /// Parquet, compressed with Zstandard.
    #[default]
    Parquet,
    /// Comma-separated values with a header line.
    Csv,
    /// One JSON object a line.
    Jsonl,
}

impl FileFormat {
    /// Its name, also the end of its files' names.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Csv => "csv",
            Self::Jsonl => "jsonl",
        }
    }
}

/// Why an export stopped. What was written before stays, and the next run goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] StoreError),
    /// A file or the directory.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        source: io::Error,
    },
    /// Writing what a file holds.
    #[error("cannot write: {0}")]
    Write(#[from] io::Error),
    /// Another export writes there.
    #[error("{path}: another export is writing there", path = path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// Parquet.
    #[error("cannot write Parquet: {0}")]
    Parquet(#[from] parquet::errors::ParquetError),
    /// A number has more digits than the columns of Parquet have.
    #[error("{column} is {value}: ten billion or more does not fit DECIMAL(38, 28); export as csv or jsonl")]
    TooLarge {
        /// The column.
        column: &'static str,
        /// The number.
        value: Decimal,
    },
    /// A cell is not of its column's kind, which is a mistake of ours.
    #[error("column {column} cannot hold {cell}; this is a bug, please report it")]
    Cell {
        /// The column.
        column: &'static str,
        /// The cell.
        cell: String,
    },
    /// A job's document is damaged.
    #[error("the document of job {job:032x} is not as expected: {source}; run `spantally verify`")]
    Document {
        /// The job.
        job: u128,
        /// What is wrong.
        source: serde_json::Error,
    },
}

/// What to write, and where.
#[derive(Clone, Debug)]
pub struct ExportOptions {
    /// The directory of the files; made if absent.
    pub directory: PathBuf,
    /// Which tables.
    pub tables: Vec<Table>,
    /// How.
    pub format: FileFormat,
    /// First and last day, as days since 1970.
    pub days: (u64, u64),
}

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It was there and is right.
    Kept,
    /// It was not there.
    Written,
    /// It was there, of a day that was not over, and more rows had come.
    Extended,
    /// It was there, and the ledger does not have what it was written from.
    Replaced,
}

impl Action {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Written => "written",
            Self::Extended => "extended",
            Self::Replaced => "replaced",
        }
    }
}

/// One file of a run.
#[derive(Clone, Debug)]
pub struct Exported {
    /// The day, as `2026-11-20`.
    pub day: String,
    /// The table.
    pub table: Table,
    /// Where it is, in the directory.
    pub path: String,
    /// Rows in it.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// Whether its day is over.
    pub is_complete: bool,
    /// What was done.
    pub action: Action,
}

/// Writes what is not written yet; tells of every file, also of those that were.
///
/// # Errors
/// The ledger cannot be read, a file cannot be written.
pub fn export(
    ledger: &LedgerReader,
    options: &ExportOptions,
    mut tell: impl FnMut(Exported),
) -> Result<(), ExportError> {
    let directory = &options.directory;
    let failed = |source| ExportError::File { path: directory.clone(), source };
    fs::create_dir_all(directory).map_err(failed)?;
    let _lock = lock(directory)?;
    let mut manifest = Manifest::read(directory).map_err(failed)?;
    let told_until = ledger.number(crate::core::checkpoint::TURN_META)?;
    for day in ledger.days(told_until)? {
        if !(options.days.0..=options.days.1).contains(&day.day) {
            continue;
        }
        for &table in &options.tables {
            let (entry, action) = one(ledger, options, &manifest, &day, table)?;
            tell(Exported {
                day: entry.day.clone(),
                table,
                path: entry.path.clone(),
                rows: entry.rows,
                bytes: entry.bytes,
                is_complete: entry.is_complete,
                action,
            });
            if manifest.find((&entry.table, &entry.day, &entry.format)) != Some(&entry) {
                manifest.set(entry);
                manifest.write(directory).map_err(failed)?;
            }
        }
    }
    Ok(())
}

fn lock(directory: &Path) -> Result<File, ExportError> {
    let path = directory.join(".lock");
    let failed = |source| ExportError::File { path: path.clone(), source };
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(ExportError::InUse { path: directory.to_owned() }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// `2026-11-20`.
pub(crate) fn day_text(day: u64) -> String {
    Rfc3339(UnixNanos(day * DAY_NANOS)).to_string().chars().take(10).collect()
}

/// One day of one table: what the manifest says of it from now on.
fn one(
    ledger: &LedgerReader,
    options: &ExportOptions,
    manifest: &Manifest,
    day: &DayRows,
    table: Table,
) -> Result<(Entry, Action), ExportError> {
    let (text, format) = (day_text(day.day), options.format.as_str());
    let known = manifest.find((table.as_str(), &text, format));
    let action = match known {
        None => Action::Written,
        Some(entry) if !is_there(&options.directory, entry) => Action::Written,
        Some(entry) if entry.is_of(day) => {
            let entry = Entry { is_complete: entry.is_complete || is_whole(day), ..entry.clone() };
            return Ok((entry, Action::Kept));
        }
        Some(entry) if !entry.is_complete && entry.is_beginning_of(day) => Action::Extended,
        Some(_) => Action::Replaced,
    };
    let name = table.as_str();
    let path = format!("{name}/day={text}/{name}.{format}");
    let to = options.directory.join(&path);
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).map_err(|source| ExportError::File { path: parent.into(), source })?;
    }
    let mut rows = 0;
    replace(&options.directory, &to, |file| write(ledger, (day, table, options.format), file, &mut rows))?;
    let bytes = fs::metadata(&to).map_err(|source| ExportError::File { path: to, source })?.len();
    let entry = Entry {
        table: name.to_owned(),
        day: text,
        format: format.to_owned(),
        path,
        rows,
        bytes,
        is_complete: is_whole(day),
        ledger_rows: [day.rows.0, day.rows.1],
        ledger_jobs: job_ids(day),
    };
    Ok((entry, action))
}

/// Whether a file of the day has all there ever will be.
fn is_whole(day: &DayRows) -> bool {
    day.is_over && !day.is_cut
}

fn is_there(directory: &Path, entry: &Entry) -> bool {
    fs::metadata(directory.join(&entry.path)).is_ok_and(|found| found.len() == entry.bytes)
}

fn write(
    ledger: &LedgerReader,
    (day, table, format): (&DayRows, Table, FileFormat),
    file: File,
    rows: &mut u64,
) -> Result<File, ExportError> {
    let columns = table.columns();
    let mut out = BufWriter::with_capacity(1 << 20, file);
    match format {
        FileFormat::Parquet => {
            let mut parquet = ParquetFile::new(out, columns)?;
            each(ledger, day, table, rows, |cells| parquet.row(cells))?;
            out = parquet.finish()?;
        }
        FileFormat::Csv => {
            text::csv_header(&mut out, columns)?;
            each(ledger, day, table, rows, |cells| Ok(text::csv_row(&mut out, cells)?))?;
        }
        FileFormat::Jsonl => {
            each(ledger, day, table, rows, |cells| Ok(text::json_row(&mut out, columns, cells)?))?;
        }
    }
    out.flush()?;
    out.into_inner().map_err(|error| error.into_error().into())
}

fn each(
    ledger: &LedgerReader,
    day: &DayRows,
    table: Table,
    rows: &mut u64,
    mut take: impl FnMut(&[Cell]) -> Result<(), ExportError>,
) -> Result<(), ExportError> {
    table.read(ledger, day.rows, &mut |cells| {
        *rows += 1;
        take(cells)
    })
}

/// Names of a table's columns, for the documentation and its test.
pub fn column_names(table: Table) -> impl Iterator<Item = &'static str> {
    table.columns().iter().map(|column: &Column| column.name)
}
