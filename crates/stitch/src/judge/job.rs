//! One job, from its attempts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::call::{Accepted, Correlation, CorrelationKind, Role, TaskState};
use crate::evidence::{Evidence, What};
use crate::failure::FailureReason;
use crate::frame::FrameKind;
use crate::id::{JobId, SpanKey, TaskId, UnixNanos};
use crate::job::{Attempt, Job, Outcome, State};
use crate::judge::{attempt, cause, fact, session};
use crate::solve::Solution;
use crate::solve::group::{self, JobDraft};
use crate::solve::pool::{Pool, call_of};

/// Makes a job. Its state is the caller's to say.
pub(crate) fn job(pool: &Pool<'_>, solution: &Solution, draft: &JobDraft<'_>) -> Job {
    let above = frames_by_attempt(pool, draft);
    let own = |frame: &&Evidence| above.iter().flatten().any(|held| held.span == frame.span);
    let frames = draft.frames.iter().map(|&frame| pool.frames[frame]);
    let shared: Vec<&Evidence> = frames.filter(|frame| !own(frame)).collect();
    let mut order: Vec<usize> = (0..draft.attempts.len()).collect();
    let starts: Vec<(UnixNanos, SpanKey)> = draft
        .attempts
        .iter()
        .map(|attempt| {
            let lead = attempt.shot.map(|shot| pool.shots[shot].evidence);
            let lead = lead.or_else(|| attempt.parts.first().copied());
            lead.map(|lead| (lead.start, lead.span)).unwrap_or_default()
        })
        .collect();
    order.sort_unstable_by_key(|&at| starts[at]);
    let mut attempts: Vec<Attempt> =
        order.iter().map(|&at| attempt::attempt(pool, &draft.attempts[at], &above[at], &shared)).collect();
    let failed: Vec<Option<UnixNanos>> = order
        .iter()
        .zip(&attempts)
        .map(|(&at, made)| {
            let seen = draft.attempts[at].failed_at();
            let told = matches!(made.outcome, Outcome::Failed | Outcome::Rejected | Outcome::Canceled);
            seen.or((told && made.accepted == Accepted::Yes).then_some(made.ended_at))
        })
        .collect();
    share_tasks(pool, draft, &order, &mut attempts);
    give_made(pool, draft, &order, &shared, &mut attempts);
    session::add_answers(pool, draft, &order, &mut attempts);
    job_verdict(pool, draft, &mut attempts);
    let lead = cause::assign(&mut attempts, &failed);
    assemble(pool, solution, draft, attempts, lead)
}

/// Submits with one idempotency key that the provider honours made one task, if they made any: what is known
/// of it for one attempt holds for the others.
fn share_tasks(pool: &Pool<'_>, draft: &JobDraft<'_>, order: &[usize], attempts: &mut [Attempt]) {
    if attempts.len() < 2 {
        return;
    }
    let keys: Vec<Option<&Correlation>> = order
        .iter()
        .map(|&at| {
            let shot = pool.shots.get(draft.attempts[at].shot?)?;
            shot.call.rare.correlations.iter().find(|known| known.kind == CorrelationKind::Idempotency)
        })
        .collect();
    let known: BTreeMap<(Arc<str>, &Correlation), TaskId> = keys
        .iter()
        .zip(attempts.iter())
        .filter_map(|(key, made)| Some(((made.provider.clone(), (*key)?), made.task_id.clone()?)))
        .collect();
    for (key, made) in keys.iter().zip(attempts).filter(|(_, made)| made.accepted != Accepted::No) {
        let task = key.and_then(|key| known.get(&(made.provider.clone(), key)));
        made.task_id = made.task_id.take().or_else(|| task.cloned());
    }
}

/// What a span above several attempts says was made, was made by the last of them that was taken.
fn give_made(
    pool: &Pool<'_>,
    draft: &JobDraft<'_>,
    order: &[usize],
    shared: &[&Evidence],
    attempts: &mut [Attempt],
) {
    for frame in shared {
        let below = |at: &usize| {
            let mut parts = draft.attempts[order[*at]].parts.iter();
            parts.any(|part| pool.lineage.frames(part).any(|(above, _)| above.span == frame.span))
        };
        let taken = |at: &usize| attempts[*at].accepted == Accepted::Yes;
        if let Some(at) = (0..attempts.len()).filter(taken).rfind(below) {
            let shot = draft.attempts[order[at]].shot.map(|shot| pool.shots[shot]);
            let is_asking = fact::is_asking(pool, shot.as_ref(), frame);
            fact::add_made(&mut attempts[at].facts, frame, is_asking);
        }
    }
}

