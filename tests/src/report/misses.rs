//! The jobs that were not found exactly: what is wrong with each, and what the spans leave open.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use spantally_stitch::{Attempt, Job, JoinRule, Role};

use super::{Judged, Owners, judged};
use crate::truth::{self, Intent, Truth};

/// A true job that no found job equals.
#[derive(Clone, Debug)]
pub struct Miss<'t> {
    /// The true job.
    pub intent: &'t Intent,
    /// Its calls that lie in another job than its first submit, and calls of other jobs that lie there.
    pub what: String,
    /// Why the spans leave it open.
    pub why: String,
}

type Calls = BTreeSet<String>;

/// Every miss of a capture.
pub fn misses<'t>(truth: &'t Truth, jobs: &[&Job]) -> Vec<Miss<'t>> {
    let owners = Owners::new(truth);
    let roles: BTreeMap<&str, truth::Role> =
        truth.spans.iter().map(|span| (&*span.span_id, span.role)).collect();
    let counted = |span: &str| roles.get(span).is_some_and(|role| is_call(*role));
    let sets: Vec<Calls> = jobs
        .iter()
        .map(|job| calls(job).map(|call| call.span.span.to_string()).filter(|span| counted(span)).collect())
        .collect();
    let media = truth.intents.iter().filter(|intent| intent.scenario != "voice");
    media
        .filter_map(|intent| {
            let own: Calls = intent.spans.iter().filter(|span| counted(span)).cloned().collect();
            if own.is_empty() || sets.contains(&own) {
                return None;
            }
            let touching: Vec<usize> =
                (0..jobs.len()).filter(|&job| sets[job].intersection(&own).next().is_some()).collect();
            let what = what(&touching, &sets, &own, &roles, &owners, jobs);
            let touched: Vec<&Job> = touching.iter().map(|&job| jobs[job]).collect();
            let why = why(&owners, &intent.intent, &touched, jobs);
            Some(Miss { intent, what, why })
        })
        .collect()
}

fn is_call(role: truth::Role) -> bool {
    use truth::Role::{Cancel, Poll, Result, Submit, Unsent, Webhook};
    matches!(role, Submit | Poll | Result | Cancel | Webhook | Unsent)
}

fn calls(job: &Job) -> impl Iterator<Item = &spantally_stitch::CallRef> {
    job.attempts.iter().flat_map(|attempt| &attempt.calls)
}

/// Its calls by the found job in which they are, and how many strangers each of these has.
fn what(
    touching: &[usize],
    sets: &[Calls],
    own: &Calls,
    roles: &BTreeMap<&str, truth::Role>,
    owners: &Owners<'_>,
    jobs: &[&Job],
) -> String {
    let mut parts = Vec::new();
    for &job in touching {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for span in sets[job].intersection(own) {
            *counts.entry(format!("{:?}", roles[&**span]).to_lowercase()).or_default() += 1;
        }
        let own_calls: Vec<String> = counts.iter().map(|(role, count)| format!("{count} {role}")).collect();
        let others: BTreeSet<&str> = calls(jobs[job])
            .filter(|call| !own.contains(&call.span.span.to_string()))
            .filter_map(|call| owners.of(call.span))
            .collect();
        let with = if others.is_empty() {
            "alone".to_owned()
        } else {
            format!("with {}", others.into_iter().collect::<Vec<_>>().join(", "))
        };
        parts.push(format!("{} {with}", own_calls.join(" + ")));
    }
    parts.join("; ")
}

/// What the wrong joins of these jobs rest on.
fn why(owners: &Owners<'_>, intent: &str, touched: &[&Job], all: &[&Job]) -> String {
    let mut reasons: BTreeSet<String> = BTreeSet::new();
    for job in touched {
        for found in judged(owners, job) {
            if !found.right {
                reasons.insert(reason(job, &found, all));
            }
        }
    }
    if reasons.is_empty() {
        reasons.insert(missing(owners, intent, touched));
    }
    reasons.into_iter().collect::<Vec<_>>().join("; ")
}

fn reason(job: &Job, found: &Judged<'_>, all: &[&Job]) -> String {
    let attempt = &job.attempts[found.attempt];
    let margin = found.join.margin.map(|margin| format!(", margin {margin:.1}")).unwrap_or_default();
    match found.join.rule {
        JoinRule::ClientRhythm | JoinRule::TraceOrder | JoinRule::SpanLink => {
            let flight = in_flight(attempt, all);
            let timer = if steady(attempt) { "equal loops" } else { "a timer without rhythm" };
            format!("{timer}, {flight} submits of {} in flight{margin}", attempt.provider)
        }
        JoinRule::WebhookTime => {
            format!("a delivery without any id, {} submits in flight{margin}", in_flight(attempt, all))
        }
        JoinRule::RetryOrder => format!("equal requests failed close to one another{margin}"),
        JoinRule::Redelivery => format!("two deliveries without any id refused at a time{margin}"),
        JoinRule::FallbackPoll => format!("one question after refused deliveries without any id{margin}"),
        rule => format!("joined by {rule}{margin}"),
    }
}

