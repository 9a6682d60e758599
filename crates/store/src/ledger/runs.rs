//! Where a job's rows are: an index in runs, since ids of jobs are random.
//!
//! An index over all ids would touch a page a job once the file is large. So ids are indexed in *runs* of
//! 16,384 rows: of the run that grows the writer knows every job in memory, and a run that is complete gets
//! one sorted list of the beginnings of its ids. Who looks a job up asks one run after another, the newest
//! first; that is seldom done, and mostly for a job of the newest runs.

use hashbrown::HashMap;
use rusqlite::{Connection, OptionalExtension, params};

use super::check::{Difference, row_difference};

/// A run has 2 to this many rows.
const RUN_BITS: u32 = 14;
/// In a list: eight bytes of the id, two for the place in the run.
const ENTRY_BYTES: usize = 10;

/// A row and its revision.
pub(super) type Found = (i64, u32);

/// The run that grows.
#[derive(Debug, Default)]
pub(super) struct GrowingRun {
    /// The newest row of each of its jobs.
    jobs: HashMap<[u8; 16], Found, foldhash::fast::RandomState>,
}

fn run_of(row: i64) -> i64 {
    row >> RUN_BITS
}

impl GrowingRun {
    /// The run that a file ends with.
    pub(super) fn load(connection: &Connection, last: i64) -> rusqlite::Result<Self> {
        let mut run = Self::default();
        // The row after the last one may begin a run.
        run.read(connection, run_of(last + 1) << RUN_BITS)?;
        Ok(run)
    }

    /// Takes every row from one on.
    fn read(&mut self, connection: &Connection, from: i64) -> rusqlite::Result<()> {
        let mut select = connection
            .prepare_cached("SELECT job_id, id, revision FROM job_row WHERE id >= ?1 ORDER BY id")?;
        let mut rows = select.query([from])?;
        while let Some(row) = rows.next()? {
            self.jobs.insert(row.get(0)?, (row.get(1)?, row.get(2)?));
        }
        Ok(())
    }

    /// Takes a row that was just inserted; writes the list of a run that it completes.
    pub(super) fn add(
        &mut self,
        connection: &Connection,
        job_id: [u8; 16],
        (row, revision): Found,
    ) -> rusqlite::Result<()> {
        self.jobs.insert(job_id, (row, revision));
        if run_of(row + 1) == run_of(row) {
            return Ok(());
        }
        let mut entries: Vec<[u8; ENTRY_BYTES]> =
            self.jobs.drain().map(|(id, (row, _))| entry(id, place(row))).collect();
        entries.sort_unstable();
        connection
            .prepare_cached("INSERT INTO job_run(run, ids) VALUES (?1, ?2)")?
            .execute(params![run_of(row), entries.as_flattened()])?;
        Ok(())
    }

    /// The newest row of a job. `last` is the newest row of all.
    pub(super) fn find(
        &self,
        connection: &Connection,
        job_id: [u8; 16],
        last: i64,
    ) -> rusqlite::Result<Option<Found>> {
        match self.jobs.get(&job_id) {
            Some(&found) => Ok(Some(found)),
            None => find_in_complete(connection, job_id, last),
        }
    }

    /// The newest row of a job in the run that grows.
    pub(super) fn get(&self, job_id: [u8; 16]) -> Option<Found> {
        self.jobs.get(&job_id).copied()
    }
}

/// Drops the lists of runs that have no row from here on.
pub(super) fn remove_before(connection: &Connection, row: i64) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM job_run WHERE run < ?1")?.execute([run_of(row)])?;
    Ok(())
}

/// Where in its run a row is.
fn place(row: i64) -> u16 {
    (row.cast_unsigned() & ((1 << RUN_BITS) - 1)) as u16
}

fn entry(id: [u8; 16], place: u16) -> [u8; ENTRY_BYTES] {
    let mut entry = [0; ENTRY_BYTES];
    entry[..8].copy_from_slice(&id[..8]);
    entry[8..].copy_from_slice(&place.to_be_bytes());
    entry
}

/// The run that grows, as a reader knows it: read once and then followed, since its rows are wide and no
/// index finds a job among them.
#[derive(Debug, Default)]
pub(super) struct FollowedRun {
    run: GrowingRun,
    /// The first row that is not read yet.
    next: i64,
}

impl FollowedRun {
    /// The newest row of a job. `last` is the newest row of all, and `removed_to` the newest that is gone.
    pub(super) fn find(
        &mut self,
        connection: &Connection,
        job_id: [u8; 16],
        (last, removed_to): (i64, i64),
    ) -> rusqlite::Result<Option<Found>> {
        let first = run_of(last + 1) << RUN_BITS;
        if self.next < first {
            self.run.jobs.clear();
            self.next = first;
        }
        self.run.read(connection, self.next)?;
        self.next = last + 1;
        // What was read may have been removed since.
        Ok(self.run.find(connection, job_id, last)?.filter(|(row, _)| *row > removed_to))
    }
}

