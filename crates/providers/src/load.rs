//! Text to a checked provider file.
//!
//! The parser finds unknown keys and words; [`check`] finds what is well formed and still wrong. All
//! findings of the second kind are returned at once. Next: [`crate::compile`].

use std::collections::BTreeMap;

use serde_saphyr::{Error, Location, Spanned};
use spantally_price::RateCard;
use spantally_stitch::{Accepted, FailureReason, Role, TaskState};

use crate::error::{LoadError, Source};
use crate::exports::Export;
use crate::format::{AnswerRule, CallRule, FactRule, Place, ProviderFile, WordRule};
use crate::route::{Method, Segment, Template};
use crate::vocabulary::StatusPattern;

/// What a span above requests can do.
const SPAN_ROLES: [Role; 5] = [Role::Submit, Role::Poll, Role::Result, Role::Cancel, Role::Sync];

/// A provider file that was read and found good, with its text for findings that need other files.
#[derive(Clone, Debug)]
pub struct LoadedFile {
    /// What it says.
    pub file: ProviderFile,
    /// Its `rates:` section, compiled.
    pub card: RateCard,
    pub(crate) source: Source,
}

impl LoadedFile {
    /// The text that was read.
    pub fn text(&self) -> &str {
        &self.source.text
    }

    /// Its `exports:` section, compiled, in file order.
    pub fn exports(&self) -> Vec<Export> {
        self.file.exports.iter().map(Export::compile).collect()
    }

    /// What is good enough to run with and still worth a look.
    pub fn lints(&self) -> Vec<LoadError> {
        crate::lint::advice(&self.source, &self.file)
    }
}

/// Reads and checks one provider file. `name` is what findings call it: a path.
pub fn load(name: &str, text: &str) -> Result<LoadedFile, Vec<LoadError>> {
    let source = Source { name: name.into(), text: text.into() };
    let file: ProviderFile =
        serde_saphyr::from_str(text).map_err(|error| vec![from_parser(&source, &error)])?;
    let mut findings = check(&source, &file);
    match crate::rates::compile(&file.provider.value, &file.rates, &source) {
        Ok(card) if findings.is_empty() => Ok(LoadedFile { file, card, source }),
        Ok(_) => Err(findings),
        Err(found) => {
            findings.extend(found);
            Err(findings)
        }
    }
}

/// The parser's error as a finding.
fn from_parser(source: &Source, error: &Error) -> LoadError {
    let error = error.without_snippet();
    let at = error.location().unwrap_or(Location::UNKNOWN);
    match error {
        Error::SerdeUnknownField { field, expected, .. } => {
            source.finding(at, field, "unknown key").allowed(field, expected)
        }
        Error::SerdeUnknownVariant { variant, expected, .. } => source
            .finding(at, "", "not one of the words allowed here")
            .value(variant)
            .move_to_value()
            .allowed(variant, expected),
        Error::SerdeMissingField { field, .. } => {
            source.finding(at, field, "this key is required, and missing in the mapping that ends here")
        }
        Error::DuplicateMappingKey { key, .. } => {
            let key = key.as_deref().unwrap_or_default();
            source.finding(at, key, "the key occurs twice").help("keep one of the two")
        }
        Error::SerdeInvalidType { unexpected, expected, .. }
        | Error::SerdeInvalidValue { unexpected, expected, .. } => {
            source.finding(at, "", format!("found {unexpected}, expected {expected}"))
        }
        other => source.finding(at, "", other.to_string().lines().next().unwrap_or_default()),
    }
}

