//! Tenants whose requests a destination defers, and those whose requests it takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::item::Item;
use super::super::testing::{Destination as Backend, Got};
use super::super::tests::{open, put, settings};
use super::super::{Forwarder, Sending};
use super::*;
use crate::config::{Compression, Protocol};

/// A backend that defers the requests of the tenant `slow` as long as it is told to.
struct Place {
    backend: Backend,
    defers: Arc<AtomicBool>,
    settings: Destination,
    directory: tempfile::TempDir,
}

impl Place {
    async fn new() -> Self {
        let defers = Arc::new(AtomicBool::new(true));
        let told = defers.clone();
        let backend = Backend::start(move |got| match tenant(got) {
            "slow" if told.load(Ordering::Relaxed) => 429,
            _ => 200,
        })
        .await;
        let settings = settings(&backend, Protocol::Http, Compression::None);
        Self { backend, defers, settings, directory: tempfile::tempdir().unwrap() }
    }

    async fn open(&self) -> Forwarder {
        open(&self.settings, self.directory.path()).await
    }

    /// The bodies of a tenant that were taken, one after the other.
    fn taken(&self, of: &str) -> String {
        let all = self.backend.got();
        let taken = all.iter().filter(|got| got.status == 200 && tenant(got) == of);
        taken.map(|got| std::str::from_utf8(&got.body).unwrap()).collect()
    }

