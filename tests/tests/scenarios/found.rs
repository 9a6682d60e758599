//! Jobs of the product in the words of scenario files.

use std::collections::BTreeMap;

use spantally_price::{Bill, Charge};
use spantally_server::core::Settled;
use spantally_stitch::{Attempt, FailureReason, Job, Role, SpanId};
use spantally_tests::scenario::Scenario;
use spantally_tests::scenario::expect::{Block, Line, join};
use spantally_tests::scenario::otlp::Exporter;

/// Names of a scenario for what the product knows by id.
pub(crate) struct Names<'a> {
    exporter: Exporter<'a>,
    labels: BTreeMap<[u8; 8], &'a str>,
}

impl<'a> Names<'a> {
    pub(crate) fn new(scenario: &'a Scenario, exporter: Exporter<'a>) -> Self {
        let labels = scenario.spans().map(|span| (exporter.span_id(&span.label), span.label.as_str()));
        Self { labels: labels.collect(), exporter }
    }

    /// Whether the job is made of this scenario's spans.
    pub(crate) fn has(&self, job: &Job) -> bool {
        let calls = job.attempts.iter().flat_map(|attempt| &attempt.calls);
        calls.map(|call| call.span.span).any(|span| self.labels.contains_key(&span.0))
    }

    fn label(&self, span: SpanId) -> String {
        self.labels.get(&span.0).map_or_else(|| format!("?{span}"), |&label| label.to_owned())
    }

    /// A task id as the file writes it, `{name}`, if it is one of the file's.
    fn task(&self, id: &str, scenario: &Scenario) -> String {
        let urls = scenario.spans().flat_map(|span| {
            let url = match &span.subject {
                spantally_tests::scenario::Subject::Http { url, .. } => url,
                spantally_tests::scenario::Subject::Named(name) => name,
            };
            std::iter::once(url.as_str()).chain(span.attributes.iter().map(|(_, value)| value.as_str()))
        });
        let names = urls.flat_map(|text| text.split('{').skip(1)).filter_map(|rest| rest.split('}').next());
        let mut known = names.map(|name| format!("{{{name}}}"));
        known.find(|name| id.ends_with(&self.exporter.expand(name))).unwrap_or_else(|| id.to_owned())
    }

    /// The job as a file would write it, with every key.
    pub(crate) fn block(&self, settled: &Settled, scenario: &Scenario) -> Block {
        let Settled { job, bill, revision } = settled;
        let spans = job.spans.iter().map(|key| self.label(key.span)).collect();
        let parent = job.parent_task.as_ref().map(|task| self.task(&task.to_string(), scenario));
        let head = Line::of(&["job", job.outcome.as_str()])
            .with("reason", reason(job.failure_reason))
            .with("provider", &*job.provider)
            .with("model", &*job.model)
            .with("operation", &*job.operation)
            .with("service", self.exporter.service(&job.service))
            .with("tenant", &*job.tenant)
            .with("parent", parent.unwrap_or_default())
            .with("above", join(spans))
            .with("revision", revision.to_string());
        let mut rest: Vec<Line> =
            job.attempts.iter().map(|attempt| self.attempt(attempt, scenario)).collect();
        rest.extend(money(bill));
        Block { job: head, rest }
    }

    fn attempt(&self, attempt: &Attempt, scenario: &Scenario) -> Line {
        let task = attempt.task_id.as_ref().map(|task| self.task(&task.to_string(), scenario));
        let mut line = Line::of(&["attempt", attempt.accepted.as_str(), attempt.cause.as_str()])
            .with("outcome", attempt.outcome.as_str())
            .with("reason", reason(attempt.failure_reason))
            .with("model", &*attempt.model)
            .with("provider", &*attempt.provider)
            .with("leg", attempt.leg.as_deref().unwrap_or_default())
            .with("task", task.unwrap_or_default())
            .with("joins", joins(attempt))
            .with("troubles", troubles(attempt));
        for role in Role::ALL {
            let calls = attempt.calls.iter().filter(|call| call.role == role);
            let labels: Vec<String> = calls.map(|call| self.label(call.span.span)).collect();
            if !labels.is_empty() {
                line = line.with(role.as_str(), join(labels));
            }
        }
        for fact in &attempt.facts {
            let value = match &fact.value {
                spantally_stitch::FactValue::Number(number) => number.normalize().to_string(),
                spantally_stitch::FactValue::Text(text) => text.to_string(),
            };
            line = line.with(&format!("fact.{}", fact.name), value);
        }
        line
    }
}

fn reason(reason: Option<FailureReason>) -> &'static str {
    reason.map_or("", FailureReason::as_str)
}

/// Why single calls failed, counted: `not_ready*2`.
fn troubles(attempt: &Attempt) -> String {
    let mut counts = BTreeMap::new();
    for failure in attempt.calls.iter().filter_map(|call| call.failure) {
        *counts.entry(failure.as_str()).or_insert(0_u32) += 1;
    }
    let texts = counts.iter().map(|(reason, count)| format!("{reason}*{count}"));
    texts.collect::<Vec<_>>().join(",")
}

/// The rules by which its parts were joined, each once.
fn joins(attempt: &Attempt) -> String {
    let mut rules: Vec<String> = attempt.joins.iter().map(|join| join.rule.as_str().to_owned()).collect();
    rules.sort();
    rules.dedup();
    rules.join(",")
}

/// `cost CAUSE min expected max CURRENCY basis` of each charge that is not nothing, and what has no price;
/// `cost nothing` without any.
fn money(bill: &Bill) -> Vec<Line> {
    let nothing = |charge: &&Charge| {
        charge.cost.is_zero() && (charge.unit_price.is_some() || charge.quantity.is_zero())
    };
    let charges = bill.charges.iter().filter(|charge| !nothing(charge)).map(|charge| {
        let bound = if charge.unit_price.is_some() { charge.cost } else { charge.quantity };
        let [min, expected, max] =
            [bound.min, bound.expected, bound.max].map(|value| value.normalize().to_string());
        let currency = if charge.unit_price.is_some() { &charge.currency } else { &charge.unit };
        let words = ["cost", charge.cause.as_str(), &min, &expected, &max, currency, charge.basis.as_str()];
        Line::of(&words).with("attempt", (charge.attempt + 1).to_string())
    });
    let unpriced = bill.unpriced.iter().map(|unpriced| {
        Line::of(&["unpriced", unpriced.reason.as_str()]).with("attempt", (unpriced.attempt + 1).to_string())
    });
    let lines: Vec<Line> = charges.chain(unpriced).collect();
    if lines.is_empty() { vec![Line::of(&["cost", "nothing"])] } else { lines }
}
