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
    /// The newest revision of every job that passes the filter, the latest first, at most `limit`; of those
    /// before `before`, when it is given. Pages do not shift when new jobs settle meanwhile.
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
                |row| Ok(ListedJob { position: row.get::<_, i64>(16)?.cast_unsigned(), job: read_job(row)? }),
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
           OR EXISTS (SELECT 1 FROM json_each(detail, '$.attempts') AS attempt
                      WHERE json_extract(attempt.value, '$.cause') = :cause)
           OR EXISTS (SELECT 1 FROM json_each(detail, '$.charges') AS charge
                      WHERE json_extract(charge.value, '$.cause') = :cause))
    ORDER BY job.id DESC LIMIT :limit";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Checkpoint, Detail, Ledger};
    use crate::{DataDir, Seq};

    /// Job `number`, with the words that filters look at.
    fn job(number: u8, revision: u32, [state, outcome, provider, cause]: [&'static str; 4]) -> JobRow {
        let detail = format!(r#"{{"attempts":[{{"cause":"{cause}"}}],"charges":[{{"cause":"poll"}}]}}"#);
        JobRow {
            job_id: [number; 16],
            revision,
            state: state.into(),
            outcome: outcome.into(),
            provider: provider.into(),
            service: "clips".into(),
            detail: Detail::Whole(detail.into_bytes()),
            ..JobRow::default()
        }
    }

    fn ledger(jobs: Vec<JobRow>) -> (tempfile::TempDir, LedgerReader) {
        let directory = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(&DataDir::open(directory.path()).unwrap()).unwrap();
        for (seq, job) in (1..).zip(jobs) {
            let checkpoint = Checkpoint { applied: Seq(seq), jobs: vec![job], ..Checkpoint::default() };
            ledger.checkpoint(&checkpoint).unwrap();
        }
        let reader = ledger.reader().unwrap();
        (directory, reader)
    }

    fn numbers(listed: &[ListedJob]) -> Vec<u8> {
        listed.iter().map(|listed| listed.job.job_id[0]).collect()
    }

    const GOOD: [&str; 4] = ["settled", "succeeded", "fal", "delivered"];

    #[test]
    fn each_condition_selects() {
        let (_directory, ledger) = ledger(vec![
            job(1, 1, GOOD),
            job(2, 1, ["settled", "failed", "runway", "failed"]),
            job(3, 1, ["superseded", "succeeded", "fal", "retry"]),
        ]);
        let some = |word: &str| Some(word.to_owned());
        for (filter, expected) in [
            (JobFilter::default(), vec![2, 1]),
            (JobFilter { state: some("superseded"), ..JobFilter::default() }, vec![3]),
            (JobFilter { outcome: some("failed"), ..JobFilter::default() }, vec![2]),
            (JobFilter { provider: some("fal"), ..JobFilter::default() }, vec![1]),
            (JobFilter { service: some("clips"), ..JobFilter::default() }, vec![2, 1]),
            (JobFilter { service: some("other"), ..JobFilter::default() }, vec![]),
            (JobFilter { cause: some("failed"), ..JobFilter::default() }, vec![2]),
            (JobFilter { cause: some("poll"), ..JobFilter::default() }, vec![2, 1]),
            (JobFilter { cause: some("duplicate"), ..JobFilter::default() }, vec![]),
        ] {
            assert_eq!(numbers(&ledger.list(&filter, None, 10).unwrap()), expected, "{filter:?}");
        }
    }

    #[test]
    fn pages_join_without_gap_or_repeat() {
        let (_directory, ledger) = ledger((1..=5).map(|number| job(number, 1, GOOD)).collect());
        let (mut found, mut before) = (Vec::new(), None);
        loop {
            let page = ledger.list(&JobFilter::default(), before, 2).unwrap();
            let Some(last) = page.last() else { break };
            before = Some(last.position);
            found.extend(numbers(&page));
        }
        assert_eq!(found, [5, 4, 3, 2, 1]);
    }

    #[test]
    fn only_the_newest_revision_is_listed() {
        let failed = ["settled", "failed", "fal", "failed"];
        let (_directory, ledger) = ledger(vec![job(1, 1, failed), job(1, 2, GOOD)]);
        let listed = ledger.list(&JobFilter::default(), None, 10).unwrap();
        assert_eq!((listed.len(), listed[0].job.revision), (1, 2));
        let failed = JobFilter { outcome: Some("failed".to_owned()), ..JobFilter::default() };
        assert_eq!(ledger.list(&failed, None, 10).unwrap(), []);
    }
}
