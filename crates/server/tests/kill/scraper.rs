//! Somebody who scrapes all the time: no counter falls, none begins anew.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rust_decimal::Decimal;
use spantally_server::export::{INVENTORY, Kind};

use crate::support::get_with;

pub(crate) struct Scraper {
    thread: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    pages: Arc<AtomicUsize>,
}

impl Scraper {
    pub(crate) fn start(address: SocketAddr) -> Self {
        let (stop, pages) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let thread = std::thread::spawn({
            let (stop, pages) = (Arc::clone(&stop), Arc::clone(&pages));
            move || {
                let mut seen = Seen::default();
                while !stop.load(Ordering::Relaxed) {
                    let answer = get_with(address, "/metrics", "Accept: application/openmetrics-text\r\n");
                    // A page that was cut short says nothing.
                    if let Some((200, page)) = answer
                        && page.ends_with("# EOF\n")
                    {
                        seen.compare(&page);
                        pages.fetch_add(1, Ordering::Relaxed);
                    }
                    std::thread::sleep(Duration::from_millis(40));
                }
            }
        });
        Self { thread: Some(thread), stop, pages }
    }

    /// Fails when something was seen that must not be.
    pub(crate) fn check(&self) {
        let ended = self.thread.as_ref().is_some_and(JoinHandle::is_finished);
        assert!(!ended, "the scraper saw something that must not be; its message is above");
    }

    /// How many pages it has seen.
    pub(crate) fn finish(mut self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
        self.pages.load(Ordering::Relaxed)
    }
}

#[derive(Default)]
struct Seen {
    /// The last value of each sample of a counter or histogram.
    values: HashMap<String, Decimal>,
}

/// Names of samples that only rise for as long as there is a ledger.
fn rising() -> impl Iterator<Item = String> {
    let kept = INVENTORY.iter().filter(|metric| !metric.id.is_of_process());
    kept.flat_map(|metric| match metric.kind {
        Kind::Gauge => Vec::new(),
        Kind::Counter => vec![format!("{}_total", metric.name)],
        Kind::Histogram(_) => ["bucket", "count", "sum"].map(|end| format!("{}_{end}", metric.name)).to_vec(),
    })
}

impl Seen {
    fn compare(&mut self, page: &str) {
        let rising: Vec<String> = rising().collect();
        let created: Vec<String> = INVENTORY
            .iter()
            .filter(|metric| !metric.id.is_of_process() && !matches!(metric.kind, Kind::Gauge))
            .map(|metric| format!("{}_created", metric.name))
            .collect();
        let mut now = HashMap::new();
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            let line = line.split(" # ").next().unwrap_or_default();
            let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no sample: {line}"));
            let name = series.split('{').next().unwrap_or_default();
            let is_created = created.iter().any(|known| known == name);
            if !is_created && !rising.iter().any(|known| known == name) {
                continue;
            }
            let value: Decimal = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
            if let Some(&before) = self.values.get(series) {
                assert!(!is_created || value == before, "{series} began at {before}, now at {value}");
                assert!(value >= before, "{series} fell from {before} to {value}");
            }
            now.insert(series.to_owned(), value);
        }
        let lost = self.values.keys().find(|series| !now.contains_key(*series));
        assert!(lost.is_none(), "{lost:?} is not there any more");
        self.values = now;
    }
}
