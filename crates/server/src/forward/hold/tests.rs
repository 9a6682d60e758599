//! Spans that wait for their job, with logs and queues on disk.

use std::sync::atomic::AtomicU32;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;

use super::super::job_span::text;
use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

fn key(id: u8) -> SpanKey {
    SpanKey { trace: TraceId([id; 16]), span: SpanId([id; 8]) }
}

fn span(id: u8) -> Span {
    let name = "x".repeat(id.into());
    Span { trace_id: vec![id; 16], span_id: vec![id; 8], name, ..Span::default() }
}

fn item(ids: &[u8]) -> Item<'static> {
    let spans = ids.iter().map(|&id| span(id)).collect();
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    let body = ExportTraceServiceRequest { resource_spans }.encode_to_vec().into();
    Item { tenant: "clips".into(), spans: ids.len() as u64, received_at: clock::now(), body }
}

fn told(ids: &[u8]) -> Arc<[Told]> {
    let attributes: Arc<[KeyValue]> = Arc::new([text("spantally.job.id", "j")]);
    ids.iter().map(|&id| (key(id), attributes.clone())).collect()
}

/// A place where it is tried, with a name of its own for its threads.
struct Place {
    directory: tempfile::TempDir,
    settings: HoldSpans,
}

impl Place {
    fn new(settings: HoldSpans) -> Self {
        Self { directory: tempfile::tempdir().unwrap(), settings: HoldSpans { enabled: true, ..settings } }
    }

    /// Files whose last owner is gone are let go by its thread a moment later.
    fn open(&self) -> Opened {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed).to_string();
        let began = clock::instant();
        let again = |error: &StoreError| {
            assert!(matches!(error, StoreError::InUse { .. }) && began.elapsed() < PATIENCE, "{error}");
            std::thread::sleep(Duration::from_millis(10));
        };
        let counts = Arc::new(Counts::default());
        loop {
            let queue = match Queue::open(self.directory.path(), &name, 1 << 20) {
                Ok(queue) => queue,
                Err(error) => {
                    again(&error);
                    continue;
                }
            };
            let place = self.directory.path().join("held");
            match Hold::open(&place, &name, self.settings, queue.clone(), counts.clone()) {
                Ok(hold) => return Opened { hold, queue, counts },
                Err(error) => again(&error),
            }
        }
    }
}

struct Opened {
    hold: Hold,
    queue: Queue,
    counts: Arc<Counts>,
}

impl Opened {
    fn hold(&self, ids: &[u8]) {
        assert!(self.hold.hold(item(ids)).unwrap().blocking_recv().unwrap());
    }

    fn tell(&self, ids: &[u8]) {
        self.hold.tell(told(ids)).blocking_recv().unwrap();
    }

