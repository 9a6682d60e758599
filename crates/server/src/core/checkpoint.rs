//! What a checkpoint holds, gathered; [`super::restore`] takes it back.

use spantally_stitch::{Outages, Settings, Stitcher, UnixNanos};
use spantally_store::{Checkpoint, CounterRow};

use super::Core;
use crate::record::{encode_carried, encode_tie};

impl Core {
    /// Gathers what changed since the last checkpoint. It must be written before anything newer is shown or
    /// gathered.
    ///
    /// Of a job that was told and not booked yet the ledger must not say that it is forgotten: were the
    /// process killed now, its evidence would be late, and it would never be booked. So while changes wait
    /// all evidence stays where it is, and what was forgotten is said when they are booked.
    pub fn checkpoint(&mut self) -> Checkpoint {
        let marks = self.shards.iter().map(Stitcher::next_number).collect();
        let turn = self.turns.make(self.applied, self.now, marks);
        let waits = self.waiting.len() > 0;
        let open = if waits { Vec::new() } else { self.carry() };
        let done = self.turns.done();
        let moment = |name: &str, at: UnixNanos| (name.to_owned(), at.0.to_string().into_bytes());
        let mut meta = vec![
            moment(TURN_META, self.now),
            moment(FORGOTTEN_META, self.books.forgotten.until()),
            moment(TRIMMED_META, self.trimmed_at()),
            (CUT_META.to_owned(), u8::from(self.is_cut).to_string().into_bytes()),
            (WAITED_META.to_owned(), self.waited_ms.to_string().into_bytes()),
            (OUTAGES_META.to_owned(), save_outages(&self.outages).into_bytes()),
        ];
        let history = self.unsaved_history.drain(..);
        meta.extend(history.map(|(name, text)| (name.to_owned(), text.into_bytes())));
        let told = self.shards.iter_mut().filter(|_| !waits);
        let tombstones = told.flat_map(Stitcher::take_tombstones).collect();
        let counters = self.take_sets();
        let applied = self.applied;
        let mut checkpoint =
            Checkpoint { applied, open, turn, done, tombstones, counters, meta, ..Checkpoint::default() };
        self.books.gather(&mut checkpoint);
        checkpoint
    }

    /// What must be in the ledger before the rows of old turns may go, and what was matched; and what of both
    /// need not be there any more.
    fn carry(&mut self) -> Vec<(u64, Option<Vec<u8>>)> {
        let mut open = Vec::new();
        let Settings { retention_ms, max_spans, .. } = self.stitching;
        let labels = &self.labels;
        let old = self.turns.take_old(self.now, retention_ms, max_spans as u64);
        for (shard, stitcher) in self.shards.iter_mut().enumerate() {
            if let Some(&mark) = old.as_ref().and_then(|turn| turn.marks.get(shard)) {
                stitcher.carry(mark, |number, came, evidence| {
                    let mut bytes = Vec::with_capacity(96 * evidence.len() + 24);
                    encode_carried(came, evidence, labels, &mut bytes);
                    open.push((evidence_number(shard, number), Some(bytes)));
                });
            }
            let gone = stitcher.take_gone().into_iter();
            open.extend(gone.map(|number| (evidence_number(shard, number), None)));
            let ties = stitcher.take_ties().into_iter();
            open.extend(
                ties.map(|(number, tie)| (evidence_number(shard, TIE | number), tie.map(encode_tie))),
            );
        }
        open
    }

    /// Label sets that the ledger does not have yet.
    fn take_sets(&mut self) -> Vec<CounterRow> {
        let sets = self.books.registry.sets();
        let row =
            |text: &str| CounterRow { name: SET_ROW.into(), labels: text.into(), ..CounterRow::default() };
        let new = sets.texts().skip(self.saved_sets).map(row).collect();
        self.saved_sets = sets.len();
        new
    }
}

/// Open state on disk: 15 bits which shard, 48 bits the shard's own number.
pub(super) const SHARD_SHIFT: u32 = 48;
/// The highest bit of the shard's own number: it is a tie, and not evidence.
pub(super) const TIE: u64 = 1 << (SHARD_SHIFT - 1);

fn evidence_number(shard: usize, number: u64) -> u64 {
    (shard as u64) << SHARD_SHIFT | number
}

/// Rows of the ledger's counters that are no metric.
pub(super) const SET_ROW: &str = "label_set";
pub(crate) const WINDOW_ROW: &str = "cost_window";
pub(crate) const EXPOSURE_ROW: &str = "exposure_days";
/// The time of the last turn.
pub(crate) const TURN_META: &str = "turn_unix_nanos";
/// 1 when the last turn had more to tell: what this checkpoint includes of it is only a part.
pub(crate) const CUT_META: &str = "turn_is_cut";
/// The latest start of any job that was forgotten.
pub(super) const FORGOTTEN_META: &str = "forgotten_until_unix_nanos";
/// The longest that evidence waited for more: retention or idle limit.
pub(super) const WAITED_META: &str = "waited_ms";
/// Under which bounds the journal's rows were taken ([`super::bound_history`]).
pub(crate) const BOUNDS_META: &str = "stitch_bounds";
/// When jobs were last forgotten before their time, at a limit.
pub(crate) const TRIMMED_META: &str = "trimmed_unix_nanos";
/// Times during which nothing could come.
pub(crate) const OUTAGES_META: &str = "outages_unix_nanos";

/// Outages as text: from and until, one a line.
fn save_outages(outages: &Outages) -> String {
    let lines: Vec<String> = outages.iter().map(|(from, until)| format!("{} {}", from.0, until.0)).collect();
    lines.join("\n")
}

/// Reads what [`save_outages`] wrote; none when it is not readable.
pub(crate) fn parse_outages(text: &str) -> Option<Vec<(UnixNanos, UnixNanos)>> {
    let moment = |text: &str| text.parse().ok().map(UnixNanos);
    let parse =
        |line: &str| line.split_once(' ').and_then(|(from, until)| Some((moment(from)?, moment(until)?)));
    text.lines().map(parse).collect()
}
