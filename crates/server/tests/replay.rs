//! `replay`, `jobs` and `explain` as a user runs them.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "support/recorded.rs"]
mod recorded;
mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;

use rust_decimal::Decimal;
use serde_json::Value;

use recorded::{recording, request, run, span, spans, spantally, stderr};

fn capture(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/captures");
    root.join(name).join("capture.otlp.gz").display().to_string()
}

fn money(text: &Value) -> Decimal {
    text.as_str().unwrap().parse().unwrap()
}

#[test]
fn a_capture_gives_its_jobs_a_line_each() {
    let text = run(&["replay", &capture("bare-new"), "--format", "jsonl"]);
    let jobs: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(jobs.len() > 100, "{}", jobs.len());
    assert!(jobs.iter().all(|job| job["state"] == "settled"));
    assert!(jobs.windows(2).all(|pair| pair[0]["started_at"].as_str() <= pair[1]["started_at"].as_str()));
}

#[test]
fn the_summary_adds_up() {
    for name in ["bare-new", "rich-new"] {
        let document: Value =
            serde_json::from_str(&run(&["replay", &capture(name), "--format", "json"])).unwrap();
        let summary = &document["summary"];
        let jobs = document["jobs"].as_array().unwrap();
        let outcomes = summary["outcomes"].as_object().unwrap().values();
        assert_eq!(outcomes.map(|jobs| jobs.as_u64().unwrap()).sum::<u64>(), jobs.len() as u64);
        assert_eq!(summary["jobs"].as_u64(), Some(jobs.len() as u64));
        // Causes partition the total, which is that of the jobs.
        let mut of_causes = BTreeMap::<&str, Decimal>::new();
        for row in summary["causes"].as_array().unwrap() {
            *of_causes.entry(row["currency"].as_str().unwrap()).or_default() += money(&row["cost"]);
        }
        for (currency, cost) in summary["cost"].as_object().unwrap() {
            let of_jobs: Decimal = jobs
                .iter()
                .filter_map(|job| job["cost"].get(currency))
                .map(|cost| money(&cost["expected"]))
                .sum();
            assert_eq!(money(&cost["expected"]), of_jobs, "{name} {currency}");
            assert_eq!(of_causes[currency.as_str()], of_jobs, "{name} {currency}");
            let of_providers: Decimal = summary["providers"]
                .as_array()
                .unwrap()
                .iter()
                .filter_map(|row| row["cost"].get(currency))
                .map(|cost| money(&cost["expected"]))
                .sum();
            assert_eq!(of_providers, of_jobs, "{name} {currency}");
        }
        let spans = &summary["spans"];
        let count = |word: &str| spans[word].as_u64().unwrap();
        let parts = ["accepted", "duplicate", "late", "ignored", "rejected"].map(count);
        assert_eq!(parts.iter().sum::<u64>(), count("received"), "{name}");
    }
}

#[test]
fn the_table_has_a_line_a_job() {
    let text = run(&["replay", &capture("parented-dup"), "--format", "csv"]);
    let jobs = run(&["replay", &capture("parented-dup"), "--format", "jsonl"]).lines().count();
    let mut lines = text.lines();
    let columns = lines.next().unwrap().split(',').count();
    assert_eq!(columns, 20);
    // No cell of this capture needs quotes.
    assert!(lines.clone().all(|line| line.split(',').count() == columns));
    assert_eq!(lines.count(), jobs);
}

#[test]
fn labels_have_their_names_in_every_format() {
    let directory = tempfile::tempdir().unwrap();
    let path = recording(directory.path());
    let replay = |format: &str| {
        let set = "processors.spantally.labels=zone,service.name";
        run(&["replay", path.to_str().unwrap(), "--format", format, "--set", set])
    };
    let expected = serde_json::json!({"service.name": "clips"});
    let document: Value = serde_json::from_str(&replay("json")).unwrap();
    assert!(document["jobs"].as_array().unwrap().iter().all(|job| job["labels"] == expected));
    for line in replay("jsonl").lines() {
        assert_eq!(serde_json::from_str::<Value>(line).unwrap()["labels"], expected);
    }
    let table = replay("csv");
    assert!(table.lines().next().unwrap().ends_with(",labels"));
    assert!(table.lines().skip(1).all(|line| line.ends_with(",service.name=clips")), "{table}");
}

