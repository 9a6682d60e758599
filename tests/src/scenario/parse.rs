//! A scenario file to a [`Scenario`]. The README of `tests/scenarios/` explains the form.

use std::time::Duration;

use super::expect::{Block, Line};
use super::{Answer, Kind, Process, Scenario, Span, Step, Subject};

/// What is wrong with a scenario file, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("tests/scenarios/{file}.txt:{line}: {what}")]
pub struct Mistake {
    /// The scenario's name.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// What was found and what was expected.
    pub what: String,
}

const COLUMNS: &str = "at took trace span parent kind METHOD URL answer [attribute=value ...]";
const ANSWERS: [(&str, Answer); 5] = [
    ("timeout", Answer::Timeout),
    ("refused", Answer::Refused),
    ("reset", Answer::Reset),
    ("-", Answer::Silent),
    ("error", Answer::Error),
];
const KINDS: [(&str, Kind); 4] = [
    ("client", Kind::Client),
    ("server", Kind::Server),
    ("consumer", Kind::Consumer),
    ("internal", Kind::Internal),
];
const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

/// Reads a scenario.
///
/// # Errors
/// The first mistake.
pub fn parse(name: &str, text: &str) -> Result<Scenario, Mistake> {
    let first = Process { service: "studio".into(), instance: "studio-1".into(), ..Process::default() };
    let scenario = Scenario {
        name: name.to_owned(),
        processes: vec![first],
        providers: Vec::new(),
        steps: Vec::new(),
        expected: Vec::new(),
    };
    let mut reader = Reader { scenario, process: 0, in_provider: false };
    for (index, line) in text.lines().enumerate() {
        reader.line(line).map_err(|what| Mistake { file: name.to_owned(), line: index + 1, what })?;
    }
    let whole = |what: &str| Mistake { file: name.to_owned(), line: 1, what: what.to_owned() };
    let mut scenario = reader.scenario;
    if scenario.spans().next().is_none() {
        return Err(whole(&format!("there is no span; expected lines of the form {COLUMNS}")));
    }
    if scenario.expected.is_empty() {
        return Err(whole("nothing is expected; end the file with `=> job OUTCOME` and its attempts"));
    }
    scenario.expected.sort();
    Ok(scenario)
}

struct Reader {
    scenario: Scenario,
    process: usize,
    in_provider: bool,
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<(), String> {
        if self.in_provider && (line.starts_with("  ") || line.is_empty()) {
            if let Some(provider) = self.scenario.providers.last_mut() {
                provider.push_str(line.strip_prefix("  ").unwrap_or_default());
                provider.push('\n');
            }
            return Ok(());
        }
        self.in_provider = false;
        let line = without_comment(line);
        if line.is_empty() {
            Ok(())
        } else if line == "provider:" {
            self.in_provider = true;
            self.scenario.providers.push(String::new());
            Ok(())
        } else if let Some(directive) = line.strip_prefix("---") {
            self.directive(directive.trim())
        } else if let Some(job) = line.strip_prefix("=>") {
            let line = Line::parse(job)?;
            if line.words.first().is_none_or(|word| word != "job") {
                return Err(format!("`=>{job}`: expected `=> job OUTCOME [key=value ...]`"));
            }
            self.scenario.expected.push(Block { job: line, rest: Vec::new() });
            Ok(())
        } else if let Some(block) = self.scenario.expected.last_mut() {
            block.rest.push(Line::parse(line)?);
            Ok(())
        } else {
            self.spans(&tokens(line)?)
        }
    }

