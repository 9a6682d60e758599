use proptest::prelude::*;
use spantally_price::{Basis, Charge};
use spantally_stitch::{
    Accepted, Cause, Confidence, JobId, Join, JoinRule, Outcome, SpanId, State, UnixNanos,
};

use super::*;
use crate::job_json::Rfc3339;

fn span(trace: u8, number: u8) -> SpanKey {
    SpanKey { trace: TraceId([trace; 16]), span: SpanId([number; 8]) }
}

fn call(trace: u8, number: u8, role: Role) -> CallRef {
    let (start, end) = (UnixNanos(5), UnixNanos(9));
    CallRef { span: span(trace, number), role, start, end, status: Some(200), failure: None }
}

/// A job whose first attempt timed out, and whose calls lie in two traces.
fn job(trace: u8, task: &str, margin: f64) -> Job {
    let join = |margin, span, instead| Join {
        rule: JoinRule::TraceOrder,
        confidence: Confidence::Likely,
        margin,
        span,
        instead,
    };
    let attempt = |task_id, calls, joins| Attempt {
        task_id,
        provider: "fal".into(),
        model: "fal-ai/flux/dev".into(),
        operation: "text_to_image".into(),
        rule: "queue_submit".into(),
        leg: None,
        accepted: Accepted::Yes,
        outcome: Outcome::Succeeded,
        failure_reason: None,
        canceled_before_start: false,
        cause: Cause::Delivered,
        started_at: UnixNanos(0),
        ended_at: UnixNanos(0),
        calls,
        joins,
        facts: Vec::new(),
    };
    let first = attempt(None, vec![call(trace, 1, Role::Submit)], vec![]);
    let calls = vec![
        call(trace, 2, Role::Submit),
        call(trace, 3, Role::Download),
        call(trace.wrapping_add(1), 4, Role::Poll),
        call(trace.wrapping_add(1), 5, Role::Poll),
    ];
    let joins = vec![join(None, Some(span(trace, 4)), Some(span(trace, 8))), join(Some(margin), None, None)];
    let second = attempt(Some(TaskId::new(task)), calls, joins);
    Job {
        id: JobId([trace; 16]),
        state: State::Settled,
        service: "clips \"beta\"".into(),
        provider: "fal".into(),
        model: "fal-ai/flux/dev".into(),
        operation: "text_to_image".into(),
        outcome: Outcome::Succeeded,
        spans: vec![span(trace, 9)],
        started_at: UnixNanos(1_795_168_800_123_456_789 + u64::from(trace)),
        ended_at: UnixNanos(1_795_168_801_000_000_000),
        attempts: vec![first, second],
        parent_task: Some(TaskId::new("parent")),
        ..Job::default()
    }
}

fn bill(price: i64) -> Bill {
    let charge = Charge {
        attempt: 1,
        unit: "image".into(),
        quantity: Bound::exactly(Decimal::ONE),
        unit_price: Some(Decimal::new(price, 3)),
        cost: Bound::exactly(Decimal::new(price, 3)),
        currency: "USD".into(),
        cause: Cause::Delivered,
        basis: Basis::Documented,
        rule: "fal/image".into(),
        policy: "fal/success".into(),
        consumed: None,
    };
    Bill { charges: vec![charge], unpriced: Vec::new() }
}

/// What the ledger's view does.
fn fill(pieces: &str, job: &Job, parts: &[u8]) -> String {
    let pieces: Vec<serde_json::Value> = serde_json::from_str(pieces).unwrap();
    let mut all =
        vec![job.id.to_string(), Rfc3339(job.started_at).to_string(), Rfc3339(job.ended_at).to_string()];
    all.extend(serde_json::from_slice::<Vec<String>>(parts).unwrap());
    let text = |piece: &serde_json::Value| match piece {
        serde_json::Value::String(text) => text.clone(),
        number => all[number.as_u64().unwrap() as usize].clone(),
    };
    pieces.iter().map(text).collect()
}

fn content_of(job: &Job, bill: &Bill) -> Vec<u8> {
    let mut out = Vec::new();
    content(job, bill, &mut out);
    out
}

fn parts_of(job: &Job) -> Vec<u8> {
    let mut out = Vec::new();
    assert_eq!(parts(job, &mut out), Some(own_parts(job)));
    out
}

#[test]
fn a_form_filled_with_the_parts_of_any_alike_job_is_its_document() {
    let bill = bill(25);
    let first = job(0x10, "task-1", 3.5);
    let pieces = pieces(JobDocument { job: &first, bill: &bill, revision: 1 }).unwrap();
    for other in [first.clone(), job(0x90, "a task of another length", 12.034), job(0, "", 1e-9)] {
        assert_eq!(content_of(&other, &bill), content_of(&first, &bill));
        let document = JobDocument { job: &other, bill: &bill, revision: 1 }.to_json().unwrap();
        assert_eq!(fill(&pieces, &other, &parts_of(&other)), document);
    }
}

