//! What a document keeps of a job is enough to price it: every job of the captures and of the tests of the
//! built-in files costs the same when it is read back.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::Path;

use spantally_price::{Bill, bill};
use spantally_providers::CorrelationConfig;

use super::*;
use crate::config::Settings;
use crate::core::Settled;
use crate::job_json::JobDocument;
use crate::provider_files::ProviderFiles;
use crate::replay::{Recording, Replay, input};

#[track_caller]
fn same_when_read_back(settled: &Settled, cards: &Cards) {
    let (job, bill, revision) = (&settled.job, &settled.bill, settled.revision);
    let text = JobDocument { job, bill, revision }.to_json().unwrap();
    let doc: JobDoc = serde_json::from_str(&text).unwrap();
    let again = super::job(&doc, cards).unwrap();
    let again = spantally_price::bill(&again, cards);
    assert_eq!(&again, bill, "{text}");
    assert_eq!(before(&doc).cost, bill.cost(), "{text}");
}

#[test]
fn jobs_of_captures_cost_the_same_when_they_are_read_back() {
    let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/captures");
    let open = |name: &&str| {
        let raw = input::open(&captures.join(name).join("capture.otlp.gz")).unwrap();
        Recording::new((*name).to_owned(), input::plain(raw).unwrap()).unwrap()
    };
    let providers = ProviderFiles::load(None, &CorrelationConfig::default()).unwrap();
    let settings = Settings::default();
    let found = Replay::new(&settings, &providers).run(["bare-new", "rich-new"].iter().map(open).collect());
    let cards = providers.cards(&settings.pricing);
    assert!(found.jobs.len() > 300, "{}", found.jobs.len());
    found.jobs.iter().for_each(|settled| same_when_read_back(settled, &cards));
}

#[test]
fn jobs_of_the_tests_of_provider_files_cost_the_same_when_they_are_read_back() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/providers");
    let providers = ProviderFiles::load(None, &CorrelationConfig::default()).unwrap();
    let cards = providers.cards(&Settings::default().pricing);
    let mut jobs = 0;
    for provider in &providers.files {
        let path = directory.join(format!("{}.test.yaml", provider.name()));
        for settled in crate::cli::rules::jobs_of(&path).unwrap() {
            same_when_read_back(&settled, &cards);
            jobs += 1;
        }
    }
    assert!(jobs > 240, "{jobs}");
}

#[test]
fn durations_that_are_not_kept_are_told() {
    let session = |role: Role| {
        let source = Source::Elapsed(role);
        let meter = spantally_price::Meter {
            rule: "clips/time".into(),
            unit: "second".into(),
            quantity: vec![source],
            rounding: spantally_price::Rounding::default(),
            credit_rounding: spantally_price::Rounding::default(),
            interrupted: Vec::new(),
            cause: None,
            currency: "USD".into(),
            prices: Vec::new(),
            multipliers: Vec::new(),
        };
        let tariff = spantally_price::Tariff {
            models: vec![spantally_price::Pattern::new("*")],
            meters: vec![meter],
            ..spantally_price::Tariff::default()
        };
        let mut cards = Cards::default();
        cards.insert(spantally_price::RateCard::new("clips".into(), vec![tariff], Vec::new(), Vec::new()));
        cards
    };
    let text = r#"{"job_id":"1","revision":1,"state":"settled","tenant":"","service":"s","provider":"clips",
        "model":"m","operation":"o","outcome":"succeeded","failure_reason":null,"spans":[],
        "started_at":"2026-11-20T23:59:59.999Z","ended_at":"2026-11-21T00:00:10.000Z","attempts":[{"task_id":null,
        "accepted":"yes","outcome":"succeeded","failure_reason":null,"cause":"delivered","polls":0,
        "spans":{"submit":[],"poll":[],"result":[],"cancel":[],"webhook":[],"download":[],"sync":["a:b"],
        "session":["a:c"]},"joins":[],"status":200,"session_seconds":"10.5","day":"2026-11-21"}],"charges":[],
        "cost":{}}"#;
    let doc: JobDoc = serde_json::from_str(text).unwrap();
    let problem = job(&doc, &session(Role::Sync)).unwrap_err();
    assert!(problem.contains("how long its sync calls lasted"), "{problem}");
    // How long it took is not zero because it is not told.
    let untold: JobDoc = serde_json::from_str(&text.replace(r#""session_seconds":"10.5","#, "")).unwrap();
    assert!(job(&untold, &session(Role::Session)).unwrap_err().contains("how long it took"));
    let read = job(&doc, &session(Role::Session)).unwrap();
    assert_eq!(read.attempts[0].seconds(Role::Session), Some("10.5".parse().unwrap()));
    assert_eq!(read.attempts[0].started_at, UnixNanos(1_795_219_200_000_000_000), "midnight of its own day");
    assert_eq!((read.attempts[0].status(), read.attempts[0].count(Role::Sync)), (Some(200), 1));
    let Bill { charges, .. } = bill(&read, &session(Role::Session));
    assert_eq!(charges[0].quantity.max, "10.5".parse().unwrap());
}
