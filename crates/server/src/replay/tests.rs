//! Every framing, whole, cut off and corrupt.

mod reports;

use std::io::{Cursor, Read, Write};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use serde_json::json;
use spantally_providers::CorrelationConfig;
use spantally_stitch::Outcome;

use super::framing::RECORD_BYTES_MAX;
use super::{Found, Framing, Recording, Replay, input};
use crate::config::Settings;
use crate::provider_files::ProviderFiles;

/// A sync call, each its own job and as many seconds late as its number.
fn request(number: u8) -> ExportTraceServiceRequest {
    let text = |key: &str, value: &str| KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(Value::StringValue(value.to_owned())) }),
        ..KeyValue::default()
    };
    let status = KeyValue {
        key: "http.response.status_code".to_owned(),
        value: Some(AnyValue { value: Some(Value::IntValue(200)) }),
        ..KeyValue::default()
    };
    let start = 1_795_168_800_000_000_000 + u64::from(number) * 1_000_000_000;
    let span = Span {
        trace_id: vec![number; 16],
        span_id: vec![number; 8],
        name: "POST".to_owned(),
        kind: 3,
        start_time_unix_nano: start,
        end_time_unix_nano: start + 500_000_000,
        attributes: vec![
            text("http.request.method", "POST"),
            text("url.full", "https://fal.run/fal-ai/flux/dev"),
            status,
        ],
        ..Span::default()
    };
    let scope = ScopeSpans { spans: vec![span], ..ScopeSpans::default() };
    let resource = ResourceSpans { scope_spans: vec![scope], ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![resource] }
}

fn requests() -> Vec<ExportTraceServiceRequest> {
    (1..=3).map(request).collect()
}

/// The same requests in every framing.
fn framed(framing: Framing) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (number, request) in requests().iter().enumerate() {
        let body = request.encode_to_vec();
        match framing {
            Framing::JsonLines => {
                bytes.extend(serde_json::to_vec(request).unwrap());
                // Blank lines between.
                bytes.extend(b"\n\n");
            }
            Framing::BigEndian => bytes.extend((body.len() as u32).to_be_bytes()),
            Framing::Capture => {
                bytes.extend((body.len() as u32).to_be_bytes());
                bytes.extend((number as u32 * 1000).to_be_bytes());
            }
            Framing::Varint => bytes.extend(request.encode_length_delimited_to_vec()),
        }
        if matches!(framing, Framing::BigEndian | Framing::Capture) {
            bytes.extend(body);
        }
    }
    bytes
}

const FRAMINGS: [Framing; 4] = [Framing::JsonLines, Framing::BigEndian, Framing::Capture, Framing::Varint];

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

fn recording(bytes: Vec<u8>) -> Recording {
    Recording::new("test".to_owned(), input::plain(Cursor::new(bytes)).unwrap()).unwrap()
}

fn replay(recordings: Vec<Recording>) -> Found {
    let providers = ProviderFiles::load(None, &CorrelationConfig::default()).unwrap();
    Replay::new(&Settings::default(), &providers).run(recordings)
}

/// Records, parts that cannot be read, jobs, and what is said of the first problem.
#[track_caller]
fn read(bytes: Vec<u8>) -> (u64, u64, usize, String) {
    let found = replay(vec![recording(bytes)]);
    let said = found.problems.first().map(ToString::to_string).unwrap_or_default();
    (found.records, found.unreadable, found.jobs.len(), said)
}

#[test]
fn every_framing_is_told_and_read_with_every_compression() {
    for framing in FRAMINGS {
        let plain = framed(framing);
        for (name, bytes) in [("plain", plain.clone()), ("gzip", gzip(&plain)), ("zstd", zstd(&plain))] {
            assert_eq!(recording(bytes.clone()).framing(), Some(framing), "{framing:?} {name}");
            assert_eq!(read(bytes), (3, 0, 3, String::new()), "{framing:?} {name}");
        }
    }
}

#[test]
fn concatenated_gzip_members_are_one_recording() {
    let (first, second) =
        (request(1).encode_length_delimited_to_vec(), request(2).encode_length_delimited_to_vec());
    assert_eq!(read([gzip(&first), gzip(&second)].concat()), (2, 0, 2, String::new()));
}

#[test]
fn requests_that_are_compressed_one_by_one_are_read() {
    // As the file exporter writes with `compression: zstd`, for both of its formats.
    for encode in
        [ExportTraceServiceRequest::encode_to_vec, |request: &_| serde_json::to_vec(request).unwrap()]
    {
        let mut bytes = Vec::new();
        for request in requests() {
            let body = zstd(&encode(&request));
            bytes.extend((body.len() as u32).to_be_bytes());
            bytes.extend(body);
        }
        assert_eq!(recording(bytes.clone()).framing(), Some(Framing::BigEndian));
        assert_eq!(read(bytes.clone()), (3, 0, 3, String::new()));
        // One of them broken: the others are still found.
        let second = 4 + u32::from_be_bytes(*bytes.first_chunk().unwrap()) as usize;
        bytes[second + 4..second + 12].fill(0xff);
        let (records, unreadable, jobs, said) = read(bytes);
        assert_eq!((records, unreadable, jobs), (2, 1, 2), "{said}");
        assert!(said.starts_with(&format!("test: record 2 at byte {second}: ")), "{said}");
    }
}

