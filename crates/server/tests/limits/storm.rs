//! A service that storms, and one that does no harm.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rust_decimal::Decimal;

use super::{reached, serve, wait_for};
use crate::traffic::{Service, post};

/// Connections of the service that storms.
const STORMERS: usize = 4;
/// Jobs of the other one.
const JOBS: u64 = 60;
/// Its jobs end so many steps after they began.
const STEPS: u64 = 40;

/// The storm fills what may be open many times over, as fast as it can; the other service is answered at
/// once, its jobs settle with what came of them, and none of them is settled early.
#[test]
fn a_storm_of_one_service_does_not_starve_another() {
    let directory = tempfile::tempdir().unwrap();
    let config = "processors: {spantally: {limits: {max_open_jobs: 2000, max_spans: 20000}}}";
    let server = serve(directory.path(), config);
    let (stop, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut calm = Service::new("calm");
    let mut slowest = Duration::ZERO;
    let mut refused = 0;
    std::thread::scope(|scope| {
        for number in 0..STORMERS {
            let (stop, sent, http) = (&stop, &sent, server.http);
            scope.spawn(move || {
                let mut storm = Service::process("storm", number);
                while !stop.load(Ordering::Relaxed) {
                    let spans = (0..100).flat_map(|_| storm.job(false)).collect();
                    if post(http, &storm.request(spans)) == Some(200) {
                        sent.fetch_add(100, Ordering::Relaxed);
                    }
                    // Many times what may be open in a turn, and yet no test of how fast a debug build is.
                    std::thread::sleep(Duration::from_millis(100));
                }
            });
        }
        // The storm is on.
        wait_for(&server, "the storm meets its bound", || reached(&server, "open_jobs") > Decimal::ZERO);
        for step in 0..JOBS + STEPS {
            // Begun and ended some seconds apart, with the storm in between.
            let mut spans = if step < JOBS { calm.job(false) } else { Vec::new() };
            spans.extend((step >= STEPS).then(|| calm.result(step - STEPS + 1)));
            let began = Instant::now();
            while post(server.http, &calm.request(spans.clone())) != Some(200) {
                refused += 1;
                assert!(began.elapsed() < Duration::from_secs(20), "it is never taken\n{}", server.log());
                std::thread::sleep(Duration::from_millis(50));
            }
            slowest = slowest.max(began.elapsed());
            std::thread::sleep(Duration::from_millis(100));
        }
        stop.store(true, Ordering::Relaxed);
    });
    println!(
        "{} jobs of the storm, {} given up; calm was refused {refused} times, slowest answer {slowest:?}",
        sent.load(Ordering::Relaxed),
        reached(&server, "open_jobs") + reached(&server, "spans"),
    );
    assert!(sent.load(Ordering::Relaxed) > 5 * 2000, "no storm: {}", sent.load(Ordering::Relaxed));
    assert_eq!(refused, 0, "one that has nothing under way finds room");
    let of = |name: &str, service: &str, labels: &[&str]| {
        let service = format!("service=\"{service}\"");
        server.metric(name, &[&[service.as_str()], labels].concat())
    };
    wait_for(&server, "its jobs settle", || of("spantally_jobs_total", "calm", &[]) == Decimal::from(JOBS));
    assert_eq!(of("spantally_jobs_total", "calm", &["succeeded"]), Decimal::from(JOBS));
    assert_eq!(of("spantally_cost_total", "calm", &["delivered"]), Decimal::from(JOBS) * Decimal::new(25, 3));
    assert!(of("spantally_jobs_total", "storm", &[]) > Decimal::from(5 * 2000), "the storm gives up its own");
    let log = server.log();
    assert!(log.contains("a limit on memory was met") && log.contains("storm"), "{log}");
    assert!(!log.contains("calm"), "{log}");
    server.kill();
    assert_verifies(&directory.path().join("data"));
}

/// Counters, rows and spans agree after it.
#[track_caller]
fn assert_verifies(data: &Path) {
    let verified = Command::new(env!("CARGO_BIN_EXE_spantally"))
        .arg("verify")
        .arg("--ledger")
        .arg(data)
        .args(["--set", "processors.spantally.settle_delay=1s"])
        .args(["--set", "processors.spantally.limits.max_open_jobs=2000"])
        .args(["--set", "processors.spantally.limits.max_spans=20000"])
        .env_remove("SPANTALLY_CONFIG")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&verified.stdout);
    assert!(verified.status.success(), "counters, rows and spans do not agree after it\n{said}");
}
