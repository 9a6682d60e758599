//! End to end: what a backend gets of jobs: a span for each that settled, and the job on the spans of its
//! calls.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::Link;
use prost::Message;
use support::{PATIENCE, Server, free_address, send_with_python, text};

/// A backend that takes everything: what it got, with the name of its service.
fn backend(address: SocketAddr) -> Receiver<(String, Span)> {
    let listener = TcpListener::bind(address).unwrap();
    let (tell, told) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = BufReader::new(stream.unwrap());
            let tell = tell.clone();
            std::thread::spawn(move || {
                answer(stream, |request| {
                    for resource in request.resource_spans {
                        let known = resource.resource.unwrap_or_default().attributes;
                        let service = known.iter().find(|known| known.key == "service.name").unwrap();
                        let Some(Any::StringValue(service)) = service.value.clone().unwrap().value else {
                            panic!()
                        };
                        for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                            tell.send((service.clone(), span)).unwrap();
                        }
                    }
                });
            });
        }
    });
    told
}

/// Answers the requests of a connection until it ends.
fn answer(mut stream: BufReader<std::net::TcpStream>, mut take: impl FnMut(ExportTraceServiceRequest)) {
    loop {
        let mut length = None;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = Some(value.trim().parse::<usize>().unwrap());
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length.unwrap()];
        stream.read_exact(&mut body).unwrap();
        take(ExportTraceServiceRequest::decode(&*body).unwrap());
        stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
    }
}

fn attribute<'a>(span: &'a Span, key: &str) -> &'a Any {
    let found = span.attributes.iter().find(|known| known.key == key);
    found.unwrap_or_else(|| panic!("no {key} on {span:?}")).value.as_ref().unwrap().value.as_ref().unwrap()
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// The server is killed before its backend is there. Each job has one span then, whatever was told twice.
#[test]
fn a_settled_job_has_a_span_with_its_cost_and_links_to_its_calls() {
    let directory = tempfile::tempdir().unwrap();
    let address = free_address();
    let config = format!(
        "exporters:\n  otlphttp/jobs: {{endpoint: 'http://{address}', spans: false, job_spans: true, \
         compression: none, retry_on_failure: {{initial_interval: 100ms, max_interval: 500ms}}}}\n"
    );
    let server = Server::start_with(directory.path(), free_address(), Some(&config), &[]);
    let sent = send_with_python(&server, "grpc", 1000);
    server.settled(sent.tasks.len());
    server.kill();
    let told = backend(address);
    let server = Server::start_with(directory.path(), free_address(), Some(&config), &[]);
    let jobs = server.settled(sent.tasks.len());

    let mut spans: BTreeMap<String, (String, Span)> = BTreeMap::new();
    let began = Instant::now();
    while spans.len() < jobs.len() {
        let left = PATIENCE.saturating_sub(began.elapsed());
        let (service, span) = told.recv_timeout(left).unwrap_or_else(|_| panic!("{}", server.log()));
        spans.insert(hex(&span.trace_id), (service, span));
    }
    for job in &jobs {
        let (service, span) = &spans[text(job, "job_id")];
        assert_eq!(service, text(job, "service"));
        assert_eq!(*attribute(span, "spantally.job.id"), Any::StringValue(text(job, "job_id").to_owned()));
        assert_eq!(
            *attribute(span, "spantally.job.outcome"),
            Any::StringValue(text(job, "outcome").to_owned())
        );
        let attempts = job["attempts"].as_array().unwrap();
        assert_eq!(
            *attribute(span, "spantally.job.attempts"),
            Any::IntValue(attempts.len().try_into().unwrap())
        );
        for (currency, cost) in job["cost"].as_object().unwrap() {
            for end in ["min", "expected", "max"] {
                let key = format!("spantally.cost.{}.{end}", currency.to_lowercase());
                assert_eq!(*attribute(span, &key), Any::DoubleValue(text(cost, end).parse().unwrap()));
            }
        }
        let of_attempts = attempts.iter().flat_map(|attempt| attempt["spans"].as_object().unwrap().values());
        let spans = of_attempts.chain([&job["spans"]]).flat_map(|spans| spans.as_array().unwrap());
        let mut calls: Vec<&str> = spans.map(|span| span.as_str().unwrap()).collect();
        calls.sort_unstable();
        let link = |link: &Link| format!("{}:{}", hex(&link.trace_id), hex(&link.span_id));
        let mut linked: Vec<String> = span.links.iter().map(link).collect();
        linked.sort_unstable();
        assert_eq!(linked, calls);
        assert!(span.start_time_unix_nano < span.end_time_unix_nano);
    }
    assert!(jobs.iter().any(|job| !job["cost"].as_object().unwrap().is_empty()), "some job costs money");
    for job in &jobs {
        let attempts = job["attempts"].as_array().unwrap();
        let (_, span) = &spans[text(job, "job_id")];
        let resubmitted = span.events.iter().filter(|event| event.name == "resubmitted").count();
        let turns = attempts.iter().any(|attempt| attempt["leg"].is_string());
        assert_eq!(resubmitted, if turns { 0 } else { attempts.len() - 1 }, "{span:?}");
    }
    assert_eq!(server.metric("spantally_forward_spans_total", &["outcome=\"sent\""]), spans.len().into());
}

