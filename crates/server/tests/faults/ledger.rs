//! A ledger that cannot be written, or not wholly: what is shown meanwhile, how the server ends, and what the
//! next one shows.

use std::collections::BTreeMap;
use std::time::Duration;

use rust_decimal::Decimal;
use spantally_store::LedgerReader;

use crate::support::{Server, free_address};
use crate::{Faulty, wait_until};

/// What the core counts, by series.
fn counters(page: &str) -> BTreeMap<String, Decimal> {
    const NAMES: [&str; 6] = ["jobs", "attempts", "calls", "cost", "billed_units", "spans"];
    let is_wanted = |series: &str| {
        let name = series.split('{').next().unwrap_or_default();
        let inner = name.strip_prefix("spantally_").and_then(|name| name.strip_suffix("_total"));
        inner.is_some_and(|inner| NAMES.iter().any(|wanted| inner.starts_with(wanted)))
    };
    page.lines()
        .filter_map(|line| line.rsplit_once(' '))
        .filter(|(series, _)| is_wanted(series))
        .map(|(series, value)| (series.to_owned(), value.parse().unwrap()))
        .collect()
}

impl Faulty {
    fn jobs_in_ledger(&self) -> Decimal {
        let mut jobs = 0_u64;
        LedgerReader::open(&self.data()).unwrap().load_settled(0, |_| jobs += 1).unwrap();
        jobs.into()
    }

    /// Jobs that settle one after the other, so that any turn has some.
    fn send_for_a_while(&mut self) {
        for _ in 0..30 {
            assert!(self.send_many(3));
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// The log takes what the file cannot: the checkpoint is durable, and nothing stands still.
#[test]
fn a_ledger_whose_log_cannot_be_copied_is_written_all_the_same() {
    let mut faulty = Faulty::start(None);
    faulty.assert_settled();
    faulty.fail("full =ledger.db");
    faulty.send_for_a_while();
    wait_until("it is counted", || faulty.faults("ledger", "full") > Decimal::ZERO);
    faulty.assert_settled();
    assert_eq!(faulty.metric("spantally_ledger_failing", &[]), Decimal::ZERO);
    assert_eq!(faulty.metric("spantally_checkpoints_total", &["error"]), Decimal::ZERO);
    let log = faulty.server.log();
    assert_eq!(log.matches("its log cannot be copied").count(), 1, "once, and not every turn:\n{log}");
    assert!(log.contains("no space left"), "{log}");
    faulty.heal();
    faulty.send_for_a_while();
    faulty.assert_settled();
    assert!(!faulty.server.log().contains("this is a bug"), "{}", faulty.server.log());
    assert_eq!(faulty.server.terminate().code(), Some(0));
    faulty.server = Server::start_with(faulty.directory.path(), free_address(), None, &[]);
    faulty.assert_settled();
}

/// What the ledger has not is not shown, so the next process does not show less. That it could not be written
/// to the end is said.
#[test]
fn a_server_that_ends_while_its_ledger_fails_says_so_and_the_next_one_shows_no_less() {
    let mut faulty = Faulty::start(None);
    faulty.send_for_a_while();
    faulty.fail("full ledger.db");
    faulty.send_for_a_while();
    wait_until("the ledger fails", || faulty.metric("spantally_ledger_failing", &[]) == Decimal::ONE);
    let (shown, has) = (faulty.metric("spantally_jobs_total", &[]), faulty.jobs_in_ledger());
    assert!(shown <= has, "{shown} jobs are shown, the ledger has {has}");
    let listed = faulty.server.jobs("&state=settled");
    assert_eq!(Decimal::from(listed.len()), has);
    for open in faulty.server.jobs("&state=open") {
        let id = open["job_id"].as_str().unwrap();
        assert!(faulty.server.page(&format!("/api/v1/jobs/{id}")).contains("\"state\":\"open\""));
    }
    let before = counters(&faulty.server.page("/metrics"));
    assert!(before.len() > 100 && faulty.metric("spantally_checkpoints_total", &["error"]) > Decimal::ZERO);

    let log = faulty.server.log().len();
    assert_eq!(faulty.server.terminate().code(), Some(1));
    let said = std::fs::read_to_string(faulty.directory.path().join("serve.log")).unwrap();
    let said = said[log..].replace("\n  \u{2502} ", " ");
    assert!(said.contains("without the last checkpoint") && said.contains("no space left"), "{said}");

    faulty.heal();
    faulty.server = Server::start_with(faulty.directory.path(), free_address(), None, &[]);
    let after = counters(&faulty.server.page("/metrics"));
    for (series, value) in before {
        let now = after.get(&series).copied().unwrap_or_default();
        assert!(now >= value, "{series} fell from {value} to {now}");
    }
    faulty.assert_settled();
}

/// While the ledger cannot be written nothing settles and nothing is forgotten, so what is above the limit
/// on spans is refused.
#[test]
fn spans_in_memory_are_bounded_while_the_ledger_fails() {
    let config = "processors: {spantally: {limits: {max_spans: 1000}}}";
    let mut faulty = Faulty::start(Some(config));
    faulty.fail("full ledger.db");
    wait_until("the ledger fails", || faulty.metric("spantally_ledger_failing", &[]) == Decimal::ONE);
    let mut taken = 0;
    wait_until("spans are refused", || {
        let is_taken = faulty.send_many(40);
        taken += u64::from(is_taken);
        !is_taken
    });
    assert!(taken > 1, "the first thousand are taken");
    let answer = faulty.send_http().unwrap_err();
    assert!(answer.starts_with("HTTP/1.1 503") && answer.to_lowercase().contains("retry-after"), "{answer}");
    assert!(faulty.metric("spantally_commit_refused_batches_total", &["reason=\"full\""]) >= Decimal::TWO);
    let held = faulty.metric("spantally_limit_used", &["limit=\"spans\""]);
    faulty.heal();
    wait_until("spans are taken again", || faulty.send_http().is_ok());
    faulty.assert_settled();
    assert!(held < Decimal::from(20_000), "{held} spans were held");
}
