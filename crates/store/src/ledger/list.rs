//! Pages of settled jobs, the latest first: what the API and `spantally jobs` list.

use rusqlite::named_params;

use super::days::DAY_NANOS;
use super::read::{LedgerReader, SELECT_JOB, read_job};
use super::rows::JobRow;
use super::spend::first_since;
use crate::error::StoreError;

/// How far ahead a sender's clock may be for its jobs to be found by their start, in nanoseconds: a job seems
/// then to settle before it begins.
const CLOCK_AHEAD_MAX: u64 = DAY_NANOS;

/// Which jobs to list. Every condition that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// Where the job stands; none: anywhere but superseded.
    pub state: Option<String>,
    /// How it ended: in one of these ways; empty: in any.
    pub outcomes: Vec<String>,
    /// Provider.
    pub provider: Option<String>,
    /// The service that submitted it.
    pub service: Option<String>,
    /// Its model, or that of one of its attempts.
    pub model: Option<String>,
    /// The tenant that it is of.
    pub tenant: Option<String>,
    /// A cause of one of its attempts or charges.
    pub cause: Option<String>,
    /// When it began, in nanoseconds since 1970: then or later.
    pub started_since: Option<u64>,
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
            let _moment = self.moment()?;
            // What settled before that cannot have begun since; it need not be looked at.
            let from = match filter.started_since {
                Some(since) => first_since(&self.database.connection, since.saturating_sub(CLOCK_AHEAD_MAX))?,
                None => 0,
            };
            let mut select = self.database.connection.prepare_cached(&format!("{SELECT_JOB} {WHERE}"))?;
            let before = before.and_then(|before| i64::try_from(before).ok()).unwrap_or(i64::MAX);
            let rows = select.query_map(
                named_params! {
                    ":from": from,
                    ":before": before,
                    ":state": filter.state,
                    ":outcomes": lines(&filter.outcomes),
                    ":provider": filter.provider,
                    ":service": filter.service,
                    ":model": filter.model,
                    ":tenant": filter.tenant,
                    ":cause": filter.cause,
                    ":since": filter.started_since.map(|since| i64::try_from(since).unwrap_or(i64::MAX)),
                    ":limit": i64::try_from(limit).unwrap_or(i64::MAX),
                },
                |row| Ok(ListedJob { position: row.get::<_, i64>(16)?.cast_unsigned(), job: read_job(row)? }),
            )?;
            rows.collect::<Result<Vec<_>, _>>()
        })()
        .map_err(self.database.failed("list jobs"))
    }
}

/// Words as lines, each between two ends of line; none of none.
fn lines(words: &[String]) -> Option<String> {
    (!words.is_empty()).then(|| format!("\n{}\n", words.join("\n")))
}

const WHERE: &str = "
    WHERE job.id < :before
      AND job.id >= :from
      AND (:since IS NULL OR started_at >= :since)
      AND CASE WHEN :state IS NULL THEN state <> 'superseded' ELSE state = :state END
      AND (:outcomes IS NULL OR instr(:outcomes, char(10) || outcome || char(10)) > 0)
      AND (:provider IS NULL OR provider = :provider)
      AND (:service IS NULL OR service = :service)
      AND (:tenant IS NULL OR tenant = :tenant)
      AND (:model IS NULL OR model = :model
           OR EXISTS (SELECT 1 FROM json_each(detail, '$.attempts') AS attempt
                      WHERE json_extract(attempt.value, '$.model') = :model))
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
        let attempts = format!(r#"[{{"cause":"{cause}"}},{{"model":"leg of {number}"}}]"#);
        let detail = format!(r#"{{"attempts":{attempts},"charges":[{{"cause":"poll"}}]}}"#);
        JobRow {
            job_id: [number; 16],
            revision,
            state: state.into(),
            outcome: outcome.into(),
            provider: provider.into(),
            service: "clips".into(),
            model: provider.into(),
            tenant: outcome.into(),
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

    fn ended(outcomes: &[&str]) -> JobFilter {
        JobFilter { outcomes: outcomes.iter().copied().map(str::to_owned).collect(), ..JobFilter::default() }
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
            (ended(&["failed"]), vec![2]),
            (ended(&["fail"]), vec![]),
            (ended(&["failed", "succeeded"]), vec![2, 1]),
            (ended(&["rejected", "failed"]), vec![2]),
            (JobFilter { provider: some("fal"), ..JobFilter::default() }, vec![1]),
            (JobFilter { service: some("clips"), ..JobFilter::default() }, vec![2, 1]),
            (JobFilter { service: some("other"), ..JobFilter::default() }, vec![]),
            (JobFilter { model: some("runway"), ..JobFilter::default() }, vec![2]),
            (JobFilter { model: some("leg of 1"), ..JobFilter::default() }, vec![1]),
            (JobFilter { model: some("leg"), ..JobFilter::default() }, vec![]),
            (JobFilter { tenant: some("succeeded"), ..JobFilter::default() }, vec![1]),
            (JobFilter { tenant: some(""), ..JobFilter::default() }, vec![]),
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
    fn jobs_of_a_time_are_found_behind_any_number_that_began_earlier() {
        const HOUR: u64 = 3_600_000_000_000;
        let day = 20_000 * CLOCK_AHEAD_MAX;
        let jobs = [
            // number, began, settled, in hours
            (1, 0, 0),
            (2, 40, 40),
            // Settled last of all, and began long before.
            (3, 0, 41),
            (4, 39, 41),
            // Its sender's clock is ahead.
            (5, 60, 42),
        ];
        let row = |&(number, began, settled): &(u8, u64, u64)| JobRow {
            started_at: day + began * HOUR,
            settled_at: day + settled * HOUR,
            ..job(number, 1, GOOD)
        };
        let (_directory, ledger) = ledger(jobs.iter().map(row).collect());
        for (since, expected) in
            [(0, vec![5, 4, 3, 2, 1]), (39, vec![5, 4, 2]), (40, vec![5, 2]), (60, vec![5]), (61, vec![])]
        {
            let filter = JobFilter { started_since: Some(day + since * HOUR), ..JobFilter::default() };
            assert_eq!(numbers(&ledger.list(&filter, None, 10).unwrap()), expected, "since {since}");
            // A page of one finds the same.
            let first = ledger.list(&filter, None, 1).unwrap();
            assert_eq!(numbers(&first), expected.get(..1).unwrap_or_default(), "since {since}");
        }
    }

    #[test]
    fn only_the_newest_revision_is_listed() {
        let failed = ["settled", "failed", "fal", "failed"];
        let (_directory, ledger) = ledger(vec![job(1, 1, failed), job(1, 2, GOOD)]);
        let listed = ledger.list(&JobFilter::default(), None, 10).unwrap();
        assert_eq!((listed.len(), listed[0].job.revision), (1, 2));
        assert_eq!(ledger.list(&ended(&["failed"]), None, 10).unwrap(), []);
    }
}
