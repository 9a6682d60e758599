//! Evidence, prices and sums for the tests of the core.

use std::collections::BTreeMap;
use std::sync::Arc;

use rust_decimal::Decimal;
use spantally_price::{
    Cards, Citation, Meter, Pattern, Period, PolicyRow, PriceRow, RateCard, Rounding, Source, Tariff, Terms,
    When,
};
use spantally_stitch::{
    Accepted, Answer, Call, Client, Endpoint, Evidence, FactSource, Outcome, Rare, Role, SpanId, SpanKey,
    TaskId, TaskState, TraceId, UnixNanos, Verdict, What,
};
use spantally_store::{ChargeRow, JobRow, Ledger, Seq};

use crate::batch::{Batch, RejectReason, Tally, Transport};
use crate::commit::CommitMessage;
use crate::core::{Core, CoreOptions};
use crate::export::{Format, MetricId, Pages};

/// 2026-11-20T10:00:00Z and some seconds.
pub(super) fn at(seconds: u64) -> UnixNanos {
    UnixNanos((1_795_168_800 + seconds) * 1_000_000_000)
}

/// An image costs 0.025, as many as a span says are billed, else one; failures are free, what else happens is
/// not documented.
pub(super) fn cards() -> Arc<Cards> {
    let citation = Citation { source: "test".into(), as_of: at(0), third_party: false, note: "".into() };
    let billed =
        Source::Fact { name: "billable_units".into(), at_least: FactSource::Reported, scale: Decimal::ONE };
    let meter = Meter {
        rule: "fal/image".into(),
        unit: "image".into(),
        quantity: vec![billed, Source::Constant(Decimal::ONE)],
        rounding: Rounding::default(),
        credit_rounding: Rounding::default(),
        interrupted: Vec::new(),
        cause: None,
        currency: "USD".into(),
        prices: vec![PriceRow {
            when: Vec::new(),
            is_default: true,
            unit_price: Decimal::new(25, 3),
            period: Period { from: at(0).minus_ms(1000), until: UnixNanos(u64::MAX) },
            citation: citation.clone(),
        }],
        multipliers: Vec::new(),
    };
    let tariff = Tariff { models: vec![Pattern::new("flux*")], meters: vec![meter], ..Tariff::default() };
    let row = |name: &str, outcomes: Vec<Outcome>, terms| PolicyRow {
        name: name.into(),
        when: When { outcomes, ..When::default() },
        terms,
        citation: citation.clone(),
    };
    let policy = vec![
        row("fal/success", vec![Outcome::Succeeded, Outcome::Partial], Terms::Full),
        row("fal/failure", vec![Outcome::Failed], Terms::None),
    ];
    let mut cards = Cards::default();
    cards.insert(RateCard::new("fal".into(), vec![tariff], policy, Vec::new()));
    Arc::new(cards)
}

pub(super) fn core() -> Core {
    Core::new(&CoreOptions::default(), cards(), at(0))
}

/// A call of a task, a second long. Equal arguments are the same span.
pub(super) fn call(role: Role, task: &str, second: u64, state: Option<TaskState>) -> Evidence {
    let mut span = [0; 8];
    span[..4].copy_from_slice(&(second as u32).to_be_bytes());
    span[4] = role as u8 + 1;
    span[5..].copy_from_slice(&task.as_bytes()[task.len() - 3..]);
    let endpoint = Endpoint {
        provider: "fal".into(),
        rule: "queue".into(),
        family: "fal-ai/flux".into(),
        model: if role == Role::Submit { "flux/dev".into() } else { "".into() },
        operation: if role == Role::Submit { "text_to_image".into() } else { "".into() },
        needs_result: false,
        leg: None,
    };
    Evidence {
        span: SpanKey { trace: TraceId([7; 16]), span: SpanId(span) },
        parent: SpanId::default(),
        start: at(second),
        end: at(second + 1),
        client: Arc::new(Client { service: "clips".into(), ..Client::default() }),
        what: What::Call(Call {
            role,
            endpoint: Arc::new(endpoint),
            task: Some(TaskId::new(task)),
            answer: Answer::Status(200),
            accepted: Accepted::Yes,
            verdict: state.map(|state| Verdict { state, reason: None }),
            request: u64::from(second as u32) << 8 | role as u64,
            agent: 1,
            rare: Rare::default(),
        }),
    }
}

/// Submit and polls, and nothing that tells the end.
pub(super) fn unfinished(task: &str, second: u64) -> Vec<Evidence> {
    vec![
        call(Role::Submit, task, second, None),
        call(Role::Poll, task, second + 3, Some(TaskState::Running)),
        call(Role::Poll, task, second + 6, Some(TaskState::Running)),
    ]
}

