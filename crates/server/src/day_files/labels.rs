//! The table of extra labels: the ledger's documents have their values, and the ledger what they were called.

use serde::Deserialize;
use spantally_store::JobRow;

use super::ExportError;
use super::table::{Cell, Column, Kind, column, id, part_of};
use crate::label_history::LabelHistory;

pub(super) const LABELS: &[Column] = &[
    column("job_id", Kind::Text),
    column("revision", Kind::Whole),
    column("name", Kind::Text),
    column("value", Kind::Text),
    column("settled_at", Kind::Moment),
];

/// Values alone: the ledger keeps their names beside its rows.
#[derive(Deserialize)]
struct Labels {
    #[serde(default)]
    labels: Vec<String>,
}

/// One row a label that a revision has a value of.
pub(super) fn label_rows(
    row: u64,
    job: &mut JobRow,
    names: &LabelHistory,
    take: &mut dyn FnMut(&[Cell]) -> Result<(), ExportError>,
) -> Result<(), ExportError> {
    let values = part_of::<Labels>(job)?.labels;
    for (name, value) in names.by_name(row, &values) {
        let revision = Cell::Whole(job.revision.into());
        take(&[id(job), revision, Cell::from(name), Cell::from(value), Cell::Moment(job.settled_at)])?;
    }
    Ok(())
}