    fn directive(&mut self, text: &str) -> Result<(), String> {
        let words = tokens(text)?;
        match words.split_first() {
            Some((first, [at])) if first == "advance" => {
                self.scenario.steps.push(Step::Advance(nanoseconds(at)?));
                Ok(())
            }
            Some((first, values)) if first == "from" => {
                let mut process = Process::default();
                for value in values {
                    match value.split_once('=') {
                        Some(("service", name)) => name.clone_into(&mut process.service),
                        Some(("instance", name)) => name.clone_into(&mut process.instance),
                        Some(("tenant", name)) => name.clone_into(&mut process.tenant),
                        _ => return Err(format!("`{value}`: expected service=, instance= or tenant=")),
                    }
                }
                let known = self.scenario.processes.iter().position(|known| *known == process);
                self.process = known.unwrap_or_else(|| {
                    self.scenario.processes.push(process);
                    self.scenario.processes.len() - 1
                });
                Ok(())
            }
            _ => Err(format!("`--- {text}`: expected `--- advance SECONDS` or `--- from service=NAME ...`")),
        }
    }

    /// One line: one span, or as many as `label*count` says, `at+step` apart.
    fn spans(&mut self, words: &[String]) -> Result<(), String> {
        let [at, took, trace, label, parent, kind, rest @ ..] = words else {
            return Err(format!("{} columns; expected {COLUMNS}", words.len()));
        };
        let (at, step) = at.split_once('+').unwrap_or((at, "0"));
        let (label, count) = label.split_once('*').unwrap_or((label, ""));
        let (subject, rest) = subject(rest)?;
        let Some((answer, attributes)) = rest.split_first() else {
            return Err(format!("no answer; expected {COLUMNS}"));
        };
        let (mut pairs, mut links) = (Vec::new(), Vec::new());
        for attribute in attributes {
            match attribute.split_once('=') {
                Some(("link", span)) => links.push(span.to_owned()),
                Some((key, value)) => pairs.push((attribute_key(key), value.to_owned())),
                None => return Err(format!("`{attribute}`: expected attribute=value, or link=SPAN")),
            }
        }
        let count: u64 = if count.is_empty() {
            1
        } else {
            count.parse().map_err(|_| format!("`{label}*{count}`: expected a number after `*`"))?
        };
        for index in 0..count {
            let label = if count == 1 { label.to_owned() } else { format!("{label}{}", index + 1) };
            let own = if trace == "-" { format!("trace of {label}") } else { trace.clone() };
            self.scenario.steps.push(Step::Span(Box::new(Span {
                process: self.process,
                trace: own,
                parent: (parent != "-").then(|| parent.clone()),
                start_ns: nanoseconds(at)? + index * nanoseconds(step)?,
                took_ns: nanoseconds(took)?,
                kind: word(&KINDS, kind)?,
                subject: subject.clone(),
                answer: status(answer)?,
                attributes: pairs.clone(),
                links: links.clone(),
                label,
            })));
        }
        Ok(())
    }
}

/// A request is two columns, the name of another span one.
fn subject(words: &[String]) -> Result<(Subject, &[String]), String> {
    match words {
        [method, url, rest @ ..] if METHODS.contains(&method.as_str()) => {
            Ok((Subject::Http { method: method.clone(), url: url.clone() }, rest))
        }
        [name, rest @ ..] => Ok((Subject::Named(name.clone()), rest)),
        [] => Err(format!("nothing that the span did; expected {COLUMNS}")),
    }
}

/// `>name` and `<name` are captured request and response headers, as curl shows them.
fn attribute_key(key: &str) -> String {
    let header = |side: &str, name: &str| format!("http.{side}.header.{name}");
    match (key.strip_prefix('>'), key.strip_prefix('<')) {
        (Some(name), _) => header("request", name),
        (_, Some(name)) => header("response", name),
        _ => key.to_owned(),
    }
}

fn status(word_or_code: &str) -> Result<Answer, String> {
    match word_or_code.parse() {
        Ok(code) => Ok(Answer::Status(code)),
        Err(_) => word(&ANSWERS, word_or_code).map_err(|words| format!("{words}, or a status code")),
    }
}

fn word<T: Copy>(table: &[(&str, T)], text: &str) -> Result<T, String> {
    let found = table.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
    let words = || table.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
    found.ok_or_else(|| format!("`{text}`: expected one of {}", words()))
}

