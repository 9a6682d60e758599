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
//! ledger is only read, a day at a time and each as it was at one moment, while the server may write it.
//!
//! **Nothing that was written is given up.** Where the ledger's retention has removed rows of a day that was
//! written before it was over, the file stays, and what came since is a further file beside it
//! (`charges-2.parquet`).
//!
//! Files: [`table`] (what is in them), [`text`] and [`columnar`] (how).

mod columnar;
mod error;
mod labels;
mod manifest;
mod table;
#[cfg(test)]
mod tests;
mod text;

use std::fs::{self, File, TryLockError};
use std::io::{BufWriter, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use spantally_stitch::UnixNanos;
use spantally_store::{DAY_NANOS, DayRows, LedgerReader, StoreError};

use self::columnar::ParquetFile;
pub use self::error::ExportError;
use self::manifest::{Entry, Manifest, Part, job_ids, job_text, replace};
use self::table::Cell;
pub use self::table::Table;
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
    /// Others of its day were there, with rows that the ledger has not any more: it has what came since.
    Appended,
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
            Self::Appended => "appended",
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
/// The ledger cannot be read, a file cannot be written. What one file alone cannot have ends nothing else:
/// it is told when the others are written.
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
    let mut left_out = Vec::new();
    for day in ledger.days(0)? {
        if !(options.days.0..=options.days.1).contains(&day.day) {
            continue;
        }
        // Since it was listed rows may have come or gone: all that is said and written of it is of now.
        let _moment = ledger.hold()?;
        let told_until = ledger.number(crate::core::checkpoint::TURN_META)?;
        let Some(day) = ledger.day(day.day, told_until)? else { continue };
        for &table in &options.tables {
            let (entry, action) = match one(ledger, options, &manifest, &day, table) {
                Err(problem) if problem.is_of_one_file() => {
                    left_out.push((file_path(&day, table, options.format), problem));
                    continue;
                }
                made => made?,
            };
            let (path, rows, bytes) = entry.newest();
            let (day, path, is_complete) = (entry.day.clone(), path.to_owned(), entry.is_complete);
            tell(Exported { day, table, path, rows, bytes, is_complete, action });
            if manifest.find((&entry.table, &entry.day, &entry.format)) != Some(&entry) {
                manifest.set(entry);
                manifest.write(directory).map_err(failed)?;
            }
        }
    }
    ExportError::left_out(left_out)
}

/// Where the first file of a day of a table is, in the directory.
fn file_path(day: &DayRows, table: Table, format: FileFormat) -> String {
    let (day, name, format) = (day_text(day.day), table.as_str(), format.as_str());
    format!("{name}/day={day}/{name}.{format}")
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
    let there = known.and_then(|entry| entry.that_is_there(&options.directory));
    let action = match there {
        // A run that was ended between a file and the list of files, and a retention since.
        None if known
            .is_some_and(|entry| entry.has_what_is_gone(day) && entry.any_is_there(&options.directory)) =>
        {
            return Err(ExportError::Altered);
        }
        None => Action::Written,
        Some(entry) if entry.is_of(day) => {
            let has_all = entry.has_all_before || !day.is_cut;
            let is_complete = entry.is_complete || (day.is_over && has_all);
            return Ok((Entry { is_complete, has_all_before: has_all, ..entry }, Action::Kept));
        }
        Some(entry) if !entry.is_complete && is_continued(ledger, &entry, day)? => {
            let entry = append(ledger, options, day, table, entry)?;
            remove_parts(options, known, &entry)?;
            return Ok((entry, Action::Appended));
        }
        Some(entry) if !entry.is_complete && entry.is_beginning_of(day) => Action::Extended,
        Some(_) => Action::Replaced,
    };
    let name = table.as_str();
    let path = file_path(day, table, options.format);
    let (rows, bytes) = place(ledger, options, &path, (day.rows, table))?;
    let entry = Entry {
        table: name.to_owned(),
        day: text,
        format: format.to_owned(),
        path,
        rows,
        bytes,
        is_complete: day.is_over && !day.is_cut,
        ledger_rows: [day.rows.0, day.rows.1],
        ledger_jobs: job_ids(day),
        has_all_before: !day.is_cut,
        parts: Vec::new(),
    };
    remove_parts(options, known, &entry)?;
    Ok((entry, action))
}

