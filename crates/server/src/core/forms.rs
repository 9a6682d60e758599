//! Jobs that are alike: what they add to the counters, what they are charged, and the form of their document
//! is worked out once.
//!
//! Nearly every job is one of some hundred *forms*: the same calls with the same answers, joined by the same
//! rules, at the same price. [`crate::job_json::form`] says what makes two jobs alike, and how a document
//! is put together from its form and its parts. A form is made when its second job comes, so that what
//! is never alike (a bill by the character) makes none; and no more than [`FORMS_MAX`] are made.
//!
//! Only first revisions have a form. Later ones are seldom, and each is a difference to what was before.
//!
//! Forms stay in the ledger for the rows that have them. Those of another version, or of other extra labels,
//! are no job's any more and count for nothing here.

use std::hash::BuildHasher as _;
use std::sync::Arc;

use foldhash::quality::FixedState;
use hashbrown::{HashMap, HashSet};
use rust_decimal::Decimal;
use spantally_price::Bill;
use spantally_stitch::Job;
use spantally_store::{ChargeRow, FormRow};

use super::entries::Entry;
use super::form_key::{FormKey, Mark};
use super::published::read_entries;
use crate::export::SeriesId;
use crate::job_json::JobDocument;
use crate::job_json::form::{SHAPE, content, own_parts, pieces};

/// Most forms that the jobs of one version may have: about 3 KB each in the ledger.
pub(crate) const FORMS_MAX: usize = 65_536;
/// Most charges and counters of a form: an ordinary job has some fifteen. A larger one is written out each
/// time.
const PARTS_MAX: usize = 64;
/// Most contents of which one job was seen.
const SEEN_MAX: usize = 65_536;

/// What a job comes to: the same for all jobs of a form.
#[derive(Clone, Debug)]
pub(super) struct Account {
    /// What it adds to the counters.
    pub(super) entries: Arc<[Entry]>,
    /// What it is charged.
    pub(super) charges: Arc<[ChargeRow]>,
    /// What the histograms count.
    pub(super) observations: Observations,
}

/// A form of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Form {
    /// Its number.
    pub(super) id: u64,
    /// How many parts fill it.
    pub(super) parts: usize,
}

/// What the histograms count of a job.
#[derive(Clone, Debug)]
pub(super) struct Observations {
    /// The series of its duration, which is its own.
    pub(super) duration: SeriesId,
    /// The one of its duration as a voice session, if it is one.
    pub(super) session: Option<SeriesId>,
    /// Other values with their series.
    pub(super) values: Arc<[(SeriesId, Decimal)]>,
}

/// Every form that is known.
#[derive(Debug, Default)]
pub(super) struct Forms {
    ready: HashMap<FormKey, (Account, Form), foldhash::fast::FixedState>,
    /// In the ledger since an earlier process, with the fingerprint of what a job of it adds; made ready when
    /// the first job comes.
    saved: HashMap<FormKey, (u64, u64), foldhash::fast::FixedState>,
    seen: HashSet<FormKey, foldhash::fast::FixedState>,
    last: u64,
    /// Forms in the ledger that new jobs may have.
    count: usize,
    mark: Mark,
    scratch: Vec<u8>,
    new: Vec<FormRow>,
}

impl Forms {
    /// For jobs with extra labels of these names.
    pub(super) fn new(labels: &[Arc<str>]) -> Self {
        Self { mark: Mark::new(SHAPE, labels), ..Self::default() }
    }

    /// The key of a job's content.
    pub(super) fn key(&mut self, job: &Job, bill: &Bill) -> FormKey {
        self.scratch.clear();
        content(job, bill, &mut self.scratch);
        self.mark.key(&self.scratch)
    }

    /// What jobs with a key come to, and their form.
    pub(super) fn get(&self, key: &FormKey) -> Option<(&Account, Form)> {
        self.ready.get(key).map(|(account, form)| (account, *form))
    }

