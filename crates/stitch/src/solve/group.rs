//! Attempts into jobs, and the spans above and beside them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::call::{Correlation, CorrelationKind};
use crate::evidence::{Evidence, What};
use crate::frame::FrameKind;
use crate::id::{SpanKey, TraceId};
use crate::job::{Confidence, Join, JoinRule};
use crate::solve::attempts::{AttemptDraft, Drafts};
use crate::solve::download;
use crate::solve::pool::{Pool, call_of, order};
use crate::solve::resubmit::{Resubmission, resubmissions};
use crate::solve::stand_in::stands_in;
use crate::solve::union::Union;
use crate::solve::{Solution, around, confidence, tries};

/// Indices into the pool that make one job.
#[derive(Clone, Debug, Default)]
pub(crate) struct JobDraft<'a> {
    pub(crate) attempts: Vec<AttemptDraft<'a>>,
    /// Spans above that are of this job alone.
    pub(crate) frames: Vec<usize>,
}

/// Where the units of a pool lie in one index space: shots, then tasks, then delivery groups.
struct Units {
    tasks: usize,
    groups: usize,
    count: usize,
}

/// Forms the jobs of a solved pool. `limit` bounds how many failures are weighed at once.
pub(crate) fn jobs<'a>(pool: &Pool<'a>, solution: &Solution, limit: usize) -> Vec<JobDraft<'a>> {
    let units = Units {
        tasks: pool.shots.len(),
        groups: pool.shots.len() + pool.tasks.len(),
        count: pool.shots.len() + pool.tasks.len() + solution.groups.len(),
    };
    let mut attempts = Union::new(units.count);
    tie_attempts(pool, solution, &units, &mut attempts);
    let mut drafts = attempt_drafts(pool, solution, &units, &mut attempts);
    let told = around::told(pool);
    for draft in drafts.values_mut() {
        draft.parts = parts(pool, solution, draft);
        let known = draft.parts.iter().filter(|part| stands_in(part));
        draft.joins.extend(known.map(|part| named(JoinRule::GenaiSpan, Some(part.span))));
        draft.around =
            draft.parts.iter().filter_map(|part| Some((part.end, *told.get(&part.span)?))).collect();
    }
    let mut jobs = attempts.clone();
    let resubmitted = resubmissions(pool, solution, &drafts, limit);
    tie_retries(solution, &resubmitted, &mut jobs);
    tries::tie(pool, &mut jobs);
    tie_names(pool, &mut drafts, &mut jobs);
    tie_sessions(pool, &mut drafts, &mut jobs);
    download::attach(pool, &mut drafts);
    collect(pool, &retry_joins(pool, solution, &resubmitted), drafts, &mut jobs)
}

fn tie_attempts(pool: &Pool<'_>, solution: &Solution, units: &Units, attempts: &mut Union) {
    for (task, bound) in solution.task_shot.iter().enumerate() {
        if let Some(bound) = bound {
            attempts.join(bound.shot, units.tasks + task);
        }
    }
    for group in 0..solution.groups.len() {
        if let Some((task, _, _)) = solution.group_task[group] {
            attempts.join(units.tasks + task, units.groups + group);
        } else if let Some(bound) = solution.group_shot[group] {
            attempts.join(bound.shot, units.groups + group);
        }
    }
    debug_assert!(pool.tasks.len() == solution.task_shot.len());
}

/// By attempt root: its parts and how they were joined.
fn attempt_drafts<'a>(
    pool: &Pool<'a>,
    solution: &Solution,
    units: &Units,
    attempts: &mut Union,
) -> Drafts<'a> {
    let mut drafts = Drafts::new(units.count);
    for shot in 0..pool.shots.len() {
        drafts.of(attempts.find(shot)).shot = Some(shot);
    }
    for (task, bound) in solution.task_shot.iter().enumerate() {
        let draft = drafts.of(attempts.find(units.tasks + task));
        draft.tasks.push(task);
        if pool.tasks[task].id.is_some() {
            draft.joins.push(named(JoinRule::TaskIdPath, None));
        }
        if let Some(bound) = bound {
            let span = Some(pool.shots[bound.shot].evidence.span);
            let Confidence::Exact = bound.confidence else {
                draft.joins.push(inferred(bound.rule, bound.margin, span, bound.instead));
                continue;
            };
            draft.joins.push(named(bound.rule, span));
        }
    }
    for (group, known) in solution.groups.iter().enumerate() {
        let draft = drafts.of(attempts.find(units.groups + group));
        draft.groups.push(group);
        let named_by = known.named_by.map(|hook| pool.hooks[hook]);
        let span = Some(named_by.unwrap_or_else(|| known.first(pool)).evidence.span);
        if let Some((_, rule, margin)) = solution.group_task[group] {
            draft
                .joins
                .push(margin.map_or(named(rule, span), |margin| inferred(rule, Some(margin), span, None)));
        } else if let Some(bound) = solution.group_shot[group] {
            draft.joins.push(match bound.margin {
                Some(margin) => inferred(bound.rule, Some(margin), span, bound.instead),
                None => named(bound.rule, span),
            });
        }
        for &(hook, margin, rival) in &known.margins {
            let span = Some(pool.hooks[hook].evidence.span);
            let instead = rival.map(|hook| pool.hooks[hook].evidence.span);
            draft.joins.push(inferred(JoinRule::Redelivery, Some(margin), span, instead));
        }
    }
    drafts
}