#[test]
fn what_shows_in_the_document_or_counts_is_in_the_content() {
    type Change = (&'static str, fn(&mut Job));
    let (job, bill) = (job(0x10, "task-1", 3.5), bill(25));
    let same = content_of(&job, &bill);
    let changes: Vec<Change> = vec![
        ("tenant", |job| job.tenant = "a".into()),
        ("label", |job| job.labels = vec!["a".into()]),
        ("outcome", |job| job.outcome = Outcome::Partial),
        ("reason", |job| job.failure_reason = Some(spantally_stitch::FailureReason::Capacity)),
        ("own spans", |job| job.spans.clear()),
        ("traces", |job| job.attempts[1].calls[0].span.trace = TraceId([1; 16])),
        ("task", |job| job.attempts[1].task_id = None),
        ("parent", |job| job.parent_task = None),
        ("accepted", |job| job.attempts[0].accepted = Accepted::No),
        ("cause", |job| job.attempts[0].cause = Cause::Retry),
        ("leg", |job| job.attempts[0].leg = Some("stt".into())),
        ("model of an attempt", |job| job.attempts[0].model = "b".into()),
        ("status class", |job| job.attempts[1].calls[3].status = Some(404)),
        ("no status", |job| job.attempts[1].calls[3].status = None),
        ("failure of a call", |job| {
            job.attempts[1].calls[3].failure = Some(spantally_stitch::FailureReason::NotReady);
        }),
        ("one poll less", |job| job.attempts[1].calls.truncate(3)),
        ("role", |job| job.attempts[1].calls[3].role = Role::Result),
        ("join", |job| job.attempts[1].joins[0].rule = JoinRule::Redelivery),
        ("margin", |job| job.attempts[1].joins[1].margin = None),
        ("joined span", |job| job.attempts[1].joins[0].span = None),
        ("near span", |job| job.attempts[1].joins[0].instead = None),
        ("no attempt", |job| drop(job.attempts.remove(0))),
    ];
    for (what, change) in changes {
        let mut other = job.clone();
        change(&mut other);
        assert_ne!(content_of(&other, &bill), same, "{what}");
    }
    assert_ne!(content_of(&job, &tests::bill(26)), same, "price");
    assert_ne!(content_of(&job, &Bill::default()), same, "no charge");
}

#[test]
fn what_json_would_escape_has_no_parts() {
    for task in ["a\"b", "a\\b", "a\nb"] {
        assert_eq!(parts(&job(1, task, 1.0), &mut Vec::new()), None, "{task:?}");
    }
    let mut marked = job(1, "task", 1.0);
    marked.service = "\u{1}".into();
    assert_eq!(pieces(JobDocument { job: &marked, bill: &bill(1), revision: 1 }), None);
}

/// A job that is polled once in each of some traces, given by number.
fn polled(traces: &[u32]) -> Job {
    let mut job = job(0x10, "task-1", 3.5);
    let poll = |(number, &trace): (u64, &u32)| {
        let trace = TraceId((u128::from(trace) + (1 << 100)).to_be_bytes());
        let span = SpanKey { trace, span: SpanId((number + (1 << 50)).to_be_bytes()) };
        CallRef { span, ..call(0, 0, Role::Poll) }
    };
    job.attempts[1].calls = (0..).zip(traces).map(poll).collect();
    job
}

/// Each number as the place of its first occurrence: what two lists share that repeat alike.
fn repeats(traces: &[u32]) -> Vec<usize> {
    traces.iter().map(|trace| traces.iter().position(|other| other == trace).unwrap()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Also where they repeat late, and where there are more traces than a byte counts.
    #[test]
    fn jobs_are_alike_only_if_their_spans_share_traces_alike(
        count in 1_u32..300,
        mut repeated in prop::collection::vec((0_usize..300, 0_usize..300), 0..3),
        moved in (0_usize..300, 0_usize..300),
    ) {
        let bill = bill(25);
        let mut one: Vec<u32> = (0..count).collect();
        let set = |traces: &mut Vec<u32>, (at, from): (usize, usize)| {
            let len = traces.len();
            traces[at % len] = traces[from % len];
        };
        repeated.drain(..).for_each(|places| set(&mut one, places));
        let mut other: Vec<u32> = one.iter().map(|trace| trace + 1000).collect();
        set(&mut other, moved);
        let is_alike = repeats(&one) == repeats(&other);
        let (one, other) = (polled(&one), polled(&other));
        prop_assert_eq!(content_of(&one, &bill) == content_of(&other, &bill), is_alike);
        if is_alike {
            let pieces = pieces(JobDocument { job: &one, bill: &bill, revision: 1 }).unwrap();
            let document = JobDocument { job: &other, bill: &bill, revision: 1 }.to_json().unwrap();
            prop_assert_eq!(fill(&pieces, &other, &parts_of(&other)), document);
        }
    }
}

#[test]
fn a_trace_that_repeats_after_hundreds_is_another_content() {
    let bill = bill(25);
    let own: Vec<u32> = (0..300).collect();
    let mut shared = own.clone();
    shared[290] = shared[289];
    let (own, shared) = (polled(&own), polled(&shared));
    assert_ne!(content_of(&own, &bill), content_of(&shared, &bill));
    // Even if it were not, one's parts would not fill the other's form.
    assert_eq!(
        [&own, &shared].map(own_parts),
        [&own, &shared]
            .map(parts_of)
            .map(|parts| { serde_json::from_slice::<Vec<String>>(&parts).unwrap().len() })
    );
    assert_ne!(own_parts(&own), own_parts(&shared));
}
