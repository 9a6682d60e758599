//! `cargo bench -p spantally-bench`: the stages of reading a batch, without network, files or state.
//!
//! Each line is one more thing done with the same bytes: copied (the floor), read in place, recognised,
//! written as a journal record; and beside them the message that prost builds. Then what the stitcher does
//! with what was read: spans placed, and their jobs settled. Time, items and allocations are per batch of 512
//! spans.

#![allow(missing_docs, reason = "divan's macros make public items")]
#![allow(clippy::unwrap_used, reason = "a benchmark stops at the first surprise")]

use std::cell::RefCell;
use std::sync::Arc;

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use spantally_bench::load::{self, Batch, Mix};
use spantally_providers::{CorrelationConfig, Recogniser, ResourceView, SpanHead, SpanView};
use spantally_server::batch::{RejectReason, Transport};
use spantally_server::decode::{self, Visitor};
use spantally_server::intake::{ReadCache, read_batch};
use spantally_server::provider_files::ProviderFiles;
use spantally_server::record;
use spantally_stitch::{Evidence, Settings, Stitcher, UnixNanos};

#[global_allocator]
static ALLOCATIONS: divan::AllocProfiler<mimalloc::MiMalloc> = divan::AllocProfiler::new(mimalloc::MiMalloc);

const MIXES: [&str; 2] = ["media", "mixed"];

fn main() {
    divan::main();
}

fn batch(mix: &str) -> Batch {
    let mix = if mix == "media" { Mix::Media } else { Mix::Mixed };
    let mut batch = load::batches(mix).swap_remove(3);
    batch.request.bytes = batch.request.stamped(0, 1_795_000_000_000_000_000);
    batch
}

fn recogniser() -> Arc<Recogniser> {
    ProviderFiles::load(None, &CorrelationConfig::default()).unwrap().recogniser
}

fn counted<'a, 'b>(bencher: Bencher<'a, 'b>, batch: &Batch) -> Bencher<'a, 'b> {
    bencher.counter(ItemsCount::new(batch.spans)).counter(BytesCount::new(batch.request.bytes.len()))
}

#[divan::bench(args = MIXES)]
fn a_copy(bencher: Bencher, mix: &str) {
    let batch = batch(mix);
    counted(bencher, &batch).bench_local(|| black_box(&batch.request.bytes).clone());
}

struct Count(u64);

impl Visitor for Count {
    type Taken = ();

    fn resource(&mut self, resource: &ResourceView<'_>, _: Option<&[u8]>) {
        black_box(resource);
    }

    fn span(&mut self, span: &SpanView<'_>) {
        black_box(span);
        self.0 += 1;
    }

    fn again(&mut self, (): (), head: &SpanHead) {
        black_box(head);
        self.0 += 1;
    }

    fn rejected(&mut self, _: RejectReason) {}
}

#[divan::bench(args = MIXES)]
fn b_read_in_place(bencher: Bencher, mix: &str) {
    let (batch, recogniser) = (batch(mix), recogniser());
    counted(bencher, &batch).bench_local(|| {
        let mut count = Count(0);
        decode::read(black_box(&batch.request.bytes), recogniser.keys(), &mut count).unwrap();
        count.0
    });
}

#[divan::bench(args = MIXES)]
fn c_recognised(bencher: Bencher, mix: &str) {
    let (batch, recogniser) = (batch(mix), recogniser());
    let mut cache = ReadCache::default();
    counted(bencher, &batch).bench_local(|| {
        let body = black_box(&batch.request.bytes);
        // Dropped here: giving memory back is part of the cost.
        read_batch(&recogniser, &mut cache, "", Transport::Grpc, body).unwrap().evidence.len()
    });
}

#[divan::bench(args = MIXES)]
fn d_recorded(bencher: Bencher, mix: &str) {
    let (batch, recogniser) = (batch(mix), recogniser());
    let mut cache = ReadCache::default();
    let mut row = Vec::new();
    counted(bencher, &batch).bench_local(|| {
        let body = black_box(&batch.request.bytes);
        let batch = read_batch(&recogniser, &mut cache, "", Transport::Grpc, body).unwrap();
        row.clear();
        record::encode(&[batch], &mut row);
        row.len()
    });
}

/// Batches one after the other, no two with an id in common, and the moment at which each comes.
fn arrivals(mix: &str) -> impl FnMut() -> (UnixNanos, Vec<Evidence>) {
    let mix = if mix == "media" { Mix::Media } else { Mix::Mixed };
    let (batch, recogniser) = (load::batches(mix).swap_remove(3), recogniser());
    let mut cache = ReadCache::default();
    let mut round = 0;
    move || {
        round += 1;
        let now = UnixNanos(1_795_000_000_000_000_000).plus_ms(u64::from(round) * 60_000);
        let body = batch.request.stamped(round, now.0);
        let read = read_batch(&recogniser, &mut cache, "", Transport::Grpc, &body).unwrap();
        (now, read.evidence)
    }
}

fn place(stitcher: &mut Stitcher, (now, evidence): (UnixNanos, Vec<Evidence>)) -> UnixNanos {
    stitcher.set_time(now);
    for evidence in evidence {
        black_box(stitcher.observe(evidence));
    }
    now
}

#[divan::bench(args = MIXES)]
fn e_placed(bencher: Bencher, mix: &str) {
    let mut stitcher = Stitcher::new(Settings::default());
    counted(bencher, &batch(mix))
        .with_inputs(arrivals(mix))
        .bench_local_values(|arrived| place(&mut stitcher, arrived));
}

#[divan::bench(args = MIXES)]
fn f_settled(bencher: Bencher, mix: &str) {
    let stitcher = RefCell::new(Stitcher::new(Settings::default()));
    let mut arrivals = arrivals(mix);
    counted(bencher, &batch(mix))
        .with_inputs(|| place(&mut stitcher.borrow_mut(), arrivals()))
        .bench_local_values(|now| stitcher.borrow_mut().advance(now.plus_ms(59_000)));
}

#[divan::bench(args = MIXES)]
fn z_prost(bencher: Bencher, mix: &str) {
    let batch = batch(mix);
    counted(bencher, &batch).bench_local(|| {
        let body = black_box(&batch.request.bytes);
        ExportTraceServiceRequest::decode(&**body).unwrap().resource_spans.len()
    });
}