/// Submits of the provider that ended in the time before the attempt's first sign of a task that its own
/// submit did: any of them may have made it.
fn in_flight(attempt: &Attempt, all: &[&Job]) -> usize {
    let submit = attempt.calls.iter().find(|call| call.role == Role::Submit);
    let first = attempt.calls.iter().find(|call| !matches!(call.role, Role::Submit | Role::Sync));
    let (Some(submit), Some(first)) = (submit, first) else { return 0 };
    let gap = first.start.seconds_since(submit.end).max(0.001);
    let attempts = all.iter().flat_map(|job| &job.attempts);
    let same = attempts.filter(|other| other.provider == attempt.provider);
    let submits = same.flat_map(|other| &other.calls).filter(|call| call.role == Role::Submit);
    submits.filter(|call| (0.0..=2.0 * gap).contains(&first.start.seconds_since(call.end))).count()
}

/// Whether the polls of an attempt come at one interval, to 5 %.
fn steady(attempt: &Attempt) -> bool {
    let polls: Vec<_> = attempt.calls.iter().filter(|call| call.role == Role::Poll).collect();
    let gaps = polls.windows(2).map(|two| two[1].start.seconds_since(two[0].end));
    let (least, most) = gaps.fold((f64::MAX, 0.0), |(least, most), gap| (gap.min(least), gap.max(most)));
    polls.len() > 1 && most - least <= 0.005 + 0.05 * most
}

/// No join is wrong: one was not made.
fn missing(owners: &Owners<'_>, intent: &str, touched: &[&Job]) -> String {
    let own = |job: &&Job, role: Role| {
        calls(job).any(|call| call.role == role && owners.of(call.span) == Some(intent))
    };
    let with_submit = touched.iter().filter(|job| own(job, Role::Submit)).count();
    if with_submit > 1 {
        return "two submits that nothing but time could join".to_owned();
    }
    let alone = touched.iter().find(|job| !own(job, Role::Submit));
    match alone {
        Some(job) if own(job, Role::Webhook) => {
            "a delivery without any id that fits no submit well".to_owned()
        }
        Some(_) => "a task that fits no submit well".to_owned(),
        None => "a call of another job that fits here as well".to_owned(),
    }
}

/// Misses as a table, a line each.
pub fn table(misses: &[Miss<'_>]) -> String {
    let mut text = String::from(
        "| job | played | provider, who waits | where its calls are | why it is open |\n\
         |---|---|---|---|---|\n",
    );
    for miss in misses {
        let Intent { intent, scenario, op, wait, .. } = miss.intent;
        let wait = wait.as_deref().unwrap_or("-");
        // Writing to memory cannot fail.
        let _ = writeln!(text, "| {intent} | {scenario} | {op}, {wait} | {} | {} |", miss.what, miss.why);
    }
    text
}

/// The found jobs that hold calls of a true job: each call with its time and the job that it is of, and each
/// join.
pub fn show(truth: &Truth, jobs: &[&Job], intent: &str) -> String {
    let owners = Owners::new(truth);
    let touching = jobs.iter().filter(|job| calls(job).any(|call| owners.of(call.span) == Some(intent)));
    let mut text = String::new();
    let began = jobs.iter().map(|job| job.started_at).min().unwrap_or_default();
    // Writing to memory cannot fail.
    for job in touching {
        let _ = writeln!(text, "job {} {} {}", job.id, job.provider, job.outcome);
        for attempt in &job.attempts {
            let _ = writeln!(text, "  attempt {} {}", attempt.accepted.as_str(), attempt.cause);
            for call in &attempt.calls {
                let (start, end) = (call.start.seconds_since(began), call.end.seconds_since(began));
                let owner = owners.of(call.span).unwrap_or("-");
                let status = call.status.map_or("-".to_owned(), |status| status.to_string());
                let _ = writeln!(
                    text,
                    "    {:<8} {start:>10.4} to {end:>10.4} {status:>3} {owner} {}",
                    call.role.as_str(),
                    call.span
                );
            }
            for join in &attempt.joins {
                let margin = join.margin.map(|margin| format!("{margin:.2}")).unwrap_or_default();
                let span = join.span.map(|span| span.span.to_string()).unwrap_or_default();
                let _ = writeln!(text, "    by {} {} {margin} {span}", join.rule, join.confidence);
            }
        }
    }
    text
}
