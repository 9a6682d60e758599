//! `spantally rules`: what is done with provider files. `rules import` ([`import`]) writes one with prices of
//! another list; `rules test` runs their tests, spans in and jobs with their money out.
//!
//! A test file ([`file`](mod@file)) says what clients do, one span a line; [`spans`] makes real export
//! requests of it, which go through the decoder, the recogniser, stitching and pricing as a recording does
//! ([`crate::replay`]); [`shown`] puts what comes out beside what the file expects; [`coverage`] tells which
//! policy rows no test reaches.

mod coverage;
mod file;
mod import;
mod shown;
mod spans;

use std::io::{self, Cursor, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use self::coverage::Coverage;
use self::file::{Test, TestFile};
use self::spans::Exporter;
use super::{ConfigArgs, Exit, Failure, Format, Outcome, stdout};
use crate::config::Settings;
use crate::core::Settled;
use crate::provider_files::{ProviderFiles, ProviderSource};
use crate::replay::{Recording, Replay};

/// Test provider files, or import prices into one.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Test(TestArgs),
    Import(import::ImportArgs),
}

/// Run test files: spans in, jobs and charges out.
///
/// A test file `NAME.test.yaml` stands beside the provider file that it tests; all provider files of its
/// directory are in force, and the built-in ones of other providers. Exit code 2: a test failed.
#[derive(Debug, clap::Args)]
struct TestArgs {
    /// Test files, or directories of them; without any, the directory of `providers.directory`.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Run only tests whose name contains this.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    #[command(flatten)]
    config: ConfigArgs,
    /// How to write the result: for people, or one JSON object for each file.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// How test files end, as provider files may end in either.
const ENDINGS: [&str; 2] = [".test.yaml", ".test.yml"];

/// What became of one file.
#[derive(Debug, Serialize)]
struct Report {
    file: String,
    provider: String,
    passed: usize,
    failed: Vec<Failed>,
    #[serde(flatten)]
    coverage: Coverage,
}

#[derive(Debug, Serialize)]
struct Failed {
    test: String,
    line: u64,
    /// Lines of both sides: `-` is expected and missing, `+` found and not expected.
    difference: String,
}

pub(super) fn run(args: &Args) -> Outcome {
    match &args.command {
        Command::Test(args) => test(args),
        Command::Import(args) => import::run(args),
    }
}

fn test(args: &TestArgs) -> Outcome {
    let mut out = stdout();
    let mut reports = Vec::new();
    for path in test_files(args)? {
        reports.push(test_file(&path, args.only.as_deref().unwrap_or_default())?);
    }
    if reports.iter().all(|report| report.passed == 0 && report.failed.is_empty()) {
        let only = args.only.as_deref().unwrap_or_default();
        return Err(Failure::usage(miette::miette!("--only {only}: no test has this in its name")));
    }
    match args.format {
        Format::Human => reports.iter().try_for_each(|report| human(&mut out, report))?,
        Format::Csv => csv(&mut out, &reports)?,
        Format::Json => json(&mut out, &reports)?,
        Format::Jsonl => reports.iter().try_for_each(|report| json(&mut out, report))?,
    }
    out.flush()?;
    let has_failed = reports.iter().any(|report| !report.failed.is_empty());
    Ok(if has_failed { Exit::Finding } else { Exit::Success })
}

/// The files that are meant, in the order given; those of a directory by name.
fn test_files(args: &TestArgs) -> Result<Vec<PathBuf>, Failure> {
    let mut given = args.files.clone();
    if given.is_empty() {
        given.extend(args.config.load()?.settings.providers.directory);
    }
    if given.is_empty() {
        return Err(Failure::usage(miette::miette!(
            help = "for example `spantally rules test config/providers`",
            "no test file: give files or directories, or set providers.directory"
        )));
    }
    let mut files = Vec::new();
    for path in given {
        if !path.is_dir() {
            files.push(path);
            continue;
        }
        let failed = |error| Failure::usage(miette::miette!("cannot read {}: {error}", path.display()));
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&path).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if ENDINGS.iter().any(|ending| name.ends_with(ending)) {
                found.push(path);
            }
        }
        if found.is_empty() {
            let [first, second] = ENDINGS;
            return Err(Failure::usage(miette::miette!(
                "{}: no test file in this directory: expected NAME{first} or NAME{second}",
                path.display()
            )));
        }
        found.sort();
        files.extend(found);
    }
    Ok(files)
}

