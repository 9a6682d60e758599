//! Recorded requests through the real core, as the server would take them.
//!
//! The requests go the way of the server: [`read_batch`], [`Core::apply`], and time passes by the recorded
//! arrivals. So jobs settle while later spans are still to come, as they do in production. Prices do not
//! matter for joins; there are none here.

use std::collections::BTreeMap;
use std::sync::Arc;

use spantally_providers::CorrelationConfig;
use spantally_server::batch::{Batch, Transport};
use spantally_server::commit::CommitMessage;
use spantally_server::core::{Core, CoreOptions, Settled};
use spantally_server::intake::{ReadCache, read_batch};
use spantally_server::job_json::JobDocument;
use spantally_server::provider_files::ProviderFiles;
use spantally_stitch::{JobId, State, UnixNanos};
use spantally_store::Seq;

use crate::capture::Request;
use crate::score::found::{FoundJob, parse_jobs};

/// The newest revision of every job that was not superseded.
#[derive(Debug, Default)]
pub struct Found(BTreeMap<JobId, Settled>);

impl Found {
    /// Takes what was published.
    pub fn add(&mut self, published: Vec<Settled>) {
        for settled in published {
            if settled.job.state == State::Superseded {
                self.0.remove(&settled.job.id);
            } else {
                self.0.insert(settled.job.id, settled);
            }
        }
    }

    /// The jobs by id.
    pub fn settled(&self) -> impl Iterator<Item = &Settled> {
        self.0.values()
    }

    /// The jobs as JSON documents, by id.
    ///
    /// # Errors
    /// A job cannot be written.
    pub fn documents(&self) -> Result<BTreeMap<JobId, String>, serde_json::Error> {
        let document = |(&id, Settled { job, bill, revision }): (&JobId, &Settled)| {
            Ok((id, JobDocument { job, bill, revision: *revision }.to_json()?))
        };
        self.0.iter().map(document).collect()
    }

    /// The jobs as the scorer takes them: read back from their documents.
    ///
    /// # Errors
    /// A job cannot be written or read back.
    pub fn jobs(&self) -> Result<Vec<FoundJob>, Box<dyn std::error::Error>> {
        let documents = self.documents()?;
        let lines: Vec<&str> = documents.values().map(String::as_str).collect();
        Ok(parse_jobs(&lines.join("\n"), "core")?)
    }
}

/// Spans that went in, as the core and the intake count them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spans {
    /// All.
    pub received: u64,
    /// Those worth keeping.
    pub evidence: u64,
    /// Those that are no generation calls.
    pub ignored: u64,
}

/// Replays requests, each at its recorded arrival, and ends as a recording does.
///
/// # Errors
/// The built-in provider files are wrong, or a request is not one.
pub fn stream(requests: &[Request]) -> Result<(Found, Spans), Box<dyn std::error::Error>> {
    let files = ProviderFiles::load(None, &CorrelationConfig::default())?;
    let mut cache = ReadCache::default();
    let mut core = Core::new(&CoreOptions::default(), Arc::default(), UnixNanos::default());
    let (mut found, mut spans, mut began) = (Found::default(), Spans::default(), None);
    for (position, request) in requests.iter().enumerate() {
        let batch = read_batch(&files.recogniser, &mut cache, "", Transport::Grpc, &request.body)?;
        spans.received += batch.tally.received;
        spans.ignored += batch.tally.ignored;
        spans.evidence += batch.evidence.len() as u64;
        let began = *began.get_or_insert_with(|| newest_end(&batch));
        core.apply(CommitMessage { seq: Seq(position as u64 + 1), batches: vec![batch] });
        found.add(core.advance(began.plus_ms(u64::from(request.at_ms))));
    }
    found.add(core.finish());
    Ok((found, spans))
}

/// The first request arrives when its last span has ended.
fn newest_end(batch: &Batch) -> UnixNanos {
    batch.evidence.iter().map(|evidence| evidence.end).max().unwrap_or_default()
}
