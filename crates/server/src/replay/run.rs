//! Recordings into settled jobs.
//!
//! Several recordings are read as one stream, always going on with the one whose next request is earliest, so
//! that rotated files and files of several Collectors both come out in the order of time. Time is the latest
//! end of any span so far; the core makes a turn when it has passed a deadline, and once at the end as if all
//! deadlines had passed.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use spantally_providers::Recogniser;
use spantally_stitch::{JobId, State, UnixNanos};
use spantally_store::{Seq, StoreError};

use super::foreign::Foreign;
use super::framing::{Fault, Problem, Record, Recording};
use crate::batch::{Batch, Transport};
use crate::commit::CommitMessage;
use crate::config::Settings;
use crate::core::{Archive, Core, CoreOptions, Settled};
use crate::decode::json;
use crate::export::MetricId;
use crate::intake::{self, ReadCache, read_batch};
use crate::provider_files::ProviderFiles;

/// Least time between two turns, as in a server that has little to do.
const TURN_MS: u64 = 2000;

/// Problems that are kept with their text; all are counted.
const PROBLEMS_KEPT: usize = 20;

/// What became of every span of the recordings: `received` is the sum of the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct SpanCounts {
    /// Spans in what could be read.
    pub received: u64,
    /// Taken as evidence.
    pub accepted: u64,
    /// Seen before.
    pub duplicate: u64,
    /// Of a job that was over and gone.
    pub late: u64,
    /// Polls of a task that has as many spans as are kept.
    pub surplus: u64,
    /// Nothing about generation.
    pub ignored: u64,
    /// Not usable.
    pub rejected: u64,
}

/// What recordings hold.
#[derive(Debug, Default)]
pub struct Found {
    /// The newest revision of every job that stands, by start, then id.
    pub jobs: Vec<Settled>,
    /// What became of the spans.
    pub spans: SpanCounts,
    /// Spans that were not usable, by reason.
    pub rejected: BTreeMap<String, u64>,
    /// Requests to a provider's own host that no rule took, by provider and method.
    pub unrecognised: BTreeMap<(String, &'static str), u64>,
    /// Calls that say that they were sampled.
    pub sampled: BTreeMap<intake::Stream, u64>,
    /// Requests that were read.
    pub records: u64,
    /// The first parts that could not be read.
    pub problems: Vec<Problem>,
    /// How many parts could not be read.
    pub unreadable: u64,
    /// Names of the extra labels, in the order of their values in the jobs.
    pub label_names: Vec<Arc<str>>,
    /// Of each of `jobs`, its place in the order of settlement.
    settled_as: Vec<u64>,
}

impl Found {
    /// The jobs, the latest settlement first, as a ledger lists them.
    pub(crate) fn into_last_settled_first(self) -> Vec<Settled> {
        let mut jobs: Vec<_> = self.settled_as.into_iter().zip(self.jobs).collect();
        jobs.sort_by_key(|(place, _)| Reverse(*place));
        jobs.into_iter().map(|(_, settled)| settled).collect()
    }
}

/// Reads recordings.
#[derive(Debug)]
pub struct Replay {
    core: Core,
    recogniser: Arc<Recogniser>,
    cache: ReadCache,
    /// With the place in the order of settlement.
    settled: BTreeMap<JobId, (u64, Settled)>,
    settled_count: u64,
    known: Known,
    turn_at: UnixNanos,
    found: Found,
}

/// Jobs that were settled, for those whose spans come again after the core has forgotten them.
#[derive(Clone, Debug, Default)]
struct Known(Arc<Mutex<BTreeSet<JobId>>>);

impl Archive for Known {
    fn has(&self, id: JobId) -> Result<bool, StoreError> {
        Ok(self.0.lock().contains(&id))
    }
}

/// A recording with the request that comes next.
struct Stream {
    recording: Recording,
    /// None at the end.
    next: Option<(UnixNanos, Batch)>,
}

impl Replay {
    /// A replay under a configuration and its provider files.
    pub fn new(settings: &Settings, providers: &ProviderFiles) -> Self {
        let label_names: Vec<Arc<str>> =
            settings.correlation.labels.iter().map(|label| label.as_str().into()).collect();
        let options = CoreOptions {
            stitching: settings.stitching.clone(),
            max_label_sets: settings.prometheus.max_label_sets,
            extra_labels: label_names.clone(),
            ..CoreOptions::default()
        };
        let cards = Arc::new(providers.cards(&settings.pricing));
        let mut core = Core::new(&options, cards, UnixNanos::default());
        let known = Known::default();
        core.set_archive(Box::new(known.clone()));
        Self {
            core,
            recogniser: Arc::clone(&providers.recogniser),
            cache: ReadCache::default(),
            settled: BTreeMap::new(),
            settled_count: 0,
            known,
            turn_at: UnixNanos::default(),
            found: Found { label_names, ..Found::default() },
        }
    }

    /// Reads recordings to their ends.
    pub fn run(mut self, recordings: Vec<Recording>) -> Found {
        let mut streams: Vec<_> =
            recordings.into_iter().map(|recording| Stream { recording, next: None }).collect();
        for stream in &mut streams {
            stream.next = self.read(&mut stream.recording);
        }
        let mut now = UnixNanos::default();
        let mut seq = Seq::default();
        while let Some(stream) = earliest(&mut streams) {
            let Some((began, batch)) = stream.next.take() else { break };
            self.pass_time_until(began);
            now = batch.evidence.iter().map(|evidence| evidence.end).fold(now, UnixNanos::max);
            seq = Seq(seq.0 + 1);
            self.core.apply(CommitMessage { seq, batches: vec![batch] });
            self.turn(now);
            stream.next = self.read(&mut stream.recording);
        }
        let settled = self.core.finish();
        self.keep(settled);
        self.into_found()
    }

