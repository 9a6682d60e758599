//! The hooks that `docs/instrumentation.md` gives away, under official SDKs and instrumentations.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{PATIENCE, Server};

const HOOKED: &str = "11111111-2222-4333-8444-555555555555";
const FAILED: &str = "22222222-3333-4444-8555-666666666666";
const PLAIN: &str = "66666666-7777-4888-9999-aaaaaaaaaaaa";

/// The jobs, once all have their polls.
fn all(server: &Server) -> Vec<Value> {
    let began = Instant::now();
    loop {
        let jobs = server.jobs("&service=hooks");
        if jobs.iter().filter(|job| job["attempts"][0]["polls"] == 3).count() == 3 {
            return jobs;
        }
        assert!(began.elapsed() < PATIENCE, "{jobs:?}\n{}", server.log());
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn job_of<'a>(jobs: &'a [Value], task: &str) -> &'a Value {
    jobs.iter()
        .find(|job| job["attempts"][0]["task_id"] == task)
        .unwrap_or_else(|| panic!("{task}: {jobs:?}"))
}

/// The rules by which a job's calls were joined.
fn rules(job: &Value) -> Vec<&str> {
    let joins = job["attempts"][0]["joins"].as_array().unwrap();
    joins.iter().map(|join| join["rule"].as_str().unwrap()).collect()
}

#[test]
fn the_httpx_hook_ties_a_submit_to_its_task_by_name_and_tells_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path());
    let output = support::python("hooked_job.py")
        .args([&format!("http://{}", server.http), HOOKED, FAILED, PLAIN])
        .env("OTEL_SEMCONV_STABILITY_OPT_IN", "http")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    assert_hook_tells(&server, "capacity");
}

/// Runway's SDK, and the instrumentation of Node's own fetch.
#[test]
fn the_fetch_hook_ties_a_submit_to_its_task_by_name_and_tells_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path());
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    let modules = root.join("target/node/node_modules");
    assert!(modules.exists(), "target/node is missing: scripts/test makes it");
    // An application with the hook beside its own file: where Node looks for packages.
    let application = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(modules, application.path().join("node_modules")).unwrap();
    for file in ["tests/node/hooked_job.mjs", "docs/hooks/spantally-fetch.mjs"] {
        let name = Path::new(file).file_name().unwrap();
        std::fs::copy(root.join(file), application.path().join(name)).unwrap();
    }
    let output = Command::new("node")
        .arg(application.path().join("hooked_job.mjs"))
        .args([&format!("http://{}", server.http), HOOKED, FAILED, PLAIN])
        .output()
        .expect("node must be installed: apt-get install nodejs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_hook_tells(&server, "moderation_output");
}

fn assert_hook_tells(server: &Server, failure: &str) {
    let jobs = all(server);
    let hooked = job_of(&jobs, HOOKED);
    assert_eq!(rules(hooked), ["task_id_path", "ancestor_task_id"]);
    assert_eq!(hooked["outcome"], "succeeded", "the body said so, no status code does");
    assert_eq!(job_of(&jobs, FAILED)["attempts"][0]["failure_reason"], failure, "the code in the body");
    let plain = job_of(&jobs, PLAIN);
    assert!(!rules(plain).contains(&"ancestor_task_id"), "{plain}");
    assert_ne!(plain["outcome"], "succeeded", "without the hook nothing says it");
}
