//! Spans of a test as real export requests: OTLP/JSON lines, as the Collector's file exporter writes them.
//!
//! Attributes are those of Python's httpx and aiohttp instrumentations with the stable HTTP conventions.
//! Names of a file (`{task}`, traces, spans) become ids by hashing.

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde_json::{Value, json};

use super::file::{Seconds, SpanLine, Test, TestFile};
use crate::provider_files::ProviderSource;

const NANOS_PER_SECOND: u32 = 1_000_000_000;
/// How long a span takes where the file does not say.
const TOOK: Decimal = Decimal::from_parts(1, 0, 0, false, 1);

/// Makes requests of a test's spans.
#[derive(Debug)]
pub(super) struct Exporter<'a> {
    test: &'a str,
    begin: u64,
    spans: Vec<Span<'a>>,
}

/// One span, checked.
#[derive(Debug)]
struct Span<'a> {
    line: &'a SpanLine,
    number: usize,
    start_ns: u64,
    end_ns: u64,
    what: What<'a>,
    answer: Answer,
}

#[derive(Clone, Copy, Debug)]
enum What<'a> {
    Sent { method: &'static str, target: &'a str, host: &'a str },
    Served { method: &'a str, target: &'a str },
    Called { service: &'a str, method: &'a str },
    Named(&'a str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Status(u16),
    Timeout,
    Refused,
    Reset,
    None,
}

impl<'a> Exporter<'a> {
    /// The spans of a test, in the order in which they end: that is when they are exported. The error says
    /// which line cannot be one.
    pub(super) fn new(file: &TestFile, test: &'a Test, provider: &'a ProviderSource) -> Result<Self, String> {
        let mut hosts = provider.loaded.file.hosts.iter().map(|host| host.value.as_str());
        let host = hosts.find(|host| !host.starts_with("*.")).unwrap_or_default();
        let mut spans = Vec::new();
        for (number, line) in test.spans.iter().enumerate() {
            let failed = |problem: &str| format!("span {} of `{}`: {problem}", number + 1, test.name.value);
            let what = what(line, host).map_err(|problem| failed(&problem))?;
            let answer = answer(line).map_err(|problem| failed(&problem))?;
            let is_named =
                |parent: &&str| test.spans.iter().any(|other| other.name.as_deref() == Some(parent));
            if let Some(parent) = line.parent.as_deref().filter(|parent| !is_named(parent)) {
                return Err(failed(&format!("parent = `{parent}`: no span of the test has this name")));
            }
            let took = line.took.map_or(TOOK, |took| took.0);
            let once = [String::from("0")];
            for at in if line.at.0.is_empty() { &once[..] } else { &line.at.0 } {
                let start = Seconds::parse(at).and_then(|at| nanos(at.0));
                let start_ns =
                    start.ok_or_else(|| failed(&format!("at = `{at}`: not a number of seconds")))?;
                let took_ns = nanos(took).ok_or_else(|| failed("`took` is out of range"))?;
                let number = spans.len();
                spans.push(Span { line, number, start_ns, end_ns: start_ns + took_ns, what, answer });
            }
        }
        spans.sort_by_key(|span| (span.end_ns, span.number));
        Ok(Self { test: &test.name.value, begin: file.begin_unix_nanos(test), spans })
    }

    /// One request a line.
    pub(super) fn json_lines(&self) -> Vec<u8> {
        let mut lines = Vec::new();
        for span in &self.spans {
            let service = json!([attribute("service.name", &json!("studio"))]);
            let scope = json!([{"scope": {"name": "tests"}, "spans": [self.span(span)]}]);
            let request =
                json!({"resourceSpans": [{"resource": {"attributes": service}, "scopeSpans": scope}]});
            lines.extend(request.to_string().into_bytes());
            lines.push(b'\n');
        }
        lines
    }

    /// What a text of the file stands for: `{name}` is an id.
    pub(super) fn expand(&self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').unwrap_or((after, ""));
            out.push_str(before);
            out.push_str(&uuid(self.hash("task", name)));
            rest = after;
        }
        out + rest
    }

    fn span(&self, span: &Span<'_>) -> Value {
        let line = span.line;
        let (name, kind, mut attributes) = match span.what {
            What::Sent { method, target, host } => {
                (method.to_owned(), 3, self.sent(method, target, host, span.answer))
            }
            What::Served { method, target } => {
                (format!("{method} {target}"), 2, self.served(method, target, span.answer))
            }
            What::Called { service, method } => {
                let mut attributes = answered(span.answer);
                let called = [("rpc.service", service), ("rpc.method", method)];
                attributes.extend(called.map(|(key, value)| attribute(key, &json!(value))));
                (format!("{service}/{method}"), 3, attributes)
            }
            What::Named(name) => (name.to_owned(), 1, Vec::new()),
        };
        for (side, headers) in [("request", &line.sends), ("response", &line.gets)] {
            let all = headers.iter().map(|(name, value)| {
                attribute(&format!("http.{side}.header.{name}"), &json!([self.expand(value)]))
            });
            attributes.extend(all);
        }
        attributes.extend(line.attributes.iter().map(|(key, value)| match value.as_str() {
            Some(text) => attribute(key, &json!(self.expand(text))),
            None => attribute(key, value),
        }));
        let trace = match line.trace.as_deref() {
            Some("-") => format!("-{}", span.number),
            named => named.unwrap_or_default().to_owned(),
        };
        let parent = line.parent.as_ref().map(|parent| self.span_id(parent)).unwrap_or_default();
        let own = line.name.clone().unwrap_or_else(|| format!("#{}", span.number));
        json!({
            "traceId": format!("{:032x}", self.hash("trace", &trace)),
            "spanId": self.span_id(&own),
            "parentSpanId": parent,
            "name": name,
            "kind": kind,
            "startTimeUnixNano": (self.begin + span.start_ns).to_string(),
            "endTimeUnixNano": (self.begin + span.end_ns).to_string(),
            "attributes": attributes,
            "status": {"code": i32::from(is_error(span.answer)) * 2, "message": message(span.answer)},
        })
    }

    fn sent(&self, method: &str, target: &str, host: &str, answer: Answer) -> Vec<Value> {
        let target = self.expand(target);
        let url = if target.starts_with('/') { format!("https://{host}{target}") } else { target };
        let server = url.split("://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default();
        let mut attributes = vec![
            attribute("http.request.method", &json!(method)),
            attribute("server.address", &json!(server)),
            attribute("url.full", &json!(url)),
        ];
        attributes.extend(answered(answer));
        attributes
    }

    fn served(&self, method: &str, target: &str, answer: Answer) -> Vec<Value> {
        let target = self.expand(target);
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let mut attributes = vec![
            attribute("http.request.method", &json!(method)),
            attribute("url.path", &json!(path)),
            attribute("url.query", &json!(query)),
            attribute("http.route", &json!(path)),
        ];
        if let Answer::Status(code) = answer {
            attributes.push(attribute("http.response.status_code", &json!(code)));
        }
        attributes
    }

    fn span_id(&self, name: &str) -> String {
        format!("{:016x}", self.hash("span", name) >> 64)
    }

    /// 128-bit FNV-1a.
    fn hash(&self, what: &str, name: &str) -> u128 {
        let bytes = [what, "\0", self.test, "\0", name].concat().into_bytes();
        bytes.iter().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, |hash: u128, &byte| {
            (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
        })
    }
}

/// How a request of the application ended.
fn answered(answer: Answer) -> Vec<Value> {
    let error = |name: String| attribute("error.type", &json!(name));
    match answer {
        Answer::Status(code) => {
            let status = attribute("http.response.status_code", &json!(code));
            std::iter::once(status).chain((code >= 400).then(|| error(code.to_string()))).collect()
        }
        Answer::Timeout => vec![error("httpx.ReadTimeout".into())],
        Answer::Refused => vec![error("httpx.ConnectError".into())],
        Answer::Reset => vec![error("httpx.ReadError".into())],
        Answer::None => Vec::new(),
    }
}

fn what<'a>(line: &'a SpanLine, host: &'a str) -> Result<What<'a>, String> {
    let sent = [("GET", &line.get), ("POST", &line.post), ("PUT", &line.put), ("DELETE", &line.delete)];
    let sent = sent.into_iter().filter_map(|(method, target)| {
        let target = target.as_deref()?;
        Some(What::Sent { method, target, host })
    });
    let served = line.serve.as_deref().map(|served| {
        let (method, target) = served.split_once(' ').unwrap_or(("POST", served));
        What::Served { method, target }
    });
    let called = line.rpc.as_deref().map(|procedure| {
        let (service, method) = procedure.split_once('/').unwrap_or((procedure, ""));
        What::Called { service, method }
    });
    let named = line.span.as_deref().map(What::Named);
    let mut all = sent.chain(served).chain(called).chain(named);
    match (all.next(), all.next()) {
        (Some(What::Sent { target, .. }), None) if target.starts_with('/') && host.is_empty() => {
            Err(format!("`{target}`: the provider file names no host; write the whole URL"))
        }
        (Some(what), None) => Ok(what),
        _ => Err("says what it did with exactly one of get, post, put, delete, serve, rpc, span".to_owned()),
    }
}

fn answer(line: &SpanLine) -> Result<Answer, String> {
    let default = if line.span.is_some() { "none" } else { "200" };
    match line.answer.as_deref().unwrap_or(default) {
        "timeout" => Ok(Answer::Timeout),
        "refused" => Ok(Answer::Refused),
        "reset" => Ok(Answer::Reset),
        "none" => Ok(Answer::None),
        code => {
            let status = code.parse().ok().filter(|code| (100..600).contains(code)).map(Answer::Status);
            status.ok_or_else(|| {
                format!("answer = `{code}`: a status code, or one of timeout, refused, reset, none")
            })
        }
    }
}

fn is_error(answer: Answer) -> bool {
    match answer {
        Answer::Status(code) => code >= 400,
        Answer::None => false,
        Answer::Timeout | Answer::Refused | Answer::Reset => true,
    }
}

fn message(answer: Answer) -> &'static str {
    match answer {
        Answer::Timeout => "ReadTimeout: The read operation timed out",
        Answer::Refused => "ConnectError: [Errno 111] Connection refused",
        Answer::Reset => "ReadError: [Errno 104] Connection reset by peer",
        Answer::Status(_) | Answer::None => "",
    }
}

fn nanos(seconds: Decimal) -> Option<u64> {
    seconds.checked_mul(Decimal::from(NANOS_PER_SECOND))?.to_u64()
}

fn attribute(key: &str, value: &Value) -> Value {
    json!({"key": key, "value": any_value(value)})
}

fn any_value(value: &Value) -> Value {
    match value {
        Value::Bool(flag) => json!({"boolValue": flag}),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => json!({"intValue": integer.to_string()}),
            None => json!({"doubleValue": number}),
        },
        Value::Array(values) => {
            let values: Vec<_> = values.iter().map(any_value).collect();
            json!({"arrayValue": {"values": values}})
        }
        Value::String(text) => json!({"stringValue": text}),
        Value::Null | Value::Object(_) => json!({"stringValue": value.to_string()}),
    }
}

fn uuid(id: u128) -> String {
    let hex = format!("{id:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}
