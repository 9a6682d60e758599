//! The jobs that the evidence on disk makes, worked out anew: what `spantally verify` compares the ledger
//! with.
//!
//! A server that starts takes back what it had told and only looks at what is new. Here nothing is taken
//! back: the evidence that outlived the journal's rows and the rows themselves go through new stitchers, with
//! the times at which they came, and time passes at the moments at which the server made turns: those in the
//! ledger, and those at which rows were settled. So the same is told as was told then.
//!
//! A server that ended between two parts of a turn had told some of what was due, and nobody knows which. Of
//! such a turn there are two answers for each job, before and after it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use spantally_price::{Cards, bill};
use spantally_stitch::{Change, Job, JobId, Settings, State, Stitcher, UnixNanos};
use spantally_store::{ChargeRow, Seq, TurnRow};

use super::bound_history::BoundHistory;
use super::charges::{charge_deltas, charge_rows, sum_of_rows};
use super::checkpoint::{SHARD_SHIFT, TIE};
pub(crate) use super::published::read_entries;
use super::turns::Turns;
use super::{CoreOptions, shard_of};
use crate::commit::CommitMessage;
use crate::record::{decode_carried, decode_tie};

/// A job by its evidence.
#[derive(Clone, Debug)]
pub(crate) struct Rebuilt {
    pub(crate) job: Box<Job>,
    pub(crate) digest: u64,
}

/// Stitches everything anew.
#[derive(Debug)]
pub(crate) struct Rebuild {
    shards: Vec<Stitcher>,
    turns: Turns,
    /// The bounds under which its rows were taken, as far as they are known.
    bounds: BoundHistory,
    applied: Seq,
    /// When time passes, what is still to come of it.
    moments: BTreeSet<UnixNanos>,
    told: Told,
    /// When the turn was that is not over, if there is one, and what had been told before it.
    cut_at: Option<UnixNanos>,
    before: Option<Told>,
    spans: u64,
}

/// Jobs that were told and not taken back or forgotten.
pub(crate) type Told = BTreeMap<JobId, Rebuilt>;

impl Rebuild {
    /// To rebuild what a ledger includes; `settled_at` are the moments at which it has rows, `cut_at` the
    /// moment of its last turn if that had more to tell. None when its turns are not readable.
    pub(crate) fn new(
        settings: &Settings,
        (applied, done): (Seq, Seq),
        turns: &[TurnRow],
        settled_at: impl IntoIterator<Item = u64>,
        cut_at: Option<UnixNanos>,
    ) -> Option<Self> {
        let mut known = Turns::default();
        // Only what some turn includes is asked for.
        if !known.restore(done, turns, UnixNanos::default()) {
            return None;
        }
        let moments = turns.iter().map(|turn| turn.unix_nanos).chain(settled_at).map(UnixNanos).collect();
        // What was given up is known as forgotten; no more of it is to go.
        let settings = &Settings { max_open_jobs: usize::MAX, ..settings.clone() };
        let shards = CoreOptions::default().shards;
        Some(Self {
            shards: (0..shards).map(|_| Stitcher::new(settings.clone())).collect(),
            turns: known,
            bounds: BoundHistory::default(),
            applied,
            moments,
            told: BTreeMap::new(),
            cut_at,
            before: None,
            spans: 0,
        })
    }

    /// Takes the times during which nothing could come, and what was forgotten. It comes before all else.
    pub(crate) fn note(&mut self, outages: &[(UnixNanos, UnixNanos)], tombstones: &[u64]) {
        for shard in &mut self.shards {
            for &(from, until) in outages {
                shard.note_outage(from, until);
            }
            for &mark in tombstones {
                shard.restore_tombstone(mark);
            }
        }
    }

    /// Takes the bounds under which rows of the journal were taken, as the ledger has them; false when they
    /// are not readable. What is carried comes back under the first, as at a start.
    pub(crate) fn note_bounds(&mut self, text: &[u8]) -> bool {
        let Some(bounds) = BoundHistory::parse(text) else { return false };
        if let Some(first) = bounds.at(self.turns.done().0 + 1) {
            first.set(&mut self.shards);
        }
        self.bounds = bounds;
        true
    }

    /// Takes open state of the ledger; what is wrong with it, if it is not readable. It comes before any
    /// group.
    pub(crate) fn restore(&mut self, number: u64, bytes: &[u8]) -> Result<(), String> {
        if number & TIE != 0 {
            // What was matched is to come out by itself.
            return decode_tie(bytes).map(drop).map_err(|error| error.to_string());
        }
        // What a job's digest is made of has no labels in it.
        let (came, evidence) = decode_carried(bytes, &[]).map_err(|error| error.to_string())?;
        self.spans += evidence.len() as u64;
        let shard = (number >> SHARD_SHIFT) as usize;
        let stitcher = self.shards.get_mut(shard).ok_or_else(|| format!("of shard {shard}"))?;
        stitcher.restore(number & ((1 << SHARD_SHIFT) - 1), came, evidence);
        Ok(())
    }

    /// Takes a group of the journal; groups come in order. Those that the ledger can do without, and those
    /// that it does not include yet, are passed over.
    pub(crate) fn group(&mut self, message: CommitMessage) {
        if message.seq <= self.turns.done() || message.seq > self.applied {
            return;
        }
        let arrival = self.turns.arrival(message.seq);
        self.pass(arrival);
        if let Some(bounds) = self.bounds.at(message.seq.0) {
            bounds.set(&mut self.shards);
        }
        self.shards.iter_mut().for_each(|shard| shard.set_time(arrival));
        for evidence in message.batches.into_iter().flat_map(|batch| batch.evidence) {
            self.spans += 1;
            let shard = shard_of(&evidence.client.tenant, self.shards.len());
            self.shards[shard].observe(evidence);
        }
    }

    /// Lets time pass until a moment.
    fn pass(&mut self, until: UnixNanos) {
        while let Some(moment) = self.moments.pop_first() {
            if moment > until {
                self.moments.insert(moment);
                return;
            }
            self.advance(moment);
        }
    }

    fn advance(&mut self, now: UnixNanos) {
        if self.cut_at == Some(now) && self.before.is_none() {
            self.before = Some(self.told.clone());
        }
        for shard in &mut self.shards {
            for change in shard.advance(now) {
                match change {
                    Change::Published { job, .. } if job.state == State::Superseded => {
                        self.told.remove(&job.id);
                    }
                    Change::Published { job, digest, .. } => {
                        self.told.insert(job.id, Rebuilt { job, digest });
                    }
                    Change::Forgotten(id) => {
                        self.told.remove(&id);
                    }
                }
            }
        }
    }

    /// The jobs that are settled at a moment and may still be revised; those before the last turn, if it is
    /// not over; and how many spans were read. Nothing is told of what the server has forgotten by then.
    pub(crate) fn finish(mut self, now: UnixNanos) -> (Told, Option<Told>, u64) {
        self.pass(now);
        self.advance(now);
        self.shards.iter_mut().for_each(|shard| shard.forget_old(now, 0));
        let Self { shards, mut told, before, spans, .. } = self;
        told.retain(|&id, _| shards.iter().any(|shard| shard.knows(id)));
        (told, before, spans)
    }
}

/// What would have to be appended to the charges of a job so that they are what its evidence costs by the
/// given prices.
pub(crate) fn missing_charges(job: &Job, cards: &Arc<Cards>, charged: Vec<ChargeRow>) -> Vec<ChargeRow> {
    let should = charge_rows(job, &bill(job, cards));
    charge_deltas(&sum_of_rows(charged.into_iter()), &should)
}