    #[track_caller]
    fn assert_taken(&self, of: &str, expected: &str) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            let began = clock::instant();
            while self.taken(of) != expected {
                let waited = clock::instant().saturating_duration_since(began);
                assert!(waited < Duration::from_secs(20), "{caller}: {} of {of}", self.taken(of));
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

fn tenant(got: &Got) -> &str {
    got.headers["x-scope-orgid"].to_str().unwrap()
}

fn start(forwarder: &Forwarder) -> (watch::Sender<bool>, Sending) {
    let (stop, stops) = watch::channel(false);
    let sending = forwarder.start(&stops);
    (stop, sending)
}

async fn stop_of((stop, sending): (watch::Sender<bool>, Sending)) {
    stop.send_replace(true);
    sending.ended().await;
}

#[tokio::test]
async fn a_tenant_that_is_deferred_does_not_stop_the_others() {
    let place = Place::new().await;
    let forwarder = place.open().await;
    put(&forwarder, "slow", b"1").await;
    let sending = start(&forwarder);
    place.backend.wait_for(1).await;
    for (tenant, body) in [("slow", &b"2"[..]), ("a", b"3"), ("slow", b"4"), ("b", b"5"), ("a", b"6")] {
        put(&forwarder, tenant, body).await;
    }
    place.assert_taken("a", "36").await;
    place.assert_taken("b", "5").await;
    assert_eq!(place.taken("slow"), "");
    assert!(forwarder.routes[0].queue.bytes() > 0);
    place.defers.store(false, Ordering::Relaxed);
    place.assert_taken("slow", "124").await;
    stop_of(sending).await;
    assert_eq!(forwarder.routes[0].queue.bytes(), 0);
}

/// Also of rows that have items of both.
#[tokio::test]
async fn what_was_delivered_is_not_sent_again_after_a_stop() {
    let place = Place::new().await;
    let forwarder = place.open().await;
    let item = |tenant: &'static str, body: &'static str| {
        let body = bytes::Bytes::from_static(body.as_bytes());
        Item { tenant: tenant.into(), spans: 1, received_at: clock::now(), body }.encode()
    };
    for rows in [[("a", "1"), ("slow", "2")], [("a", "3"), ("b", "4")], [("slow", "5"), ("b", "6")]] {
        let row: Vec<u8> = rows.into_iter().flat_map(|(tenant, body)| item(tenant, body)).collect();
        assert!(forwarder.routes[0].queue.append(row.into()).unwrap().await.unwrap());
    }
    let sending = start(&forwarder);
    place.assert_taken("b", "46").await;
    stop_of(sending).await;
    drop(forwarder);
    assert_eq!(["a", "b", "slow"].map(|tenant| place.taken(tenant)), ["13", "46", ""]);

    // Twice, as nothing changes where nothing is taken.
    for _ in 0..2 {
        let forwarder = place.open().await;
        stop_of(start(&forwarder)).await;
    }
    place.defers.store(false, Ordering::Relaxed);
    let forwarder = place.open().await;
    put(&forwarder, "a", b"7").await;
    let sending = start(&forwarder);
    place.assert_taken("a", "137").await;
    place.assert_taken("slow", "25").await;
    stop_of(sending).await;
    assert_eq!(["a", "b"].map(|tenant| place.taken(tenant)), ["137", "46"]);
    assert_eq!(forwarder.routes[0].queue.bytes(), 0);
}

/// All that is on disk is sent then, and is counted as what it is.
#[tokio::test]
async fn without_its_progress_a_queue_knows_what_waits() {
    let place = Place::new().await;
    let forwarder = place.open().await;
    let sending = start(&forwarder);
    for (tenant, body, taken) in [("a", &b"1"[..], "1"), ("a", b"2", "12"), ("slow", b"3", "12")] {
        put(&forwarder, tenant, body).await;
        place.assert_taken("a", taken).await;
    }
    stop_of(sending).await;
    let waits = forwarder.routes[0].queue.bytes();
    assert!(waits > 0);
    drop(forwarder);
    let queue = place.directory.path().join("forward").join(place.settings.name.replace('/', "@"));
    assert_eq!(std::fs::read_to_string(queue.join("sent")).unwrap().lines().next(), Some("2"));
    // Its lock is let go a moment later.
    drop(place.open().await);
    std::fs::remove_file(queue.join("sent")).unwrap();
    let forwarder = place.open().await;
    let sending = start(&forwarder);
    place.assert_taken("a", "122").await;
    stop_of(sending).await;
    assert_eq!(forwarder.routes[0].queue.bytes(), waits);
}

#[tokio::test]
async fn a_deferred_tenant_is_given_up_after_its_time_with_what_it_had_then() {
    let mut place = Place::new().await;
    place.settings.retry.max_elapsed_time = Some(Duration::from_millis(100));
    let forwarder = place.open().await;
    put(&forwarder, "slow", b"1").await;
    let sending = start(&forwarder);
    place.backend.wait_for(1).await;
    put(&forwarder, "slow", b"2").await;
    let failed = || format!("{:?}", forwarder.routes[0].counts).contains("failed: 1");
    let began = clock::instant();
    while !failed() {
        assert!(clock::instant().saturating_duration_since(began) < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    place.defers.store(false, Ordering::Relaxed);
    stop_of(sending).await;
    let bodies: Vec<_> = place.backend.got().into_iter().map(|got| got.body).collect();
    assert!(bodies.iter().all(|body| **body == *b"1" || **body == *b"2"), "{bodies:?}");
}

/// A destination whose limit is one of the rate, and that does not say so: what it refuses is lost, so it is
/// asked seldom.
#[tokio::test]
async fn a_limit_that_not_even_one_request_is_within_is_waited_for() {
    let refuses = Arc::new(AtomicBool::new(true));
    let told = refuses.clone();
    let backend = Backend::start(move |_| if told.load(Ordering::Relaxed) { 8 } else { 200 }).await;
    let mut settings = settings(&backend, Protocol::Grpc, Compression::None);
    settings.retry.initial_interval = Duration::from_secs(1);
    let directory = tempfile::tempdir().unwrap();
    let forwarder = open(&settings, directory.path()).await;
    for _ in 0..64 {
        put(&forwarder, "a", b"1").await;
    }
    let sending = start(&forwarder);
    // Of 64, 32, 16, 8, 4, 2 and 1; then it waits for half a second at least.
    backend.wait_for(7).await;
    tokio::time::sleep(Duration::from_millis(250)).await;
    let sizes: Vec<_> = backend.got().into_iter().map(|got| got.body.len()).collect();
    assert_eq!(sizes, [64, 32, 16, 8, 4, 2, 1]);
    backend.wait_for(8).await;
    refuses.store(false, Ordering::Relaxed);
    backend.wait_for(14).await;
    stop_of(sending).await;
    let sizes: Vec<_> = backend.got().into_iter().map(|got| got.body.len()).skip(7).collect();
    assert_eq!(sizes, [1, 1, 2, 4, 8, 16, 31]);
    assert!(format!("{:?}", forwarder.routes[0].counts).contains("sent: 62, rejected: 0, failed: 2"));
}
