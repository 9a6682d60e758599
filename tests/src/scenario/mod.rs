//! Scenarios: situations of generation clients, one file each, one span a line, and the jobs that they are.
//!
//! The files are in `tests/scenarios/`; its README explains how one is written. [`parse`] reads a file,
//! [`otlp`] makes real export requests of its spans, [`expect`] holds what the file expects and shows a
//! difference. What runs the requests through the product is the test `tests/tests/scenarios/`.

pub mod expect;
pub mod otlp;
pub mod parse;

use std::path::{Path, PathBuf};

use self::expect::Block;
use crate::fixtures::repository;

/// A situation: what is exported, in the order in which it arrives, and what it is.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The file's name without its ending, for example `07-submit-times-out-resubmitted`.
    pub name: String,
    /// The processes that export spans.
    pub processes: Vec<Process>,
    /// Provider files of the scenario's own, beside the built-in ones.
    pub providers: Vec<String>,
    /// What happens, in order.
    pub steps: Vec<Step>,
    /// The jobs that all this is, sorted.
    pub expected: Vec<Block>,
}

/// A process that exports spans.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// The tenant that its receiver stands for; empty when there is only one.
    pub tenant: String,
    /// `service.name`.
    pub service: String,
    /// `service.instance.id`.
    pub instance: String,
}

/// One thing that happens.
#[derive(Clone, Debug)]
pub enum Step {
    /// A span arrives.
    Span(Box<Span>),
    /// Time passes: it is now this many nanoseconds after the scenario's beginning.
    Advance(u64),
}

/// A span as its line says it.
#[derive(Clone, Debug)]
pub struct Span {
    /// Index of the process that exports it.
    pub process: usize,
    /// Its name in the file; the span id is made of it.
    pub label: String,
    /// The trace's name in the file.
    pub trace: String,
    /// The parent's name in the file.
    pub parent: Option<String>,
    /// Start in nanoseconds after the scenario's beginning.
    pub start_ns: u64,
    /// Duration in nanoseconds.
    pub took_ns: u64,
    /// `client`, `server`, `consumer` or `internal`.
    pub kind: Kind,
    /// What it did.
    pub subject: Subject,
    /// How it ended.
    pub answer: Answer,
    /// Further attributes, as written; `scope` is none, but the instrumentation that made the span.
    pub attributes: Vec<(String, String)>,
    /// Names of the spans that it links to.
    pub links: Vec<String>,
}

/// The kinds of spans that scenarios need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Makes a request.
    Client,
    /// Serves a request.
    Server,
    /// Takes a message.
    Consumer,
    /// Inside an application.
    Internal,
}

/// What a span did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A request; the URL of a server span is its path and query.
    Http {
        /// The method.
        method: String,
        /// The URL.
        url: String,
    },
    /// Anything else, by the span's name.
    Named(String),
}

/// How a span ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// An HTTP status code.
    Status(u16),
    /// The client stopped waiting.
    Timeout,
    /// No connection: nothing was sent.
    Refused,
    /// The connection broke after sending.
    Reset,
    /// No status code and no error.
    Silent,
    /// No status code, and the status ERROR.
    Error,
}

impl Scenario {
    /// Its spans in the order of arrival.
    pub fn spans(&self) -> impl Iterator<Item = &Span> {
        self.steps.iter().filter_map(|step| match step {
            Step::Span(span) => Some(&**span),
            Step::Advance(_) => None,
        })
    }
}

/// Directory of the scenarios that hold.
pub fn directory() -> PathBuf {
    repository().join("tests/scenarios")
}

/// Every scenario of a directory, by name.
///
/// # Errors
/// The directory or a file cannot be read, or a file is wrong: all mistakes, a line each.
pub fn read_all(directory: &Path) -> Result<Vec<Scenario>, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", directory.display());
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|ending| ending == "txt") {
            paths.push(path);
        }
    }
    paths.sort();
    let (mut scenarios, mut mistakes) = (Vec::new(), Vec::new());
    for path in paths {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        match parse::parse(&name, &text) {
            Ok(scenario) => scenarios.push(scenario),
            Err(mistake) => mistakes.push(mistake.to_string()),
        }
    }
    if mistakes.is_empty() { Ok(scenarios) } else { Err(mistakes.join("\n")) }
}