fn named(rule: JoinRule, span: Option<SpanKey>) -> Join {
    Join { rule, confidence: Confidence::Exact, margin: None, span, instead: None }
}

fn inferred(rule: JoinRule, margin: Option<f64>, span: Option<SpanKey>, instead: Option<SpanKey>) -> Join {
    Join { rule, confidence: confidence(margin.unwrap_or_default()), margin, span, instead }
}

fn tie_retries(solution: &Solution, resubmitted: &[Resubmission], jobs: &mut Union) {
    for retry in &solution.retries {
        jobs.join(retry.from, retry.to);
    }
    for double in &solution.doubles {
        jobs.join(double.lost, double.kept);
    }
    for again in resubmitted {
        jobs.join(again.from, again.to);
    }
}

/// Operation spans and correlation ids: everything under one name is one job.
fn tie_names(pool: &Pool<'_>, drafts: &mut Drafts<'_>, jobs: &mut Union) {
    if pool.frames.is_empty()
        && pool.hooks.is_empty()
        && pool.shots.iter().all(|shot| shot.call.rare.correlations.is_empty())
    {
        return;
    }
    let mut by_operation: BTreeMap<SpanKey, usize> = BTreeMap::new();
    let mut by_name: BTreeMap<(Arc<str>, Correlation), usize> = BTreeMap::new();
    let roots: Vec<usize> = drafts.iter().map(|(root, _)| root).collect();
    for root in roots {
        let mut rules = Vec::new();
        let parts = &drafts[root].parts;
        for evidence in apart(parts) {
            if let Some(operation) = pool.lineage.topmost(evidence, FrameKind::Operation) {
                let first = *by_operation.entry(operation.span).or_insert(root);
                if jobs.find(first) != jobs.find(root) {
                    rules.push(JoinRule::OperationSpan);
                }
                jobs.join(first, root);
            }
        }
        for (part, name) in job_names(pool, parts) {
            let first = *by_name.entry((part.client.tenant.clone(), name.clone())).or_insert(root);
            if jobs.find(first) != jobs.find(root) {
                rules.push(JoinRule::CorrelationId);
            }
            jobs.join(first, root);
        }
        if let Some(draft) = drafts.get_mut(root) {
            draft.joins.extend(rules.into_iter().map(|rule| named(rule, None)));
        }
    }
}

/// The ids that an application gave to the job of some parts, each with a part that shows it: on their own
/// spans, then on those above.
pub(crate) fn job_names<'a>(
    pool: &'a Pool<'a>,
    parts: &[&'a Evidence],
) -> impl Iterator<Item = (&'a Evidence, &'a Correlation)> {
    let above = apart(parts).flat_map(|part| names_above(pool, part).map(move |name| (part, name)));
    let own = parts.iter().filter_map(|&part| Some((part, call_of(part)?)));
    let own = own.flat_map(|(part, call)| call.rare.correlations.iter().map(move |name| (part, name)));
    own.chain(above).filter(|(_, name)| names_job(name))
}

/// The ids on any span above one.
fn names_above<'a>(pool: &'a Pool<'a>, evidence: &'a Evidence) -> impl Iterator<Item = &'a Correlation> {
    let names = |above: &'a Evidence| match &above.what {
        What::Call(call) => &call.rare.correlations,
        What::Frame(frame) => &frame.rare.correlations,
    };
    pool.lineage.ancestors(evidence).flat_map(names)
}

/// Whether the application gave an id to a job.
fn names_job(name: &Correlation) -> bool {
    matches!(name.kind, CorrelationKind::Job | CorrelationKind::Idempotency)
}

/// One of the parts that follow one another below one span: what is above it is above the others.
pub(crate) fn apart<'a>(parts: &[&'a Evidence]) -> impl Iterator<Item = &'a Evidence> {
    parts.chunk_by(|a, b| (a.parent, a.span.trace) == (b.parent, b.span.trace)).map(|below| below[0])
}