/// The end of an [`unfinished`] job.
pub(super) fn result(task: &str, second: u64, state: TaskState) -> Evidence {
    call(Role::Result, task, second + 9, Some(state))
}

pub(super) fn message(seq: u64, evidence: Vec<Evidence>) -> CommitMessage {
    let (ignored, mut rejected) = (5, [0; RejectReason::ALL.len()]);
    rejected[RejectReason::TraceId as usize] = 2;
    let tally = Tally { received: evidence.len() as u64 + ignored + 2, ignored, rejected };
    CommitMessage { seq: Seq(seq), batches: vec![Batch { evidence, tally, transport: Transport::Grpc }] }
}

/// One turn, as the thread makes it.
pub(super) fn turn(core: &mut Core, ledger: &mut Ledger, second: u64) {
    core.advance(at(second));
    core.refresh();
    ledger.checkpoint(&core.checkpoint()).unwrap();
}

/// A new process on the ledger and the journal.
pub(super) fn restarted(ledger: &Ledger, journal: &[CommitMessage]) -> Core {
    let mut core = core();
    core.restore(ledger).unwrap();
    let (old, new): (Vec<_>, Vec<_>) =
        journal.iter().cloned().partition(|message| message.seq <= ledger.applied());
    for message in old.into_iter().filter(|message| message.seq > ledger.done()) {
        core.rehydrate(message);
    }
    core.finish_rehydration();
    for message in new {
        core.apply(message);
    }
    core
}

/// What an outsider sees.
pub(super) fn page(core: &Core) -> String {
    let format = Format::negotiate(Some("application/openmetrics-text"));
    String::from_utf8(Pages::of(core.registry()).write(format, &[]).to_vec()).unwrap()
}

/// Sum of a counter less its twin, over every series whose labels contain all of `parts`.
pub(super) fn net(core: &Core, metric: MetricId, parts: &[&str]) -> Decimal {
    let sum = |metric| -> Decimal {
        let values = core.registry().values(metric);
        values
            .filter(|(labels, _)| parts.iter().all(|part| labels.contains(part)))
            .map(|(_, value)| value)
            .sum()
    };
    sum(metric) - metric.metric().twin.map(sum).unwrap_or_default()
}

/// What a counter says of each set of labels, reversals taken off.
pub(super) fn nets(core: &Core, metric: MetricId) -> BTreeMap<String, Decimal> {
    let twin = metric.metric().twin.map(|twin| core.registry().values(twin)).into_iter().flatten();
    let mut nets: BTreeMap<String, Decimal> =
        core.registry().values(metric).map(|(labels, value)| (labels.to_owned(), value)).collect();
    for (labels, value) in twin {
        *nets.get_mut(labels).unwrap() -= value;
    }
    nets.retain(|_, value| !value.is_zero());
    nets
}

/// Conservation: cost, bounds and units of the ledger rows are those of the counters, for each set of labels.
pub(super) fn assert_counters_are_the_ledger(core: &Core, rows: &[JobRow]) {
    let mut sums = BTreeMap::<(MetricId, String), Decimal>::new();
    for job in rows {
        for charge in &*job.charges {
            for (metric, own, amount) in own_labels(charge) {
                let labels = format!("{}{own}", common(job, charge));
                *sums.entry((metric, labels)).or_default() += amount;
            }
        }
    }
    sums.retain(|_, amount| !amount.is_zero());
    let mut counted = BTreeMap::new();
    for metric in [MetricId::Cost, MetricId::CostBound, MetricId::BilledUnits] {
        counted.extend(nets(core, metric).into_iter().map(|(labels, value)| ((metric, labels), value)));
    }
    assert_eq!(counted, sums);
}

fn common(job: &JobRow, charge: &ChargeRow) -> String {
    format!(
        "provider=\"{}\",model=\"{}\",operation=\"{}\",service=\"{}\",tenant=\"{}\"",
        charge.provider, charge.model, charge.operation, job.service, job.tenant
    )
}

fn own_labels(charge: &ChargeRow) -> Vec<(MetricId, String, Decimal)> {
    let ChargeRow { unit, cause, basis, currency, .. } = charge;
    let mut own = vec![(
        MetricId::BilledUnits,
        format!(",unit=\"{unit}\",cause=\"{cause}\",basis=\"{basis}\""),
        charge.quantity,
    )];
    if charge.unit_price.is_some() {
        let cost = format!(",currency=\"{currency}\",cause=\"{cause}\",basis=\"{basis}\"");
        own.push((MetricId::Cost, cost, charge.cost_expected));
        for (bound, amount) in [("min", charge.cost_min), ("max", charge.cost_max)] {
            own.push((MetricId::CostBound, format!(",currency=\"{currency}\",bound=\"{bound}\""), amount));
        }
    }
    own
}
