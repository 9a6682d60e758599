//! `spantally reprice`: a recording or a ledger under other provider files. Which jobs would cost
//! something else, and how much?
//!
//! The jobs are those that the configured files find, or found when they were booked; only their money is
//! computed again, by the rates of the other directory. So a line is about one job, and a difference is about
//! prices and policies alone. What a ledger keeps of a job is enough for nearly every price ([`ledger`]).
//!
//! A job that has a price on one side only has no difference: what is not known is not zero. Such jobs are
//! told apart and are in no sum.

mod ledger;
mod shown;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rust_decimal::Decimal;
use serde::Serialize;
use spantally_price::{Bill, Bound, Cards, bill};
use spantally_providers::CorrelationConfig;

use super::job_doc::JobDoc;
use super::{ConfigArgs, Exit, Failure, Format, Outcome, job_source, replay, stdout};
use crate::core::Settled;
use crate::provider_files::{ProviderFiles, ProviderFilesError};

/// Price recorded or booked jobs by other provider files, and show which of them change and by how much.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Recordings, as `replay` reads them; `-` is standard input.
    #[arg(value_name = "FILE", required_unless_present = "ledger", conflicts_with = "ledger")]
    files: Vec<PathBuf>,
    /// Data directory whose settled jobs are priced again, beside a server or without one; nothing is
    /// changed.
    #[arg(long, value_name = "DIR")]
    ledger: Option<PathBuf>,
    /// Directory of the other provider files; the built-in ones stand for the providers that it lacks.
    #[arg(long, value_name = "DIR")]
    with: PathBuf,
    #[command(flatten)]
    config: ConfigArgs,
    /// Jobs that are listed for people, those with the largest difference first.
    #[arg(long, default_value_t = 20)]
    limit: usize,
    /// How to write it: a report, one document, or one job a line.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// What jobs cost before, and by the other files.
#[derive(Debug, Default, Serialize)]
struct Report {
    jobs: usize,
    /// Jobs that would cost something else; those of `price_lost` and `price_found` are not among them.
    changed: usize,
    /// Jobs that cannot be priced again, which are in no sum.
    skipped: Vec<Skipped>,
    /// Jobs with an attempt that has a price before and none after, by reason; they are in no sum.
    price_lost: BTreeMap<String, Apart>,
    /// Jobs with an attempt that has a price after and none before, by the reason before; they are in no sum.
    price_found: BTreeMap<String, Apart>,
    /// Sums by currency over the jobs whose attempts have a price on both sides, or on neither.
    totals: BTreeMap<Arc<str>, Repriced>,
    /// Sums by provider, model and currency over the jobs that cost something else.
    models: Vec<ModelRow>,
    /// The jobs that change, the largest difference first; one whose price is lost or found stands where its
    /// known figure belongs.
    changes: Vec<Change>,
}

/// Jobs that have a price on one side only.
#[derive(Debug, Default, Serialize)]
struct Apart {
    jobs: usize,
    /// What they cost on that side, by currency.
    cost: BTreeMap<Arc<str>, Figures>,
}

/// A job that cannot be priced again, and why.
#[derive(Debug, Serialize)]
struct Skipped {
    job_id: String,
    reason: String,
}

/// What a job cost before: by the files in force, or as it was booked.
struct Before {
    job_id: String,
    provider: String,
    model: String,
    outcome: String,
    cost: BTreeMap<Arc<str>, Bound>,
    rules: Vec<String>,
    unpriced: Vec<NoPrice>,
}

/// An attempt without a price, by its place in the job, and the reason.
type NoPrice = (usize, String);

/// Money before and after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct Repriced {
    before: Figures,
    after: Figures,
    /// After less before, of the expected figures.
    difference: Decimal,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct Figures {
    min: Decimal,
    expected: Decimal,
    max: Decimal,
}

#[derive(Debug, Serialize)]
struct ModelRow {
    provider: String,
    model: String,
    currency: Arc<str>,
    jobs: usize,
    #[serde(flatten)]
    money: Repriced,
}

/// A job that costs something else, or whose price is lost or found, in one currency.
#[derive(Debug, Serialize)]
struct Change {
    job_id: String,
    provider: String,
    model: String,
    outcome: String,
    /// Empty when it costs nothing on one side and has no price on the other.
    currency: Arc<str>,
    /// None where an attempt has no price that has one on the other side, and none of this currency is left.
    before: Option<Figures>,
    after: Option<Figures>,
    /// After less before, of the expected figures; none when a price is lost or found.
    difference: Option<Decimal>,
    /// Meters with the policies that decided, before and after.
    rules_before: Vec<String>,
    rules_after: Vec<String>,
    /// Reasons for which attempts have no price, before and after.
    unpriced_before: Vec<String>,
    unpriced_after: Vec<String>,
}