#[test]
fn the_report_is_a_page_to_act_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = recording(directory.path());
    let text = run(&["replay", path.to_str().unwrap()]);
    insta::assert_snapshot!(text.replace(path.to_str().unwrap(), "spans.jsonl"));
    let out = directory.path().join("report.txt");
    assert_eq!(run(&["replay", path.to_str().unwrap(), "--out", out.to_str().unwrap()]), "");
    assert_eq!(std::fs::read_to_string(out).unwrap(), text);
}

#[test]
fn a_job_is_explained_by_the_beginning_of_its_id() {
    let directory = tempfile::tempdir().unwrap();
    let path = recording(directory.path());
    let from = path.to_str().unwrap();
    let jobs = run(&["jobs", "--from", from, "--cause", "timeout_resubmit", "--format", "jsonl"]);
    let job: Value = serde_json::from_str(&jobs).unwrap();
    let id = job["job_id"].as_str().unwrap();
    insta::assert_snapshot!(run(&["explain", &id[..6], "--from", from]));
    let again: Value =
        serde_json::from_str(&run(&["explain", id, "--from", from, "--format", "json"])).unwrap();
    assert_eq!(again, job);
}

/// Whoever checks a bill is told that no request was seen of a call.
#[test]
fn a_call_that_is_known_by_a_genai_span_alone_is_explained_so() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("spans.jsonl");
    let mut call = span(1, 0, 9000, "POST", "https://example.com", 200);
    let text = |key: &str, value: &str| serde_json::json!({"key": key, "value": {"stringValue": value}});
    call["attributes"] = serde_json::json!([
        text("gen_ai.operation.name", "chat"),
        text("gen_ai.provider.name", "openai"),
        text("gen_ai.request.model", "gpt-4o-mini"),
    ]);
    std::fs::write(&path, request(&[call])).unwrap();
    let from = path.to_str().unwrap();
    let job: Value = serde_json::from_str(&run(&["jobs", "--from", from, "--format", "jsonl"])).unwrap();
    let attempt = &job["attempts"][0];
    let span = attempt["spans"]["sync"][0].clone();
    let joins = attempt["joins"].as_array().unwrap();
    let known = joins.iter().map(|join| (&join["rule"], &join["confidence"], &join["span"]));
    assert_eq!(known.collect::<Vec<_>>(), [(&"genai_span".into(), &"exact".into(), &span)]);
    let story = run(&["explain", job["job_id"].as_str().unwrap(), "--from", from]);
    for part in ["attempt 1 joined by genai_span, exact: a span around", "attempt 1: no request was seen"] {
        assert!(story.contains(part), "{part} is not in {story}");
    }
    let story = run(&["explain", span.as_str().unwrap(), "--from", from]);
    assert!(story.contains("of attempt 1, by genai_span"), "{story}");
}

#[test]
fn a_span_is_explained_by_the_job_that_it_is_of() {
    let directory = tempfile::tempdir().unwrap();
    let path = recording(directory.path());
    let from = path.to_str().unwrap();
    let jobs = run(&["jobs", "--from", from, "--cause", "timeout_resubmit", "--format", "jsonl"]);
    let job: Value = serde_json::from_str(&jobs).unwrap();
    let told = |span: &Value| run(&["explain", span.as_str().unwrap(), "--from", from]);
    let poll = told(&job["attempts"][1]["spans"]["poll"][2]);
    assert!(poll.starts_with(&format!("Job      {}", job["job_id"].as_str().unwrap())), "{poll}");
    assert!(poll.contains("\nSpan     poll of attempt 2, by task_id_path\n"), "{poll}");
    let submit = told(&job["attempts"][1]["spans"]["submit"][0]);
    assert!(
        submit.contains("\nSpan     submit of attempt 2, by client_rhythm and retry_order\n"),
        "{submit}"
    );

    let nobodys = format!("{}:{}", "e".repeat(32), "e".repeat(16));
    let output = spantally(&["explain", &nobodys, "--from", from]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains(&format!("no job has the span {nobodys}")), "{}", stderr(&output));
    assert_eq!(spantally(&["explain", "ee:ee", "--from", from]).status.code(), Some(64));
}

