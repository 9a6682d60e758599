//! A scenario through the product: export requests, intake, core, jobs.

use std::collections::BTreeMap;
use std::sync::Arc;

use rust_decimal::Decimal;
use spantally_price::Cards;
use spantally_providers::{CorrelationConfig, Recogniser, builtin, load};
use spantally_server::batch::Transport;
use spantally_server::commit::CommitMessage;
use spantally_server::core::{Core, CoreOptions, Settled};
use spantally_server::export::MetricId;
use spantally_server::intake::{ReadCache, read_batch};
use spantally_stitch::{JobId, State, UnixNanos};
use spantally_store::Seq;
use spantally_tests::scenario::otlp::{BEGIN_UNIX_NANOS, Exporter};
use spantally_tests::scenario::{Scenario, Span, Step};

/// An export request with the tenant that it comes for, or time that passes.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// Spans arrive.
    Request(String, Vec<u8>),
    /// It is now this late.
    Advance(UnixNanos),
}

/// Rules and prices, compiled once for many replays.
pub(crate) struct Rules {
    recogniser: Recogniser,
    cards: Arc<Cards>,
}

impl Rules {
    /// The built-in provider files and those of the scenarios.
    pub(crate) fn new<'a>(scenarios: impl IntoIterator<Item = &'a Scenario>) -> Self {
        let mut files = builtin::files().unwrap();
        for scenario in scenarios {
            for text in &scenario.providers {
                let file =
                    load(&scenario.name, text).unwrap_or_else(|found| panic!("{}: {found:?}", scenario.name));
                if files.iter().all(|known| known.file.provider.value != file.file.provider.value) {
                    files.push(file);
                }
            }
        }
        let mut cards = Cards::default();
        for file in &files {
            cards.insert(file.card.clone());
        }
        let recogniser = Recogniser::compile(&files, &CorrelationConfig::default()).unwrap();
        Self { recogniser, cards: Arc::new(cards) }
    }

    /// The jobs as they stand when everything has come and all limits have passed.
    pub(crate) fn jobs(&self, events: &[Event]) -> Vec<Settled> {
        let mut core = Core::new(&CoreOptions::default(), self.cards.clone(), UnixNanos(BEGIN_UNIX_NANOS));
        let mut caches = BTreeMap::<&str, ReadCache>::new();
        let mut jobs = BTreeMap::<JobId, Settled>::new();
        let mut newest = UnixNanos(BEGIN_UNIX_NANOS);
        for (position, event) in events.iter().enumerate() {
            match event {
                Event::Advance(at) => keep(&mut jobs, core.advance(*at)),
                Event::Request(tenant, body) => {
                    let cache = caches.entry(tenant).or_default();
                    let batch = read_batch(&self.recogniser, cache, tenant, Transport::Grpc, body).unwrap();
                    assert_eq!(batch.tally.rejected.iter().sum::<u64>(), 0, "a span was rejected");
                    newest = batch.evidence.iter().map(|evidence| evidence.end).fold(newest, Ord::max);
                    core.apply(CommitMessage { seq: Seq(position as u64 + 1), batches: vec![batch] });
                }
            }
        }
        keep(&mut jobs, core.advance(newest));
        keep(&mut jobs, core.finish());
        assert_counters_are_the_bills(&core, &jobs);
        jobs.into_values().collect()
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

/// Conservation: what the counters say less what was reversed is the sum of the newest bills.
fn assert_counters_are_the_bills(core: &Core, jobs: &BTreeMap<JobId, Settled>) {
    let sum = |metric| core.registry().values(metric).map(|(_, value)| value).sum::<Decimal>();
    let billed = jobs.values().flat_map(|settled| settled.bill.cost().into_values());
    let billed: Decimal = billed.map(|bound| bound.expected).sum();
    assert_eq!(sum(MetricId::Cost) - sum(MetricId::CostReversed), billed, "counters are not the bills");
}

/// Requests of spans in the order given, `size` spans at most in each; a request is of one process.
pub(crate) fn requests(exporter: Exporter<'_>, spans: &[&Span], size: usize) -> Vec<Event> {
    let same = |a: &&Span, b: &&Span| a.process == b.process;
    let chunks = spans.chunk_by(same).flat_map(|chunk| chunk.chunks(size));
    chunks
        .map(|chunk| {
            let (tenant, body) = exporter.request(chunk);
            Event::Request(tenant, body)
        })
        .collect()
}

/// What happens as the file tells it: between two advances all spans of a process come in one request.
pub(crate) fn as_told(scenario: &Scenario, exporter: Exporter<'_>) -> Vec<Event> {
    let mut events = Vec::new();
    let mut waiting: Vec<&Span> = Vec::new();
    for step in &scenario.steps {
        match step {
            Step::Span(span) => waiting.push(span),
            Step::Advance(after) => {
                events.extend(requests(exporter, &std::mem::take(&mut waiting), usize::MAX));
                events.push(Event::Advance(UnixNanos(BEGIN_UNIX_NANOS + after)));
            }
        }
    }
    events.extend(requests(exporter, &waiting, usize::MAX));
    events
}