/// Seconds, or a number with `m` or `h`, as nanoseconds.
fn nanoseconds(text: &str) -> Result<u64, String> {
    let (number, unit) = match text.strip_suffix(['s', 'm', 'h']) {
        Some(number) => (number, &text[number.len()..]),
        None => (text, "s"),
    };
    let scale = match unit {
        "m" => 60.0,
        "h" => 3600.0,
        _ => 1.0,
    };
    let duration = number.parse().ok().and_then(|value: f64| Duration::try_from_secs_f64(value * scale).ok());
    let duration =
        duration.ok_or_else(|| format!("`{text}`: expected seconds, for example 1.5, or 90m, or 2h"))?;
    u64::try_from(duration.as_nanos()).map_err(|_| format!("`{text}`: longer than five centuries"))
}

/// A comment begins with `#` at the line's start or after two spaces.
fn without_comment(line: &str) -> &str {
    let end = if line.starts_with('#') { Some(0) } else { line.find("  #") };
    line[..end.unwrap_or(line.len())].trim()
}

/// Words between spaces; what stands in double quotes is one word.
pub(super) fn tokens(line: &str) -> Result<Vec<String>, String> {
    let (mut found, mut current, mut quoted) = (Vec::new(), String::new(), false);
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ' ' if !quoted => {
                if !current.is_empty() {
                    found.push(std::mem::take(&mut current));
                }
            }
            _ => current.push(c),
        }
    }
    if quoted {
        return Err("a double quote is not closed".to_owned());
    }
    if !current.is_empty() {
        found.push(current);
    }
    Ok(found)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    const END: &str = "=> job succeeded\n  attempt yes delivered submit=s\n";

    #[test]
    fn a_line_is_a_span_and_a_starred_label_several() {
        let text = "# title\n\
            0.0 0.3 a s - client POST https://h/x timeout >idempotency-key=k-1\n\
            --- from service=worker tenant=acme\n\
            1+0.5 0.1 - p*3 - client GET https://h/x 200  # a comment\n\
            2 1 a w - internal \"two words\" - link=s\n\
            --- advance 2h\n";
        let scenario = parse("x", &format!("{text}{END}")).unwrap();
        let spans: Vec<&Span> = scenario.spans().collect();
        let labels: Vec<&str> = spans.iter().map(|span| span.label.as_str()).collect();
        assert_eq!(labels, ["s", "p1", "p2", "p3", "w"]);
        assert_eq!(spans[0].answer, Answer::Timeout);
        assert_eq!(spans[0].attributes[0].0, "http.request.header.idempotency-key");
        assert_eq!((spans[3].start_ns, &*spans[3].trace), (2_000_000_000, "trace of p3"));
        assert_eq!(scenario.processes[spans[1].process].tenant, "acme");
        assert_eq!((&spans[4].subject, &*spans[4].links[0]), (&Subject::Named("two words".into()), "s"));
        assert!(matches!(scenario.steps.last(), Some(Step::Advance(7_200_000_000_000))));
    }

    #[test]
    fn mistakes_say_where_and_what_was_expected() {
        for (line, what) in [
            ("0 1 a", "3 columns; expected at took trace span parent kind"),
            ("0 1 a s - clint GET https://h 200", "`clint`: expected one of client, server"),
            ("0 1 a s - client GET https://h maybe", "`maybe`: expected one of timeout, refused"),
            ("x 1 a s - client GET https://h 200", "`x`: expected seconds"),
            ("0 1 a s - client GET https://h 200 model", "`model`: expected attribute=value"),
            ("--- later", "expected `--- advance SECONDS`"),
            ("0 1 a s - internal \"x - ", "a double quote is not closed"),
        ] {
            let mistake = parse("x", &format!("\n{line}\n{END}")).unwrap_err();
            assert_eq!(mistake.line, 2, "{line}");
            assert!(mistake.what.contains(what), "{line}: {mistake}");
        }
        assert!(parse("x", END).unwrap_err().what.contains("there is no span"));
        assert!(parse("x", "0 1 a s - internal n -").unwrap_err().what.contains("nothing is expected"));
    }
}
