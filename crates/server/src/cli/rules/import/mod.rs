//! `spantally rules import`: prices of models that a provider file has none for, from another list.
//!
//! Two lists are read: LiteLLM's price map ([`litellm`]) and the data files of genai-prices
//! ([`genai_prices`]). What comes out is the provider file with the new tariffs in front of its own, each
//! price with its source and day ([`model`]): a text to read, to correct and to keep in a directory of your
//! own. What a list says of itself is checked: a media model that costs nothing, two prices for one thing,
//! a cache that is dearer than none, or a figure that cannot be kept exactly is refused and told.

mod genai_prices;
mod litellm;
mod model;

use std::io::{self, Write};
use std::path::PathBuf;

use jiff::civil::Date;
use serde_json::Value;
use spantally_price::RateCard;

use self::model::{Imported, List, with_tariffs};
use crate::cli::{ConfigArgs, Exit, Failure, Outcome, stdout};
use crate::provider_files::{ProviderFiles, ProviderSource};

const LITELLM: List = List {
    source: "imported_litellm",
    title: "LiteLLM's price map",
    url: "https://github.com/BerriAI/litellm/blob/main/model_prices_and_context_window.json",
};
const GENAI_PRICES: List = List {
    source: "imported_genai_prices",
    title: "genai-prices",
    url: "https://github.com/pydantic/genai-prices/tree/main/prices",
};

/// Write a provider file with the prices of another list for models that it has no price for.
///
/// FILE is LiteLLM's `model_prices_and_context_window.json`, or of genai-prices `data.json` or one provider's
/// YAML file. What is refused is told on standard error; then the exit code is 2.
#[derive(Debug, clap::Args)]
pub(super) struct ImportArgs {
    /// The list.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The provider whose file is written.
    #[arg(long)]
    provider: String,
    /// The day on which the list was fetched: prices without a day of their own hold from then on.
    #[arg(long, value_name = "DAY")]
    as_of: Date,
    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) fn run(args: &ImportArgs) -> Outcome {
    let settings = args.config.load()?.settings;
    let providers = ProviderFiles::load(settings.providers.directory.as_deref(), &settings.correlation)
        .map_err(Failure::usage)?;
    let Some(source) = providers.files.iter().find(|source| source.name() == args.provider) else {
        let names: Vec<_> = providers.files.iter().map(ProviderSource::name).collect();
        return Err(Failure::usage(miette::miette!(
            help = format!("one of {}", names.join(", ")),
            "--provider {}: no provider file has this name",
            args.provider
        )));
    };
    let failed = |error: &dyn std::fmt::Display| {
        Failure::failed(miette::miette!("cannot read {}: {error}", args.file.display()))
    };
    let text = std::fs::read_to_string(&args.file).map_err(|error| failed(&error))?;
    let value = parse(&text).map_err(|error| failed(&error))?;
    let (list, read) = read(&value, &args.provider, &source.loaded.card, args.as_of);
    let Some(all) = read else {
        return Err(Failure::usage(miette::miette!(
            help = "give the list that has the provider's prices",
            "--provider {}: {} has no prices for it",
            args.provider,
            list.title
        )));
    };
    let good: Vec<Imported> = all.iter().filter(|model| model.meters.is_ok()).cloned().collect();
    let mut out = stdout();
    out.write_all(with_tariffs(source.loaded.text(), &good, list, args.as_of).as_bytes())?;
    out.flush()?;
    let refused = tell(&mut io::stderr().lock(), &all);
    Ok(if refused == 0 { Exit::Success } else { Exit::Finding })
}

/// JSON is YAML too, but its own parser is much faster on files of megabytes.
fn parse(text: &str) -> Result<Value, String> {
    if text.trim_start().starts_with(['{', '[']) {
        return serde_json::from_str(text).map_err(|error| error.to_string());
    }
    serde_saphyr::from_str(text).map_err(|error| error.to_string())
}

/// Which list it is shows by its shape: genai-prices has lists of models, LiteLLM's map is one of models.
fn read(
    value: &Value,
    provider: &str,
    card: &RateCard,
    as_of: Date,
) -> (&'static List, Option<Vec<Imported>>) {
    match (value, &value["providers"], &value["models"]) {
        (Value::Array(providers), ..) | (_, Value::Array(providers), _) => {
            (&GENAI_PRICES, genai_prices::read(providers, provider, card, as_of))
        }
        (_, _, Value::Array(_)) => {
            (&GENAI_PRICES, genai_prices::read(std::slice::from_ref(value), provider, card, as_of))
        }
        _ => (&LITELLM, value.as_object().and_then(|map| litellm::read(map, provider, card))),
    }
}

/// Says what was refused and what is worth a look; how many were refused.
fn tell(err: &mut impl Write, all: &[Imported]) -> usize {
    let mut refused = 0;
    for model in all {
        // Nobody is left to tell when standard error is gone.
        if let Err(problem) = &model.meters {
            refused += 1;
            let _ = writeln!(err, "refused: {}: {problem}", model.name);
        }
        for note in &model.notes {
            let _ = writeln!(err, "note: {}: {note}", model.name);
        }
    }
    let _ = writeln!(err, "{} models imported, {refused} refused", all.len() - refused);
    refused
}
