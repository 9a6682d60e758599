//! What is added to a span of a job that settled.
//!
//! Every span of a job gets the job's id; a call also which attempt it belongs to and why that attempt's
//! money was spent; and the first call of an attempt what the attempt cost, so that costs of spans add up to
//! the job's.

use std::collections::BTreeMap;
use std::sync::Arc;

use opentelemetry_proto::tonic::common::v1::KeyValue;
use prost::encoding::message;
use spantally_price::{Bill, Bound};
use spantally_stitch::State;

use super::held::OwnedKey;
use super::job_span::{cost_attributes, count, number, text};
use super::split::{ATTRIBUTES, has_attribute};
use crate::core::Settled;

/// A span that was told of, and what it is to have.
pub(super) type Told = (OwnedKey, Arc<[KeyValue]>);

/// The spans of jobs that were told. A superseded job has none: its spans are those of another job.
pub(super) fn told(settled: &[Settled]) -> Vec<Told> {
    let mut all = Vec::new();
    for told in settled.iter().filter(|told| told.job.state != State::Superseded) {
        let job = &*told.job;
        let id = text("spantally.job.id", &job.id.to_string());
        let above: Arc<[KeyValue]> = Arc::new([id.clone()]);
        all.extend(job.spans.iter().map(|&span| ((span, job.tenant.clone()), above.clone())));
        for (index, attempt) in job.attempts.iter().enumerate() {
            let common = vec![
                id.clone(),
                number("spantally.job.attempt", count(index)),
                text("spantally.cause", attempt.cause.as_str()),
            ];
            let first = common.iter().cloned().chain(cost_attributes(&cost_of(&told.bill, index))).collect();
            let (first, common): (Arc<[KeyValue]>, Arc<[KeyValue]>) = (first, common.into());
            let calls = attempt.calls.iter().enumerate();
            all.extend(calls.map(|(at, call)| {
                let attributes = if at == 0 { &first } else { &common };
                ((call.span, job.tenant.clone()), attributes.clone())
            }));
        }
    }
    all
}

/// What an attempt cost, by currency.
fn cost_of(bill: &Bill, attempt: usize) -> BTreeMap<Arc<str>, Bound> {
    let charges = bill.charges.iter().filter(|charge| charge.attempt == attempt).cloned().collect();
    Bill { charges, unpriced: Vec::new() }.cost()
}

/// The bytes of a span followed by attributes, but for those that it has: the application's own stay.
pub(super) fn add(span: &[u8], attributes: &[KeyValue]) -> Vec<u8> {
    let mut out = span.to_vec();
    for attribute in attributes.iter().filter(|attribute| !has_attribute(span, &attribute.key)) {
        message::encode(ATTRIBUTES, attribute, &mut out);
    }
    out
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::trace::v1::Span;
    use prost::Message;

    use super::*;

    #[test]
    fn attributes_follow_the_bytes_that_came_and_the_applications_own_stay() {
        let own = text("spantally.job.id", "order-7");
        let span = Span { name: "POST".to_owned(), attributes: vec![own.clone()], ..Span::default() };
        let bytes = span.encode_to_vec();
        let added = [text("spantally.job.id", "a0"), number("spantally.job.attempt", 1)];
        let found = add(&bytes, &added);
        assert!(found.starts_with(&bytes));
        let attributes = vec![own, added[1].clone()];
        assert_eq!(Span::decode(&*found).unwrap(), Span { attributes, ..span });
        assert_eq!(add(&bytes, &[]), bytes);
    }
}
