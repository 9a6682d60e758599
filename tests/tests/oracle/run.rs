//! A workload through the real core, and everything that it leaves behind.

use std::collections::BTreeMap;
use std::sync::Arc;

use rust_decimal::Decimal;
use serde_json::Value;
use spantally_price::Cards;
use spantally_providers::{CorrelationConfig, Recogniser, builtin};
use spantally_server::batch::Transport;
use spantally_server::commit::CommitMessage;
use spantally_server::core::{Core, CoreOptions, Settled};
use spantally_server::export::{INVENTORY, Kind, MetricId};
use spantally_server::intake::{ReadCache, read_batch};
use spantally_server::job_json::JobDocument;
use spantally_stitch::{JobId, State, UnixNanos};
use spantally_store::{Checkpoint, Seq};
use spantally_tests::scenario::otlp::{BEGIN_UNIX_NANOS, Exporter};
use spantally_tests::scenario::{Scenario, Span};

/// Something that arrives, or time that passes.
pub(crate) enum Arrival<'s> {
    /// Spans, as one request of each process.
    Spans(Vec<&'s Span>),
    /// It is so many seconds after the beginning.
    Seconds(u64),
}

/// What is left when everything has come.
pub(crate) struct End {
    /// The newest revision of every job that stands.
    pub(crate) jobs: BTreeMap<JobId, Settled>,
    /// The same as documents, less how often they were told and how sure each join was then.
    pub(crate) documents: BTreeMap<JobId, Value>,
    /// Counters less what was reversed, by metric and labels.
    pub(crate) counters: BTreeMap<(&'static str, String), Decimal>,
    /// Sums over all revisions, by job, attempt, rule, unit, cause, basis and currency: quantity, least,
    /// expected and most cost.
    pub(crate) ledger: BTreeMap<[String; 7], [Decimal; 4]>,
}

/// Rules and prices, compiled once.
pub(crate) struct Rules {
    recogniser: Recogniser,
    cards: Arc<Cards>,
}

impl Rules {
    pub(crate) fn new() -> Self {
        let files = builtin::files().unwrap();
        let mut cards = Cards::default();
        for file in &files {
            cards.insert(file.card.clone());
        }
        let recogniser = Recogniser::compile(&files, &CorrelationConfig::default()).unwrap();
        Self { recogniser, cards: Arc::new(cards) }
    }

    pub(crate) fn run(&self, scenario: &Scenario, arrivals: &[Arrival<'_>]) -> End {
        let exporter = Exporter::new(scenario, "");
        let mut core = Core::new(&CoreOptions::default(), self.cards.clone(), UnixNanos(BEGIN_UNIX_NANOS));
        let mut cache = ReadCache::default();
        let (mut jobs, mut ledger) = (BTreeMap::new(), BTreeMap::new());
        let mut newest = UnixNanos(BEGIN_UNIX_NANOS);
        let mut seq = 0;
        for arrival in arrivals {
            match arrival {
                Arrival::Seconds(after) => {
                    keep(&mut jobs, core.advance(UnixNanos(BEGIN_UNIX_NANOS).plus_ms(after * 1000)));
                    enter(&mut ledger, core.checkpoint());
                }
                Arrival::Spans(spans) => {
                    for process in spans.chunk_by(|a, b| a.process == b.process) {
                        let (_, body) = exporter.request(process);
                        let batch =
                            read_batch(&self.recogniser, &mut cache, "", Transport::Grpc, &body).unwrap();
                        newest = batch.evidence.iter().map(|evidence| evidence.end).fold(newest, Ord::max);
                        seq += 1;
                        core.apply(CommitMessage { seq: Seq(seq), batches: vec![batch] });
                    }
                }
            }
        }
        keep(&mut jobs, core.advance(newest));
        keep(&mut jobs, core.finish());
        enter(&mut ledger, core.checkpoint());
        ledger.retain(|_, sums| sums.iter().any(|sum| !sum.is_zero()));
        let documents = jobs.iter().map(|(&id, settled)| (id, essence(settled))).collect();
        End { jobs, documents, counters: counters(&core), ledger }
    }
}

fn keep(jobs: &mut BTreeMap<JobId, Settled>, published: Vec<Settled>) {
    for settled in published {
        if settled.job.state == State::Superseded {
            jobs.remove(&settled.job.id);
        } else {
            jobs.insert(settled.job.id, settled);
        }
    }
}

fn enter(ledger: &mut BTreeMap<[String; 7], [Decimal; 4]>, checkpoint: Checkpoint) {
    for job in checkpoint.jobs {
        for row in job.charges.iter().cloned() {
            let key = [
                JobId(job.job_id).to_string(),
                row.attempt.to_string(),
                row.rule.to_string(),
                row.unit.to_string(),
                row.cause.to_string(),
                row.basis.to_string(),
                row.currency.to_string(),
            ];
            let sums = ledger.entry(key).or_insert([Decimal::ZERO; 4]);
            let added = [row.quantity, row.cost_min, row.cost_expected, row.cost_max];
            for (sum, added) in sums.iter_mut().zip(added) {
                *sum += added;
            }
        }
    }
}

/// A job without what tells how it came to be known.
fn essence(Settled { job, bill, .. }: &Settled) -> Value {
    let text = JobDocument { job, bill, revision: 0 }.to_json().unwrap();
    let mut document: Value = serde_json::from_str(&text).unwrap();
    for attempt in document["attempts"].as_array_mut().unwrap() {
        for join in attempt["joins"].as_array_mut().unwrap() {
            for key in ["confidence", "margin", "instead"] {
                join[key] = Value::Null;
            }
        }
    }
    document
}

/// Counters that have a twin for what is taken back, less the twin. (Counts of spans differ: repeated ones
/// are counted as such.)
fn counters(core: &Core) -> BTreeMap<(&'static str, String), Decimal> {
    let mut sums = BTreeMap::new();
    let values = |id: MetricId| {
        core.registry().values(id).map(|(labels, value)| (labels.to_owned(), value)).collect::<Vec<_>>()
    };
    for metric in INVENTORY.iter().filter(|metric| metric.kind == Kind::Counter) {
        let Some(twin) = metric.twin else { continue };
        // How sure a join was depends on what else was known when its job was told.
        let key = |labels: String| match labels.split_once(",confidence=") {
            Some((rule, _)) => (metric.name, rule.to_owned()),
            None => (metric.name, labels),
        };
        for (labels, value) in values(metric.id) {
            *sums.entry(key(labels)).or_insert(Decimal::ZERO) += value;
        }
        for (labels, value) in values(twin) {
            *sums.entry(key(labels)).or_insert(Decimal::ZERO) -= value;
        }
    }
    sums.retain(|_, sum| !sum.is_zero());
    sums
}