#[test]
fn a_cut_off_end_loses_the_last_request_only() {
    for framing in FRAMINGS {
        let plain = framed(framing);
        let cut = plain.len() - 20;
        let (records, unreadable, jobs, said) = read(plain[..cut].to_vec());
        assert_eq!((records, unreadable, jobs), (2, 1, 2), "{framing:?}: {said}");
        assert!(said.starts_with("test: ") && said.contains(" at byte "), "{said}");
    }
}

#[test]
fn a_cut_off_header_is_told() {
    for (framing, keep) in [(Framing::BigEndian, 3), (Framing::Capture, 5)] {
        let mut bytes = framed(framing);
        bytes.extend(vec![0; keep]);
        let (records, unreadable, _, said) = read(bytes);
        assert_eq!((records, unreadable), (3, 1), "{framing:?}");
        assert!(said.contains("of a header, found") && said.contains("record 4"), "{said}");
    }
}

#[test]
fn a_cut_off_gzip_stream_keeps_what_came_before() {
    // Requests that do not compress away, so that the cut is behind some of them.
    let plain: Vec<u8> =
        (1..=200).flat_map(|number| request(number).encode_length_delimited_to_vec()).collect();
    let packed = gzip(&plain);
    let (records, unreadable, _, said) = read(packed[..packed.len() / 2].to_vec());
    assert!(records > 10 && records < 200, "{records}");
    assert_eq!(unreadable, 1);
    assert!(said.contains("cannot be read"), "{said}");
}

#[test]
fn one_bad_request_does_not_hide_the_next() {
    let lines = [
        serde_json::to_string(&request(1)).unwrap(),
        r#"{"resourceSpans": [{"scopeSpans": 7}]}"#.to_owned(),
        "not json".to_owned(),
        serde_json::to_string(&request(2)).unwrap(),
    ];
    let (records, unreadable, jobs, said) = read(lines.join("\n").into_bytes());
    assert_eq!((records, unreadable, jobs), (2, 2, 2));
    assert!(said.starts_with("test: line 2 at byte "), "{said}");
    assert!(said.contains("ExportTraceServiceRequest") && said.contains("scopeSpans"), "{said}");

    let mut bytes = request(1).encode_length_delimited_to_vec();
    let at = bytes.len();
    bytes.extend([4, 0x0a, 0x7f, 1, 1]);
    bytes.extend(request(2).encode_length_delimited_to_vec());
    let (records, unreadable, jobs, said) = read(bytes);
    assert_eq!((records, unreadable, jobs), (2, 1, 2));
    assert!(said.starts_with(&format!("test: record 2 at byte {at}: ")), "{said}");
}

#[test]
fn what_is_no_recording_says_what_was_expected() {
    for bytes in [&b"hello, world"[..], &[0xff; 32], &[0; 32], b"\x7fELF\x02\x01\x01", b"["] {
        let (records, unreadable, _, said) = read(bytes.to_vec());
        assert_eq!((records, unreadable), (0, 1), "{bytes:?}");
        assert!(said.contains("expected OTLP trace requests"), "{said}");
    }
    assert_eq!(read(Vec::new()), (0, 0, 0, String::new()));
    let (.., said) = read(b"{\n  \"resourceSpans\": []\n}\n".to_vec());
    assert!(said.contains("many lines"), "{said}");
}

#[test]
fn a_length_beyond_the_limit_is_not_allocated() {
    let mut bytes = request(1).encode_length_delimited_to_vec();
    bytes.extend([0xff, 0xff, 0xff, 0xff, 0x7f]);
    let (records, unreadable, _, said) = read(bytes);
    assert_eq!((records, unreadable), (1, 1));
    assert!(said.contains(&RECORD_BYTES_MAX.to_string()), "{said}");
}

#[test]
fn a_line_beyond_the_limit_is_skipped_to_its_end() {
    // Never in memory as a whole: the line comes from a reader that makes it up.
    let first = serde_json::to_vec(&request(1)).unwrap();
    let last = serde_json::to_vec(&request(2)).unwrap();
    let long = std::io::repeat(b' ').take(RECORD_BYTES_MAX + 10);
    let bytes = Cursor::new([first, b"\n".to_vec()].concat()).chain(long);
    let bytes = bytes.chain(Cursor::new([b"\n".to_vec(), last].concat()));
    let found = replay(vec![Recording::new("test".to_owned(), input::plain(bytes).unwrap()).unwrap()]);
    assert_eq!((found.records, found.unreadable, found.jobs.len()), (2, 1, 2));
}

