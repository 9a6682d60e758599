//! The truth of a capture: what was really submitted, served and billed while the spans were recorded.
//!
//! `truth.jsonl.gz` has one JSON object a line; its field `t` says what the line is about. Read here are
//! `intent` (one logical job), `job` (one task at the provider) and `span` (every recorded span with its
//! intent and role). The note beside the fixtures explains the fields. Next: [`crate::score`].

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use serde::Deserialize;

/// What a capture's `truth.jsonl.gz` says, in the order of the file.
#[derive(Clone, Debug, Default)]
pub struct Truth {
    /// The logical jobs.
    pub intents: Vec<Intent>,
    /// The tasks at the providers.
    pub jobs: Vec<ProviderJob>,
    /// The recorded spans.
    pub spans: Vec<Span>,
}

/// One logical job: what the application wanted once.
#[derive(Clone, Debug, Deserialize)]
pub struct Intent {
    /// Its name in the truth.
    pub intent: String,
    /// The fault or habit that was played.
    pub scenario: String,
    /// The provider.
    pub provider: String,
    /// Provider and kind of output.
    pub op: String,
    /// `sdk` when the SDK waits for the end, `app` when the application's own loop does.
    pub wait: Option<String>,
    /// In cross-trace captures, how the worker's spans relate to the submit.
    pub xtrace: Option<String>,
    /// Span ids of this intent alone.
    pub spans: Vec<String>,
    /// Ids that the client was given.
    pub provider_jobs: Vec<String>,
    /// Tasks at the provider beyond the first.
    pub duplicates: usize,
    /// Submit requests that left the client.
    pub attempts: usize,
    /// Status requests.
    pub polls: usize,
    /// What the client saw.
    pub outcome: String,
}

/// One task at a provider.
#[derive(Clone, Debug, Deserialize)]
pub struct ProviderJob {
    /// The provider.
    pub provider: String,
    /// The provider's id.
    pub job: String,
    /// The intent that made it.
    pub intent: String,
    /// The API gives the client the id.
    pub visible: bool,
    /// The id occurs in some recorded attribute.
    pub discoverable: bool,
    /// How it ended, in the stand-in's words.
    pub state: String,
    /// When, in seconds since 1970.
    pub done: f64,
}

/// One recorded span.
#[derive(Clone, Debug, Deserialize)]
pub struct Span {
    /// Its id, 16 hex digits.
    pub span_id: String,
    /// Its intent; none for noise and for spans that serve several intents.
    pub intent: Option<String>,
    /// What it was.
    pub role: Role,
    /// The provider's id of the task that it made or asked about.
    pub job: Option<String>,
}

/// What a recorded span was.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Asked for a generation.
    Submit,
    /// Asked for its state.
    Poll,
    /// Fetched its result.
    Result,
    /// Asked to stop it.
    Cancel,
    /// Fetched an output file.
    Download,
    /// Was called by the provider.
    Webhook,
    /// A submit that never left the client.
    Unsent,
    /// An application or GenAI span of one intent.
    User,
    /// A span that serves several intents; not scored.
    Shared,
    /// Speech-to-text of a voice turn.
    Stt,
    /// Language model of a voice turn.
    Llm,
    /// Text-to-speech of a voice turn.
    Tts,
    /// A helper request of an SDK.
    Aux,
    /// Traffic that has nothing to do with generation.
    Noise,
}

/// Why a truth cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TruthError {
    /// The file cannot be opened or is not gzip.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A line is not what it should be.
    #[error("{path}:{line}: {source}", path = path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What the parser said.
        source: serde_json::Error,
    },
}

#[derive(Deserialize)]
#[serde(tag = "t", rename_all = "lowercase")]
enum Line {
    Intent(Intent),
    Job(ProviderJob),
    Span(Span),
    #[serde(other)]
    Other,
}

/// Reads `truth.jsonl.gz` of a capture directory.
pub fn read_truth(directory: &Path) -> Result<Truth, TruthError> {
    let path = directory.join("truth.jsonl.gz");
    let io = |source| TruthError::Io { path: path.clone(), source };
    let file = File::open(&path).map_err(io)?;
    let mut truth = Truth::default();
    for (index, line) in BufReader::new(MultiGzDecoder::new(file)).lines().enumerate() {
        let line = line.map_err(io)?;
        let parsed = serde_json::from_str(&line).map_err(|source| TruthError::Line {
            path: path.clone(),
            line: index + 1,
            source,
        })?;
        match parsed {
            Line::Intent(intent) => truth.intents.push(intent),
            Line::Job(job) => truth.jobs.push(job),
            Line::Span(span) => truth.spans.push(span),
            Line::Other => {}
        }
    }
    Ok(truth)
}
