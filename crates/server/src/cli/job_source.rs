//! Where `jobs` and `explain` read jobs from: a running server, a ledger, or a recording.
//!
//! Without any option the server of the configuration is asked; when nothing answers there, the ledger of the
//! configured data directory is read, if there is one, and standard error says so.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use miette::Diagnostic as _;
use serde::Deserialize;
use spantally_stitch::{State, UnixNanos};
use spantally_store::{JobFilter, LedgerReader, ListedJob};

use super::http::{Answer, AskError, Server, query_value};
use super::job_doc::{JobDoc, unix_ms};
use super::{ConfigArgs, Failure, replay};
use crate::clock;
use crate::config::ClientTls;
use crate::core::Settled;
use crate::job_calls::JobCalls;
use crate::job_json::{JobDocument, Rfc3339};
use crate::label_history::LabelHistory;

/// Jobs that are read at a time.
pub(super) const PAGE: usize = 1000;
/// Most jobs that are looked through for a beginning of an id.
const LOOK_MAX: usize = 100_000;
/// Digits of a whole job id.
pub(super) const ID_DIGITS: usize = 32;

/// Where to read jobs.
#[derive(Debug, clap::Args)]
pub(super) struct SourceArgs {
    /// A running server, http:// or https:// [default: the one of the configuration, at 127.0.0.1:9464].
    #[arg(long, value_name = "URL", group = "source")]
    server: Option<String>,
    /// Data directory whose ledger is read, beside a server or without one.
    #[arg(long, value_name = "DIR", group = "source")]
    ledger: Option<PathBuf>,
    /// Recordings, read as `replay` does.
    #[arg(long, value_name = "FILE", num_args = 1.., group = "source")]
    from: Vec<PathBuf>,
    /// Authorities (PEM) that the certificate of a server with TLS is checked against; else the system's.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["ledger", "from"])]
    ca_file: Option<PathBuf>,
    /// Your certificate (PEM), for a server that asks for one.
    #[arg(long, value_name = "FILE", requires = "key_file", conflicts_with_all = ["ledger", "from"])]
    cert_file: Option<PathBuf>,
    /// The private key of that certificate (PEM).
    #[arg(long, value_name = "FILE", requires = "cert_file")]
    key_file: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArgs,
}

/// A job, and its JSON as its source has it.
#[derive(Clone, Debug)]
pub(super) struct ReadJob {
    pub text: String,
    pub doc: JobDoc,
}

impl ReadJob {
    fn parse(text: String) -> Result<Self, Failure> {
        let doc = serde_json::from_str(&text)
            .map_err(|error| Failure::failed(miette::miette!("a job is not as expected: {error}")))?;
        Ok(Self { text, doc })
    }
}

/// An opened source.
pub(super) enum Source {
    Server(Server),
    /// With the names of its documents' labels.
    Ledger(LedgerReader, LabelHistory),
    /// With the names of the labels.
    Recording(Vec<Settled>, Vec<Arc<str>>),
}

impl SourceArgs {
    /// Which configuration it is read with.
    pub(super) fn config(&self) -> &ConfigArgs {
        &self.config
    }

    /// Opens what the arguments name.
    pub(super) fn open(&self) -> Result<Source, Failure> {
        if let Some(directory) = &self.ledger {
            return ledger(directory);
        }
        if !self.from.is_empty() {
            let found = replay::read(&self.from, &self.config)?;
            let names = found.label_names.clone();
            return Ok(Source::Recording(found.into_last_settled_first(), names));
        }
        let tls = ClientTls {
            ca_file: self.ca_file.clone(),
            cert_file: self.cert_file.clone(),
            key_file: self.key_file.clone(),
            ..ClientTls::default()
        };
        if let Some(url) = &self.server {
            return Ok(Source::Server(found(url, &tls).map_err(AskError::into_failure)?));
        }
        let settings = self.config.load()?.settings;
        let scheme = if settings.admin.tls.is_some() { "https" } else { "http" };
        let why = match found(&format!("{scheme}://{}", settings.admin.endpoint), &tls) {
            Ok(server) => return Ok(Source::Server(server)),
            Err(error) if error.is_usage() => return Err(error.into_failure()),
            Err(error) => error,
        };
        let directory = &settings.storage.directory;
        let Ok(ledger) = ledger(directory) else { return Err(why.into_failure()) };
        let help = why.help().filter(|_| why.is_refusal()).map(|help| format!(" ({help})"));
        let missing = if why.is_refusal() { "; open jobs are missing" } else { "" };
        let what = [why.to_string(), help.unwrap_or_default(), missing.to_owned()].concat();
        // Nobody is left to tell when standard error is gone.
        let _ = writeln!(std::io::stderr(), "{what}; reading the ledger in {}", directory.display());
        Ok(ledger)
    }
}

/// A server, if one answers there.
fn found(url: &str, tls: &ClientTls) -> Result<Server, AskError> {
    let server = Server::new(url, tls)?;
    server.get("/healthz")?;
    Ok(server)
}

