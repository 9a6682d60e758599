//! `/api/v1/jobs`, `/api/v1/jobs/{id}` and `/api/v1/jobs/{id}/calls`.
//!
//! A list is the open jobs (from memory, the latest start first), then the settled ones (from the ledger, the
//! latest settlement first). The cursor names the last job of a page, so pages do not shift when jobs come.

use std::cmp::Reverse;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{self, Query, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use spantally_stitch::{Cause, JobId, Outcome, State as JobState, UnixNanos};
use spantally_store::{JobFilter, LedgerReader};

use super::Admin;
use super::error::ApiError;
use crate::core::{CoreHandle, OpenJob};
use crate::job_calls::JobCalls;
use crate::job_json::JobDocument;
use crate::label_history::LabelHistory;

/// Jobs of a page, unless `limit` says otherwise.
const DEFAULT_LIMIT: usize = 100;
/// Most jobs of a page.
const MAX_LIMIT: usize = 1000;
/// Names of the parameters of a list.
const PARAMETERS: [&str; 10] =
    ["state", OUTCOME, "provider", "service", "model", "tenant", "cause", "started_since", "limit", "cursor"];

/// The parameter that may be given several times: jobs that ended in any of these ways.
const OUTCOME: &str = "outcome";

/// What a list is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct ListQuery {
    filter: JobFilter,
    limit: usize,
    cursor: Option<Cursor>,
}

/// The last job of the page before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cursor {
    /// An open job, by its start and its name.
    Open(UnixNanos, JobId),
    /// A settled job, by its place in the ledger; the largest number is before all of them.
    Settled(u64),
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(start, id) => write!(f, "open-{}-{id}", start.0),
            Self::Settled(position) => write!(f, "settled-{position}"),
        }
    }
}

impl Cursor {
    fn parse(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once('-')?;
        match kind {
            "open" => {
                let (start, id) = rest.split_once('-')?;
                Some(Self::Open(UnixNanos(start.parse().ok()?), parse_job_id(id)?))
            }
            "settled" => Some(Self::Settled(rest.parse().ok()?)),
            _ => None,
        }
    }
}

/// 32 lower-case hex digits.
fn parse_job_id(text: &str) -> Option<JobId> {
    let is_id = text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    is_id.then(|| u128::from_str_radix(text, 16).ok()).flatten().map(|id| JobId(id.to_be_bytes()))
}

impl ListQuery {
    fn parse(pairs: &[(String, String)]) -> Result<Self, ApiError> {
        let mut query = Self { limit: DEFAULT_LIMIT, ..Self::default() };
        for (index, (name, value)) in pairs.iter().enumerate() {
            query.set(name, value)?;
            if name != OUTCOME && pairs[..index].iter().any(|(earlier, _)| earlier == name) {
                return Err(ApiError::bad_request(format!("{name}: given twice")));
            }
        }
        Ok(query)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), ApiError> {
        let wrong =
            |expected: String| ApiError::bad_request(format!("{name} = {value}: expected {expected}"));
        let filter = &mut self.filter;
        match name {
            "state" => filter.state = Some(word(value, JobState::ALL, JobState::as_str).map_err(wrong)?),
            OUTCOME => filter.outcomes.push(word(value, Outcome::ALL, Outcome::as_str).map_err(wrong)?),
            "cause" => filter.cause = Some(word(value, Cause::ALL, Cause::as_str).map_err(wrong)?),
            "provider" => filter.provider = Some(value.to_owned()),
            "service" => filter.service = Some(value.to_owned()),
            "model" => filter.model = Some(value.to_owned()),
            "tenant" => filter.tenant = Some(value.to_owned()),
            "started_since" => {
                let since = value.parse::<jiff::Timestamp>().ok();
                let since = since.and_then(|since| u64::try_from(since.as_nanosecond()).ok());
                let expected = "a time since 1970 such as 2026-11-20T10:00:00Z";
                filter.started_since = Some(since.ok_or_else(|| wrong(expected.to_owned()))?);
            }
            "limit" => {
                let limit = value.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
                self.limit = limit.ok_or_else(|| wrong(format!("a number from 1 to {MAX_LIMIT}")))?;
            }
            "cursor" => {
                let cursor = Cursor::parse(value);
                self.cursor =
                    Some(cursor.ok_or_else(|| wrong("the next_cursor of the page before".to_owned()))?);
            }
            _ => {
                let known = PARAMETERS.join(", ");
                return Err(ApiError::bad_request(format!("{name}: unknown parameter; there are {known}")));
            }
        }
        Ok(())
    }