/// What is well formed and still wrong.
fn check(source: &Source, file: &ProviderFile) -> Vec<LoadError> {
    let mut findings = Vec::new();
    check_name(source, &file.provider, "provider", &mut findings);
    if file.calls.is_empty() {
        findings.push(source.finding(file.provider.referenced, "calls", "a provider file needs a call"));
    }
    let output_hosts = file.output_hosts.iter().map(|output| &output.host);
    let call_hosts = file.calls.iter().flat_map(|call| &call.hosts);
    let backups = file.backup_hosts.iter().map(|backup| &backup.host);
    for host in file.hosts.iter().chain(output_hosts).chain(call_hosts).chain(backups) {
        check_host(source, host, &mut findings);
    }
    let mut seen = BTreeMap::<&str, u64>::new();
    for call in &file.calls {
        check_name(source, &call.name, "calls.name", &mut findings);
        if let Some(line) = seen.insert(&call.name.value, call.name.referenced.line()) {
            findings.push(
                source
                    .finding(call.name.referenced, "calls.name", format!("line {line} has this name too"))
                    .value(&call.name.value)
                    .help("a charge names its call, so give each call a name of its own"),
            );
        }
        check_call(source, file, call, &mut findings);
    }
    check_spans(source, file, &mut findings);
    for rule in &file.words {
        check_word(source, rule, &mut findings);
    }
    for place in &file.words_from {
        if let Place::Query(parameter) = &place.value {
            let problem = "words are read of headers and attributes, not of a query";
            findings.push(source.finding(place.referenced, "words_from.query", problem).value(parameter));
        }
    }
    for fact in &file.facts {
        check_fact(source, fact, &mut findings);
    }
    let cited: Vec<&str> = file.rates.sources.keys().map(String::as_str).collect();
    findings.extend(crate::exports::check(source, &file.exports, &cited));
    findings.extend(crate::unrecognised::check(source, file));
    findings.extend(crate::lint::check(source, file));
    findings
}

/// A span stands for one call, that there is.
fn check_spans(source: &Source, file: &ProviderFile, findings: &mut Vec<LoadError>) {
    let names: Vec<&str> = file.calls.iter().map(|call| call.name.value.as_str()).collect();
    let mut seen = BTreeMap::<&str, u64>::new();
    for span in &file.spans {
        if !names.contains(&span.call.value.as_str()) {
            findings.push(
                source
                    .finding(span.call.referenced, "spans.call", "no call of this file has this name")
                    .value(&span.call.value)
                    .allowed(&span.call.value, &names),
            );
        }
        if let Some(role) = span.role.as_ref().filter(|role| !SPAN_ROLES.contains(&role.value.0)) {
            let problem = "a span can stand for a submit, a poll, a result, a cancel or a sync call";
            findings
                .push(source.finding(role.referenced, "spans.role", problem).value(role.value.0.as_str()));
        }
        for word in &span.is {
            if let Some(line) = seen.insert(&word.value, word.referenced.line()) {
                let problem = format!("line {line} has this word too, and a span stands for one call");
                findings.push(source.finding(word.referenced, "spans.is", problem).value(&word.value));
            }
        }
    }
}

/// Names become metric labels and parts of rule names.
fn check_name(source: &Source, name: &Spanned<String>, field: &str, findings: &mut Vec<LoadError>) {
    let good = !name.value.is_empty()
        && name.value.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if !good {
        findings.push(
            source
                .finding(name.referenced, field, "a name has lower-case letters, digits and `_` only")
                .value(&name.value),
        );
    }
}

fn check_host(source: &Source, host: &Spanned<String>, findings: &mut Vec<LoadError>) {
    let name = host.value.strip_prefix("*.").unwrap_or(&host.value);
    let good = !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_'));
    if !good {
        findings.push(
            source
                .finding(host.referenced, "hosts", "not a host name")
                .value(&host.value)
                .help("write `api.example.com` or `*.example.com`: no scheme, port or path"),
        );
    }
}

fn check_fact(source: &Source, fact: &FactRule, findings: &mut Vec<LoadError>) {
    let name = &fact.name;
    if !crate::vocabulary::FACT_NAMES.contains(&name.value.as_str()) {
        findings.push(
            source
                .finding(name.referenced, "facts.name", "no meter knows a fact of this name")
                .value(&name.value)
                .allowed(&name.value, crate::vocabulary::FACT_NAMES),
        );
    }
    if let Place::Query(parameter) = &fact.from {
        findings.push(
            source
                .finding(name.referenced, "facts.from.query", "facts are not read of a query")
                .value(parameter)
                .help("a model in the query is written in the call: `model: \"{?name}\"`"),
        );
    }
}

