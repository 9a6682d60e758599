//! `spantally export`: the ledger as files by day.

use std::io::Write;
use std::path::PathBuf;

use jiff::civil::Date;
use spantally_store::LedgerReader;

use super::{ConfigArgs, Exit, Failure, Outcome, stdout};
use crate::day_files::{Action, ExportOptions, Exported, FileFormat, Table, export};

/// Write the ledger to files by day: Parquet, CSV or JSON lines.
///
/// The files are DIR/TABLE/day=YYYY-MM-DD/TABLE.FORMAT, with a manifest beside them. A day that is over and
/// was written is not written again. The server may run meanwhile.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where to write; made if absent. Give the same directory each time.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Which tables: jobs, charges, attempts, calls.
    #[arg(
        long = "table",
        value_enum,
        value_delimiter = ',',
        value_name = "TABLE",
        default_values_t = [Table::Jobs, Table::Charges]
    )]
    tables: Vec<Table>,
    /// How.
    #[arg(long, value_enum, default_value_t)]
    format: FileFormat,
    /// First day, in UTC, by which revisions were settled.
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = day)]
    since: Option<u64>,
    /// Last day.
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = day)]
    until: Option<u64>,
    /// Data directory whose ledger is read [default: storage.directory].
    #[arg(long, value_name = "DIR")]
    ledger: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Days since 1970.
fn day(text: &str) -> Result<u64, String> {
    let expected = || "expected a day such as 2026-11-20".to_owned();
    let date: Date = text.parse().map_err(|_| expected())?;
    let days = date.since(Date::constant(1970, 1, 1)).map_err(|_| expected())?.get_days();
    u64::try_from(days).map_err(|_| expected())
}

pub(super) fn run(args: &Args) -> Outcome {
    let days = (args.since.unwrap_or(0), args.until.unwrap_or(u64::MAX));
    if days.0 > days.1 {
        return Err(Failure::usage(miette::miette!("--since is after --until: no day would be written")));
    }
    let directory = match &args.ledger {
        Some(directory) => directory.clone(),
        None => args.config.load()?.settings.storage.directory,
    };
    let ledger = LedgerReader::open(&directory).map_err(failed)?;
    let mut tables = args.tables.clone();
    tables.sort_unstable();
    tables.dedup();
    let options = ExportOptions { directory: args.out.clone(), tables, format: args.format, days };
    let mut out = stdout();
    let mut told = Told::default();
    export(&ledger, &options, |file| told.tell(&mut out, &file)).map_err(failed)?;
    told.end(&mut out)
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::failed(miette::miette!("{error}"))
}

/// What was said so far.
#[derive(Default)]
struct Told {
    files: usize,
    written: usize,
    rows: u64,
    replaced: usize,
    /// Standard output may be gone: the files are written all the same.
    failed: Option<std::io::Error>,
}

impl Told {
    /// A line for each file that was written; those that were there are only counted.
    fn tell(&mut self, out: &mut impl Write, file: &Exported) {
        self.files += 1;
        if file.action == Action::Kept {
            return;
        }
        self.written += 1;
        self.rows += file.rows;
        self.replaced += usize::from(file.action == Action::Replaced);
        let more = if file.is_complete { "" } else { ", more may come" };
        let Exported { path, rows, bytes, action, .. } = file;
        let written = writeln!(out, "{} {path}: {rows} rows, {bytes} bytes{more}", action.as_str());
        self.failed = self.failed.take().or(written.and_then(|()| out.flush()).err());
    }

    fn end(self, out: &mut impl Write) -> Outcome {
        if let Some(error) = self.failed {
            return Err(error.into());
        }
        let Self { files, written, rows, replaced, .. } = self;
        if files == 0 {
            writeln!(out, "the ledger has no rows of these days")?;
        } else {
            writeln!(out, "{written} of {files} files written, {rows} rows; the others are as they were")?;
        }
        out.flush()?;
        if replaced == 0 {
            return Ok(Exit::Success);
        }
        let note = format!(
            "{replaced} files had been written from rows that this ledger does not have; they were replaced"
        );
        // Nobody is left to tell when standard error is gone.
        let _ = writeln!(std::io::stderr(), "{note}");
        Ok(Exit::Finding)
    }
}

#[cfg(test)]
mod tests {
    use super::day;

    #[test]
    fn days_are_counted_from_1970() {
        for (text, expected) in [
            ("1970-01-01", Some(0)),
            ("2026-11-20", Some(20_777)),
            ("1969-12-31", None),
            ("2026-02-30", None),
            ("yesterday", None),
        ] {
            assert_eq!(day(text).ok(), expected, "{text}");
        }
    }
}