pub(super) fn run(args: &Args) -> Outcome {
    let config = args.config.load()?;
    let other = other_files(&args.with, &config.settings.correlation)?;
    let cards = other.cards(&config.settings.pricing);
    let mut report = Report::default();
    if let Some(directory) = &args.ledger {
        job_source::ledger(directory)?.each_settled(|job| report.booked(job, &cards))?;
    } else {
        for settled in &replay::read(&args.files, &args.config)?.jobs {
            report.add(&Before::recorded(settled), &bill(&settled.job, &cards));
        }
    }
    report.finish();
    let mut out = stdout();
    match args.format {
        Format::Human => report.human(&mut out, args.limit)?,
        Format::Json => line(&mut out, &report)?,
        Format::Jsonl => report.changes.iter().try_for_each(|change| line(&mut out, change))?,
        Format::Csv => report.csv(&mut out)?,
    }
    out.flush()?;
    Ok(Exit::Success)
}

/// The provider files of `--with`; says on standard error when it has none.
fn other_files(directory: &Path, correlation: &CorrelationConfig) -> Result<ProviderFiles, Failure> {
    let files = ProviderFiles::load(Some(directory), correlation).map_err(|error| match error {
        ProviderFilesError::Read { path, source } => Failure::usage(miette::miette!(
            help = "give a directory of provider files (*.yaml) that this user may read",
            "--with: cannot read {}: {source}",
            path.display()
        )),
        wrong @ ProviderFilesError::Wrong { .. } => Failure::usage(wrong),
    })?;
    if files.files.iter().all(|file| file.path.is_none()) {
        let directory = directory.display();
        let note =
            format!("--with {directory}: no provider file (*.yaml) in it; built-in prices are compared");
        // Nobody is left to tell when standard error is gone.
        let _ = writeln!(io::stderr(), "warning: {note}");
    }
    Ok(files)
}

fn line(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    writeln!(out)
}

impl From<Bound> for Figures {
    fn from(bound: Bound) -> Self {
        Self { min: bound.min, expected: bound.expected, max: bound.max }
    }
}

impl Figures {
    fn add(&mut self, other: Self) {
        self.min = self.min.saturating_add(other.min);
        self.expected = self.expected.saturating_add(other.expected);
        self.max = self.max.saturating_add(other.max);
    }
}

impl Repriced {
    fn add(&mut self, before: Figures, after: Figures) {
        self.before.add(before);
        self.after.add(after);
        self.difference = self.after.expected.saturating_sub(self.before.expected);
    }
}

impl Change {
    /// A change whose figures are not known yet.
    fn new(before: &Before, after: &Bill, currency: Arc<str>) -> Self {
        Self {
            job_id: before.job_id.clone(),
            provider: before.provider.clone(),
            model: before.model.clone(),
            outcome: before.outcome.clone(),
            currency,
            before: None,
            after: None,
            difference: None,
            rules_before: before.rules.clone(),
            rules_after: rules(after),
            unpriced_before: reasons(&before.unpriced),
            unpriced_after: reasons(&unpriced(after)),
        }
    }

    /// How far up it stands: its difference, or else the largest figure that is known of it.
    fn weight(&self) -> Decimal {
        let figures = [self.before, self.after].into_iter().flatten().map(|figures| figures.expected.abs());
        self.difference.map(|difference| difference.abs()).or(figures.max()).unwrap_or_default()
    }
}

impl Before {
    fn recorded(settled: &Settled) -> Self {
        let Settled { job, bill, .. } = settled;
        Self {
            job_id: job.id.to_string(),
            provider: job.provider.to_string(),
            model: job.model.to_string(),
            outcome: job.outcome.to_string(),
            cost: bill.cost(),
            rules: rules(bill),
            unpriced: unpriced(bill),
        }
    }
}

impl Report {
    /// Prices a job of a ledger again.
    fn booked(&mut self, doc: &JobDoc, cards: &Cards) {
        match ledger::job(doc, cards) {
            Ok(job) => self.add(&ledger::before(doc), &bill(&job, cards)),
            Err(reason) => {
                self.jobs += 1;
                self.skipped.push(Skipped { job_id: doc.job_id.clone(), reason });
            }
        }
    }

