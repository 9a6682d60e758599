//! Recordings that are not what they were taken for, and spans that say odd things.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "support/recorded.rs"]
mod recorded;

use serde_json::{Value, json};

use recorded::{recording, request, run, span, spans, spantally, stderr};

#[test]
fn what_spans_say_does_not_act_on_a_terminal_or_in_a_spreadsheet() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("odd.jsonl");
    let mut odd = span(1, 0, 300, "POST", "https://fal.run/fal-ai/flux/dev", 200);
    let model =
        json!({"key": "gen_ai.request.model", "value": {"stringValue": "\u{1b}[31mred\u{202e}\u{9b}"}});
    let task = json!({"key": "spantally.task.id", "value": {"stringValue": "task\u{1b}]0;x\u{7}"}});
    odd["attributes"].as_array_mut().unwrap().extend([model, task]);
    let text = request(&[odd]).replace("\"clips\"", &format!("\"=cmd|{}\"", "x".repeat(3000)));
    std::fs::write(&path, text).unwrap();
    let from = path.to_str().unwrap();
    let job: Value = serde_json::from_str(&run(&["jobs", "--from", from, "--format", "jsonl"])).unwrap();
    assert_eq!(job["service"].as_str().unwrap().len(), 256, "as much of a label as is kept");
    let providers = directory.path().join("none");
    std::fs::create_dir(&providers).unwrap();
    let with = providers.to_str().unwrap();
    let id = job["job_id"].as_str().unwrap();
    for arguments in [
        &["replay", from][..],
        &["jobs", "--from", from],
        &["explain", id, "--from", from],
        &["reprice", from, "--with", with],
    ] {
        let text = run(arguments);
        let acts = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!text.contains(acts), "{arguments:?}: {text:?}");
        assert!(text.lines().all(|line| line.chars().count() < 400), "{arguments:?}: {text}");
    }
    let csv = run(&["jobs", "--from", from, "--format", "csv"]);
    assert!(csv.lines().nth(1).unwrap().contains(",'=cmd|xxx"), "{csv}");
}

#[test]
fn other_json_is_told_by_what_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("other.jsonl");
    for (line, words) in [
        (r#"{"resourceLogs":[]}"#, "found the keys resourceLogs (these are OTLP logs)"),
        (r#"{"data":[{"traceID":"1"}]}"#, "as Jaeger gives it out"),
        (r#"{"batches":[]}"#, "as Grafana Tempo gives it out"),
        (r#"{"resource_spans":[]}"#, "lowerCamelCase"),
        (r#"{"job_id":"1","state":"settled"}"#, "a job that Spantally found"),
    ] {
        std::fs::write(&path, format!("{line}\n{line}\n")).unwrap();
        let output = spantally(&["replay", path.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1), "{line}: {}", stderr(&output));
        assert!(stderr(&output).contains(words), "{line}: {}", stderr(&output));
        assert!(stderr(&output).contains("2 parts could not be read"), "{}", stderr(&output));
    }
    // A line that is no object is one of JSON all the same; a key beside the spans is ignored.
    let spans = request(&spans()).replacen('{', "{\"own\":1,", 1);
    std::fs::write(&path, format!("{spans}\nnonsense\n[1]\n")).unwrap();
    let output = spantally(&["replay", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let said = stderr(&output);
    assert!(said.contains("line 2") && said.contains("line 3") && !said.contains("protobuf"), "{said}");
}

#[test]
fn the_page_says_why_there_is_no_job() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("spans.jsonl");
    let shop = || span(30, 0, 300, "GET", "https://shop.example/jobs/7/status", 200);
    let mut bad = shop();
    bad["traceId"] = json!("00");
    for (text, is_ignored, words) in [
        (request(&[shop()]), true, "1 ignored"),
        (request(&[bad]), false, "rejected: 1 "),
        (r#"{"resourceSpans":[]}"#.to_owned(), false, "No span in what was read."),
    ] {
        std::fs::write(&path, &text).unwrap();
        let page = run(&["replay", path.to_str().unwrap()]);
        assert!(page.contains(words), "{text}: {page}");
        assert_eq!(page.contains("spantally check"), is_ignored, "{text}: {page}");
    }
}

#[test]
fn a_recording_is_neither_read_twice_nor_written_over() {
    let directory = tempfile::tempdir().unwrap();
    let path = recording(directory.path());
    let before = std::fs::read(&path).unwrap();
    let link = directory.path().join("link");
    std::fs::hard_link(&path, &link).unwrap();
    let (file, link) = (path.to_str().unwrap(), link.to_str().unwrap());
    for arguments in [
        &["replay", "-", "-"][..],
        &["jobs", "--from", "-", "-"],
        &["replay", file, "--out", file],
        &["replay", file, "--out", link],
    ] {
        let output = spantally(arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {}", stderr(&output));
    }
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert_eq!(spantally(&["replay", file, "--out", "/dev/null"]).status.code(), Some(0));
}