    /// Every span that is in the queue, in order: its first byte, and whether its job is on it.
    fn queued(&self) -> Vec<(u8, bool)> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let loaded = runtime.block_on(self.queue.load(1 << 20)).unwrap();
        let mut all = Vec::new();
        for item in loaded.items {
            assert_eq!(item.tenant, "clips");
            let request = ExportTraceServiceRequest::decode(&*item.body).unwrap();
            let scopes = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
            let spans: Vec<Span> = scopes.flat_map(|scope| scope.spans).collect();
            assert_eq!(item.spans, spans.len() as u64);
            for mut found in spans {
                let attributes = std::mem::take(&mut found.attributes);
                let id = found.trace_id[0];
                assert_eq!(found, span(id));
                assert!(attributes.is_empty() || *attributes == *told(&[id])[0].1, "{attributes:?}");
                all.push((id, !attributes.is_empty()));
            }
        }
        all
    }

    #[track_caller]
    fn wait_for(&self, expected: &[(u8, bool)]) {
        let began = clock::instant();
        while self.queued() != expected {
            assert!(began.elapsed() < PATIENCE, "{:?}", self.queued());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn counted(&self, what: &str) -> bool {
        format!("{:?}", self.counts).contains(what)
    }
}

#[test]
fn a_span_waits_until_it_is_told_of_and_goes_with_what_was_told() {
    let place = Place::new(HoldSpans::default());
    let opened = place.open();
    opened.hold(&[1, 2, 3]);
    assert_eq!(opened.queued(), []);
    opened.tell(&[3, 1, 9]);
    assert_eq!(opened.queued(), [(3, true), (1, true)]);
    assert!(opened.counted("job_attributes: [2, 0, 0, 0], held_spans: 1"), "{:?}", opened.counts);
}

#[test]
fn a_span_that_comes_after_it_was_told_of_goes_at_once() {
    let place = Place::new(HoldSpans::default());
    let opened = place.open();
    opened.tell(&[4]);
    opened.hold(&[4, 5]);
    opened.wait_for(&[(4, true)]);
}

#[test]
fn what_waits_too_long_goes_as_it_came() {
    let wait_duration = Duration::from_secs(3);
    let place = Place::new(HoldSpans { wait_duration, ..HoldSpans::default() });
    let opened = place.open();
    opened.hold(&[1, 2]);
    opened.tell(&[2]);
    opened.wait_for(&[(2, true), (1, false)]);
    assert!(opened.counted("job_attributes: [1, 1, 0, 0], held_spans: 0"), "{:?}", opened.counts);
}

#[test]
fn past_the_limit_the_oldest_go_as_they_came() {
    let place = Place::new(HoldSpans { max_bytes: 700, ..HoldSpans::default() });
    let opened = place.open();
    for id in 1..=4 {
        opened.hold(&[id]);
    }
    opened.wait_for(&[(1, false), (2, false)]);
    opened.tell(&[1, 2, 3, 4]);
    assert_eq!(opened.queued(), [(1, false), (2, false), (3, true), (4, true)]);
    assert!(opened.counted("job_attributes: [2, 0, 2, 0], held_spans: 0"), "{:?}", opened.counts);
}

#[test]
fn a_span_that_came_twice_goes_twice() {
    let place = Place::new(HoldSpans::default());
    let opened = place.open();
    opened.hold(&[1]);
    opened.hold(&[1]);
    opened.tell(&[1]);
    assert_eq!(opened.queued(), [(1, true), (1, true)]);
}

#[test]
fn after_a_crash_what_waited_waits_and_what_went_does_not_go_again() {
    let place = Place::new(HoldSpans::default());
    let opened = place.open();
    opened.hold(&[1, 2]);
    opened.hold(&[3]);
    opened.tell(&[1]);
    drop(opened);
    let opened = place.open();
    opened.tell(&[1, 2, 3]);
    assert_eq!(opened.queued(), [(1, true), (2, true), (3, true)]);
}

#[test]
fn what_is_held_for_one_who_does_not_want_it_any_more_goes_as_it_came() {
    let mut place = Place::new(HoldSpans::default());
    place.open().hold(&[1]);
    place.settings.enabled = false;
    place.open().wait_for(&[(1, false)]);
}

/// The log does not grow with what has gone: its rows are given back.
#[test]
fn rows_of_which_nothing_waits_are_given_back() {
    let mut held = Held::new(1 << 20);
    for row in 1..=3 {
        held.row(Seq(row), 10);
        held.hold(&item(&[row as u8]), Seq(row));
    }
    held.row(Seq(4), 10);
    assert_eq!(held.done(), Seq(0));
    assert_eq!(held.take(key(2)).len(), 1);
    assert_eq!(held.done(), Seq(0));
    assert_eq!(held.take(key(1)).len(), 1);
    assert_eq!(held.done(), Seq(2));
    assert_eq!(held.take(key(3)).len(), 1);
    assert_eq!(held.done(), Seq(4));
    held.forget_old();
    assert_eq!((held.len(), held.bytes()), (0, 0));
}
