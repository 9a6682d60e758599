//! Which spans and tasks a job's document names, to be compared with those of its evidence.
//!
//! The row's digest says what the evidence was when the job was booked, and not whether the document that
//! was put together from a form and its parts shows just that.

use std::collections::BTreeMap;
use std::hash::BuildHasher as _;

use serde::Deserialize;
use spantally_stitch::{Job, SpanKey};

/// Fingerprint of what is named, in no order. It is not kept on disk.
pub(super) type Named = u64;

#[derive(Deserialize)]
struct Document {
    spans: Vec<String>,
    attempts: Vec<DocumentAttempt>,
}

#[derive(Deserialize)]
struct DocumentAttempt {
    task_id: Option<String>,
    /// By role.
    spans: BTreeMap<String, Vec<String>>,
}

/// Of a document; none when it is not readable, which [`super::rows`] tells.
pub(super) fn of_document(text: &str) -> Option<Named> {
    let Document { spans, attempts } = serde_json::from_str(text).ok()?;
    let mut names: Vec<_> = spans.into_iter().map(|span| (0, String::new(), span)).collect();
    for (number, attempt) in (1..).zip(attempts) {
        names.extend(attempt.task_id.map(|task| (number, TASK.to_owned(), task)));
        let by_role = attempt.spans.into_iter();
        names.extend(
            by_role.flat_map(|(role, spans)| spans.into_iter().map(move |span| (number, role.clone(), span))),
        );
    }
    Some(fingerprint(names))
}

/// Of a job as its evidence makes it.
pub(super) fn of_job(job: &Job) -> Named {
    let text = |span: &SpanKey| span.to_string();
    let mut names: Vec<_> = job.spans.iter().map(|span| (0, String::new(), text(span))).collect();
    for (number, attempt) in (1..).zip(&job.attempts) {
        names.extend(attempt.task_id.iter().map(|task| (number, TASK.to_owned(), task.to_string())));
        let calls = attempt.calls.iter();
        names.extend(calls.map(|call| (number, call.role.as_str().to_owned(), text(&call.span))));
    }
    fingerprint(names)
}

/// Stands in the place of a role.
const TASK: &str = "task_id";

fn fingerprint(mut names: Vec<(u32, String, String)>) -> Named {
    names.sort_unstable();
    foldhash::quality::FixedState::default().hash_one(names)
}
