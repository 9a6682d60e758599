//! Whose extra labels rows have that are booked: budgets with one in their scope go by them.
//!
//! A row that takes a job back has no labels in its document. They are those of the revision that it takes
//! back, which this process has booked, or finds in the ledger under the names of that time.

use std::sync::Arc;

use spantally_stitch::Job;
use spantally_store::Published;

use crate::job_json::labels::listed;
use crate::label_history::LabelHistory;

/// Values in the order of the configuration.
pub(super) type Labels = Arc<[Arc<str>]>;

/// The labels of a job.
pub(super) fn labels_of(job: &Job) -> Labels {
    // Most have none, which takes no memory.
    if job.labels.is_empty() { Labels::default() } else { job.labels.as_slice().into() }
}

/// The labels of the rows that the next checkpoint writes.
#[derive(Debug)]
pub(super) struct RowLabels {
    /// What the values are called today.
    names: Labels,
    /// What they were called in the ledger's documents.
    history: LabelHistory,
    rows: Vec<Labels>,
}

impl RowLabels {
    /// Of no rows.
    pub(super) fn new(names: &[Arc<str>]) -> Self {
        Self { names: names.into(), history: LabelHistory::default(), rows: Vec::new() }
    }

    /// Takes what the names were in the ledger.
    pub(super) fn restore(&mut self, history: LabelHistory) {
        self.history = history;
    }

    /// The labels of a row that comes now.
    pub(super) fn push(&mut self, labels: Labels) {
        self.rows.push(labels);
    }

    /// Those of the rows from one on.
    pub(super) fn from(&self, first: usize) -> &[Labels] {
        self.rows.get(first..).unwrap_or_default()
    }

    /// The rows are gathered.
    pub(super) fn clear(&mut self) {
        self.rows.clear();
    }

    /// The labels of a job as the ledger has it.
    pub(super) fn of(&self, found: &Published) -> Labels {
        if self.names.is_empty() {
            return Labels::default();
        }
        let document = found.job.detail.clone().into_text();
        let (values, _) = listed(&document).unwrap_or_default();
        let value = |name: &Arc<str>| self.history.value(found.row, &values, name).map(String::as_str);
        self.names.iter().map(|name| value(name).unwrap_or_default().into()).collect()
    }
}
