//! `spantally check`: are the configuration and the provider files good, and what do they hold?

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;
use spantally_providers::rates::{ChargeWord, RatesSection, Voice};
use spantally_stitch::UnixNanos;
use spantally_store::DAY_NANOS;

use super::policy_table::{self, Cell};
use super::{ConfigArgs, Exit, Failure, Format, Outcome, csv_cell, stdout};
use crate::clock;
use crate::config::Config;
use crate::consistency;
use crate::job_json::Rfc3339;
use crate::memory::{Part, WorstCase, mib};
use crate::provider_files::ProviderSource;
use crate::setup::Setup;

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
    /// What a job costs that did not simply succeed.
    costs: Vec<Cell>,
    /// Models that the provider does not serve any more, with their last day.
    retired: Vec<Retired>,
    /// What is good enough to run with and still worth a look.
    lints: Vec<String>,
}

/// Models that are gone.
#[derive(Debug, Serialize)]
struct Retired {
    models: Vec<String>,
    since: String,
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
    /// How long ago that was.
    age_days: Option<u64>,
}

/// How many policy rows a file has: what is charged for which end.
#[derive(Debug, Default, Serialize)]
struct Policies {
    /// With a source.
    documented: usize,
    /// Not documented anywhere: such an end costs between nothing and all.
    unknown: usize,
}

/// Makes everything that `serve` makes, and neither listens nor writes.
pub(super) fn run(args: &Args) -> Outcome {
    let config = args.config.load()?;
    let setup = Setup::of(&config).map_err(Failure::usage)?;
    let rows: Vec<_> = setup.providers.files.iter().map(row).collect();
    let mut findings = consistency::worth_a_look(&config.settings);
    findings.extend(setup.unknown_names.iter().map(ToString::to_string));
    if args.format != Format::Human {
        // The table is of providers. Nobody is left to tell when standard error is gone.
        let mut err = io::stderr().lock();
        for finding in &findings {
            let _ = writeln!(err, "warning: {finding}");
        }
    }
    let mut out = stdout();
    match args.format {
        Format::Human => human(&mut out, &config, (&rows, &findings))?,
        Format::Json => writeln!(out, "{}", json(&rows)?)?,
        Format::Jsonl => {
            for row in &rows {
                writeln!(out, "{}", json(row)?)?;
            }
        }
        Format::Csv => csv(&mut out, &rows)?,
    }
    out.flush()?;
    let has_findings = !findings.is_empty() || rows.iter().any(|row| !row.lints.is_empty());
    Ok(if has_findings { Exit::Finding } else { Exit::Success })
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
        costs: policy_table::cells(source),
        retired: retired(&file.rates),
        lints: source.loaded.lints().iter().map(ToString::to_string).collect(),
    }
}

fn retired(rates: &RatesSection) -> Vec<Retired> {
    let tariffs = rates.tariffs.iter().filter_map(|tariff| Some((tariff, tariff.retired?)));
    let retired = tariffs.map(|(tariff, since)| Retired {
        models: tariff.models.value.iter().map(|model| model.value.clone()).collect(),
        since: day(since.0),
    });
    retired.collect()
}

fn day(at: UnixNanos) -> String {
    Rfc3339(at).to_string().chars().take(10).collect()
}

fn prices(source: &ProviderSource) -> Prices {
    let rates = &source.loaded.file.rates;
    let is_third_party =
        |key: &str| rates.sources.get(key).is_some_and(|source| source.confidence == Voice::ThirdParty);
    let mut found = Prices {
        as_of: source.loaded.card.as_of().map(day),
        age_days: source.loaded.card.as_of().map(|day| clock::now().0.saturating_sub(day.0) / DAY_NANOS),
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

fn human(out: &mut impl Write, config: &Config, (rows, findings): (&[Row], &[String])) -> io::Result<()> {
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
    memory_table(out, config)?;
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(HEADER);
    for row in rows {
        table.add_row(cells(row));
    }
    writeln!(out, "{}\n", table.trim_fmt())?;
    policy_table::human(out, rows.iter().map(|row| (row.provider.as_str(), row.costs.as_slice())))?;
    for (row, retired) in rows.iter().flat_map(|row| row.retired.iter().map(move |retired| (row, retired))) {
        let models: Vec<_> = retired.models.iter().filter(|model| !model.is_empty()).cloned().collect();
        writeln!(out, "{}: {} not served since {}", row.provider, models.join(", "), retired.since)?;
    }
    for lint in findings.iter().chain(rows.iter().flat_map(|row| &row.lints)) {
        writeln!(out, "worth a look: {lint}")?;
    }
    writeln!(out, "The configuration and {} provider files are good.", rows.len())
}

/// What the limits come to.
fn memory_table(out: &mut impl Write, config: &Config) -> io::Result<()> {
    let worst = WorstCase::of(&config.settings);
    writeln!(out, "{:<16} at most {} if every limit is used up at once:", "memory", mib(worst.total()))?;
    for Part { what, setting, bytes } in &worst.parts {
        writeln!(
            out,
            "{:>16} {what}{}",
            mib(*bytes),
            setting.map(|key| format!(" ({key})")).unwrap_or_default()
        )?;
    }
    writeln!(out)
}

fn csv(out: &mut impl Write, rows: &[Row]) -> io::Result<()> {
    writeln!(out, "{}", HEADER.join(","))?;
    for row in rows {
        writeln!(out, "{}", cells(row).map(|cell| csv_cell(&cell).into_owned()).join(","))?;
    }
    Ok(())
}

const HEADER: [&str; 10] = [
    "provider",
    "from",
    "calls",
    "prices",
    "third-party prices",
    "unpriced meters",
    "prices as of",
    "days ago",
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
        prices.age_days.map(|days| days.to_string()).unwrap_or_default(),
        policies.documented.to_string(),
        policies.unknown.to_string(),
    ]
}