/// For each attempt, the spans above it and no other attempt of the job, nearest first.
fn frames_by_attempt<'a>(pool: &Pool<'a>, draft: &JobDraft<'a>) -> Vec<Vec<&'a Evidence>> {
    if draft.frames.is_empty() {
        return vec![Vec::new(); draft.attempts.len()];
    }
    let mut owner: BTreeMap<SpanKey, Option<usize>> = BTreeMap::new();
    let mut above: Vec<Vec<&Evidence>> = vec![Vec::new(); draft.attempts.len()];
    for (at, attempt) in draft.attempts.iter().enumerate() {
        for evidence in group::apart(&attempt.parts) {
            for (frame, _) in pool.lineage.frames(evidence) {
                let held = owner.entry(frame.span).or_insert(Some(at));
                if *held != Some(at) {
                    *held = None;
                }
            }
        }
    }
    for &frame in &draft.frames {
        let frame = pool.frames[frame];
        if let Some(Some(at)) = owner.get(&frame.span) {
            above[*at].push(frame);
        }
    }
    for frames in &mut above {
        frames.sort_unstable_by_key(|frame| (std::cmp::Reverse(frame.start), frame.span));
    }
    above
}

/// A span over several attempts tells how the job ended: that is how its last attempt ended.
fn job_verdict(pool: &Pool<'_>, draft: &JobDraft<'_>, attempts: &mut [Attempt]) {
    let told = draft.frames.iter().find_map(|&frame| match &pool.frames[frame].what {
        What::Frame(frame) if frame.kind != FrameKind::Server => frame.verdict,
        _ => None,
    });
    let told = told.filter(|verdict| verdict.state == TaskState::Succeeded);
    let known =
        attempts.iter().any(|attempt| matches!(attempt.outcome, Outcome::Succeeded | Outcome::Partial));
    let open = |attempt: &&mut Attempt| matches!(attempt.outcome, Outcome::Unknown | Outcome::Abandoned);
    if let (Some(_), false, Some(last)) = (told, known, attempts.iter_mut().rfind(open)) {
        last.outcome = Outcome::Succeeded;
        last.failure_reason = None;
    }
}

fn assemble(
    pool: &Pool<'_>,
    solution: &Solution,
    draft: &JobDraft<'_>,
    attempts: Vec<Attempt>,
    lead: usize,
) -> Job {
    let evidence = first_evidence(pool, solution, draft);
    let client = evidence.map(|evidence| &evidence.client);
    let stands = &attempts[lead];
    let [provider, model, operation] = asked(&attempts, stands);
    let (outcome, failure_reason) = ended(&attempts, stands);
    let spans = other_spans(pool, draft);
    let parent_task = draft
        .attempts
        .iter()
        .find_map(|attempt| pool.shots.get(attempt.shot?)?.call.rare.parent_task.clone());
    Job {
        id: job_id(pool, solution, draft),
        state: State::Open,
        tenant: client.map(|client| client.tenant.clone()).unwrap_or_default(),
        service: client.map(|client| client.service.clone()).unwrap_or_default(),
        labels: client.map(|client| client.labels.clone()).unwrap_or_default(),
        provider,
        model,
        operation,
        outcome,
        failure_reason,
        spans,
        started_at: attempts.iter().map(|attempt| attempt.started_at).min().unwrap_or_default(),
        ended_at: attempts.iter().map(|attempt| attempt.ended_at).max().unwrap_or_default(),
        attempts,
        parent_task,
    }
}

/// The spans of a job that are no calls: those above it alone, and those that show a call of it once more.
fn other_spans(pool: &Pool<'_>, draft: &JobDraft<'_>) -> Vec<SpanKey> {
    let mut spans: Vec<SpanKey> = draft.frames.iter().map(|&frame| pool.frames[frame].span).collect();
    if !pool.echoes.is_empty() {
        let parts = draft.attempts.iter().flat_map(|attempt| &attempt.parts);
        let calls: BTreeSet<SpanKey> = parts.map(|part| part.span).collect();
        spans.extend(calls.iter().flat_map(|&call| pool.echoes.of(call)).map(|echo| echo.span));
    }
    spans.sort_unstable();
    spans.dedup();
    spans
}

/// Provider, model and operation of a job: those of the attempt that stands for it; of a voice session, those
/// of its first leg. A leg says all three or leaves them open. Elsewhere what the attempt leaves open may be
/// known of another one, of the same provider: nobody sells the model of a competitor.
fn asked(attempts: &[Attempt], stands: &Attempt) -> [Arc<str>; 3] {
    let of = |attempt: &Attempt| [&attempt.provider, &attempt.model, &attempt.operation].map(Arc::clone);
    if stands.leg.is_some() {
        let is_session = attempts.iter().any(|attempt| attempt.leg != stands.leg);
        let first = attempts.iter().find(|attempt| is_session && attempt.leg.is_some());
        return of(first.unwrap_or(stands));
    }
    let candidates = || std::iter::once(stands).chain(attempts);
    let known = |text: &&Arc<str>| !text.is_empty();
    let provider = candidates().map(|attempt| &attempt.provider).find(known).cloned().unwrap_or_default();
    let text = |pick: fn(&Attempt) -> &Arc<str>| {
        let same = candidates().filter(|attempt| attempt.provider == provider);
        same.map(pick).find(known).cloned().unwrap_or_default()
    };
    let (model, operation) = (text(|attempt| &attempt.model), text(|attempt| &attempt.operation));
    [provider, model, operation]
}