fn test_file(path: &Path, only: &str) -> Result<Report, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::usage(miette::miette!("cannot read {}: {error}", path.display())))?;
    let name = path.display().to_string();
    let file = TestFile::read(&name, &text).map_err(Failure::usage)?;
    if file.tests.is_empty() {
        return Err(Failure::usage(miette::miette!("{name}: tests: expected at least one test")));
    }
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let settings = Settings::default();
    let providers = ProviderFiles::load(Some(directory.unwrap_or(Path::new("."))), &settings.correlation)
        .map_err(Failure::usage)?;
    let Some(provider) = providers.files.iter().find(|source| source.name() == file.provider) else {
        let names: Vec<_> = providers.files.iter().map(ProviderSource::name).collect();
        return Err(Failure::usage(miette::miette!(
            help = format!("provider files in force: {}", names.join(", ")),
            "{name}: provider = `{}`: no provider file of this name",
            file.provider
        )));
    };
    let mut report = Report {
        file: name.clone(),
        provider: file.provider.clone(),
        passed: 0,
        failed: Vec::new(),
        coverage: Coverage::of(provider),
    };
    for test in file.tests.iter().filter(|test| test.name.value.contains(only)) {
        let exporter = exporter(&name, &file, test, provider)?;
        let jobs = replay(&settings, &providers, &name, &exporter)?;
        report.coverage.add(&jobs);
        match difference(test, &jobs, &exporter) {
            None => report.passed += 1,
            Some(difference) => report.failed.push(Failed {
                test: test.name.value.clone(),
                line: test.name.referenced.line(),
                difference,
            }),
        }
    }
    Ok(report)
}

fn exporter<'a>(
    name: &str,
    file: &'a TestFile,
    test: &'a Test,
    provider: &'a ProviderSource,
) -> Result<Exporter<'a>, Failure> {
    Exporter::new(file, test, provider).map_err(|problem| {
        let place = test.name.referenced;
        Failure::usage(miette::miette!("{name}:{}:{}: {problem}", place.line(), place.column()))
    })
}

/// Every job of the tests of a built-in file.
#[cfg(test)]
pub(in crate::cli) fn jobs_of(path: &Path) -> Result<Vec<Settled>, Failure> {
    let name = path.display().to_string();
    let file = TestFile::read(&name, &std::fs::read_to_string(path)?).map_err(Failure::usage)?;
    let settings = Settings::default();
    let providers = ProviderFiles::load(None, &settings.correlation).map_err(Failure::usage)?;
    let mut jobs = Vec::new();
    for provider in providers.files.iter().filter(|source| source.name() == file.provider) {
        for test in &file.tests {
            jobs.extend(replay(&settings, &providers, &name, &exporter(&name, &file, test, provider)?)?);
        }
    }
    Ok(jobs)
}

/// The spans of a test as a recording through the core.
fn replay(
    settings: &Settings,
    providers: &ProviderFiles,
    name: &str,
    exporter: &Exporter<'_>,
) -> Result<Vec<Settled>, Failure> {
    let failed = |error| Failure::failed(miette::miette!("{name}: {error}"));
    let lines = exporter.json_lines();
    let recording = Recording::new(name.to_owned(), Box::new(Cursor::new(lines))).map_err(failed)?;
    let found = Replay::new(settings, providers).run(vec![recording]);
    match found.problems.into_iter().next() {
        None => Ok(found.jobs),
        Some(problem) => Err(Failure::failed(miette::miette!("{name}: {problem}"))),
    }
}

fn difference(test: &Test, jobs: &[Settled], exporter: &Exporter<'_>) -> Option<String> {
    let (expected, found) = shown::both(test, jobs, exporter);
    if expected == found {
        return None;
    }
    let diff = similar::TextDiff::from_lines(&expected, &found);
    let lines = diff.iter_all_changes().map(|change| format!("{} {change}", change.tag()));
    Some(lines.collect())
}

fn human(out: &mut impl Write, report: &Report) -> io::Result<()> {
    for failed in &report.failed {
        writeln!(out, "FAILED {}:{}: {}", report.file, failed.line, failed.test)?;
        writeln!(out, "  - expected, + found")?;
        for line in failed.difference.lines() {
            writeln!(out, "  {line}")?;
        }
    }
    let failed = report.failed.len();
    writeln!(out, "{}: {} passed, {failed} failed", report.file, report.passed)?;
    let missing = &report.coverage.policy_rows_without_a_test;
    if !missing.is_empty() {
        writeln!(out, "  no test reaches the policy rows {}", missing.join(", "))?;
    }
    Ok(())
}

fn csv(out: &mut impl Write, reports: &[Report]) -> io::Result<()> {
    writeln!(out, "file,provider,passed,failed")?;
    for report in reports {
        let file = super::csv_cell(&report.file);
        writeln!(out, "{file},{},{},{}", report.provider, report.passed, report.failed.len())?;
    }
    Ok(())
}

fn json(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    writeln!(out)
}