/// Whether a file has rows that the ledger has not any more, and the ledger goes on where it ends. Where
/// even that row is gone nothing tells one ledger from another: it is kept.
fn is_continued(ledger: &LedgerReader, entry: &Entry, day: &DayRows) -> Result<bool, StoreError> {
    let (row, job) = entry.end();
    if !entry.has_what_is_gone(day) || row >= day.rows.1 {
        return Ok(false);
    }
    let mut is_same = row < day.rows.0;
    ledger.visit_jobs((row, row), false, |_, found| {
        is_same = job == job_text(found.job_id);
        ControlFlow::Break(())
    })?;
    Ok(is_same)
}

/// Writes what came since into a further file.
fn append(
    ledger: &LedgerReader,
    options: &ExportOptions,
    day: &DayRows,
    table: Table,
    mut entry: Entry,
) -> Result<Entry, ExportError> {
    let next = entry.end().0 + 1;
    let from = next.max(day.rows.0);
    let (name, number, format) = (table.as_str(), entry.parts.len() + 2, options.format.as_str());
    let path = format!("{name}/day={}/{name}-{number}.{format}", entry.day);
    let (rows, bytes) = place(ledger, options, &path, ((from, day.rows.1), table))?;
    entry.has_all_before &= from == next;
    entry.is_complete = day.is_over && entry.has_all_before;
    entry.parts.push(Part { path, rows, bytes, last_row: day.rows.1, last_job: job_text(day.jobs.1) });
    Ok(entry)
}

/// Removes the further files that an entry had and has not any more: what they had is in the others.
fn remove_parts(options: &ExportOptions, before: Option<&Entry>, now: &Entry) -> Result<(), ExportError> {
    for part in before.into_iter().flat_map(|entry| &entry.parts) {
        let path = options.directory.join(&part.path);
        if now.parts.iter().any(|kept| kept.path == part.path) || !path.exists() {
            continue;
        }
        fs::remove_file(&path).map_err(|source| ExportError::File { path, source })?;
    }
    Ok(())
}

/// Writes a file and puts it in its place: its rows and bytes.
fn place(
    ledger: &LedgerReader,
    options: &ExportOptions,
    path: &str,
    (range, table): ((u64, u64), Table),
) -> Result<(u64, u64), ExportError> {
    let to = options.directory.join(path);
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).map_err(|source| ExportError::File { path: parent.into(), source })?;
    }
    let mut rows = 0;
    replace(&options.directory, &to, |file| write(ledger, (range, table, options.format), file, &mut rows))?;
    let bytes = fs::metadata(&to).map_err(|source| ExportError::File { path: to, source })?.len();
    Ok((rows, bytes))
}

fn write(
    ledger: &LedgerReader,
    (range, table, format): ((u64, u64), Table, FileFormat),
    file: File,
    rows: &mut u64,
) -> Result<File, ExportError> {
    let columns = table.columns();
    let mut out = BufWriter::with_capacity(1 << 20, file);
    match format {
        FileFormat::Parquet => {
            let mut parquet = ParquetFile::new(out, columns)?;
            each(ledger, range, table, rows, |cells| parquet.row(cells))?;
            out = parquet.finish()?;
        }
        FileFormat::Csv => {
            text::csv_header(&mut out, columns)?;
            each(ledger, range, table, rows, |cells| Ok(text::csv_row(&mut out, cells)?))?;
        }
        FileFormat::Jsonl => {
            each(ledger, range, table, rows, |cells| Ok(text::json_row(&mut out, columns, cells)?))?;
        }
    }
    out.flush()?;
    out.into_inner().map_err(|error| error.into_error().into())
}

fn each(
    ledger: &LedgerReader,
    (first, last): (u64, u64),
    table: Table,
    rows: &mut u64,
    mut take: impl FnMut(&[Cell]) -> Result<(), ExportError>,
) -> Result<(), ExportError> {
    let found = table.read(ledger, (first, last), &mut |cells| {
        *rows += 1;
        take(cells)
    })?;
    if found == last + 1 - first { Ok(()) } else { Err(ExportError::Rows { first, last, found }) }
}