/// The ledger of a data directory.
///
/// # Errors
/// There is none, or it cannot be opened.
pub(super) fn ledger(directory: &Path) -> Result<Source, Failure> {
    let reader = LedgerReader::open(directory).map_err(failed)?;
    let names = LabelHistory::of(&reader).map_err(failed)?;
    Ok(Source::Ledger(reader, names))
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::failed(miette::miette!("{error}"))
}

/// A page of the API.
#[derive(Deserialize)]
struct Page {
    jobs: Vec<JobDoc>,
    next_cursor: Option<String>,
}

impl Source {
    /// Jobs that pass, at most `limit`, in the order of every source: open ones, the latest start first (a
    /// server alone has them), then settled ones, the latest settlement first.
    pub(super) fn list(&self, filter: &JobFilter, limit: usize) -> Result<Vec<ReadJob>, Failure> {
        let mut found = Vec::new();
        self.visit(filter, limit.clamp(1, PAGE), |page| {
            found.extend(page);
            found.len() < limit
        })?;
        found.truncate(limit);
        Ok(found)
    }

    /// The moment from which `--since` counts back: now, or the end of the recording.
    pub(super) fn now_ms(&self) -> i64 {
        match self {
            Self::Recording(jobs, _) => {
                let ends = jobs.iter().map(|settled| settled.job.ended_at.0 / 1_000_000);
                ends.max().unwrap_or_default().cast_signed()
            }
            Self::Server(_) | Self::Ledger(..) => (clock::now().0 / 1_000_000).cast_signed(),
        }
    }

    /// The job of a whole id.
    pub(super) fn get(&self, id: &str) -> Result<Option<ReadJob>, Failure> {
        let text = match self {
            Self::Server(server) => {
                match server.get(&format!("/api/v1/jobs/{id}")).map_err(AskError::into_failure)? {
                    Answer { status: 200, body } => Some(body.trim_end().to_owned()),
                    Answer { status: 404, .. } => None,
                    answer => return Err(refused(server, &answer)),
                }
            }
            Self::Ledger(reader, names) => {
                let job_id = u128::from_str_radix(id, 16).map_err(failed)?.to_be_bytes();
                let found = reader.published(job_id).map_err(failed)?;
                found.map(|found| names.name(found.row, found.job.detail.into_text()))
            }
            Self::Recording(jobs, names) => {
                let wanted = jobs.iter().find(|settled| settled.job.id.to_string() == id);
                wanted.map(|settled| document(settled, names)).transpose()?
            }
        };
        text.map(ReadJob::parse).transpose()
    }

    /// The calls of a job with their times, where the source has them.
    pub(super) fn calls(&self, id: &str) -> Option<JobCalls> {
        match self {
            Self::Server(server) => {
                let answer = server.get(&format!("/api/v1/jobs/{id}/calls")).ok()?;
                serde_json::from_str(&answer.body).ok()
            }
            Self::Ledger(..) => None,
            Self::Recording(jobs, _) => {
                let wanted = jobs.iter().find(|settled| settled.job.id.to_string() == id);
                wanted.map(|settled| JobCalls::of(&settled.job))
            }
        }
    }

    /// Gives jobs out in pages of so many, those that settled last first, until `visit` has enough or very
    /// many have been looked at.
    pub(super) fn visit(
        &self,
        filter: &JobFilter,
        page: usize,
        mut visit: impl FnMut(Vec<ReadJob>) -> bool,
    ) -> Result<(), Failure> {
        let mut cursor = None;
        for _ in 0..LOOK_MAX / page {
            let (jobs, next) = self.page(filter, page, cursor.as_deref())?;
            if !visit(jobs) || next.is_none() {
                break;
            }
            cursor = next;
        }
        Ok(())
    }

    /// Gives every settled job out, those that settled last first, however many there are.
    pub(super) fn each_settled(&self, mut visit: impl FnMut(&JobDoc)) -> Result<(), Failure> {
        let filter = JobFilter { state: Some(State::Settled.as_str().to_owned()), ..JobFilter::default() };
        let mut cursor = None;
        loop {
            let (jobs, next) = self.page(&filter, PAGE, cursor.as_deref())?;
            for job in &jobs {
                visit(&job.doc);
            }
            if next.is_none() {
                return Ok(());
            }
            cursor = next;
        }
    }

    /// The same, each with the times of its calls where `wants` asks for them and the source has them. A
    /// server is asked once for each such job.
    pub(super) fn each_settled_timed(
        &self,
        wants: impl Fn(&JobDoc) -> bool,
        mut visit: impl FnMut(&JobDoc, Option<&JobCalls>),
    ) -> Result<(), Failure> {
        let Self::Recording(jobs, names) = self else {
            return self.each_settled(|doc| {
                let calls = wants(doc).then(|| self.calls(&doc.job_id)).flatten();
                visit(doc, calls.as_ref());
            });
        };
        for settled in jobs.iter().filter(|settled| settled.job.state == State::Settled) {
            let ReadJob { doc, .. } = ReadJob::parse(document(settled, names)?)?;
            let calls = wants(&doc).then(|| JobCalls::of(&settled.job));
            visit(&doc, calls.as_ref());
        }
        Ok(())
    }