/// What a span is to have: its job, its attempt, why that one's money was spent.
type Expected = BTreeMap<String, (String, i64, String)>;

fn expected(jobs: &[serde_json::Value]) -> Expected {
    let mut expected = Expected::new();
    for job in jobs {
        for (index, attempt) in job["attempts"].as_array().unwrap().iter().enumerate() {
            let of_roles = attempt["spans"].as_object().unwrap().values();
            for span in of_roles.flat_map(|spans| spans.as_array().unwrap()) {
                let (id, cause) = (text(job, "job_id").to_owned(), text(attempt, "cause").to_owned());
                expected.insert(span.as_str().unwrap().to_owned(), (id, index.try_into().unwrap(), cause));
            }
        }
    }
    expected
}

fn key_of(span: &Span) -> String {
    format!("{}:{}", hex(&span.trace_id), hex(&span.span_id))
}

/// Gathers spans by their keys until there are as many as were sent.
fn gather(told: &Receiver<(String, Span)>, count: u64, server: &Server) -> BTreeMap<String, Span> {
    let (mut spans, began) = (BTreeMap::new(), Instant::now());
    while (spans.len() as u64) < count {
        let left = PATIENCE.saturating_sub(began.elapsed());
        let (_, span) = told.recv_timeout(left).unwrap_or_else(|_| {
            panic!("{} of {count} spans came\n{}\n{}", spans.len(), server.page("/metrics"), server.log())
        });
        spans.insert(key_of(&span), span);
    }
    spans
}

/// Two backends get the same spans, one of them with their jobs. The server is killed while spans wait.
#[test]
fn recognised_spans_have_their_job_and_all_others_are_as_they_came() {
    let directory = tempfile::tempdir().unwrap();
    let [with_jobs, plain] = [free_address(), free_address()];
    let retry = "compression: none, retry_on_failure: {initial_interval: 100ms, max_interval: 500ms}";
    let config = format!(
        "exporters:\n  otlphttp/jobs: {{endpoint: 'http://{with_jobs}', job_attributes: {{enabled: true}}, \
         {retry}}}\n  otlphttp/plain: {{endpoint: 'http://{plain}', {retry}}}\n"
    );
    let server = Server::start_with(directory.path(), free_address(), Some(&config), &[]);
    let sent = send_with_python(&server, "http", 3000);
    server.kill();
    let (with_jobs, plain) = (backend(with_jobs), backend(plain));
    let server = Server::start_with(directory.path(), free_address(), Some(&config), &[]);
    let jobs = server.settled(sent.tasks.len());
    let expected = expected(&jobs);

    let plain = gather(&plain, sent.spans, &server);
    let spans = gather(&with_jobs, sent.spans, &server);
    let mut costs: BTreeMap<&str, f64> = BTreeMap::new();
    let mut with_their_job = 0;
    for (key, as_it_came) in &plain {
        let mut span = spans[key].clone();
        let added = span.attributes.split_off(as_it_came.attributes.len());
        assert_eq!(span, *as_it_came, "what came is there as it came");
        let Some((job, attempt, cause)) = expected.get(key) else {
            assert!(added.len() <= 1, "{added:?}");
            continue;
        };
        with_their_job += 1;
        span.attributes = added;
        assert_eq!(*attribute(&span, "spantally.job.id"), Any::StringValue(job.clone()));
        assert_eq!(*attribute(&span, "spantally.job.attempt"), Any::IntValue(*attempt));
        assert_eq!(*attribute(&span, "spantally.cause"), Any::StringValue(cause.clone()));
        if span.attributes.iter().any(|known| known.key == "spantally.cost.usd.expected") {
            let Any::DoubleValue(cost) = attribute(&span, "spantally.cost.usd.expected") else { panic!() };
            *costs.entry(job).or_default() += cost;
        }
    }
    assert_eq!(with_their_job, expected.len(), "every span of a job came");
    for job in jobs.iter().filter(|job| job["cost"]["USD"].is_object()) {
        let cost: f64 = text(&job["cost"]["USD"], "expected").parse().unwrap();
        let of_spans = costs.get(text(job, "job_id")).copied().unwrap_or_default();
        assert!((of_spans - cost).abs() < 1e-9, "costs of spans add up to the job's: {of_spans}, {cost}");
    }
    assert!(costs.values().sum::<f64>() > 0.0, "some job costs money");
    assert_eq!(
        server.metric("spantally_forward_job_attributes_total", &["result=\"added\""]),
        expected.len().into()
    );
}
