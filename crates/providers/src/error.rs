//! What is wrong with a provider file: where, which field, which value, what is allowed, what was meant.

use std::fmt;

use serde_saphyr::Location;

/// One finding in one provider file. [`std::fmt::Display`] gives one line; [`LoadError::render`] gives it
/// with the lines of the file around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadError {
    /// The file, as the caller named it.
    pub file: String,
    /// Line, from 1; 0 when the finding is about the file as a whole.
    pub line: u64,
    /// Column, from 1; 0 with line 0.
    pub column: u64,
    /// The field, for example `calls.role`; empty when no field is meant.
    pub field: String,
    /// The value found there; empty when it is not a single value.
    pub value: String,
    /// What is wrong.
    pub problem: String,
    /// What is allowed, and the nearest of it; empty when the problem says it all.
    pub help: String,
    /// The text of the file, for the snippet.
    source: std::sync::Arc<str>,
}

/// A provider file while it is read: its name and its text, from which findings are made.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) text: std::sync::Arc<str>,
}

impl Source {
    /// A finding at a place of this file.
    pub(crate) fn finding(&self, at: Location, field: &str, problem: impl Into<String>) -> LoadError {
        LoadError {
            file: self.name.clone(),
            line: at.line(),
            column: at.column(),
            field: field.into(),
            value: String::new(),
            problem: problem.into(),
            help: String::new(),
            source: self.text.clone(),
        }
    }
}

impl LoadError {
    pub(crate) fn value(mut self, value: impl Into<String>) -> Self {
        self.value = value.into();
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = help.into();
        self
    }

    /// The parser gives the place of the key when a value's own type refuses it: moves on to the value, and
    /// takes the key as the field.
    pub(crate) fn move_to_value(mut self) -> Self {
        let line = self.offset().and_then(|at| self.source.get(at..)).and_then(|rest| rest.lines().next());
        if let Some((key, rest)) = line.and_then(|line| line.split_once(':'))
            && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && let Some(at) = rest.find(&*self.value)
        {
            self.column += (key.chars().count() + 1 + rest[..at].chars().count()) as u64;
            self.field = key.to_owned();
        }
        self
    }

    /// Adds what is allowed and the nearest of it to what was written.
    pub(crate) fn allowed(self, written: &str, allowed: &[&str]) -> Self {
        let list = allowed.join(", ");
        let help = match nearest(written, allowed) {
            Some(near) => format!("did you mean `{near}`? Allowed: {list}"),
            None => format!("allowed: {list}"),
        };
        self.help(help)
    }

    /// The finding with the lines of the file around it, for a terminal; without colour.
    pub fn render(&self) -> String {
        let handler = miette::GraphicalReportHandler::new_themed(miette::GraphicalTheme::unicode_nocolor());
        let mut out = String::new();
        match handler.render_report(&mut out, self) {
            Ok(()) => out,
            Err(fmt::Error) => self.to_string(),
        }
    }

    /// Byte offset of line and column in the text.
    fn offset(&self) -> Option<usize> {
        let line = usize::try_from(self.line).ok()?.checked_sub(1)?;
        let start: usize = self.source.split_inclusive('\n').take(line).map(str::len).sum();
        let rest = self.source.get(start..)?;
        let column = usize::try_from(self.column).ok()?.saturating_sub(1);
        let within = rest.char_indices().nth(column).map_or(rest.len(), |(at, _)| at);
        Some(start + within)
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        write!(f, ": ")?;
        match (self.field.is_empty(), self.value.is_empty()) {
            (true, true) => {}
            (true, false) => write!(f, "`{}`: ", self.value)?,
            (false, true) => write!(f, "{}: ", self.field)?,
            (false, false) => write!(f, "{} = `{}`: ", self.field, self.value)?,
        }
        write!(f, "{}", self.problem)?;
        if !self.help.is_empty() {
            write!(f, " ({})", self.help)?;
        }
        Ok(())
    }
}

impl std::error::Error for LoadError {}

impl miette::Diagnostic for LoadError {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        (!self.help.is_empty()).then(|| Box::new(&self.help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        (self.line > 0).then_some(&self.source as &dyn miette::SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = miette::LabeledSpan> + '_>> {
        let offset = self.offset()?;
        let rest = self.source.get(offset..).unwrap_or_default();
        let len = rest.find(['\n', ' ', ':', ',', ']', '}']).unwrap_or(rest.len()).max(1);
        let span = miette::LabeledSpan::new(Some("here".into()), offset, len.min(rest.len()));
        Some(Box::new(std::iter::once(span)))
    }
}

/// The allowed word nearest to a written one, if any is near enough to have been meant.
fn nearest<'a>(written: &str, allowed: &[&'a str]) -> Option<&'a str> {
    allowed
        .iter()
        .map(|word| (strsim::damerau_levenshtein(written, word), *word))
        .filter(|(distance, word)| *distance <= 1 + word.len().min(written.len()) / 3)
        .min()
        .map(|(_, word)| word)
}
