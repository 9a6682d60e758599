use spantally_price::{Basis, UnpricedReason};
use spantally_stitch::{
    Accepted, CallRef, Cause, Confidence, JobId, JoinRule, Outcome, SpanId, State, TaskId, TraceId,
};

use super::*;

fn span(number: u8) -> SpanKey {
    SpanKey { trace: TraceId([0xab; 16]), span: SpanId([0, 0, 0, 0, 0, 0, 0, number]) }
}

/// 2026-11-20T10:00:00Z and some seconds.
fn at(seconds: u64) -> UnixNanos {
    UnixNanos((1_795_168_800 + seconds) * 1_000_000_000 + 999_999)
}

fn call(number: u8, role: Role, second: u64, status: Option<u16>) -> CallRef {
    CallRef { span: span(number), role, start: at(second), end: at(second + 1), status, failure: None }
}

fn attempt(accepted: Accepted, cause: Cause) -> Attempt {
    Attempt {
        task_id: None,
        provider: "fal".into(),
        model: "fal-ai/flux/dev".into(),
        operation: "text_to_image".into(),
        rule: "queue_submit".into(),
        leg: None,
        accepted,
        outcome: Outcome::Unknown,
        failure_reason: None,
        canceled_before_start: false,
        cause,
        started_at: at(0),
        ended_at: at(9),
        calls: Vec::new(),
        joins: Vec::new(),
        facts: Vec::new(),
    }
}

/// A submit that timed out, then one that delivered.
fn resubmitted() -> Job {
    let mut first = attempt(Accepted::Ambiguous, Cause::TimeoutResubmit);
    first.failure_reason = Some(FailureReason::ClientTimeout);
    first.calls = vec![call(1, Role::Submit, 0, None)];
    let mut second = attempt(Accepted::Yes, Cause::Delivered);
    second.task_id = Some(TaskId::new("78321ff1-ddfa-4582-bc75-06854bbf40ad"));
    second.outcome = Outcome::Succeeded;
    second.calls = vec![
        call(2, Role::Submit, 3, Some(200)),
        call(3, Role::Poll, 5, Some(202)),
        call(4, Role::Poll, 6, Some(200)),
        call(5, Role::Result, 8, Some(200)),
    ];
    second.joins = vec![
        Join {
            rule: JoinRule::TaskIdPath,
            confidence: Confidence::Exact,
            margin: None,
            span: Some(span(4)),
            instead: None,
        },
        Join {
            rule: JoinRule::TraceOrder,
            confidence: Confidence::Likely,
            margin: Some(3.5),
            span: None,
            instead: None,
        },
    ];
    Job {
        id: JobId([0x5c; 16]),
        state: State::Settled,
        tenant: "".into(),
        service: "clips \"beta\"".into(),
        labels: Vec::new(),
        provider: "fal".into(),
        model: "fal-ai/flux/dev".into(),
        operation: "text_to_image".into(),
        outcome: Outcome::Succeeded,
        failure_reason: None,
        spans: vec![span(9)],
        started_at: at(0),
        ended_at: at(9),
        attempts: vec![first, second],
        parent_task: None,
    }
}

fn charge(attempt: usize, cost: [&str; 3], cause: Cause, basis: Basis) -> Charge {
    let bound = |[min, expected, max]: [&str; 3]| Bound {
        min: min.parse().unwrap(),
        expected: expected.parse().unwrap(),
        max: max.parse().unwrap(),
    };
    Charge {
        attempt,
        unit: "image".into(),
        quantity: bound([
            if cost[0] == "0" { "0" } else { "1" },
            if attempt == 0 { "0.50" } else { "1" },
            "1",
        ]),
        unit_price: Some("0.0250".parse().unwrap()),
        cost: bound(cost),
        currency: "USD".into(),
        cause,
        basis,
        rule: "fal/flux_image".into(),
        policy: "fal/success".into(),
        consumed: None,
    }
}

#[test]
fn the_document_is_the_contract() {
    let job = resubmitted();
    let bill = Bill {
        charges: vec![
            charge(0, ["0", "0.0125", "0.025"], Cause::TimeoutResubmit, Basis::Assumed),
            charge(1, ["0.0250", "0.0250", "0.0250"], Cause::Delivered, Basis::Documented),
        ],
        unpriced: Vec::new(),
    };
    let document = JobDocument { job: &job, bill: &bill, revision: 1 };
    insta::assert_snapshot!(serde_json::to_string_pretty(&document).unwrap());
    assert!(!document.to_json().unwrap().contains('\n'));
}

#[test]
fn a_charge_in_credits_says_which_seconds_they_paid_for() {
    let job = resubmitted();
    let mut credits = charge(0, ["0.25", "0.25", "0.25"], Cause::Delivered, Basis::Documented);
    let quantity = Bound { min: Decimal::from(5), expected: Decimal::new(50, 1), max: Decimal::from(10) };
    credits.consumed = Some(Consumed { unit: "second".into(), quantity });
    let plain = charge(1, ["1", "1", "1"], Cause::Delivered, Basis::Documented);
    let bill = Bill { charges: vec![credits, plain], unpriced: Vec::new() };
    let document = serde_json::to_value(JobDocument { job: &job, bill: &bill, revision: 1 }).unwrap();
    let consumed = |at: usize| document["charges"][at].get("consumed").cloned();
    assert_eq!(consumed(0), Some(serde_json::json!({"unit": "second", "quantity": "5"})));
    assert_eq!(consumed(1), None);
}

#[test]
fn what_is_unknown_is_null_and_never_zero() {
    let job = resubmitted();
    let mut unpriced = charge(1, ["0", "0", "0"], Cause::Delivered, Basis::Unpriced);
    unpriced.unit_price = None;
    let bill = Bill {
        charges: vec![unpriced],
        unpriced: vec![Unpriced { attempt: 1, reason: UnpricedReason::NoPrice }],
    };
    let json = serde_json::to_value(JobDocument { job: &job, bill: &bill, revision: 1 }).unwrap();
    assert!(json["charges"][0]["unit_price"].is_null());
    assert!(json["charges"][0]["cost"].is_null());
    assert!(json["charges"][0]["currency"].is_null());
    assert_eq!(json["cost"], serde_json::json!({}));
    assert_eq!(json["unpriced"][0]["reason"], "no_price");
}

#[test]
fn a_leg_at_another_vendor_names_it() {
    let mut job = resubmitted();
    job.attempts[0].provider = "elevenlabs".into();
    job.attempts[0].leg = Some("text_to_speech".into());
    job.parent_task = Some(TaskId::new("parent-1"));
    let bill = Bill::default();
    let json = serde_json::to_value(JobDocument { job: &job, bill: &bill, revision: 2 }).unwrap();
    assert_eq!(json["attempts"][0]["provider"], "elevenlabs");
    assert_eq!(json["attempts"][0]["leg"], "text_to_speech");
    assert!(json["attempts"][1].get("provider").is_none());
    assert_eq!(json["parent_task"], "parent-1");
}

#[test]
fn moments_are_cut_to_milliseconds_over_the_whole_range() {
    for (nanos, text) in [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_999_999, "1970-01-01T00:00:00.001Z"),
        (1_795_168_800_123_456_789, "2026-11-20T10:00:00.123Z"),
        (u64::MAX, "2554-07-21T23:34:33.709Z"),
    ] {
        assert_eq!(Rfc3339(UnixNanos(nanos)).to_string(), text);
    }
}