fn ended(attempts: &[Attempt], stands: &Attempt) -> (Outcome, Option<FailureReason>) {
    (stands.outcome, stands.failure_reason.filter(|_| !attempts.is_empty()))
}

/// The earliest submit of a job, else its earliest call, else its earliest delivery.
fn first_evidence<'a>(pool: &Pool<'a>, solution: &Solution, draft: &JobDraft<'_>) -> Option<&'a Evidence> {
    let shots = draft.attempts.iter().filter_map(|attempt| attempt.shot).min();
    let shot = shots.map(|shot| pool.shots[shot].evidence);
    let tasks = draft.attempts.iter().flat_map(|attempt| &attempt.tasks);
    let task = tasks.filter_map(|&task| pool.tasks[task].calls.first().copied());
    let earliest = |evidence: &&Evidence| (evidence.start, evidence.span);
    let groups = draft.attempts.iter().flat_map(|attempt| &attempt.groups);
    let hooks = groups.map(|&group| solution.groups[group].first(pool).evidence);
    shot.or_else(|| task.min_by_key(earliest))
        .or_else(|| hooks.min_by_key(earliest))
        .or_else(|| draft.frames.first().map(|&frame| pool.frames[frame]))
}

/// A name that any order of arrival gives: from the earliest submit's span, else from the task id, else from
/// the earliest delivery.
pub(crate) fn job_id(pool: &Pool<'_>, solution: &Solution, draft: &JobDraft<'_>) -> JobId {
    if let Some(shot) = draft.attempts.iter().filter_map(|attempt| attempt.shot).min() {
        let shot = pool.shots[shot].evidence;
        return id_of_span(&shot.client.tenant, shot.span);
    }
    let tasks = || draft.attempts.iter().flat_map(|attempt| &attempt.tasks);
    let named = tasks().filter_map(|&task| {
        let (id, first) = (pool.tasks[task].id?, pool.tasks[task].calls.first()?);
        Some((id, &first.client.tenant, &call_of(first)?.endpoint.provider))
    });
    if let Some((id, tenant, provider)) = named.min() {
        return id_of_task(tenant, provider, id);
    }
    let strays = tasks().filter_map(|&task| pool.tasks[task].calls.first().copied());
    let groups = draft.attempts.iter().flat_map(|attempt| &attempt.groups);
    let hooks = groups.map(|&group| solution.groups[group].first(pool).evidence);
    let first = strays.chain(hooks).min_by_key(|evidence| evidence.span);
    first.map_or_else(
        || id_of_span("", SpanKey::default()),
        |first| id_of_span(&first.client.tenant, first.span),
    )
}

/// The id of a job that a span names: that of another tenant is another span. Where there is one tenant, it
/// has no name, and its jobs are named by their spans alone.
pub(crate) fn id_of_span(tenant: &str, span: SpanKey) -> JobId {
    let SpanKey { trace, span } = &span;
    match tenant {
        "" => name(&[b"span", &trace.0, &span.0]),
        tenant => name(&[b"span", tenant.as_bytes(), &trace.0, &span.0]),
    }
}

/// The id of a job that a task names.
pub(crate) fn id_of_task(tenant: &str, provider: &str, id: &TaskId) -> JobId {
    name(&[b"task", tenant.as_bytes(), provider.as_bytes(), id.to_string().as_bytes()])
}

/// 128-bit FNV-1a over length-prefixed parts: stable for ever, because job ids are in the ledger.
fn name(parts: &[&[u8]]) -> JobId {
    let mut hash = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d_u128;
    let mut eat =
        |byte: u8| hash = (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
    for part in parts {
        (part.len() as u64).to_be_bytes().into_iter().for_each(&mut eat);
        part.iter().copied().for_each(&mut eat);
    }
    JobId(hash.to_be_bytes())
}

/// Whether more evidence would be needed to say how a job ended.
pub(crate) fn is_decided(job: &Job) -> bool {
    let done = |attempt: &Attempt| !matches!(attempt.outcome, Outcome::Unknown | Outcome::Abandoned);
    matches!(job.outcome, Outcome::Succeeded | Outcome::Partial)
        || job.attempts.iter().all(done)
        || job.attempts.iter().all(|attempt| attempt.count(Role::Sync) > 0)
}
