//! Pages of settled jobs, the latest first: what the API and `spantally jobs` list.

use rusqlite::named_params;

use super::read::{LedgerReader, SELECT_JOB, read_job};
use super::rows::JobRow;
use crate::error::StoreError;

/// Which jobs to list. Every condition that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// Where the job stands; none: anywhere but superseded.
    pub state: Option<String>,
    /// How it ended.
    pub outcome: Option<String>,
    /// Provider.
    pub provider: Option<String>,
    /// The service that submitted it.
    pub service: Option<String>,
    /// A cause of one of its attempts or charges.
    pub cause: Option<String>,
}

/// A job of a page.
#[derive(Clone, Debug, PartialEq)]
pub struct ListedJob {
    /// Where it lies in the ledger; the next page is before it.
    pub position: u64,
    /// Its newest revision, without charges.
    pub job: JobRow,
}

impl LedgerReader {
    /// The newest revision of every job that passes the filter, the latest first, at most `limit`; of those before
    /// `before`, when it is given. Pages do not shift when new jobs settle meanwhile.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn list(
        &self,
        filter: &JobFilter,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<ListedJob>, StoreError> {
        (|| {
            let mut select = self.database.connection.prepare_cached(&format!("{SELECT_JOB} {WHERE}"))?;
            let before = before.and_then(|before| i64::try_from(before).ok()).unwrap_or(i64::MAX);
            let rows = select.query_map(
                named_params! {
                    ":before": before,
                    ":state": filter.state,
                    ":outcome": filter.outcome,
                    ":provider": filter.provider,
                    ":service": filter.service,
                    ":cause": filter.cause,
                    ":limit": i64::try_from(limit).unwrap_or(i64::MAX),
                },
                |row| Ok(ListedJob { position: row.get::<_, i64>(15)?.cast_unsigned(), job: read_job(row)? }),
            )?;
            rows.collect::<Result<Vec<_>, _>>()
        })()
        .map_err(self.database.failed("list jobs"))
    }
}

const WHERE: &str = "
    WHERE job.id < :before
      AND CASE WHEN :state IS NULL THEN state <> 'superseded' ELSE state = :state END
      AND (:outcome IS NULL OR outcome = :outcome)
      AND (:provider IS NULL OR provider = :provider)
      AND (:service IS NULL OR service = :service)
      AND NOT EXISTS (SELECT 1 FROM job_row AS newer WHERE newer.replaces = job.id)
      AND (:cause IS NULL
           OR EXISTS (SELECT 1 FROM json_each(CAST(detail AS TEXT), '$.attempts') AS attempt
                      WHERE json_extract(attempt.value, '$.cause') = :cause)
           OR EXISTS (SELECT 1 FROM json_each(CAST(detail AS TEXT), '$.charges') AS charge
                      WHERE json_extract(charge.value, '$.cause') = :cause))
    ORDER BY job.id DESC LIMIT :limit";