#[test]
fn jobs_are_selected_and_those_that_settled_last_come_first() {
    let directory = tempfile::tempdir().unwrap();
    let path = recording(directory.path());
    let list = |more: &[&str]| -> Vec<String> {
        let arguments = [&["jobs", "--from", path.to_str().unwrap(), "--format", "jsonl"], more].concat();
        let text = run(&arguments);
        let jobs = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        jobs.map(|job| job["provider"].as_str().unwrap().to_owned()).collect()
    };
    // What a recording leaves open settles at its end, all at once.
    assert_eq!(list(&[]), ["fal", "runway", "fal"]);
    assert_eq!(list(&["--limit", "2"]), ["fal", "runway"]);
    assert_eq!(list(&["--provider", "runway"]), ["runway"]);
    assert_eq!(list(&["--outcome", "unknown"]), ["runway"]);
    assert_eq!(list(&["--outcome", "rejected"]), ["fal"]);
    assert_eq!(list(&["--outcome", "unknown", "--outcome", "rejected"]), ["fal", "runway"]);
    assert_eq!(list(&["--service", "nobody"]), [""; 0]);
    assert_eq!(list(&["--state", "superseded"]), [""; 0]);
    // Of a recording, back from its end.
    assert_eq!(list(&["--since", "1m"]), ["fal", "runway"]);
    assert_eq!(list(&["--since", "5s"]), ["fal"]);
}

/// A server is asked for all of the ways in one list.
#[test]
fn a_server_is_asked_for_every_outcome_that_was_given() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    let asked = std::thread::spawn(move || {
        // It is asked first whether it is there at all.
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
            let line = lines.next().unwrap_or_default();
            lines.take_while(|header| !header.is_empty()).for_each(drop);
            stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n{\"jobs\":[],\"next_cursor\":null}").unwrap();
            if line.contains("/api/v1/jobs") {
                return line;
            }
        }
        String::new()
    });
    let two = ["--outcome", "failed", "--outcome", "rejected"];
    run(&[&["jobs", "--server", &server, "--service", "clips"][..], &two].concat());
    let asked = asked.join().unwrap();
    assert_eq!(asked, "GET /api/v1/jobs?limit=50&service=clips&outcome=failed&outcome=rejected HTTP/1.0");
}

