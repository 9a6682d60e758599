//! What others read: series, and the pages that show them.
//!
//! [`inventory`] says which metrics there are, [`labels`] renders the labels that many metrics share in the
//! one form that [`canonical`] says, [`series`] holds the values, [`pages`] keeps a copy of them and the last
//! page, `text` and `protobuf` write in the format that [`accept`] settles on, [`process`] adds what the
//! operating system knows of us, `standing` shows how a limit stands, and `first_zeros` says which series
//! scrapers see at zero for a while. The core ([`crate::core`]) is the only one who changes a value.

pub mod accept;
pub(crate) mod canonical;
mod family;
mod first_zeros;
pub mod inventory;
pub mod labels;
mod native;
mod number;
pub mod pages;
pub mod process;
mod protobuf;
mod samples;
pub mod series;
mod shown;
mod standing;
mod text;

pub use accept::Format;
pub use family::{Exemplar, SeriesId};
pub use first_zeros::Scrape;
pub use inventory::{INVENTORY, Kind, Metric, MetricId};
pub use labels::{CommonLabels, LabelSets, SetId};
pub use pages::{Page, Pages};
pub(crate) use series::series_key;
pub use series::{Registry, RestoreError};
pub(crate) use standing::Standing;
