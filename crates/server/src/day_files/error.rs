//! Why an export does not write something.

use std::io;
use std::path::PathBuf;

use rust_decimal::Decimal;
use spantally_store::StoreError;

/// Why an export stopped, or what it left out. What was written before stays, and the next run goes on from
/// there.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] StoreError),
    /// A file or the directory.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        source: io::Error,
    },
    /// Writing what a file holds.
    #[error("cannot write: {0}")]
    Write(#[from] io::Error),
    /// Another export writes there.
    #[error("{path}: another export is writing there", path = path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// Parquet.
    #[error("cannot write Parquet: {0}")]
    Parquet(#[from] parquet::errors::ParquetError),
    /// A number has more digits than the columns of Parquet have.
    #[error("{column} is {value}: ten billion or more does not fit DECIMAL(38, 28); export as csv or jsonl")]
    TooLarge {
        /// The column.
        column: &'static str,
        /// The number.
        value: Decimal,
    },
    /// A cell is not of its column's kind, which is a mistake of ours.
    #[error("column {column} cannot hold {cell}; this is a bug, please report it")]
    Cell {
        /// The column.
        column: &'static str,
        /// The cell.
        cell: String,
    },
    /// Rows are missing between others.
    #[error("rows {first} to {last} of the ledger: {found} are there; run `spantally verify`")]
    Rows {
        /// The first one.
        first: u64,
        /// The last one.
        last: u64,
        /// How many there are.
        found: u64,
    },
    /// A job's document is damaged.
    #[error("the document of job {job:032x} is not as expected: {source}; run `spantally verify`")]
    Document {
        /// The job.
        job: u128,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// A file is not what the list of files says, and the ledger cannot make it anew.
    #[error(
        "it is not as long as it was when it was written, and the ledger's retention has removed rows of its \
         day since, so it is kept as it is; move it away to have what the ledger still has"
    )]
    Altered,
    /// What files could not have; all others are written.
    #[error("{}", told(.0))]
    LeftOut(Vec<(String, ExportError)>),
}

impl ExportError {
    /// Whether it keeps one file from being written, and no other.
    pub(super) fn is_of_one_file(&self) -> bool {
        matches!(self, Self::TooLarge { .. } | Self::Altered)
    }

    /// What was left out of a run, by path; nothing is good.
    pub(super) fn left_out(files: Vec<(String, Self)>) -> Result<(), Self> {
        if files.is_empty() { Ok(()) } else { Err(Self::LeftOut(files)) }
    }
}

fn told(files: &[(String, ExportError)]) -> String {
    let lines = files.iter().map(|(path, problem)| format!("{path} was left out: {problem}"));
    lines.collect::<Vec<_>>().join("\n")
}
