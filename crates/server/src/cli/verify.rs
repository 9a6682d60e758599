//! `spantally verify`: do counters, ledger and evidence agree?

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use super::{ConfigArgs, Exit, Failure, Format, Outcome, csv_cell, stdout};
use crate::provider_files::ProviderFiles;
use crate::replay::report::count;
use crate::verify::{Checked, Found, Report, verify};

/// Work everything in a data directory out anew, and compare counters, ledger and evidence.
///
/// Exits with 2 when something differs. Give the configuration and the provider files that the server runs
/// with; it may run meanwhile, nothing is written. The journal is copied to the directory for temporary files
/// (TMPDIR).
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Data directory, or a copy of one [default: storage.directory].
    #[arg(long, value_name = "DIR")]
    ledger: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArgs,
    /// How to write what differs.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(args: &Args) -> Outcome {
    let settings = args.config.load()?.settings;
    let directory = args.ledger.as_ref().unwrap_or(&settings.storage.directory);
    let providers = ProviderFiles::load(settings.providers.directory.as_deref(), &settings.correlation)
        .map_err(Failure::usage)?;
    let cards = Arc::new(providers.cards(&settings.pricing));
    let report = verify(directory, &settings.stitching, &cards)
        .map_err(|error| Failure::failed(miette::miette!("{error}")))?;
    let mut out = stdout();
    match args.format {
        Format::Human => human(&mut out, &report)?,
        Format::Json => line(&mut out, &report)?,
        Format::Jsonl => report.differences.iter().try_for_each(|found| line(&mut out, found))?,
        Format::Csv => csv(&mut out, &report)?,
    }
    out.flush()?;
    Ok(if report.count == 0 { Exit::Success } else { Exit::Finding })
}

fn line(out: &mut impl Write, value: &impl serde::Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    writeln!(out)
}

fn human(out: &mut impl Write, report: &Report) -> io::Result<()> {
    let Checked { rows, removed_rows, charges, counters, spans, rebuilt_jobs } = report.checked;
    writeln!(
        out,
        "{} of the ledger with {}, {}, {}; {} made again from {}",
        count(rows, "row", "rows"),
        count(charges, "charge", "charges"),
        count(counters, "counter", "counters"),
        count(removed_rows, "removed row", "removed rows"),
        count(rebuilt_jobs, "job", "jobs"),
        count(spans, "span", "spans"),
    )?;
    if report.count == 0 {
        return writeln!(out, "everything agrees");
    }
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING).set_header(["kind", "where", "found", "expected"]);
    for Found { kind, at, found, expected } in &report.differences {
        table.add_row([kind, &**at, &**found, &**expected]);
    }
    writeln!(out, "\n{}\n", table.trim_fmt())?;
    let more = report.count - report.differences.len() as u64;
    let more = if more > 0 { format!(", {more} of them not shown") } else { String::new() };
    writeln!(out, "{}{more}", count(report.count, "difference", "differences"))
}

fn csv(out: &mut impl Write, report: &Report) -> io::Result<()> {
    writeln!(out, "kind,where,found,expected")?;
    for Found { kind, at, found, expected } in &report.differences {
        let cells = [kind, &**at, &**found, &**expected].map(csv_cell);
        writeln!(out, "{}", cells.join(","))?;
    }
    Ok(())
}
