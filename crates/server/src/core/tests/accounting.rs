//! Every span and every unit of money is accounted for.

use proptest::prelude::*;
use rust_decimal::Decimal;
use spantally_stitch::{
    Accepted, Answer, Evidence, FailureReason, Frame, FrameKind, Rare, Role, SpanId, TaskState, Verdict, What,
};
use spantally_store::JobRow;

use super::fixture::*;
use crate::core::Core;
use crate::export::{INVENTORY, MetricId};

/// received = accepted + duplicate + late + surplus + ignored + rejected.
fn assert_spans_add_up(core: &Core) {
    let sum = |metric| net(core, metric, &[]);
    let parts = [
        MetricId::SpansAccepted,
        MetricId::SpansDuplicate,
        MetricId::SpansLate,
        MetricId::SpansSurplus,
        MetricId::SpansIgnored,
        MetricId::SpansRejected,
    ];
    assert_eq!(sum(MetricId::SpansReceived), parts.map(sum).iter().sum::<Decimal>());
}

#[test]
fn a_delivered_job_is_counted_as_the_ledger_has_it() {
    let mut core = core();
    let mut evidence = unfinished("task-001", 0);
    evidence.push(result("task-001", 0, TaskState::Succeeded));
    core.apply(message(1, evidence.clone()));
    core.apply(message(2, evidence));
    assert_eq!(core.advance(at(20)), [], "the settle delay has not passed");
    let settled = core.advance(at(120));
    assert_eq!(settled.len(), 1);
    core.refresh();
    let rows = core.checkpoint().jobs;
    assert_eq!(rows.len(), 1);
    assert_counters_are_the_ledger(&core, &rows);
    assert_spans_add_up(&core);
    assert_eq!(net(&core, MetricId::SpansDuplicate, &["grpc"]), Decimal::from(4));
    assert_eq!(
        net(&core, MetricId::Cost, &[r#"cause="delivered""#, r#"currency="USD""#]),
        Decimal::new(25, 3)
    );
    assert_eq!(net(&core, MetricId::Cost, &[]), Decimal::new(25, 3));
    assert_eq!(net(&core, MetricId::Jobs, &[r#"outcome="succeeded""#]), Decimal::ONE);
    assert_eq!(net(&core, MetricId::Attempts, &[r#"cause="delivered",accepted="yes""#]), Decimal::ONE);
    assert_eq!(net(&core, MetricId::Calls, &[r#"call="poll",status="2xx""#]), Decimal::TWO);
    assert_eq!(net(&core, MetricId::JobPolls, &[]), Decimal::TWO);
}

#[test]
fn a_refused_request_is_one_failure_also_where_a_span_above_tells_the_reason() {
    let rejected = |reason| Some(Verdict { state: TaskState::Rejected, reason: Some(reason) });
    let mut submit = call(Role::Submit, "task-001", 0, None);
    let mut above = submit.clone();
    above.span.span = SpanId([9; 8]);
    let frame = Frame {
        kind: FrameKind::Wrapper,
        verdict: rejected(FailureReason::ModerationInput),
        rare: Rare::default(),
    };
    above.what = What::Frame(frame);
    submit.parent = above.span.span;
    let What::Call(refused) = &mut submit.what else { panic!("a submit is a call") };
    (refused.task, refused.answer, refused.accepted) = (None, Answer::Status(400), Accepted::No);
    let invalid = Verdict { state: TaskState::Failed, reason: Some(FailureReason::InvalidInput) };
    refused.verdict = Some(invalid);
    let mut core = core();
    core.apply(message(1, vec![submit, above]));
    assert_eq!(core.advance(at(120)).len(), 1);
    assert_eq!(net(&core, MetricId::Failures, &[r#"reason="moderation_input""#]), Decimal::ONE);
    assert_eq!(net(&core, MetricId::Failures, &[]), Decimal::ONE);
}

#[test]
fn series_are_at_zero_and_money_is_exposed_while_a_job_is_open() {
    let mut core = core();
    core.apply(message(1, unfinished("task-001", 0)));
    core.advance(at(60));
    core.refresh();
    assert_eq!(core.open_jobs().len(), 1);
    let cost: Vec<_> = core.registry().values(MetricId::Cost).collect();
    assert!(cost.iter().any(|(labels, value)| labels.contains(r#"cause="delivered""#) && value.is_zero()));
    assert_eq!(net(&core, MetricId::Cost, &[]), Decimal::ZERO);
    assert_eq!(net(&core, MetricId::OpenJobs, &[]), Decimal::ONE);
    assert_eq!(net(&core, MetricId::OpenJobAge, &[]), Decimal::from(60));
    assert_eq!(net(&core, MetricId::Exposure, &[r#"bound="max""#]), Decimal::new(25, 3));

    core.advance(at(4000));
    core.refresh();
    assert_eq!(core.open_jobs(), []);
    assert_eq!(net(&core, MetricId::OpenJobs, &[]), Decimal::ZERO);
    let spread = net(&core, MetricId::CostBound, &["max"]) - net(&core, MetricId::CostBound, &["min"]);
    assert_eq!(
        net(&core, MetricId::Exposure, &[r#"bound="max""#]),
        spread,
        "settled, but not yet on an invoice"
    );
}

/// Jobs of up to three ends, as spans in the order of time.
fn spans(ends: &[u8]) -> Vec<Evidence> {
    let mut spans = Vec::new();
    for (job, &end) in ends.iter().enumerate() {
        let (task, second) = (format!("task-{job:03}"), job as u64 * 40);
        spans.extend(unfinished(&task, second));
        let state = match end {
            0 => continue,
            1 => TaskState::Succeeded,
            _ => TaskState::Failed,
        };
        spans.push(result(&task, second, state));
    }
    spans
}

fn run(spans: &[Evidence], cuts: &[usize], turns: &[bool]) -> (Core, Vec<JobRow>) {
    let mut core = core();
    let mut rows = Vec::new();
    let mut begin = 0;
    let ends = cuts.iter().copied().chain([spans.len()]);
    for (group, end) in ends.enumerate() {
        let end = end.clamp(begin, spans.len());
        core.apply(message(group as u64 + 1, spans[begin..end].to_vec()));
        assert_spans_add_up(&core);
        begin = end;
        if turns.get(group).copied().unwrap_or_default() {
            core.advance(at(2000 * (group as u64 + 1)));
            core.refresh();
            rows.extend(core.checkpoint().jobs);
            assert_counters_are_the_ledger(&core, &rows);
        }
    }
    core.finish();
    rows.extend(core.checkpoint().jobs);
    (core, rows)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever the order, the repeats, the groups and the turns between them: counters are the ledger at
    /// every turn, and in the end they are what the spans in order at once come to.
    #[test]
    fn money_is_conserved(
        ends in prop::collection::vec(0_u8..3, 1..6),
        seed in prop::collection::vec(any::<prop::sample::Index>(), 0..30),
        cuts in prop::collection::vec(0_usize..30, 0..5),
        turns in prop::collection::vec(any::<bool>(), 5),
    ) {
        let in_order = spans(&ends);
        let mut shuffled = in_order.clone();
        for (position, index) in seed.iter().enumerate() {
            let position = position % shuffled.len();
            let other = index.index(shuffled.len());
            shuffled.swap(position, other);
        }
        let again = |index: &prop::sample::Index| shuffled[index.index(shuffled.len())].clone();
        let repeats: Vec<_> = seed.iter().take(5).map(again).collect();
        shuffled.extend(repeats);
        let mut cuts = cuts;
        cuts.sort_unstable();

        let (plain, _) = run(&in_order, &[], &[]);
        let (core, rows) = run(&shuffled, &cuts, &turns);
        assert_counters_are_the_ledger(&core, &rows);
        for metric in INVENTORY.iter().filter(|metric| metric.twin.is_some()).map(|metric| metric.id) {
            prop_assert_eq!(nets(&core, metric), nets(&plain, metric), "{:?}", metric);
        }
        prop_assert_eq!(net(&core, MetricId::Jobs, &[]), Decimal::from(ends.len()));
    }
}

#[test]
fn tenants_are_kept_apart_on_any_number_of_shards() {
    let nets_on = |shards| {
        let options = crate::core::CoreOptions { shards, ..Default::default() };
        let mut core = Core::new(&options, cards(), at(0));
        for (seq, tenant) in ["a", "b", "c", "d"].into_iter().enumerate() {
            let mut evidence = unfinished("task-001", 0);
            evidence.push(result("task-001", 0, TaskState::Succeeded));
            for span in &mut evidence {
                let client = spantally_stitch::Client { tenant: tenant.into(), ..(*span.client).clone() };
                span.client = client.into();
                span.span.trace.0[0] = seq as u8;
            }
            core.apply(message(seq as u64 + 1, evidence));
        }
        core.finish();
        assert_eq!(core.checkpoint().jobs.len(), 4);
        nets(&core, MetricId::Cost)
    };
    assert_eq!(nets_on(1).len(), 4);
    assert_eq!(nets_on(1), nets_on(3));
}