    /// Takes what was worked out for a job that has no form yet; gives it one when it is not the first of its
    /// kind. `booked` are the bytes of its entries.
    pub(super) fn offer(
        &mut self,
        key: FormKey,
        job: &Job,
        bill: &Bill,
        account: &Account,
        booked: impl FnOnce() -> Vec<u8>,
    ) -> Option<Form> {
        let saved = self.saved.remove(&key);
        let is_full = self.count >= FORMS_MAX;
        if account.charges.len() + account.entries.len() > PARTS_MAX
            || saved.is_none() && (is_full || self.is_new(&key))
        {
            return None;
        }
        let booked = booked();
        let id = match saved {
            // If `max_label_sets` changed, the same job may now count in different series.
            Some((id, held)) if held == fingerprint(&booked) => id,
            // The old form stays in the ledger beside the new one: rows have it.
            _ if is_full => return None,
            _ => {
                let pieces = pieces(JobDocument { job, bill, revision: 1 })?;
                self.last += 1;
                self.count += 1;
                let (id, charges) = (self.last, Arc::clone(&account.charges));
                self.new.push(FormRow { id, key, pieces, charges, booked });
                id
            }
        };
        let form = Form { id, parts: own_parts(job) };
        self.ready.insert(key, (account.clone(), form));
        Some(form)
    }

    /// Notes that a job of some content came; whether it was the first.
    fn is_new(&mut self, key: &FormKey) -> bool {
        if self.seen.len() >= SEEN_MAX {
            self.seen.clear();
        }
        self.seen.insert(*key)
    }

    /// Takes back a form of the ledger.
    pub(super) fn restore(&mut self, id: u64, key: FormKey, booked: &[u8]) {
        self.last = self.last.max(id);
        if self.mark.is_of(&key) {
            self.count += 1;
            self.saved.insert(key, (id, fingerprint(booked)));
        }
    }

    /// Forms made since the last call, to be written.
    pub(super) fn take_new(&mut self) -> Vec<FormRow> {
        std::mem::take(&mut self.new)
    }
}

/// Of which amounts on which series, in any order.
fn fingerprint(booked: &[u8]) -> u64 {
    let mut entries = read_entries(booked).unwrap_or_default();
    entries.sort_unstable();
    FixedState::with_seed(0x464f_524d).hash_one(entries)
}

#[cfg(test)]
mod tests {
    use spantally_stitch::UnixNanos;

    use super::*;
    use crate::export::{LabelSets, MetricId, Registry, SetId};

    #[test]
    fn no_more_forms_are_made_than_there_may_be_also_in_place_of_others() {
        let mut registry = Registry::new(LabelSets::new(9, &[]));
        let duration = registry.series(MetricId::JobDuration, SetId::NONE, &["failed"], UnixNanos(0));
        let account = Account {
            entries: Arc::default(),
            charges: Arc::default(),
            observations: Observations { duration, session: None, values: Arc::default() },
        };
        let (job, bill) = (Job::default(), Bill::default());
        let none: [&str; 0] = [];
        let [mark, before] = [SHAPE, "another version"].map(|version| Mark::new(version, &none));
        // Forms of another version stay where they are, and are in nobody's way.
        for (held_by, held, made) in [(mark, FORMS_MAX - 1, 1), (mark, FORMS_MAX, 0), (before, FORMS_MAX, 5)]
        {
            let mut forms = Forms::new(&[]);
            for id in 1..=held as u64 {
                forms.restore(id, held_by.key(&id.to_le_bytes()), b"of other series, and no entries");
            }
            // Each of these adds to other series than in the process before; and each comes twice.
            for id in (1..=5_u64).chain(1..=5) {
                let booked = || vec![0; 24];
                forms.offer(mark.key(&id.to_le_bytes()), &job, &bill, &account, booked);
            }
            let new = forms.take_new();
            assert_eq!(new.len(), made, "beside {held} of {held_by:?}");
            assert!(new.iter().all(|form| form.id > held as u64), "a number is given once");
        }
    }
}
