//! `spantally check`: are the configuration and the provider files good, and what do they hold?

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;

use super::{ConfigArgs, Exit, Failure, Format, Outcome, csv_cell, stdout};
use crate::config::Config;
use crate::provider_files::{ProviderFiles, ProviderSource};

/// Check the configuration and the provider files, and show what they hold.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// How to write the table of providers.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// One provider as the table shows it.
#[derive(Debug, Serialize)]
struct Row {
    provider: String,
    title: String,
    /// `built-in`, or the file.
    from: String,
    hosts: usize,
    /// How many kinds of call it knows, by role.
    calls: BTreeMap<&'static str, usize>,
}

/// Loads everything that `serve` loads and opens nothing.
pub(super) fn run(args: &Args) -> Outcome {
    let config = args.config.load()?;
    let settings = &config.settings;
    let providers = ProviderFiles::load(settings.providers.directory.as_deref(), &settings.correlation)
        .map_err(Failure::usage)?;
    let rows: Vec<_> = providers.files.iter().map(row).collect();
    let mut out = stdout();
    match args.format {
        Format::Human => human(&mut out, &config, &rows)?,
        Format::Json => writeln!(out, "{}", json(&rows)?)?,
        Format::Jsonl => {
            for row in &rows {
                writeln!(out, "{}", json(row)?)?;
            }
        }
        Format::Csv => csv(&mut out, &rows)?,
    }
    out.flush()?;
    Ok(Exit::Success)
}

fn row(source: &ProviderSource) -> Row {
    let file = &source.loaded.file;
    let mut calls = BTreeMap::new();
    for call in &file.calls {
        *calls.entry(call.role.value.0.as_str()).or_default() += 1;
    }
    Row {
        provider: source.name().to_owned(),
        title: file.title.clone(),
        from: source.path.as_ref().map_or("built-in".to_owned(), |path| path.display().to_string()),
        hosts: file.hosts.len(),
        calls,
    }
}

fn json(value: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|error| Failure::failed(miette::miette!("{error}")))
}

fn calls_text(row: &Row) -> String {
    let parts: Vec<_> = row.calls.iter().map(|(role, count)| format!("{role} {count}")).collect();
    parts.join(", ")
}

fn human(out: &mut impl Write, config: &Config, rows: &[Row]) -> io::Result<()> {
    let settings = &config.settings;
    let listeners = [
        ("OTLP/gRPC", settings.receivers.grpc.as_ref().map(|grpc| &grpc.endpoint)),
        ("OTLP/HTTP", settings.receivers.http.as_ref().map(|http| &http.endpoint)),
        ("metrics and API", Some(&settings.admin.endpoint)),
    ];
    for (name, endpoint) in listeners {
        let endpoint = endpoint.map_or("off".to_owned(), ToString::to_string);
        writeln!(out, "{name:<16} {endpoint}")?;
    }
    writeln!(out, "{:<16} {}\n", "data directory", settings.storage.directory.display())?;
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(["provider", "from", "hosts", "calls"]);
    for row in rows {
        table.add_row([row.provider.clone(), row.from.clone(), row.hosts.to_string(), calls_text(row)]);
    }
    writeln!(out, "{table}\n")?;
    writeln!(out, "The configuration and {} provider files are good.", rows.len())
}

fn csv(out: &mut impl Write, rows: &[Row]) -> io::Result<()> {
    writeln!(out, "provider,title,from,hosts,calls")?;
    for row in rows {
        let cells = [&row.provider, &row.title, &row.from, &row.hosts.to_string(), &calls_text(row)];
        writeln!(out, "{}", cells.map(|cell| csv_cell(cell)).join(","))?;
    }
    Ok(())
}
