//! Every target, for a moment: the corpus as it is, then what the mutator makes of it.
//!
//! `SPANTALLY_FUZZ_SECONDS` is how long each target runs (`scripts/fuzz` sets it), `SPANTALLY_FUZZ_SEED`
//! where the mutator begins. What fails is written to `target/fuzz/` and named; put it into the corpus with
//! the fix.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![allow(clippy::print_stdout, reason = "a long run tells how many inputs held")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use spantally_fuzz::mutate::Mutator;
use spantally_fuzz::{TARGETS, Target};
use spantally_providers::{CorrelationConfig, Recogniser, builtin};
use spantally_server::batch::Transport;
use spantally_server::intake::{ReadCache, read_batch};
use spantally_server::record::encode;

/// Unless told otherwise. Half as many inputs as that takes on a slow machine are run in any case.
const SECONDS: u64 = 2;
const INPUTS_MIN: usize = 500;

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().map_or(default, |text| text.parse().unwrap())
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(root().join("corpus").join(name))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let mut corpus: Vec<Vec<u8>> = files.iter().map(|file| std::fs::read(file).unwrap()).collect();
    if name == "providers" {
        // The built-in files are the corpus that matters.
        corpus.extend(builtin::TEXTS.iter().map(|(_, text)| text.as_bytes().to_vec()));
    }
    if name == "journal" {
        corpus.extend(journal_rows());
    }
    assert!(!corpus.is_empty(), "corpus/{name} is empty");
    corpus
}

/// What the server would write for the requests of the reader's corpus, and for all of them together.
fn journal_rows() -> Vec<Vec<u8>> {
    let files = builtin::files().unwrap();
    let recogniser = Recogniser::compile(&files, &CorrelationConfig::default()).unwrap();
    let mut cache = ReadCache::default();
    let read = |body: Vec<u8>| read_batch(&recogniser, &mut cache, "clips", Transport::Grpc, &body).ok();
    let batches: Vec<_> = corpus("reader").into_iter().filter_map(read).collect();
    let encoded = |batches: &[_]| {
        let mut row = Vec::new();
        encode(batches, &mut row);
        row
    };
    let rows: Vec<_> = batches.chunks(1).chain([&batches[..]]).map(encoded).collect();
    assert!(rows.iter().any(|row| row.len() > 100), "none of them is evidence");
    rows
}

fn holds((name, target): Target, input: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| target(input))).is_err() {
        let directory = root().join("../target/fuzz");
        std::fs::create_dir_all(&directory).unwrap();
        let file = directory.join(format!("{name}-{}", std::process::id()));
        std::fs::write(&file, input).unwrap();
        panic!("{name} does not hold for the input in {}", file.display());
    }
}

fn smoke(target: Target) {
    let corpus = corpus(target.0);
    for input in &corpus {
        holds(target, input);
    }
    let time = Duration::from_secs(number("SPANTALLY_FUZZ_SECONDS", SECONDS));
    let mut mutator = Mutator::new(number("SPANTALLY_FUZZ_SEED", 1));
    let (began, mut inputs) = (Instant::now(), 0);
    while inputs < INPUTS_MIN || began.elapsed() < time {
        holds(target, &mutator.input(&corpus));
        inputs += 1;
    }
    println!("{}: {inputs} inputs hold", target.0);
}

#[test]
fn every_target_has_its_test() {
    assert_eq!(TARGETS.map(|(name, _)| name), ["reader", "json", "headers", "journal", "providers", "queue"]);
}

#[test]
fn reader() {
    smoke(TARGETS[0]);
}

#[test]
fn json() {
    smoke(TARGETS[1]);
}

#[test]
fn headers() {
    smoke(TARGETS[2]);
}

#[test]
fn journal() {
    smoke(TARGETS[3]);
}

#[test]
fn providers() {
    smoke(TARGETS[4]);
}

#[test]
fn queue() {
    smoke(TARGETS[5]);
}
