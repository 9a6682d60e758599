//! What is wrong with a configuration, shown at its line.

use std::path::{Path, PathBuf};

use miette::{NamedSource, SourceSpan};
use serde_saphyr::{Error as YamlError, Location};

use super::mask::masked;
use super::resolve::known_keys;

/// Keys that the Collector has and Spantally has not, each with what to do instead.
const COLLECTOR_KEYS: [(&str, &str); 10] = [
    ("pipelines", "Spantally has one fixed pipeline from the receivers to the ledger; remove this section"),
    (
        "extensions",
        "tokens are `receivers.otlp.auth`, health is always served at `exporters.prometheus.endpoint`, storage is \
         `storage`",
    ),
    ("connectors", "Spantally has one fixed pipeline; remove this section"),
    ("auth", "tokens and tenants are in `receivers.otlp.auth`, for both protocols"),
    ("include_metadata", "of request headers only that of `receivers.otlp.auth.tenant_header` is read"),
    ("sizer", "the size of a queue is in bytes of spans"),
    ("num_consumers", "a destination is sent one request at a time, in order"),
    ("block_on_overflow", "a full queue never blocks: what comes then is counted and not forwarded"),
    ("insecure_skip_verify", "certificates are always checked; name the authority in `ca_file`"),
    ("batch", "the server batches by itself; remove this section"),
];

/// How alike a key must be to be worth naming (Jaro-Winkler, 1 is equal).
const ALIKE: f64 = 0.75;

/// What is wrong with a configuration: message, place, the line itself, and what to do.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error(transparent)]
#[diagnostic(transparent)]
pub struct ConfigError(Box<Finding>);

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("{message}")]
struct Finding {
    message: String,
    label: String,
    #[help]
    help: Option<String>,
    #[source_code]
    source_code: Option<NamedSource<String>>,
    #[label("{label}")]
    span: Option<SourceSpan>,
}

/// A configuration file and its text, or none.
pub(super) struct Source {
    /// Where it is; none without a file.
    pub(super) path: Option<PathBuf>,
    /// What it says.
    pub(super) text: String,
}

impl Source {
    /// No file: everything has its default.
    pub(super) fn none() -> Self {
        Self { path: None, text: String::new() }
    }

    /// A file that was read.
    pub(super) fn file(path: &Path, text: String) -> Self {
        Self { path: Some(path.to_owned()), text }
    }

    fn name(&self) -> String {
        self.path.as_deref().unwrap_or(Path::new("configuration")).display().to_string()
    }

    /// The byte at a place. The parser's own errors have a line and a column only.
    fn offset(&self, at: Location) -> Option<usize> {
        if let Some(offset) = at.span().byte_offset() {
            return usize::try_from(offset).ok().filter(|offset| *offset <= self.text.len());
        }
        let line_index = usize::try_from(at.line()).ok()?.checked_sub(1)?;
        let column_index = usize::try_from(at.column()).ok()?.checked_sub(1)?;
        let line_start: usize = self.text.split_inclusive('\n').take(line_index).map(str::len).sum();
        let line = &self.text[line_start..];
        Some(line_start + line.char_indices().nth(column_index).map_or(line.len(), |(at, _)| at))
    }

    /// `file:line:column: message`, with the line shown and a label under the place. Secrets in the lines are
    /// masked.
    pub(super) fn error(
        &self,
        at: Location,
        message: &str,
        label: &str,
        help: Option<String>,
    ) -> ConfigError {
        let span = self.offset(at).map(|offset| {
            let length = at.span().byte_len().and_then(|length| usize::try_from(length).ok()).unwrap_or(1);
            let line_end = self.text[offset..].find('\n').unwrap_or(self.text.len() - offset);
            SourceSpan::new(offset.into(), length.min(line_end))
        });
        let source_code = span.map(|_| NamedSource::new(self.name(), masked(&self.text)));
        ConfigError(Box::new(Finding {
            message: format!("{}:{}:{}: {message}", self.name(), at.line(), at.column()),
            label: label.to_owned(),
            help,
            source_code,
            span,
        }))
    }
}

impl ConfigError {
    /// Something wrong that is not in a file.
    pub(super) fn plain(message: String, help: Option<String>) -> Self {
        Self(Box::new(Finding { message, label: String::new(), help, source_code: None, span: None }))
    }

    /// The file cannot be read.
    pub(super) fn read(path: &Path, error: &std::io::Error) -> Self {
        Self::plain(
            format!("cannot read the configuration file {}: {error}", path.display()),
            Some(
                "give an existing file with --config, or leave --config out to run on the defaults"
                    .to_owned(),
            ),
        )
    }