    /// At most so many jobs after a cursor, and the cursor of those after them.
    fn page(&self, filter: &JobFilter, limit: usize, cursor: Option<&str>) -> Result<Pages, Failure> {
        match self {
            Self::Server(server) => server_page(server, filter, limit, cursor),
            Self::Ledger(reader, names) => ledger_page((reader, names), filter, limit, cursor),
            Self::Recording(jobs, names) => Ok((recording_page(jobs, names, filter)?, None)),
        }
    }
}

fn refused(server: &Server, answer: &Answer) -> Failure {
    Failure::failed(miette::miette!("{server} answered {}: {}", answer.status, answer.body.trim_end()))
}

type Pages = (Vec<ReadJob>, Option<String>);

fn server_page(
    server: &Server,
    filter: &JobFilter,
    limit: usize,
    cursor: Option<&str>,
) -> Result<Pages, Failure> {
    let JobFilter { state, outcomes, provider, service, model, tenant, cause, started_since } = filter;
    let since = started_since.map(|since| Rfc3339(UnixNanos(since)).to_string());
    let conditions = [
        ("state", state.as_deref()),
        ("provider", provider.as_deref()),
        ("service", service.as_deref()),
        ("model", model.as_deref()),
        ("tenant", tenant.as_deref()),
        ("cause", cause.as_deref()),
        ("started_since", since.as_deref()),
        ("cursor", cursor),
    ];
    let mut path = format!("/api/v1/jobs?limit={limit}");
    for (name, value) in conditions.into_iter().filter_map(|(name, value)| Some((name, value?))) {
        path += &["&", name, "=", &query_value(value)].concat();
    }
    for outcome in outcomes {
        path += &["&outcome=", &query_value(outcome)].concat();
    }
    let answer = server.get(&path).map_err(AskError::into_failure)?;
    if answer.status != 200 {
        return Err(refused(server, &answer));
    }
    let page: Page = serde_json::from_str(&answer.body).map_err(failed)?;
    let read = |doc: JobDoc| Ok(ReadJob { text: serde_json::to_string(&doc).map_err(failed)?, doc });
    Ok((page.jobs.into_iter().map(read).collect::<Result<_, Failure>>()?, page.next_cursor))
}

fn ledger_page(
    (reader, names): (&LedgerReader, &LabelHistory),
    filter: &JobFilter,
    limit: usize,
    cursor: Option<&str>,
) -> Result<Pages, Failure> {
    let before = cursor.map(str::parse).transpose().map_err(failed)?;
    let listed = reader.list(filter, before, limit).map_err(failed)?;
    let next = listed.last().filter(|_| listed.len() == limit).map(|last| last.position.to_string());
    let read = |listed: ListedJob| ReadJob::parse(names.name(listed.position, listed.job.detail.into_text()));
    let jobs = listed.into_iter().map(read);
    Ok((jobs.collect::<Result<_, Failure>>()?, next))
}

fn document(settled: &Settled, names: &[Arc<str>]) -> Result<String, Failure> {
    let Settled { job, bill, revision } = settled;
    JobDocument { job, bill, revision: *revision }.named(names).to_json().map_err(failed)
}

fn recording_page(jobs: &[Settled], names: &[Arc<str>], filter: &JobFilter) -> Result<Vec<ReadJob>, Failure> {
    let is = |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
    let is_among =
        |wanted: &[String], found: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == found);
    let takes = |settled: &&Settled| {
        let Settled { job, bill, .. } = *settled;
        is(&filter.state, job.state.as_str())
            && is_among(&filter.outcomes, job.outcome.as_str())
            && is(&filter.provider, &job.provider)
            && is(&filter.service, &job.service)
            && is(&filter.tenant, &job.tenant)
            && (is(&filter.model, &job.model)
                || job.attempts.iter().any(|attempt| is(&filter.model, &attempt.model)))
            && filter.started_since.is_none_or(|since| job.started_at.0 >= since)
            && filter.cause.as_deref().is_none_or(|cause| {
                job.attempts.iter().any(|attempt| attempt.cause.as_str() == cause)
                    || bill.charges.iter().any(|charge| charge.cause.as_str() == cause)
            })
    };
    jobs.iter().filter(takes).map(|settled| ReadJob::parse(document(settled, names)?)).collect()
}

/// Seconds between two moments of the JSON.
pub(super) fn seconds_between(from: &str, until: &str) -> Option<f64> {
    Some((unix_ms(until)? - unix_ms(from)?) as f64 / 1000.0)
}
