//! Spans that wait for their job, with logs and queues on disk.

use std::sync::atomic::AtomicU32;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use spantally_stitch::{SpanId, SpanKey, TraceId, UnixNanos};

use super::super::held::{MISSED_MAX, OwnedKey};
use super::super::job_span::text;
use super::*;

mod unqueued;

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
    ids.iter().map(|&id| ((key(id), "clips".into()), attributes.clone())).collect()
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
            let queue = match Queue::open(self.directory.path(), &name, 1 << 26, &counts) {
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
        let loaded = runtime.block_on(self.queue.load(Seq(0), 1 << 20)).unwrap();
        let mut all = Vec::new();
        for (_, item) in loaded.items {
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
        // What is in the queue is counted a moment later.
        self.tell(&[]);
    }

    /// Bytes that are held, and spans that wait in the queue.
    fn held_and_queued(&self) -> (u64, u64) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let loaded = runtime.block_on(self.queue.load(Seq(0), 1 << 30)).unwrap();
        (self.counts.held_bytes(), loaded.items.iter().map(|(_, item)| item.spans).sum())
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

/// Its job settles some time after the start, however long the server was down.
#[test]
fn what_waited_before_a_long_outage_waits_on() {
    let place = Place::new(HoldSpans::default());
    let mut of_long_ago = item(&[1]);
    of_long_ago.received_at = UnixNanos(1);
    assert!(place.open().hold.hold(of_long_ago).unwrap().blocking_recv().unwrap());
    let opened = place.open();
    std::thread::sleep(2 * TICK);
    opened.tell(&[1]);
    assert_eq!(opened.queued(), [(1, true)]);
}

#[test]
fn past_the_limit_the_oldest_go_as_they_came() {
    let place = Place::new(HoldSpans { max_bytes: 1000, ..HoldSpans::default() });
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

/// Its job is not told again: nothing of it changed.
#[test]
fn a_span_that_comes_again_after_it_went_has_its_job_again() {
    let place = Place::new(HoldSpans::default());
    let opened = place.open();
    opened.hold(&[1, 2]);
    opened.tell(&[1]);
    opened.hold(&[1]);
    opened.wait_for(&[(1, true), (1, true)]);
    assert!(opened.counted("job_attributes: [2, 0, 0, 0], held_spans: 1"), "{:?}", opened.counts);
}

/// What is sent again keeps nothing out that is on its way.
#[test]
fn spans_that_have_gone_leave_room_for_those_that_have_not_come() {
    let mut held = Held::new(1 << 20);
    let attributes: Arc<[KeyValue]> = Arc::new([]);
    let told = |id: usize| (wide_key(id as u32), attributes.clone());
    (0..MISSED_MAX).for_each(|id| held.remember(&told(id), true));
    held.remember(&told(MISSED_MAX), false);
    let is_known = |id: usize| held.missed(&wide_key(id as u32)).is_some();
    assert_eq!([0, MISSED_MAX / 2, MISSED_MAX].map(is_known), [true, false, true]);
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

/// Another tenant's span of the same ids neither goes with what was told of this one's, nor after a crash.
#[test]
fn what_is_told_of_a_tenants_span_is_nothing_to_anothers() {
    let of = |tenant: &str| Item { tenant: tenant.to_owned().into(), ..item(&[1]) };
    let place = Place::new(HoldSpans::default());
    let opened = place.open();
    assert!(opened.hold.hold(of("films")).unwrap().blocking_recv().unwrap());
    opened.tell(&[1]);
    assert_eq!(opened.queued(), []);
    opened.hold(&[1]);
    opened.wait_for(&[(1, true)]);
    drop(opened);
    let opened = place.open();
    let of_films = ((key(1), "films".into()), told(&[1])[0].1.clone());
    opened.hold.tell(Arc::new([of_films])).blocking_recv().unwrap();
    assert_eq!(opened.held_and_queued().1, 2);
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
    assert!(held.take(&(key(2), "clips".into())).is_some());
    assert_eq!(held.done(), Seq(0));
    assert!(held.take(&(key(1), "clips".into())).is_some());
    assert_eq!(held.done(), Seq(2));
    assert!(held.take(&(key(3), "clips".into())).is_some());
    assert_eq!(held.done(), Seq(4));
    assert_eq!((held.len(), held.bytes()), (0, 0));
}

/// A resource of `len` bytes with so many scopes of a span each, whose keys begin with `first`.
fn wide(first: u32, scopes: u32, len: usize) -> Item<'static> {
    let scope_spans = (0..scopes).map(|scope| {
        let (trace_id, span_id) = (vec![1; 16], u64::from(first + scope).to_le_bytes().to_vec());
        let spans = vec![Span { trace_id, span_id, ..Span::default() }];
        ScopeSpans { spans, schema_url: scope.to_string(), ..ScopeSpans::default() }
    });
    let schema_url = "r".repeat(len);
    let resource =
        ResourceSpans { scope_spans: scope_spans.collect(), schema_url, ..ResourceSpans::default() };
    let body = ExportTraceServiceRequest { resource_spans: vec![resource] }.encode_to_vec().into();
    Item { tenant: "wide".into(), spans: scopes.into(), received_at: clock::now(), body }
}

fn wide_key(id: u32) -> OwnedKey {
    (SpanKey { trace: TraceId([1; 16]), span: SpanId(u64::from(id).to_le_bytes()) }, "wide".into())
}

/// What is held of a request is about its size, however many scopes its resource has, and goes with it.
#[test]
fn a_resource_is_held_once_for_all_its_scopes() {
    let (one, two) = (wide(0, 1000, 1 << 20), wide(1000, 1000, 1 << 20));
    let mut held = Held::new(64 << 20);
    held.hold(&one, Seq(1));
    assert_eq!(held.bytes(), held::cost(&one.body));
    let size = one.body.len() as u64;
    assert!((size..size + 1000 * 400).contains(&held.bytes()), "{} for {size}", held.bytes());
    held.hold(&two, Seq(1));
    assert!(held.bytes() < size + 2000 * 400, "{} for twice {size}", held.bytes());
    for id in 0..2000 {
        assert!(held.take(&wide_key(id)).is_some());
    }
    assert_eq!((held.len(), held.bytes()), (0, 0));
}

/// However they go, by one or all at once, few copies of their resource are written.
#[test]
fn spans_of_one_resource_go_with_few_copies_of_it() {
    let mut held = Held::new(64 << 20);
    let item = wide(0, 1000, 1 << 20);
    held.hold(&item, Seq(1));
    let spans = (0..1000).map(|id| (held.take(&wide_key(id)).unwrap(), None)).collect();
    let requests = requests(spans);
    let bytes: usize = requests.iter().map(|request| request.body.len()).sum();
    assert!(bytes < item.body.len() + 4000, "{bytes} of {}", item.body.len());
    let read = ExportTraceServiceRequest::decode(&*requests[0].body).unwrap();
    assert_eq!(read, ExportTraceServiceRequest::decode(&*item.body).unwrap());
}

/// Spans that come need no more room than they take: those of others stay.
#[test]
fn a_wide_request_does_not_drive_others_out() {
    let place = Place::new(HoldSpans { max_bytes: 4 << 20, ..HoldSpans::default() });
    let opened = place.open();
    opened.hold(&[1, 2]);
    assert!(opened.hold.hold(wide(0, 1000, 1 << 20)).unwrap().blocking_recv().unwrap());
    opened.tell(&[9]);
    assert_eq!(opened.held_and_queued().1, 0);
    opened.tell(&[1, 2]);
    assert_eq!(opened.held_and_queued().1, 2);
    assert!(opened.counted("job_attributes: [2, 0, 0, 0], held_spans: 1000"), "{:?}", opened.counts);
}

/// Room is made before something is in memory, and nobody makes room for what could never be held.
#[test]
fn no_more_is_held_than_may_be() {
    let place = Place::new(HoldSpans { max_bytes: 3 << 20, ..HoldSpans::default() });
    let opened = place.open();
    for round in 0..5 {
        let item = wide(round * 100, 100, (1 << 20) + round as usize);
        assert!(opened.hold.hold(item).unwrap().blocking_recv().unwrap());
        opened.tell(&[9]);
        let (held, _) = opened.held_and_queued();
        assert!(held <= 3 << 20 && held > 1 << 20, "{held} bytes are held");
    }
    let (held, queued) = opened.held_and_queued();
    assert_eq!(queued, 300, "the oldest went");
    assert!(!opened.hold.hold(wide(0, 10, 3 << 20)).unwrap().blocking_recv().unwrap());
    assert_eq!(opened.held_and_queued(), (held, queued), "it drives nobody out");
}

#[test]
fn a_row_of_the_log_that_cannot_be_read_is_counted() {
    let place = Place::new(HoldSpans::default());
    place.open().hold(&[1]);
    let log = place.directory.path().join("held");
    let began = clock::instant();
    let mut disk = loop {
        match Disk::open(&log, 1 << 20) {
            Ok(disk) => break disk,
            Err(error) => assert!(began.elapsed() < PATIENCE, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    disk.append_row(&[9; 60]).unwrap();
    drop(disk);
    let opened = place.open();
    assert!(opened.counted("failed: 1"), "{:?}", opened.counts);
    opened.tell(&[1]);
    assert_eq!(opened.queued(), [(1, true)]);
}