fn check_call(source: &Source, file: &ProviderFile, call: &CallRule, findings: &mut Vec<LoadError>) {
    if Method::parse(&call.method.value).is_none() {
        let methods = [Method::Get, Method::Post, Method::Put, Method::Patch, Method::Delete];
        findings.push(
            source
                .finding(call.method.referenced, "calls.method", "not a method that rules can name")
                .value(&call.method.value)
                .allowed(&call.method.value, &methods.map(Method::as_str)),
        );
    }
    if call.paths.is_empty() {
        findings.push(source.finding(call.name.referenced, "calls.paths", "a call needs a path template"));
    }
    if call.hosts.is_empty() && file.hosts.is_empty() {
        let problem = "neither the file nor the call names a host, so the call can never match";
        findings.push(source.finding(call.name.referenced, "calls.hosts", problem));
    }
    for path in &call.paths {
        match Template::parse(&path.value) {
            Ok(template) => check_captures(source, call, &template, findings),
            Err(problem) => {
                findings.push(source.finding(path.referenced, "calls.paths", problem).value(&path.value));
            }
        }
    }
    for procedure in &call.rpc {
        let parts = procedure
            .value
            .split_once('/')
            .filter(|(service, method)| !service.is_empty() && !method.is_empty() && !method.contains('/'));
        if parts.is_none() {
            findings.push(
                source
                    .finding(procedure.referenced, "calls.rpc", "not a service and a method of it")
                    .value(&procedure.value)
                    .help("write `Service/Method`, as spans have them in `rpc.service` and `rpc.method`"),
            );
        }
    }
    for (index, rule) in call.answers.iter().enumerate() {
        check_answer(source, call.role.value.0, rule, findings);
        check_reached(source, rule, &call.answers[..index], findings);
    }
}

/// Every `{name}` in `model` and `family` must be captured by every path of the call.
fn check_captures(source: &Source, call: &CallRule, template: &Template, findings: &mut Vec<LoadError>) {
    let captured: Vec<&str> = template.captures().collect();
    for (field, text) in [("calls.model", &call.model), ("calls.family", &call.family)] {
        let Some(text) = text else { continue };
        match crate::pieces::parse(&text.value) {
            Err(problem) => {
                findings.push(source.finding(text.referenced, field, problem).value(&text.value));
            }
            Ok(pieces) => {
                let is_captured =
                    |name: &str| captured.contains(&name) || crate::pieces::parameter(name).is_some();
                let missing = pieces.iter().filter_map(|piece| match piece {
                    Segment::Capture { name, .. } if !is_captured(name) => Some(&**name),
                    Segment::Rest if !captured.contains(&"**") => Some("**"),
                    _ => None,
                });
                findings.extend(missing.map(|name| {
                    source
                        .finding(text.referenced, field, format!("no path of the call captures `{{{name}}}`"))
                        .value(&text.value)
                        .allowed(name, &captured)
                }));
            }
        }
    }
}