/// Compares the lists with the rows.
pub(super) fn check(connection: &Connection, tell: &mut dyn FnMut(Difference)) -> rusqlite::Result<()> {
    let mut lists = connection.prepare("SELECT run, ids FROM job_run ORDER BY run")?;
    let mut jobs = connection.prepare(
        "SELECT job_id, max(id) FROM job_row WHERE id BETWEEN ?1 AND ?2 GROUP BY job_id ORDER BY job_id",
    )?;
    let mut rows = lists.query([])?;
    while let Some(row) = rows.next()? {
        let run: i64 = row.get(0)?;
        let (listed, _) = row.get_ref(1)?.as_blob()?.as_chunks::<ENTRY_BYTES>();
        let range = [run << RUN_BITS, ((run + 1) << RUN_BITS) - 1];
        let mut found = jobs.query(range)?;
        while let Some(row) = found.next()? {
            let (id, last): ([u8; 16], i64) = (row.get(0)?, row.get(1)?);
            if listed.binary_search(&entry(id, place(last))).is_err() {
                tell(row_difference("index", last, "not listed", format!("an entry in run {run}")));
            }
        }
    }
    Ok(())
}

fn find_in_complete(connection: &Connection, job_id: [u8; 16], last: i64) -> rusqlite::Result<Option<Found>> {
    let mut lists =
        connection.prepare_cached("SELECT run, ids FROM job_run WHERE run < ?1 ORDER BY run DESC")?;
    let mut check =
        connection.prepare_cached("SELECT id, revision FROM job_row WHERE id = ?1 AND job_id = ?2")?;
    let mut rows = lists.query([run_of(last + 1)])?;
    while let Some(row) = rows.next()? {
        let run: i64 = row.get(0)?;
        let (entries, _) = row.get_ref(1)?.as_blob()?.as_chunks::<ENTRY_BYTES>();
        let from = entries.partition_point(|entry| entry[..8] < job_id[..8]);
        // Ids with an equal beginning are next to each other, the newest row last.
        let alike = entries[from..].partition_point(|entry| entry[..8] == job_id[..8]);
        for entry in entries[from..from + alike].iter().rev() {
            let place = i64::from(u16::from_be_bytes([entry[8], entry[9]]));
            let found = check
                .query_row(params![run << RUN_BITS | place, job_id.as_slice()], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })
                .optional()?;
            if found.is_some() {
                return Ok(found);
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(row: i64) -> [u8; 16] {
        u128::from(row.cast_unsigned()).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c834).to_be_bytes()
    }

    /// Appends rows, each of a job of its own, up to the last one.
    fn append(connection: &Connection, run: &mut GrowingRun, rows: std::ops::RangeInclusive<i64>) {
        let mut insert = connection.prepare_cached("INSERT INTO job_row VALUES (?1, ?2, 1)").unwrap();
        for row in rows {
            insert.execute(params![row, id(row)]).unwrap();
            run.add(connection, id(row), (row, 1)).unwrap();
        }
    }

    #[test]
    fn a_reader_reads_each_row_once_and_finds_what_the_writer_finds() {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch(
                "CREATE TABLE job_row(id INTEGER PRIMARY KEY, job_id BLOB, revision INTEGER);
                 CREATE TABLE job_run(run INTEGER PRIMARY KEY, ids BLOB); BEGIN;",
            )
            .unwrap();
        let (mut run, mut reader, mut first) = (GrowingRun::default(), FollowedRun::default(), 1);
        for last in [1, 2, 900, (1 << RUN_BITS) - 2, (1 << RUN_BITS) - 1, 1 << RUN_BITS, 40_000] {
            append(&connection, &mut run, first..=last);
            for row in [1, 900, (1 << RUN_BITS) - 1, 1 << RUN_BITS, last, last + 1] {
                let found = reader.find(&connection, id(row), (last, 0)).unwrap();
                assert_eq!(found, run.find(&connection, id(row), last).unwrap(), "{row} of {last}");
                assert_eq!(found, (row <= last).then_some((row, 1)), "{row} of {last}");
            }
            first = last + 1;
        }
        // The wide rows of the run that grows are not asked again; that they were removed is heeded.
        connection.execute("DELETE FROM job_row WHERE id >= ?1", [39_000]).unwrap();
        assert_eq!(reader.find(&connection, id(39_500), (40_000, 0)).unwrap(), Some((39_500, 1)));
        assert_eq!(reader.find(&connection, id(39_500), (40_000, 39_500)).unwrap(), None);
    }
}