    fn add(&mut self, before: &Before, after: &Bill) {
        self.jobs += 1;
        let unpriced_after = unpriced(after);
        let lost = only_in(&unpriced_after, &before.unpriced);
        let found = only_in(&before.unpriced, &unpriced_after);
        let is_comparable = lost.is_empty() && found.is_empty();
        let mut sums = by_currency(&before.cost, after);
        if !is_comparable && sums.is_empty() {
            sums.push((Arc::default(), None, None));
        }
        let mut changes = Vec::new();
        for (currency, was, is) in sums {
            let mut change = Change::new(before, after, currency);
            if is_comparable {
                let (was, is) = (was.unwrap_or_default(), is.unwrap_or_default());
                self.totals.entry(Arc::clone(&change.currency)).or_default().add(was, is);
                if was == is {
                    continue;
                }
                change.difference = Some(is.expected.saturating_sub(was.expected));
                (change.before, change.after) = (Some(was), Some(is));
            } else {
                // Zero is known where every attempt of that side has a price.
                change.before = was.or(found.is_empty().then(Figures::default));
                change.after = is.or(lost.is_empty().then(Figures::default));
            }
            changes.push(change);
        }
        apart(&mut self.price_lost, lost, changes.iter().map(|change| (&change.currency, change.before)));
        apart(&mut self.price_found, found, changes.iter().map(|change| (&change.currency, change.after)));
        self.changed += usize::from(is_comparable && !changes.is_empty());
        self.changes.extend(changes);
    }

    /// Sums up by model and puts what changes most first.
    fn finish(&mut self) {
        let mut models = BTreeMap::<(String, String, Arc<str>), (usize, Repriced)>::new();
        for change in &self.changes {
            let (Some(before), Some(after), Some(_)) = (change.before, change.after, change.difference)
            else {
                continue;
            };
            let key = (change.provider.clone(), change.model.clone(), Arc::clone(&change.currency));
            let (count, sum) = models.entry(key).or_default();
            *count += 1;
            sum.add(before, after);
        }
        let rows = models.into_iter().map(|((provider, model, currency), (jobs, money))| ModelRow {
            provider,
            model,
            currency,
            jobs,
            money,
        });
        self.models = rows.collect();
        self.models.sort_by_key(|row| std::cmp::Reverse(row.money.difference.abs()));
        self.changes.sort_by_key(|change| std::cmp::Reverse(change.weight()));
    }
}

/// What a job costs in each currency, before and after.
fn by_currency(before: &BTreeMap<Arc<str>, Bound>, after: &Bill) -> Vec<Sides> {
    let mut sums = BTreeMap::<Arc<str>, (Option<Figures>, Option<Figures>)>::new();
    for (currency, bound) in before {
        sums.entry(Arc::clone(currency)).or_default().0 = Some((*bound).into());
    }
    for (currency, bound) in after.cost() {
        sums.entry(currency).or_default().1 = Some(bound.into());
    }
    sums.into_iter().map(|(currency, (before, after))| (currency, before, after)).collect()
}

/// A currency with what a job costs in it, before and after; none where no charge is in it.
type Sides = (Arc<str>, Option<Figures>, Option<Figures>);

fn rules(bill: &Bill) -> Vec<String> {
    bill.charges.iter().map(|charge| format!("{} by {}", charge.rule, charge.policy)).collect()
}

fn unpriced(bill: &Bill) -> Vec<NoPrice> {
    bill.unpriced.iter().map(|unpriced| (unpriced.attempt, unpriced.reason.as_str().to_owned())).collect()
}

fn reasons(unpriced: &[NoPrice]) -> Vec<String> {
    unpriced.iter().map(|(_, reason)| reason.clone()).collect()
}

/// Adds a job to those that have a price on one side only, with its figures of that side; unless there is no
/// reason, as its price is neither lost nor found.
fn apart<'a>(
    rows: &mut BTreeMap<String, Apart>,
    reasons: BTreeSet<String>,
    figures: impl Iterator<Item = (&'a Arc<str>, Option<Figures>)>,
) {
    if reasons.is_empty() {
        return;
    }
    let row = rows.entry(reasons.into_iter().collect::<Vec<_>>().join(", ")).or_default();
    row.jobs += 1;
    for (currency, figures) in figures {
        if let Some(figures) = figures.filter(|figures| *figures != Figures::default()) {
            row.cost.entry(Arc::clone(currency)).or_default().add(figures);
        }
    }
}

/// Reasons of attempts that have no price here, and one there.
fn only_in(here: &[NoPrice], there: &[NoPrice]) -> BTreeSet<String> {
    let only = here.iter().filter(|(attempt, _)| !there.iter().any(|(other, _)| other == attempt));
    only.map(|(_, reason)| reason.clone()).collect()
}
