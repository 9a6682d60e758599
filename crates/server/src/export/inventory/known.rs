//! Values of labels that are known beforehand, and the buckets of histograms.

use spantally_price::{Basis, UnpricedReason};
use spantally_stitch::{Accepted, Cause, Confidence, FailureReason, JoinRule, Outcome};

use super::Kind;
use crate::batch::{RejectReason, Transport};
use crate::invoice::Verdict;
use crate::limits::Limit;
use crate::request_end::RequestEnd;

/// What became of spans that were to be forwarded.
pub(crate) const SPAN_OUTCOMES: [&str; 5] = ["sent", "rejected", "failed", "not_queued", "invalid"];

/// How requests to a destination ended.
pub(crate) const REQUEST_RESULTS: [&str; 3] = ["ok", "retry", "failed"];

/// How spans went that waited for their job.
pub(crate) const JOB_ATTRIBUTES: [&str; 4] = ["added", "expired", "evicted", "not_held"];

pub(super) fn outcomes() -> Vec<&'static str> {
    Outcome::ALL.iter().map(|value| value.as_str()).collect()
}

pub(super) fn causes() -> Vec<&'static str> {
    Cause::ALL.iter().map(|value| value.as_str()).collect()
}

/// Poll, webhook and interrupted are causes of charges, never of attempts.
pub(super) fn attempt_causes() -> Vec<&'static str> {
    let of_charges = [Cause::Poll, Cause::Webhook, Cause::Interrupted];
    Cause::ALL.iter().filter(|value| !of_charges.contains(value)).map(|value| value.as_str()).collect()
}

pub(super) fn acceptances() -> Vec<&'static str> {
    [Accepted::Yes, Accepted::No, Accepted::Ambiguous].map(Accepted::as_str).to_vec()
}

pub(super) fn join_rules() -> Vec<&'static str> {
    JoinRule::ALL.iter().map(|value| value.as_str()).collect()
}

pub(super) fn confidences() -> Vec<&'static str> {
    Confidence::ALL.iter().map(|value| value.as_str()).collect()
}

pub(super) fn reasons() -> Vec<&'static str> {
    FailureReason::ALL.iter().map(|value| value.as_str()).collect()
}

pub(super) fn bases() -> Vec<&'static str> {
    Basis::ALL.iter().map(|value| value.as_str()).collect()
}

/// Money never has the basis *unpriced*.
pub(super) fn money_bases() -> Vec<&'static str> {
    Basis::ALL.iter().filter(|&&value| value != Basis::Unpriced).map(|value| value.as_str()).collect()
}

pub(super) fn bounds() -> Vec<&'static str> {
    vec!["min", "max"]
}

pub(super) fn three_bounds() -> Vec<&'static str> {
    vec!["min", "expected", "max"]
}

pub(super) fn verdicts() -> Vec<&'static str> {
    Verdict::ALL.map(Verdict::as_str).to_vec()
}

/// Transports that have requests.
pub(super) fn sockets() -> Vec<&'static str> {
    Transport::ALL.iter().filter(|&&value| value != Transport::File).map(|value| value.as_str()).collect()
}

pub(super) fn request_ends() -> Vec<&'static str> {
    RequestEnd::ALL.iter().map(|value| value.as_str()).collect()
}

pub(super) fn unpriced_reasons() -> Vec<&'static str> {
    UnpricedReason::ALL.iter().map(|value| value.as_str()).collect()
}

/// Media jobs run from a second to hours; the coarse end is where time-outs and queues live.
pub(super) const DURATION_SECONDS: Kind = Kind::Histogram(&[
    "1", "2.5", "5", "10", "20", "30", "60", "120", "180", "300", "600", "900", "1800", "3600", "7200",
]);
/// People talk for seconds to an hour.
pub(super) const SESSION_SECONDS: Kind =
    Kind::Histogram(&["5", "10", "30", "60", "120", "180", "300", "600", "900", "1800", "3600"]);
/// Up to a poll each second for half an hour.
pub(super) const POLLS: Kind =
    Kind::Histogram(&["0", "1", "2", "5", "10", "20", "50", "100", "200", "500", "1000", "2000"]);
/// One is the good case; SDKs stop after a few.
pub(super) const ATTEMPTS: Kind = Kind::Histogram(&["1", "2", "3", "4", "5", "10", "20"]);
/// From a tenth of a cent (an image of a small model) to the dearest minute of video, in any currency.
pub(super) const COST: Kind = Kind::Histogram(&[
    "0", "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10",
    "25", "100",
]);

/// A checkpoint of a small state takes milliseconds; one of a million jobs a second or two.
pub(super) const CHECKPOINT_SECONDS: Kind = Kind::Histogram(&[
    "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5",
]);

/// As the commit counts: a flush of a fast disk takes a tenth of a millisecond, one of a disk at its limit
/// seconds.
pub(super) const COMMIT_SECONDS: Kind = Kind::Histogram(&[
    "0.0001", "0.0002", "0.0005", "0.001", "0.002", "0.005", "0.01", "0.02", "0.05", "0.1", "0.5", "2",
]);

pub(super) fn refusals() -> Vec<&'static str> {
    vec!["overloaded", "full", "storage", "stopping"]
}

pub(super) fn span_outcomes() -> Vec<&'static str> {
    SPAN_OUTCOMES.to_vec()
}

pub(super) fn forward_results() -> Vec<&'static str> {
    REQUEST_RESULTS.to_vec()
}

pub(super) fn job_attributes_results() -> Vec<&'static str> {
    JOB_ATTRIBUTES.to_vec()
}

pub(super) fn limits() -> Vec<&'static str> {
    Limit::ALL.map(Limit::as_str).to_vec()
}

pub(super) fn transports() -> Vec<&'static str> {
    Transport::ALL.map(Transport::as_str).to_vec()
}

pub(super) fn reject_reasons() -> Vec<&'static str> {
    RejectReason::ALL.map(RejectReason::as_str).to_vec()
}

pub(super) fn results() -> Vec<&'static str> {
    vec!["ok", "error"]
}

pub(super) fn storage_files() -> Vec<&'static str> {
    vec!["journal", "ledger"]
}

pub(super) fn storage_faults() -> Vec<&'static str> {
    spantally_store::Fault::ALL.iter().map(|value| value.as_str()).collect()
}