    /// The text is not YAML of the right shape.
    pub(super) fn yaml(source: &Source, error: &YamlError) -> Self {
        let error = error.without_snippet();
        let at = error.location().unwrap_or(Location::UNKNOWN);
        match error {
            YamlError::SerdeUnknownField { field, expected, .. } => source.error(
                at,
                &format!("unknown key `{field}`"),
                "not a key of this section",
                Some(unknown_key_help(field, expected)),
            ),
            YamlError::DuplicateMappingKey { key: Some(key), .. } => source.error(
                at,
                &format!("the key `{key}` is given twice"),
                "given a second time here",
                Some("keep one of the two".to_owned()),
            ),
            YamlError::Unexpected { expected, .. } => {
                let (expected, example) = shape(expected);
                source.error(at, &format!("expected {expected}"), "something else", Some(example.to_owned()))
            }
            YamlError::MultipleDocuments { .. } => source.error(
                at,
                "a second document",
                "starts here",
                Some(
                    "keep one document in the file: remove the line `---` and what belongs to another"
                        .to_owned(),
                ),
            ),
            other => {
                let plain = serde_saphyr::UserMessageFormatter;
                let message = serde_saphyr::MessageFormatter::format_message(&plain, other);
                let help = "check indentation, quotes and brackets on this line and the one before";
                source.error(at, &message, "here", Some(help.to_owned()))
            }
        }
    }

    /// A key of `--set` that does not exist.
    pub(super) fn unknown_set_key(key: &str) -> Self {
        if let Some(section) = FILE_SECTIONS.iter().find(|section| is_in(key, section)) {
            let help = format!("`{section}` has parts that the file names: write it there (--config)");
            return Self::plain(format!("--set {key}: only in a file"), Some(help));
        }
        let known = known_keys();
        let section = |key: &str| key.split('.').next().map(str::to_owned);
        // What is like it in another section is something else.
        let is_section = known.iter().any(|known| section(known) == section(key));
        let near = known.iter().copied().filter(|known| !is_section || section(known) == section(key));
        let help = match nearest(key, near) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known keys: {}", known.join(", ")),
        };
        Self::plain(format!("--set {key}: unknown key `{key}`"), Some(help))
    }
}

/// Sections whose parts are named by the user, or are a list: no key of theirs has a name of its own.
const FILE_SECTIONS: [&str; 9] = [
    "receivers.otlp.auth.tenants",
    "exporters.otlp",
    "exporters.otlp_grpc",
    "exporters.otlphttp",
    "exporters.otlp_http",
    "processors.spantally.correlation.webhooks",
    "budgets",
    "prepaid",
    "invoices",
];

/// Whether a key is a section, or something in it, or a part of it with a name.
fn is_in(key: &str, section: &str) -> bool {
    let rest = key.strip_prefix(section);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '/', '[']))
}

/// What the parser expected, in the words of someone who writes the file, with an example.
fn shape(expected: &str) -> (&str, &'static str) {
    const SHAPES: [(&str, &str, &str); 3] = [
        ("mapping start", "a section of `key: value` lines", "for example `otlp: {protocols: {grpc: {}}}`"),
        ("sequence start", "a list", "for example `[team, region]`"),
        ("string scalar", "a single value", "for example `directory: /srv/data`"),
    ];
    let found = SHAPES.iter().find(|(parser, ..)| *parser == expected);
    found.map_or((expected, "config/spantally.yaml shows every key"), |(_, words, example)| (words, example))
}

/// Names the nearest key of the section; or where a key of that name belongs; or what the Collector's key
/// stands for here; and always what the section may hold.
fn unknown_key_help(field: &str, expected: &[&str]) -> String {
    let allowed = format!("keys of this section: {}", expected.join(", "));
    if let Some((_, instead)) = COLLECTOR_KEYS.iter().find(|(key, _)| *key == field) {
        return format!("{instead}\n{allowed}");
    }
    if let Some(near) = nearest(field, expected.iter().copied()) {
        return format!("did you mean `{near}`?\n{allowed}");
    }
    let known = known_keys();
    let elsewhere: Vec<_> = known
        .iter()
        .filter(|key| key.split('.').any(|part| part == field))
        .take(3)
        .map(|key| format!("`{key}`"))
        .collect();
    if elsewhere.is_empty() { allowed } else { format!("it is known as {}\n{allowed}", elsewhere.join(", ")) }
}

/// The candidate most like a word, if any is like it at all; of equals the first.
pub(crate) fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut best = None;
    for candidate in candidates {
        let likeness = strsim::jaro_winkler(word, candidate);
        if likeness >= ALIKE && best.is_none_or(|(most, _)| likeness > most) {
            best = Some((likeness, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// None of them is a slip of the pen for a key that there is: `max_tenants` is much like `tenants`.
    #[test]
    fn what_has_parts_of_its_own_is_only_in_a_file() {
        for section in ["receivers.otlp.auth.tenants", "receivers.otlp.auth.tenants[0].name", "budgets"] {
            let error = ConfigError::unknown_set_key(section);
            assert_eq!(error.to_string(), format!("--set {section}: only in a file"));
        }
    }
}