    /// The next request of a recording that can be read, and the time at which its evidence begins.
    fn read(&mut self, recording: &mut Recording) -> Option<(UnixNanos, Batch)> {
        loop {
            let read = match recording.next_record()? {
                Ok(record) => self.decode(record),
                Err(problem) => {
                    self.note(problem);
                    continue;
                }
            };
            match read {
                Ok(batch) => {
                    self.found.records += 1;
                    // Without evidence it has no time, and may go at once.
                    let starts = batch.evidence.iter().map(|evidence| evidence.start);
                    return Some((starts.min().unwrap_or_default(), batch));
                }
                Err(fault) => {
                    let problem = recording.problem(fault);
                    self.note(problem);
                }
            }
        }
    }

    /// Decodes a request. The receivers ignore what they do not know, as OTLP demands; but a file of JSON
    /// that has nothing else is not what it was taken for.
    fn decode(&mut self, record: Record<'_>) -> Result<Batch, Fault> {
        let body =
            if record.is_json { Cow::Owned(json::to_protobuf(record.body)?) } else { record.body.into() };
        if record.is_json
            && body.is_empty()
            && let Some(foreign) = Foreign::of(json::keys(record.body))
        {
            return Err(Fault::Foreign(foreign));
        }
        let batch = read_batch(&self.recogniser, &mut self.cache, "", Transport::File, &body)?;
        for (request, count) in self.cache.take_unrecognised() {
            let own = (self.recogniser.provider_of(request).to_owned(), request.method());
            *self.found.unrecognised.entry(own).or_default() += count;
        }
        for (stream, calls) in self.cache.take_sampled() {
            *self.found.sampled.entry(stream).or_default() += calls;
        }
        Ok(batch)
    }

    fn note(&mut self, problem: Problem) {
        self.found.unreadable += 1;
        if self.found.problems.len() < PROBLEMS_KEPT {
            self.found.problems.push(problem);
        }
    }

    /// Turns as a server would have made them by then. What was due in a quiet night is not left to the
    /// first span of the morning; and that span is not taken for one that comes hours after the time that it
    /// is.
    fn pass_time_until(&mut self, now: UnixNanos) {
        while let Some(deadline) = self.core.next_deadline() {
            let due = deadline.max(self.turn_at);
            if due > now {
                break;
            }
            self.advance(due);
        }
        if now >= self.turn_at {
            self.advance(now);
        }
    }

    fn turn(&mut self, now: UnixNanos) {
        if now >= self.turn_at && self.core.next_deadline().is_some_and(|deadline| deadline <= now) {
            self.advance(now);
        }
    }

    fn advance(&mut self, now: UnixNanos) {
        let settled = self.core.advance(now);
        self.keep(settled);
        // There is no ledger to write it to; what is gathered must not pile up.
        drop(self.core.checkpoint());
        self.turn_at = now.plus_ms(TURN_MS);
    }

    /// The newest revision counts; what was found to be part of another job goes.
    fn keep(&mut self, settled: Vec<Settled>) {
        let mut known = self.known.0.lock();
        for settled in settled {
            known.insert(settled.job.id);
            self.settled_count += 1;
            if settled.job.state == State::Superseded {
                self.settled.remove(&settled.job.id);
            } else {
                self.settled.insert(settled.job.id, (self.settled_count, settled));
            }
        }
    }

    fn into_found(self) -> Found {
        let registry = self.core.registry();
        let sum = |metric| {
            let total: Decimal = registry.values(metric).map(|(_, value)| value).sum();
            total.to_u64().unwrap_or(u64::MAX)
        };
        let spans = SpanCounts {
            received: sum(MetricId::SpansReceived),
            accepted: sum(MetricId::SpansAccepted),
            duplicate: sum(MetricId::SpansDuplicate),
            late: sum(MetricId::SpansLate),
            surplus: sum(MetricId::SpansSurplus),
            ignored: sum(MetricId::SpansIgnored),
            rejected: sum(MetricId::SpansRejected),
        };
        let mut rejected = BTreeMap::<String, u64>::new();
        for (labels, spans) in registry.values(MetricId::SpansRejected).filter(|(_, spans)| !spans.is_zero())
        {
            let reason = labels.split("reason=\"").nth(1).and_then(|rest| rest.split('"').next());
            *rejected.entry(reason.unwrap_or(labels).to_owned()).or_default() +=
                spans.to_u64().unwrap_or(u64::MAX);
        }
        let mut jobs: Vec<_> = self.settled.into_values().collect();
        jobs.sort_by_key(|(_, settled)| (settled.job.started_at, settled.job.id));
        let (settled_as, jobs) = jobs.into_iter().unzip();
        Found { jobs, spans, rejected, settled_as, ..self.found }
    }
}

/// The recording whose next request is earliest; of equals the first.
fn earliest(streams: &mut [Stream]) -> Option<&mut Stream> {
    streams
        .iter_mut()
        .filter(|stream| stream.next.is_some())
        .min_by_key(|stream| stream.next.as_ref().map(|(start, _)| *start))
}