    /// Whether an open job passes.
    fn takes(&self, open: &OpenJob) -> bool {
        let is =
            |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
        let JobFilter { state, outcomes, provider, service, model, tenant, cause, started_since } =
            &self.filter;
        let job = &open.job;
        is(state, job.state.as_str())
            && (outcomes.is_empty() || outcomes.iter().any(|wanted| wanted == job.outcome.as_str()))
            && is(provider, &job.provider)
            && is(service, &job.service)
            && is(tenant, &job.tenant)
            && (is(model, &job.model) || job.attempts.iter().any(|attempt| is(model, &attempt.model)))
            && started_since.is_none_or(|since| job.started_at.0 >= since)
            && cause.as_deref().is_none_or(|cause| {
                job.attempts.iter().any(|attempt| attempt.cause.as_str() == cause)
                    || open.bill.charges.iter().any(|charge| charge.cause.as_str() == cause)
            })
    }
}

/// A word of the house's vocabulary; else what was expected.
fn word<T: Copy>(value: &str, all: &[T], as_str: fn(T) -> &'static str) -> Result<String, String> {
    let words: Vec<_> = all.iter().map(|&one| as_str(one)).collect();
    if words.contains(&value) { Ok(value.to_owned()) } else { Err(format!("one of {}", words.join(", "))) }
}

/// A page of jobs.
pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<impl IntoResponse, ApiError> {
    let query = ListQuery::parse(&pairs)?;
    let directory = admin.data_directory.clone();
    let page = admin.ask(move |sources| page(&sources.core, &directory, &query)).await?;
    Ok(([(header::CONTENT_TYPE, "application/json")], page))
}

fn page(core: &CoreHandle, directory: &Path, query: &ListQuery) -> Result<String, ApiError> {
    let mut jobs = Vec::new();
    let mut last = None;
    let ledger_from = match query.cursor {
        Some(Cursor::Settled(position)) => Some(position),
        open => {
            let names = core.label_names();
            for open in open_page(core, query, open) {
                last = Some(Cursor::Open(open.job.started_at, open.job.id));
                let document = JobDocument { job: &open.job, bill: &open.bill, revision: 0 };
                jobs.push(document.named(&names).to_json().map_err(ApiError::internal)?);
            }
            None
        }
    };
    let room = query.limit - jobs.len();
    if room > 0 {
        let ledger = LedgerReader::open(directory).map_err(ApiError::internal)?;
        let names = LabelHistory::of(&ledger).map_err(ApiError::internal)?;
        for listed in ledger.list(&query.filter, ledger_from, room).map_err(ApiError::internal)? {
            last = Some(Cursor::Settled(listed.position));
            jobs.push(names.name(listed.position, listed.job.detail.into_text()));
        }
    }
    // A full page may have more behind it; the next one tells.
    let next = last.filter(|_| jobs.len() == query.limit);
    let next = next.map_or("null".to_owned(), |cursor| format!("\"{cursor}\""));
    Ok(format!("{{\"jobs\":[{}],\"next_cursor\":{next}}}\n", jobs.join(",")))
}

/// Open jobs behind the cursor, the latest start first.
fn open_page(core: &CoreHandle, query: &ListQuery, cursor: Option<Cursor>) -> Vec<OpenJob> {
    let order = |open: &OpenJob| (Reverse(open.job.started_at), open.job.id);
    let after = match cursor {
        Some(Cursor::Open(start, id)) => Some((Reverse(start), id)),
        _ => None,
    };
    let mut open = core.open_jobs(|open| query.takes(open) && after.is_none_or(|after| order(open) > after));
    open.sort_by_key(order);
    open.truncate(query.limit);
    open
}

