//! A real server, killed again and again under load, against an oracle that folds everything sent.
//!
//! Clients send jobs over OTLP/gRPC and OTLP/HTTP ([`client`]), and send again whatever was not acknowledged.
//! Meanwhile the server is ended by SIGKILL at moments from a seed ([`moment`]): under load, while a
//! checkpoint is written, before it is ready, while it drains, while it reads other provider files. Somebody
//! scrapes `/metrics` all the time ([`scraper`]): no counter may fall or begin anew. In the end everything
//! settles, and page and ledger must be what the jobs come to ([`oracle`]): nothing lost, nothing doubled.
//!
//! The short run is part of every test run. Long ones, with the seed to repeat them:
//!
//! ```text
//! SPANTALLY_KILLS=200 SPANTALLY_SEED=1 cargo nextest run -p spantally-server --test kill --no-capture
//! ```

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![allow(clippy::print_stdout, reason = "a long run shows how far it is")]

mod client;
mod explain;
mod moment;
mod oracle;
mod process;
mod query;
mod retention;
mod scraper;
mod sent;
#[path = "../support/mod.rs"]
mod support;
mod traffic;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use spantally_tests::oracle::Random;

use self::client::Clients;
use self::moment::Moment;
use self::process::{Process, Profile};
use self::scraper::Scraper;

/// Kills in the short run of each profile.
const KILLS: usize = 7;

fn number(name: &str, default: u64) -> u64 {
    let value = std::env::var(name).ok();
    value.map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}: expected a number")))
}

fn run(profile: Profile) {
    let kills = number("SPANTALLY_KILLS", KILLS as u64) as usize;
    let seed = number("SPANTALLY_SEED", 1);
    let mut random = Random::new(seed ^ profile.name.len() as u64);
    // Kept when the test fails: the files say what happened.
    let directory = tempfile::tempdir().unwrap().keep();
    println!("seed {seed}, files in {}", directory.display());
    let mut process = Process::new(&directory, profile, kills);
    let scraper = Scraper::start(process.admin);
    let clients = Clients::start(&process, seed);
    let began = Instant::now();
    for kill in 0..kills {
        // The first moments of each kind come in turn, so that a short run has them all.
        let moment = Moment::of(kill, &mut random);
        process.start();
        let reached = moment.wait(&mut process, &mut random);
        process.kill();
        println!(
            "{:>4} s  kill {:>3} {moment:?} after {reached:?}; {} jobs sent",
            began.elapsed().as_secs(),
            kill + 1,
            clients.sent.load(Ordering::Relaxed)
        );
        scraper.check();
        // Sometimes it stays away for long enough that its clients notice.
        std::thread::sleep(Duration::from_millis(random.below(4) / 3 * random.below(800)));
    }
    process.start();
    process.wait_until_ready();
    let sent = clients.finish();
    oracle::check(&process, &sent, oracle::Open::Stay);
    // In order, and once more: what was open is now idle.
    process.stop();
    process.settle_idle();
    process.start();
    process.wait_until_ready();
    oracle::check(&process, &sent, oracle::Open::Settle);
    scraper.check();
    process.stop();
    oracle::check_ledger(&process, &sent, oracle::Open::Settle);
    let scrapes = scraper.finish();
    println!(
        "{kills} kills, {} jobs, {} requests, of which {} were sent again, {scrapes} pages, rules read \
         again {} times: nothing lost, nothing doubled",
        sent.jobs.len(),
        sent.requests,
        sent.resent,
        process.reloads()
    );
    assert!(sent.resent > 0 && scrapes > kills, "too little was tried");
    std::fs::remove_dir_all(directory).unwrap();
}

/// Everything stays in memory for hours, as by default.
#[test]
fn nothing_is_lost_or_doubled_when_killed() {
    run(Profile::RETAINED);
}

/// Settled jobs are forgotten after seconds and the journal has few rows: what is still needed is carried
/// into the ledger, and what comes again is late.
#[test]
fn nothing_is_lost_or_doubled_when_killed_and_forgotten_soon() {
    run(Profile::FORGETFUL);
}
