//! GenAI spans of a real instrumentation, where no request is seen.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::time::{Duration, Instant};

use serde_json::Value;
use support::{PATIENCE, Server};

/// The jobs, once there are as many as calls were made.
fn all(server: &Server) -> Vec<Value> {
    let began = Instant::now();
    loop {
        let jobs = server.jobs("&service=genai");
        if jobs.len() == 7 {
            return jobs;
        }
        assert!(began.elapsed() < PATIENCE, "{jobs:?}\n{}", server.log());
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// OpenAI's SDK under OpenLLMetry, the HTTP client not instrumented.
#[test]
fn spans_of_an_sdk_alone_are_its_calls_with_outcome_and_price() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path());
    let output = support::python("genai_calls.py").arg(format!("http://{}", server.http)).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let jobs = all(&server);
    let ended = |outcome: &str, reason: Option<&str>| {
        jobs.iter()
            .filter(|job| job["outcome"] == outcome && job["failure_reason"].as_str() == reason)
            .count()
    };
    let found = [("succeeded", None), ("failed", Some("rate_limit")), ("failed", Some("client_timeout"))];
    assert_eq!(found.map(|(outcome, reason)| ended(outcome, reason)), [5, 1, 1], "{jobs:#?}");
    for job in jobs.iter().filter(|job| job["outcome"] == "succeeded") {
        assert_eq!((&job["provider"], &job["operation"]), (&"openai".into(), &"chat".into()), "{job}");
        // 1000 tokens in and 500 out, at 0.15 and 0.60 USD a million.
        let expected: f64 = job["cost"]["USD"]["expected"].as_str().unwrap().parse().unwrap();
        assert!((expected - 0.00045).abs() < 1e-12, "{job}");
    }
}