/// One job, as it now stands.
pub(super) async fn one(
    State(admin): State<Arc<Admin>>,
    id: Result<extract::Path<String>, PathRejection>,
) -> Result<impl IntoResponse, ApiError> {
    let (id, job_id) = job_id(id)?;
    let directory = admin.data_directory.clone();
    let found = admin.ask(move |sources| find(&sources.core, &directory, job_id)).await?;
    let not_found = || ApiError::new(StatusCode::NOT_FOUND, "not_found", format!("there is no job {id}"));
    Ok(([(header::CONTENT_TYPE, "application/json")], found.ok_or_else(not_found)? + "\n"))
}

/// The calls of a job with their times, which only the core has, and only while the job can be revised.
pub(super) async fn calls(
    State(admin): State<Arc<Admin>>,
    id: Result<extract::Path<String>, PathRejection>,
) -> Result<impl IntoResponse, ApiError> {
    let (id, job_id) = job_id(id)?;
    let calls = admin.ask(move |sources| Ok(sources.core.job(job_id).map(|view| JobCalls::of(&view.job))));
    let message = || format!("the calls of job {id} are not in memory; the times are in the traces");
    let calls = calls.await?.ok_or_else(|| ApiError::new(StatusCode::NOT_FOUND, "not_found", message()))?;
    let text = serde_json::to_string(&calls).map_err(ApiError::internal)?;
    Ok(([(header::CONTENT_TYPE, "application/json")], text + "\n"))
}

/// The job that a path names, as text too. A path may be no text at all.
fn job_id(path: Result<extract::Path<String>, PathRejection>) -> Result<(String, JobId), ApiError> {
    let wrong =
        |text: &str| ApiError::bad_request(format!("{text}: expected a job id, 32 lower-case hex digits"));
    let extract::Path(text) = path.map_err(|rejection| wrong(&rejection.body_text()))?;
    let id = parse_job_id(&text).ok_or_else(|| wrong(&text))?;
    Ok((text, id))
}

fn find(core: &CoreHandle, directory: &Path, id: JobId) -> Result<Option<String>, ApiError> {
    if let Some(view) = core.job(id) {
        let document = JobDocument { job: &view.job, bill: &view.bill, revision: view.revision };
        return document.named(&core.label_names()).to_json().map(Some).map_err(ApiError::internal);
    }
    let ledger = LedgerReader::open(directory).map_err(ApiError::internal)?;
    let published = ledger.published(id.0).map_err(ApiError::internal)?;
    let names = LabelHistory::of(&ledger).map_err(ApiError::internal)?;
    Ok(published.map(|published| names.name(published.row, published.job.detail.into_text())))
}

#[cfg(test)]
mod tests {
    use spantally_price::Bill;
    use spantally_stitch::Job;

    use super::*;

    #[test]
    fn open_jobs_that_ended_in_any_of_the_ways_pass() {
        let passing = |wanted: &[&str]| -> Vec<Outcome> {
            let pairs: Vec<_> = wanted.iter().map(|&word| (OUTCOME.to_owned(), word.to_owned())).collect();
            let query = ListQuery::parse(&pairs).ok().unwrap();
            let job = |outcome| Job { outcome, ..Job::default() };
            let takes =
                |&outcome: &Outcome| query.takes(&OpenJob { job: job(outcome), bill: Bill::default() });
            Outcome::ALL.iter().copied().filter(takes).collect()
        };
        assert_eq!(passing(&[]), Outcome::ALL);
        assert_eq!(passing(&["rejected"]), [Outcome::Rejected]);
        let both = passing(&["rejected", "failed"]);
        assert!(both.len() == 2 && both.contains(&Outcome::Rejected) && both.contains(&Outcome::Failed));
    }
}
