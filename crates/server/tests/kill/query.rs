//! What the ledger and the API say, job by job.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

use crate::process::Process;
use crate::support::get;

/// Rows of a query on the ledger, by the system's own tool, while the server writes.
pub(crate) fn query(process: &Process, sql: &str) -> Vec<Value> {
    let output =
        Command::new("sqlite3").arg("-readonly").arg("-json").arg(process.ledger()).arg(sql).output();
    let output = output.expect("sqlite3 is missing: scripts/test installs it");
    assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
    if output.stdout.is_empty() { Vec::new() } else { serde_json::from_slice(&output.stdout).unwrap() }
}

/// A job as it is found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    /// None while it is open.
    pub(crate) outcome: Option<String>,
    pub(crate) settled_at: String,
    pub(crate) revision: u64,
    /// Submits, polls, results.
    pub(crate) calls: [u64; 3],
}

/// Jobs by the trace of their calls and their id; a trace is of one job here.
pub(crate) type FoundJobs = BTreeMap<String, BTreeMap<String, Found>>;

const CALLS: [&str; 3] = ["submit", "poll", "result"];

/// Every job that the ledger has settled.
pub(crate) fn settled(process: &Process) -> FoundJobs {
    let rows = query(
        process,
        "SELECT calls.trace_id, calls.job_id, calls.call, jobs.outcome, jobs.settled_at, jobs.revision
         FROM calls JOIN jobs USING (job_id) WHERE jobs.state = 'settled'",
    );
    let mut found = FoundJobs::new();
    for row in rows {
        let text = |name: &str| row[name].as_str().unwrap().to_owned();
        let job = found.entry(text("trace_id")).or_default().entry(text("job_id")).or_default();
        job.outcome = Some(text("outcome"));
        job.settled_at = text("settled_at");
        job.revision = row["revision"].as_u64().unwrap();
        if let Some(at) = CALLS.iter().position(|call| row["call"] == *call) {
            job.calls[at] += 1;
        }
    }
    found
}

/// Adds every job that the API shows as open.
pub(crate) fn add_open(process: &Process, found: &mut FoundJobs) {
    let mut cursor = String::new();
    loop {
        let path = format!("/api/v1/jobs?limit=1000&state=open{cursor}");
        let Some((200, page)) = get(process.admin, &path) else { panic!("{path}\n{}", process.log()) };
        let page: Value = serde_json::from_str(&page).unwrap();
        for document in page["jobs"].as_array().unwrap() {
            add_document(document, found);
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return,
        }
    }
}

fn add_document(document: &Value, found: &mut FoundJobs) {
    let id = document["job_id"].as_str().unwrap();
    for attempt in document["attempts"].as_array().unwrap() {
        for (at, call) in CALLS.iter().enumerate() {
            for span in attempt["spans"][call].as_array().into_iter().flatten() {
                let trace = span.as_str().unwrap().split(':').next().unwrap_or_default();
                let job = found.entry(trace.to_owned()).or_default().entry(id.to_owned()).or_default();
                job.calls[at] += 1;
            }
        }
    }
}
