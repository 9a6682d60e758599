//! The jobs that the product found, read from its own job JSON.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// What the scorer needs of one found job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundJob {
    /// Span ids, without their trace ids, as 16 lower-case hex digits.
    pub spans: Vec<String>,
    /// Ids of the tasks.
    pub tasks: Vec<String>,
    /// Submits, those that return their output at once among them.
    pub attempts: usize,
    /// Status requests.
    pub polls: usize,
    /// Accepted attempts beyond the first.
    pub duplicates: usize,
    /// Outcome in the words of the truth; none when the spans do not tell.
    pub outcome: Option<&'static str>,
}

/// One line of the job JSON; fields that the scorer does not use are left out.
#[derive(Deserialize)]
struct JobLine {
    outcome: Option<String>,
    #[serde(default)]
    spans: Vec<String>,
    attempts: Vec<AttemptLine>,
}

#[derive(Deserialize)]
struct AttemptLine {
    task_id: Option<String>,
    accepted: Option<String>,
    #[serde(default)]
    spans: BTreeMap<String, Vec<String>>,
}

/// Why a list of jobs cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FoundError {
    /// The file cannot be read.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A line is not a job.
    #[error("{origin}:{line}: not a job in the product's JSON form: {source}")]
    Line {
        /// Where the text came from.
        origin: String,
        /// The line, from 1.
        line: usize,
        /// What the parser said.
        source: serde_json::Error,
    },
}

/// Reads a file of JSON lines, one job a line.
pub fn read_jobs(path: &Path) -> Result<Vec<FoundJob>, FoundError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| FoundError::Io { path: path.to_owned(), source })?;
    parse_jobs(&text, &path.display().to_string())
}

/// Reads JSON lines; `origin` names them in errors.
pub fn parse_jobs(text: &str, origin: &str) -> Result<Vec<FoundJob>, FoundError> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(index, line)| match serde_json::from_str::<JobLine>(line) {
            Ok(job) => Ok(job.into()),
            Err(source) => Err(FoundError::Line { origin: origin.to_owned(), line: index + 1, source }),
        })
        .collect()
}

impl From<JobLine> for FoundJob {
    fn from(job: JobLine) -> Self {
        let count = |role: &str| -> usize {
            job.attempts.iter().map(|attempt| attempt.spans.get(role).map_or(0, Vec::len)).sum()
        };
        let accepted = job.attempts.iter().filter(|attempt| attempt.accepted.as_deref() == Some("yes"));
        let below = job.attempts.iter().flat_map(|attempt| attempt.spans.values().flatten());
        Self {
            attempts: count("submit") + count("sync"),
            polls: count("poll"),
            duplicates: accepted.count().saturating_sub(1),
            outcome: job.outcome.as_deref().and_then(outcome_in_truth),
            spans: job.spans.iter().chain(below).map(|span| span_id(span)).collect(),
            tasks: job.attempts.iter().filter_map(|attempt| attempt.task_id.clone()).collect(),
        }
    }
}

/// The truth does not know *partial*: its client saw an output. It has no word for *unknown*.
fn outcome_in_truth(outcome: &str) -> Option<&'static str> {
    match outcome {
        "succeeded" | "partial" => Some("succeeded"),
        "failed" => Some("failed"),
        "rejected" => Some("rejected"),
        "canceled" => Some("canceled"),
        "abandoned" => Some("abandoned"),
        _ => None,
    }
}

/// `trace:span` or a bare span id, as the truth writes it.
fn span_id(text: &str) -> String {
    text.rsplit(':').next().unwrap_or(text).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_line_becomes_counts() {
        let line = r#"{"job_id":"j","outcome":"partial","spans":["aa:01"],"attempts":[
            {"task_id":"t1","accepted":"yes","spans":{"submit":["aa:02","aa:03"],"poll":["AA:0B"],"sync":[]}},
            {"task_id":null,"accepted":"ambiguous","spans":{"sync":["aa:05"]}},
            {"task_id":"t2","accepted":"yes","spans":{"result":["aa:06"]}}]}"#
            .replace('\n', " ");
        let jobs = parse_jobs(&format!("\n{line}\n"), "test").unwrap();
        let expected = FoundJob {
            spans: ["01", "0b", "02", "03", "05", "06"].map(String::from).to_vec(),
            tasks: vec!["t1".into(), "t2".into()],
            attempts: 3,
            polls: 1,
            duplicates: 1,
            outcome: Some("succeeded"),
        };
        assert_eq!(jobs, vec![expected]);
    }

    #[test]
    fn an_unknown_outcome_is_none_and_a_bad_line_is_named() {
        let jobs = parse_jobs(r#"{"outcome":"unknown","attempts":[]}"#, "test").unwrap();
        assert_eq!((jobs[0].outcome, jobs[0].duplicates), (None, 0));
        let error = parse_jobs("{\"attempts\":[]}\n{\"attempts\":3}", "found.jsonl").unwrap_err().to_string();
        assert!(error.starts_with("found.jsonl:2: not a job"), "{error}");
    }
}
