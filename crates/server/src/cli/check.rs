//! `spantally check`: are the configuration and the provider files good, and what do they hold?

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;
use spantally_providers::rates::{ChargeWord, RatesSection, Voice};

use super::{ConfigArgs, Exit, Failure, Format, Outcome, csv_cell, stdout};
use crate::config::Config;
use crate::job_json::Rfc3339;
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
    prices: Prices,
    policies: Policies,
}

/// How many prices a file has, and from whom.
#[derive(Debug, Default, Serialize)]
struct Prices {
    /// From the provider itself.
    documented: usize,
    /// From somebody else's list.
    third_party: usize,
    /// Meters without any price: their units are counted, without money.
    unpriced_meters: usize,
    /// The day on which the oldest price was read.
    as_of: Option<String>,
}

/// How many policy rows a file has: what is charged for which end.
#[derive(Debug, Default, Serialize)]
struct Policies {
    /// With a source.
    documented: usize,
    /// Not documented anywhere: such an end costs between nothing and all.
    unknown: usize,
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
        prices: prices(source),
        policies: policies(&file.rates),
    }
}

fn prices(source: &ProviderSource) -> Prices {
    let rates = &source.loaded.file.rates;
    let is_third_party =
        |key: &str| rates.sources.get(key).is_some_and(|source| source.confidence == Voice::ThirdParty);
    let mut found = Prices {
        as_of: source.loaded.card.as_of().map(|day| Rfc3339(day).to_string().chars().take(10).collect()),
        ..Prices::default()
    };
    for meter in rates.tariffs.iter().flat_map(|tariff| &tariff.meters) {
        let third_party =
            meter.prices.iter().filter(|price| is_third_party(&price.value.source.value)).count();
        found.third_party += third_party;
        found.documented += meter.prices.len() - third_party;
        found.unpriced_meters += usize::from(meter.prices.is_empty());
    }
    found
}

fn policies(rates: &RatesSection) -> Policies {
    let rows = rates.policy.iter().chain(rates.tariffs.iter().flat_map(|tariff| &tariff.policy));
    let (unknown, documented): (Vec<_>, Vec<_>) =
        rows.partition(|row| row.charge.value.0 == ChargeWord::Unknown);
    Policies { documented: documented.len(), unknown: unknown.len() }
}

fn json(value: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|error| Failure::failed(miette::miette!("{error}")))
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
    table.set_header(HEADER);
    for row in rows {
        table.add_row(cells(row));
    }
    writeln!(out, "{}\n", table.trim_fmt())?;
    writeln!(out, "The configuration and {} provider files are good.", rows.len())
}

fn csv(out: &mut impl Write, rows: &[Row]) -> io::Result<()> {
    writeln!(out, "{}", HEADER.join(","))?;
    for row in rows {
        writeln!(out, "{}", cells(row).map(|cell| csv_cell(&cell).into_owned()).join(","))?;
    }
    Ok(())
}

const HEADER: [&str; 9] = [
    "provider",
    "from",
    "calls",
    "prices",
    "third-party prices",
    "unpriced meters",
    "prices as of",
    "policies",
    "unknown policies",
];

fn cells(row: &Row) -> [String; HEADER.len()] {
    let (prices, policies) = (&row.prices, &row.policies);
    [
        row.provider.clone(),
        row.from.clone(),
        row.calls.values().sum::<usize>().to_string(),
        prices.documented.to_string(),
        prices.third_party.to_string(),
        prices.unpriced_meters.to_string(),
        prices.as_of.clone().unwrap_or_default(),
        policies.documented.to_string(),
        policies.unknown.to_string(),
    ]
}