#[test]
fn what_is_not_found_is_told_with_what_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let path = recording(directory.path());
    let output = spantally(&["explain", "ffffffff", "--from", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let jobs = run(&["jobs", "--from", path.to_str().unwrap(), "--format", "jsonl"]);
    let first: Value = serde_json::from_str(jobs.lines().next().unwrap()).unwrap();
    let said = stderr(&output);
    assert!(said.contains("there is no job ffffffff"), "{said}");
    assert!(said.contains(first["job_id"].as_str().unwrap()), "{said}");
    for wrong in [
        &["explain", "xyz0"][..],
        &["explain", "abc"],
        &["jobs", "--since", "soon"],
        &["jobs", "--cause", "x"],
    ] {
        assert_eq!(spantally(wrong).status.code(), Some(64), "{wrong:?}");
    }
    // Nobody listens there, and there is no ledger either.
    let address = support::free_address();
    let server = format!("http://{address}");
    let output = spantally(&["jobs", "--server", &server]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains(&format!("no server answers at {address}")), "{}", stderr(&output));
    let output = spantally(&["jobs", "--ledger", directory.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
}

#[test]
fn a_recording_that_cannot_be_read_ends_with_1_and_one_that_can_in_part_with_0() {
    let directory = tempfile::tempdir().unwrap();
    let bad = directory.path().join("bad");
    std::fs::write(&bad, "hello, world").unwrap();
    for file in [bad.to_str().unwrap(), "/nowhere/spans", directory.path().to_str().unwrap()] {
        let output = spantally(&["replay", file]);
        assert_eq!(output.status.code(), Some(1), "{file}: {}", stderr(&output));
        assert!(stderr(&output).replace("\n  │ ", " ").contains(file), "{}", stderr(&output));
    }
    let path = recording(directory.path());
    let output = spantally(&["replay", path.to_str().unwrap(), bad.to_str().unwrap(), "--format", "jsonl"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(output.stdout.split(|&byte| byte == b'\n').count(), 3 + 1);
    assert!(stderr(&output).contains("1 part could not be read"), "{}", stderr(&output));
}

#[test]
fn standard_input_is_a_recording() {
    let directory = tempfile::tempdir().unwrap();
    let path = recording(directory.path());
    let output = Command::new(env!("CARGO_BIN_EXE_spantally"))
        .args(["replay", "-", "--format", "jsonl"])
        .stdin(std::fs::File::open(&path).unwrap())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        run(&["replay", path.to_str().unwrap(), "--format", "jsonl"])
    );
}

/// Sends the spans as one OTLP/HTTP request.
fn send(server: &support::Server) {
    let body = request(&spans());
    let mut stream = TcpStream::connect(server.http).unwrap();
    let head =
        "POST /v1/traces HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nConnection: close";
    write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn a_server_and_its_ledger_tell_the_same_story() {
    let directory = tempfile::tempdir().unwrap();
    // The spans are of a day that has long passed: by the usual limits all of them would have settled.
    let config = "processors: {spantally: {idle_timeout: 87600h, absolute_timeout: 87600h, \
                  labels: [zone, service.name]}}";
    let admin = support::free_address();
    let server = support::Server::start_with(directory.path(), admin, Some(config), &[]);
    send(&server);
    // The third has no end that spans tell: it is open until it has been idle for long enough.
    server.settled(2);
    assert!(!server.log().contains('\u{1b}'), "colours in a file: {}", server.log());
    let url = format!("http://{}", server.admin);
    let data = directory.path().join("data");
    let data = data.to_str().unwrap();
    let list = |from: &[&str]| run(&[&["jobs", "--format", "jsonl"], from].concat());
    assert_eq!(list(&["--server", &url]).lines().count(), 3);
    assert_eq!(list(&["--server", &url, "--provider", "runway", "--state", "open"]).lines().count(), 1);
    let open: Value = serde_json::from_str(list(&["--server", &url, "--state", "open"]).trim_end()).unwrap();
    assert_eq!(open["labels"]["service.name"], "clips");
    // Beside the running server, and in the words of the ledger's own detail column but for names of labels.
    let listed = list(&["--server", &url, "--state", "settled"]);
    assert_eq!(listed.lines().count(), 2);
    assert_eq!(list(&["--ledger", data]), listed);
    for line in listed.lines() {
        let job: Value = serde_json::from_str(line).unwrap();
        // By name, and without those that no span has.
        assert_eq!(job["labels"], serde_json::json!({"service.name": "clips"}));
        let id = job["job_id"].as_str().unwrap();
        for source in [["--server", &url], ["--ledger", data]] {
            let [option, value] = source;
            assert_eq!(run(&["explain", id, option, value, "--format", "json"]).trim_end(), line);
            let story = run(&["explain", &id[..8], option, value]);
            assert!(
                story.contains(id)
                    && story.contains("service.name=clips")
                    && story.contains("Charges")
                    && story.contains("attempt 1"),
                "{story}"
            );
        }
        let story = run(&["explain", id, "--server", &url]);
        assert!(story.contains("+0.00 s"), "the server has the times of calls: {story}");
    }
    server.kill();
    assert_eq!(list(&["--ledger", data]), listed);
}