#[test]
fn garbage_never_panics_and_always_ends() {
    for seed in 0..2000_u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut bytes = framed(FRAMINGS[(seed % 4) as usize]);
        for _ in 0..3 {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            let at = (state >> 33) as usize % bytes.len();
            bytes[at] = state as u8;
        }
        let mut recording = recording(bytes);
        let mut left = 1000;
        while recording.next_record().is_some() {
            left -= 1;
            assert!(left > 0, "seed {seed} does not end");
        }
    }
}

#[test]
fn several_recordings_are_read_in_the_order_of_time() {
    let part = |numbers: &[u8]| -> Recording {
        recording(
            numbers.iter().flat_map(|&number| request(number).encode_length_delimited_to_vec()).collect(),
        )
    };
    let whole = replay(vec![part(&[1, 2, 3, 4])]);
    let parts = replay(vec![part(&[3, 4]), part(&[1, 2])]);
    assert_eq!(whole.jobs, parts.jobs);
    assert_eq!(whole.jobs.len(), 4);
    // The same file twice: every span counts once.
    let twice = replay(vec![part(&[1, 2]), part(&[1, 2])]);
    assert_eq!((twice.jobs.len(), twice.spans.accepted, twice.spans.duplicate), (2, 2, 2));
}

#[test]
fn a_recording_longer_than_memory_keeps_its_first_jobs() {
    // Two jobs a day apart; then the first one's spans again, long after it was forgotten.
    let mut late = request(2);
    for span in &mut late.resource_spans[0].scope_spans[0].spans {
        span.start_time_unix_nano += 86_400_000_000_000;
        span.end_time_unix_nano += 86_400_000_000_000;
    }
    let requests = [request(1), late.clone(), request(1)];
    let bytes = requests.iter().flat_map(Message::encode_length_delimited_to_vec).collect();
    let found = replay(vec![recording(bytes)]);
    assert_eq!(found.jobs.len(), 2);
    let spans = found.spans;
    assert_eq!(
        spans.received,
        spans.accepted + spans.duplicate + spans.late + spans.surplus + spans.ignored + spans.rejected
    );
}

#[test]
fn peeking_changes_nothing() {
    let bytes: Vec<u8> = (0..100).collect();
    for take in [0, 1, 16, 200] {
        let (head, mut stream) = input::peek(Cursor::new(bytes.clone()), take).unwrap();
        assert_eq!(head, bytes[..take.min(100)]);
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        assert_eq!(all, bytes);
    }
}

/// A span in a line of its own: when it starts and how long it takes, in seconds, of which trace, its number,
/// that of its parent, and its attributes.
fn line((at, took): (u64, u64), trace: u8, (span, parent): (u8, u8), attributes: &[(&str, &str)]) -> String {
    let nanos = |seconds: u64| ((1_795_168_800 + seconds) * 1_000_000_000).to_string();
    let attribute = |(key, value): &(&str, &str)| json!({"key": key, "value": {"stringValue": value}});
    let span = json!({
        "traceId": format!("{trace:032x}"),
        "spanId": format!("{span:016x}"),
        "parentSpanId": if parent == 0 { String::new() } else { format!("{parent:016x}") },
        "name": "x",
        "kind": 3,
        "startTimeUnixNano": nanos(at),
        "endTimeUnixNano": nanos(at + took),
        "attributes": attributes.iter().map(attribute).collect::<Vec<_>>(),
    });
    json!({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).to_string() + "\n"
}

/// What was due in the night is done before the morning's first span comes, as a server would have.
#[test]
fn a_quiet_night_leaves_the_jobs_of_the_morning_whole() {
    const RUNWAY: &str = "https://api.dev.runwayml.com/v1";
    const OK: (&str, &str) = ("http.response.status_code", "200");
    let clip = |start: u64, trace: u8| {
        let call = |at, span, method, path: &str, status: &[(&str, &str)]| {
            let url = format!("{RUNWAY}{path}");
            let own = [("http.request.method", method), ("url.full", url.as_str()), OK];
            line((start + at, 1), trace, (span, 9), &[&own[..], status].concat())
        };
        let task = format!("/tasks/t{trace}");
        let done = [("spantally.task.status", "SUCCEEDED")];
        let made = [("gen_ai.request.model", "gen4_turbo"), ("spantally.seconds", "5")];
        [
            call(0, 1, "POST", "/image_to_video", &[]),
            call(20, 2, "GET", &task, &done),
            line((start, 100), trace, (9, 0), &made),
        ]
    };
    let speech =
        [("http.request.method", "POST"), ("url.full", "https://api.elevenlabs.io/v1/text-to-speech/v1"), OK];
    let [submit, poll, made] = clip(57_600, 2);
    let between = line((57_601, 2), 3, (1, 0), &speech);
    let lines = [clip(0, 1).concat(), submit, between, poll, made].concat();
    let found = replay(vec![recording(lines.into_bytes())]);
    let clips = found.jobs.iter().filter(|settled| &*settled.job.provider == "runway");
    let clips: Vec<_> = clips.map(|settled| (settled.job.outcome, settled.job.attempts.len())).collect();
    assert_eq!(clips, [(Outcome::Succeeded, 1); 2]);
}