/// Voice sessions: legs under one session span, with one conversation id, or of two kinds in one trace.
fn tie_sessions(pool: &Pool<'_>, drafts: &mut Drafts<'_>, jobs: &mut Union) {
    let mut sessions: BTreeMap<SessionKey, Vec<usize>> = BTreeMap::new();
    for (root, draft) in drafts.iter() {
        let Some(shot) = draft.shot.map(|shot| &pool.shots[shot]) else { continue };
        if shot.call.endpoint.leg.is_none() {
            continue;
        }
        sessions.entry(session_of(pool, shot.evidence)).or_default().push(root);
    }
    for (key, roots) in &sessions {
        let leg = |root: &usize| {
            let shot = drafts[*root].shot?;
            pool.shots[shot].call.endpoint.leg.clone()
        };
        let first = leg(&roots[0]);
        let kinds_differ = roots.iter().any(|root| leg(root) != first);
        if roots.len() < 2 || (matches!(key, SessionKey::Trace(_)) && !kinds_differ) {
            continue;
        }
        for &root in &roots[1..] {
            jobs.join(roots[0], root);
            if let Some(draft) = drafts.get_mut(root) {
                draft.joins.push(named(JoinRule::Session, None));
            }
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum SessionKey {
    Name(Arc<str>, Correlation),
    Span(SpanKey),
    Trace(TraceId),
}

fn session_of<'a>(pool: &Pool<'a>, evidence: &'a Evidence) -> SessionKey {
    let names = pool.lineage.frames(evidence).flat_map(|(_, frame)| &frame.rare.correlations);
    let own = call_of(evidence).into_iter().flat_map(|call| &call.rare.correlations);
    let mut session = own.chain(names).filter(|known| known.kind == CorrelationKind::Session);
    if let Some(name) = session.next() {
        return SessionKey::Name(evidence.client.tenant.clone(), name.clone());
    }
    match pool.lineage.topmost(evidence, FrameKind::Session) {
        Some(span) => SessionKey::Span(span.span),
        None => SessionKey::Trace(evidence.span.trace),
    }
}

/// Every span of an attempt.
pub(crate) fn parts<'a>(pool: &Pool<'a>, solution: &Solution, draft: &AttemptDraft) -> Vec<&'a Evidence> {
    let mut found: Vec<&Evidence> = draft.shot.iter().map(|&shot| pool.shots[shot].evidence).collect();
    for &task in &draft.tasks {
        // Every submit that names the task is an attempt of its own.
        let others = pool.tasks[task]
            .calls
            .iter()
            .filter(|call| call_of(call).is_some_and(|call| !call.role.starts()));
        found.extend(others);
    }
    for &group in &draft.groups {
        found.extend(solution.groups[group].hooks.iter().map(|&hook| pool.hooks[hook].evidence));
    }
    found.sort_unstable_by_key(|evidence| order(evidence));
    found
}

fn collect<'a>(
    pool: &Pool<'a>,
    retried: &BTreeMap<usize, Join>,
    drafts: Drafts<'a>,
    jobs: &mut Union,
) -> Vec<JobDraft<'a>> {
    // By root: what is none stays without an attempt.
    let mut found: Vec<JobDraft<'a>> = Vec::new();
    let mut frame_job: BTreeMap<SpanKey, Option<usize>> = BTreeMap::new();
    for (root, mut draft) in drafts.into_iter() {
        let job = jobs.find(root);
        for evidence in apart(&draft.parts) {
            for (above, _) in pool.lineage.frames(evidence) {
                let held = frame_job.entry(above.span).or_insert(Some(job));
                if *held != Some(job) {
                    *held = None;
                }
            }
        }
        draft.joins.extend(draft.shot.and_then(|shot| retried.get(&shot)).cloned());
        if found.len() <= job {
            found.resize_with(job + 1, JobDraft::default);
        }
        found[job].attempts.push(draft);
    }
    for (at, frame) in pool.frames.iter().enumerate() {
        if let Some(&Some(job)) = frame_job.get(&frame.span) {
            found[job].frames.push(at);
        }
    }
    found.retain(|draft| !draft.attempts.is_empty());
    found
}

/// The join that a resubmission adds to the attempt that it made.
fn retry_joins(pool: &Pool<'_>, solution: &Solution, resubmitted: &[Resubmission]) -> BTreeMap<usize, Join> {
    let mut joins = BTreeMap::new();
    for again in resubmitted {
        let span = Some(pool.shots[again.to].evidence.span);
        let instead = again.rival.map(|shot| pool.shots[shot].evidence.span);
        joins.insert(again.to, inferred(JoinRule::RetryOrder, Some(again.margin), span, instead));
    }
    for double in &solution.doubles {
        let span = Some(pool.shots[double.lost].evidence.span);
        let (rule, confidence) = (JoinRule::DoubleSubmit, double.confidence);
        let join = Join { rule, confidence, margin: None, span, instead: None };
        joins.insert(double.lost, join);
    }
    for retry in &solution.retries {
        let span = Some(pool.shots[retry.to].evidence.span);
        let rule = if retry.marked { JoinRule::RetryMark } else { JoinRule::RetryOrder };
        let join = if retry.exact {
            named(rule, span)
        } else {
            let instead = retry.rival.map(|shot| pool.shots[shot].evidence.span);
            inferred(rule, Some(retry.margin), span, instead)
        };
        joins.insert(retry.to, join);
    }
    joins
}

/// The model or provider that spans above name, nearest first.
pub(crate) fn above_text<'a>(
    pool: &Pool<'a>,
    evidence: &'a Evidence,
    pick: impl Fn(&'a crate::Frame) -> &'a Arc<str>,
) -> Option<&'a Arc<str>> {
    let mut frames = pool.lineage.ancestors(evidence).filter_map(|above| match &above.what {
        What::Frame(frame) => Some(pick(frame)),
        What::Call(_) => None,
    });
    frames.find(|text| !text.is_empty())
}
