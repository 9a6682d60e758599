//! A provider's export as rows: CSV, or JSON as an array, an object, or an object a line; plain, gzip or
//! Zstandard.
//!
//! Which export it is, its columns tell ([`Candidates`]). A row that cannot be read is skipped and told, for
//! one bad cell must not hide ten thousand good ones; a file that cannot be read ends the command.

use std::io::Read as _;
use std::path::Path;

use serde::Serialize;
use spantally_providers::{Export, ExportRow, WrongCell};

use super::json;
use crate::cli::Failure;
use crate::config::nearest;
use crate::replay::input;
use crate::visible::visible;

/// Most bytes of an export when it is plain.
const BYTES_MAX: u64 = 1 << 30;
/// Rows that could not be read and are told one by one.
const TOLD_MAX: usize = 20;

/// The exports that a file may be.
pub(super) struct Candidates {
    /// Whose they are.
    pub provider: String,
    /// In the order in which they are tried.
    pub exports: Vec<Export>,
}

/// Where a row is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Place {
    /// The file.
    pub file: String,
    /// Its line, from 1.
    pub line: u64,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", visible(&self.file), self.line)
    }
}

/// A row that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Skipped {
    /// Where.
    #[serde(flatten)]
    pub place: Place,
    /// Why.
    pub reason: String,
}

/// What reading came to.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// The rows that could be read, with their lines.
    pub read: Vec<(ExportRow, Place)>,
    /// How many could not.
    pub skipped: u64,
    /// The first of those.
    pub told: Vec<Skipped>,
}

impl Rows {
    pub(super) fn take(&mut self, row: Result<ExportRow, WrongCell>, place: Place) {
        match row {
            Ok(row) => self.read.push((row, place)),
            Err(WrongCell { name, value, problem }) => {
                self.skip(place, format!("{name} = `{value}`: {problem}"));
            }
        }
    }

    pub(super) fn skip(&mut self, place: Place, reason: String) {
        self.skipped += 1;
        if self.told.len() < TOLD_MAX {
            self.told.push(Skipped { place, reason });
        }
    }
}

/// Reads a file; says which export it is.
///
/// # Errors
/// It cannot be read, or its columns are those of none of the candidates.
pub(super) fn read(path: &Path, candidates: &Candidates, rows: &mut Rows) -> Result<Export, Failure> {
    let name = path.display().to_string();
    let text = text(path)?;
    let text = text.trim_start_matches('\u{feff}');
    let begin = text.trim_start();
    if begin.is_empty() {
        return Err(Failure::failed(miette::miette!("{name}: is empty")));
    }
    if begin.starts_with(['{', '[']) {
        return json::read(&name, text, candidates, rows);
    }
    csv(&name, text, candidates, rows)
}

/// The whole of a file.
fn text(path: &Path) -> Result<String, Failure> {
    let name = path.display();
    let failed = |error| Failure::failed(miette::miette!("cannot read {name}: {error}"));
    let mut bytes = Vec::new();
    let plain = input::plain(input::open(path).map_err(failed)?).map_err(failed)?;
    plain.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(Failure::failed(miette::miette!("{name}: larger than {BYTES_MAX} bytes: split it")));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + memchr::memchr_iter(b'\n', valid).count();
        let help = "write the export as UTF-8";
        Failure::failed(miette::miette!(help = help, "{name}:{line}: not UTF-8"))
    })
}

fn csv(name: &str, text: &str, candidates: &Candidates, rows: &mut Rows) -> Result<Export, Failure> {
    let failed = |error: csv::Error| {
        let line = error.position().map_or(1, csv::Position::line);
        Failure::failed(miette::miette!("{name}:{line}: {error}"))
    };
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter(text))
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let header = reader.headers().map_err(failed)?.clone();
    let at = |column: &str| header.iter().position(|name| name == column);
    let columns: Vec<&str> = header.iter().collect();
    let export = candidates.choose(name, 1, &columns, |column| at(column).is_some())?;
    let mut lines = Lines::new(text);
    for record in reader.records() {
        let record = record.map_err(failed)?;
        let begin = record.position().and_then(|position| usize::try_from(position.byte()).ok());
        let place = Place { file: name.to_owned(), line: lines.at(begin.unwrap_or_default()) };
        if record.len() != header.len() {
            let reason = format!("{} cells, and the header has {}", record.len(), header.len());
            rows.skip(place, reason);
            continue;
        }
        rows.take(export.read(|column| Some(record.get(at(column)?)?.into())), place);
    }
    Ok(export.clone())
}

/// Lines of places in a text, which only go forward.
pub(super) struct Lines<'t> {
    text: &'t [u8],
    at: usize,
    line: u64,
}

impl<'t> Lines<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text: text.as_bytes(), at: 0, line: 1 }
    }

    /// The line, from 1, of what begins at an offset or after the line ends there.
    pub(super) fn at(&mut self, offset: usize) -> u64 {
        let rest = self.text.get(offset..).unwrap_or_default();
        let ends = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let begin = offset + ends;
        let between = self.text.get(self.at..begin).unwrap_or_default();
        self.line += memchr::memchr_iter(b'\n', between).count() as u64;
        self.at = self.at.max(begin);
        self.line
    }
}

/// What stands between cells: a comma, unless the header has none and has another that is usual.
fn delimiter(text: &str) -> u8 {
    let header = text.lines().next().unwrap_or_default();
    [b',', b';', b'\t'].into_iter().find(|byte| header.as_bytes().contains(byte)).unwrap_or(b',')
}

impl Candidates {
    /// The first whose columns are there.
    ///
    /// # Errors
    /// None is: which columns the nearest of them lacks, and what there is.
    pub(super) fn choose(
        &self,
        file: &str,
        line: u64,
        columns: &[&str],
        has: impl Fn(&str) -> bool,
    ) -> Result<&Export, Failure> {
        if let Some(export) = self.exports.iter().find(|export| export.missing(&has).is_empty()) {
            return Ok(export);
        }
        let lacks = |export: &&Export| export.missing(&has).len() * 100 / export.columns.len().max(1);
        let Some(export) = self.exports.iter().min_by_key(lacks) else {
            return Err(self.unknown(file, line, columns, "no export of it is known"));
        };
        let missing = export.missing(&has).into_iter().map(|(column, name)| {
            let near = nearest(name, columns.iter().copied());
            let near = near.map(|near| format!(", did you mean `{}`?", visible(near))).unwrap_or_default();
            format!("`{name}` ({}{near})", column.as_str())
        });
        let missing = missing.collect::<Vec<_>>().join(", ");
        let name = if export.name.is_empty() { "--columns" } else { export.name.as_str() };
        Err(self.unknown(file, line, columns, &format!("{name} needs {missing}")))
    }

    fn unknown(&self, file: &str, line: u64, columns: &[&str], problem: &str) -> Failure {
        let shown: Vec<_> = columns.iter().take(40).map(|column| visible(column)).collect();
        let help = format!(
            "it has {}. Say which is what: --columns task_id=NAME,time=NAME,cost=NAME --currency USD",
            shown.join(", ")
        );
        let provider = &self.provider;
        Failure::usage(miette::miette!(
            help = help,
            "{file}:{line}: not the columns of an export of {provider}: {problem}"
        ))
    }
}