/// An outcome rule must be one that its role can have, and must say something.
fn check_answer(source: &Source, role: Role, rule: &AnswerRule, findings: &mut Vec<LoadError>) {
    let submits = matches!(role, Role::Submit | Role::Sync);
    if let Some(accepted) = &rule.accepted
        && !submits
    {
        let problem =
            format!("only submit and sync calls are accepted or not, this one is a {}", role.as_str());
        findings.push(source.finding(accepted.referenced, "calls.answers.accepted", problem));
    }
    if let Some(state) = &rule.state
        && !states_of(role).contains(&state.value.0)
    {
        let problem = format!("a {} call cannot tell this state", role.as_str());
        findings.push(source.finding(state.referenced, "calls.answers.state", problem));
    }
    let failing = rule.state.as_ref().is_some_and(|state| {
        matches!(state.value.0, TaskState::Failed | TaskState::Rejected | TaskState::Partial)
    });
    if let Some(reason) = &rule.reason
        && !failing
    {
        let problem = "a reason belongs to state failed, rejected or partial";
        findings.push(source.finding(reason.referenced, "calls.answers.reason", problem));
    }
    let moderated = rule.reason.as_ref().is_some_and(|reason| {
        matches!(reason.value.0, FailureReason::ModerationInput | FailureReason::ModerationOutput)
    });
    if let Some(state) = &rule.state
        && moderated
        && state.value.0 == TaskState::Failed
    {
        let problem = "what moderation refuses is `rejected`, not `failed`";
        findings.push(source.finding(state.referenced, "calls.answers.state", problem));
    }
    if rule.accepted.is_none() && rule.state.is_none() {
        let problem = "the rule says neither `accepted` nor `state`, so it does nothing";
        findings.push(source.finding(rule.status.referenced, "calls.answers", problem));
    }
    let refused = rule.accepted.as_ref().is_some_and(|accepted| accepted.value.0 == Accepted::No);
    if let Some(state) = &rule.state
        && refused
        && state.value.0 == TaskState::Succeeded
    {
        let problem = "a request that was not accepted cannot have succeeded";
        findings.push(source.finding(state.referenced, "calls.answers.state", problem));
    }
    if rule.status.value.is_empty() {
        findings.push(source.finding(rule.status.referenced, "calls.answers.status", "no status is named"));
    }
}

/// The first rule that fits is the one: what earlier rules take whole is never reached.
fn check_reached(source: &Source, rule: &AnswerRule, earlier: &[AnswerRule], findings: &mut Vec<LoadError>) {
    let taken = |pattern: &StatusPattern| {
        earlier.iter().flat_map(|rule| &rule.status.value).any(|other| other.covers(*pattern))
    };
    if !rule.status.value.is_empty() && rule.status.value.iter().all(taken) {
        let problem = "never reached: earlier rules of this call take all of these";
        findings.push(
            source
                .finding(rule.status.referenced, "calls.answers.status", problem)
                .help("the first rule that fits is the one: put the narrower one first"),
        );
    }
}

/// A reason says why something failed.
fn check_word(source: &Source, rule: &WordRule, findings: &mut Vec<LoadError>) {
    let failing = matches!(rule.state.value.0, TaskState::Failed | TaskState::Rejected | TaskState::Partial);
    if rule.reason.is_some() && !failing {
        let problem = "a reason belongs to state failed, rejected or partial";
        findings.push(source.finding(rule.state.referenced, "words.state", problem));
    }
    if rule.is.is_empty() {
        findings.push(source.finding(rule.state.referenced, "words.is", "no word is named"));
    }
    let starred = |word: &&String| word.strip_suffix('*').unwrap_or(word).contains('*');
    findings.extend(rule.is.iter().filter(starred).map(|word| {
        source
            .finding(rule.state.referenced, "words.is", "never matches: a `*` stands for any ending only")
            .value(word)
            .help("write the words out, or the beginning that they share and a `*` behind it")
    }));
}

/// The states that the answer to a call of a role can tell.
fn states_of(role: Role) -> &'static [TaskState] {
    use TaskState as S;
    match role {
        Role::Submit | Role::Sync | Role::Session => {
            &[S::Running, S::Ended, S::Failed, S::Rejected, S::Partial, S::Succeeded]
        }
        Role::Poll | Role::Result => &[
            S::NotReady,
            S::Running,
            S::Ended,
            S::Canceled,
            S::Failed,
            S::Rejected,
            S::Partial,
            S::Succeeded,
        ],
        Role::Cancel => &[S::CanceledQueued, S::Canceled, S::Ended],
        Role::Webhook => &[S::Running, S::Ended, S::Failed, S::Succeeded],
        Role::Download => &[S::Succeeded],
    }
}

#[cfg(test)]
mod tests;
