//! `spantally replay`: a recording through the same core as live spans, and a report of what it cost.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::job_doc::JobDoc;
use super::{ConfigArgs, Exit, Failure, Format, Outcome, colors, job_table, stdout};
use crate::core::Settled;
use crate::job_json::JobDocument;
use crate::job_json::labels::NamedDocument;
use crate::provider_files::ProviderFiles;
use crate::replay::{Found, Recording, Replay, Summary, input, report};
use crate::visible::visible;

/// Read recorded spans and report what their jobs cost.
///
/// FILE is what the Collector's file exporter writes (JSON lines, or protobuf with a length before each
/// request), a stream of length-delimited protobuf, or a capture; plain, gzip or Zstandard. Several files are
/// read as one recording, in the order of time.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Recordings; `-` is standard input.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    config: ConfigArgs,
    /// How to write it: a report, the summary and all jobs, one job a line, or a table of jobs.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Write to a file in place of standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Reads everything, then writes.
pub(super) fn run(args: &Args) -> Outcome {
    if let Some(path) = &args.out {
        not_an_input(path, &args.files)?;
    }
    let found = read(&args.files, &args.config)?;
    let Some(path) = &args.out else {
        let mut out = stdout();
        write(&mut out, args, &found, colors(&io::stdout()))?;
        out.flush()?;
        return Ok(Exit::Success);
    };
    let failed = |error| Failure::failed(miette::miette!("--out: cannot write {}: {error}", path.display()));
    let mut out = BufWriter::new(File::create(path).map_err(failed)?);
    write(&mut out, args, &found, false).and_then(|()| out.flush()).map_err(failed)?;
    Ok(Exit::Success)
}

/// Refuses to write where a recording is, by whatever name.
fn not_an_input(out: &Path, files: &[PathBuf]) -> Result<(), Failure> {
    let file =
        |path: &Path| std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino(), file.is_file()));
    // A device such as /dev/null may be both.
    let Some(own) = file(out).filter(|(_, _, is_file)| *is_file) else { return Ok(()) };
    match files.iter().find(|path| file(path) == Some(own)) {
        None => Ok(()),
        Some(input) => Err(Failure::usage(miette::miette!(
            help = "name another file",
            "--out {}: it is {}, which is to be read",
            out.display(),
            input.display()
        ))),
    }
}

/// Replays recordings; says on standard error what could not be read.
///
/// # Errors
/// A file cannot be opened, or nothing in any of them could be read.
pub(super) fn read(files: &[PathBuf], config: &ConfigArgs) -> Result<Found, Failure> {
    if files.iter().filter(|path| path.as_os_str() == input::STDIN).count() > 1 {
        return Err(Failure::usage(miette::miette!("`-` is standard input, which can be read once")));
    }
    let config = config.load()?;
    let settings = &config.settings;
    let providers = ProviderFiles::load(settings.providers.directory.as_deref(), &settings.correlation)
        .map_err(Failure::usage)?;
    let bar = progress(files);
    let recordings = files.iter().map(|path| open(path, &bar)).collect::<Result<_, _>>()?;
    let found = Replay::new(settings, &providers).run(recordings);
    bar.finish_and_clear();
    warn(&found);
    if found.records == 0 {
        return Err(Failure::failed(miette::miette!(
            "nothing could be read: expected recorded OTLP trace requests (JSON lines or protobuf of the \
             Collector's file exporter, length-delimited protobuf, captures; plain, gzip or zstd)"
        )));
    }
    Ok(found)
}

fn open(path: &Path, bar: &ProgressBar) -> Result<Recording, Failure> {
    let failed = |error| Failure::failed(miette::miette!("cannot read {}: {error}", path.display()));
    let raw = input::open(path).map_err(failed)?;
    let bytes = input::plain(bar.wrap_read(raw)).map_err(failed)?;
    Recording::new(path.display().to_string(), bytes).map_err(failed)
}

/// A bar by bytes as they lie on disk; hidden where standard error is no terminal.
fn progress(files: &[PathBuf]) -> ProgressBar {
    let sizes = files.iter().map(|path| std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file));
    let total = sizes.map(|file| file.map(|file| file.len())).sum::<Option<u64>>();
    let (bar, template) = match total {
        Some(total) => (ProgressBar::new(total), "{bar:40} {bytes} of {total_bytes}, {eta} left"),
        None => (ProgressBar::new_spinner(), "{spinner} {bytes} read"),
    };
    // A template that does not parse would be a mistake of ours; the default one does.
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn warn(found: &Found) {
    let mut err = io::stderr().lock();
    // Nobody is left to tell when standard error is gone.
    for problem in &found.problems {
        let _ = writeln!(err, "warning: {}", visible(&problem.to_string()));
    }
    if found.unreadable > 0 {
        let more = found.unreadable - found.problems.len() as u64;
        let more = if more > 0 { format!(" ({more} more)") } else { String::new() };
        let parts = report::count(found.unreadable, "part", "parts");
        let requests = report::count(found.records, "request", "requests");
        let _ = writeln!(err, "warning: {parts} could not be read{more}; {requests} could");
    }
}

#[derive(Serialize)]
struct Document<'a> {
    summary: Summary,
    jobs: Vec<NamedDocument<'a>>,
}

fn write(out: &mut impl Write, args: &Args, found: &Found, color: bool) -> io::Result<()> {
    let documents = found.jobs.iter().map(|Settled { job, bill, revision }| {
        JobDocument { job, bill, revision: *revision }.named(&found.label_names)
    });
    match args.format {
        Format::Human => {
            let files: Vec<_> = args.files.iter().map(|path| path.display().to_string()).collect();
            out.write_all(report::page(&Summary::of(found), &files.join(" "), color).as_bytes())
        }
        Format::Json => {
            let document = Document { summary: Summary::of(found), jobs: documents.collect() };
            serde_json::to_writer(&mut *out, &document)?;
            writeln!(out)
        }
        Format::Jsonl => documents.into_iter().try_for_each(|document| {
            serde_json::to_writer(&mut *out, &document)?;
            writeln!(out)
        }),
        Format::Csv => {
            job_table::write_header(out)?;
            documents.into_iter().try_for_each(|document| {
                let job: JobDoc = serde_json::from_str(&document.to_json()?)?;
                job_table::write_job(out, &job)
            })
        }
    }
}
