//! What others read: series, and the pages that show them.
//!
//! [`inventory`] says which metrics there are, [`labels`] renders the labels that many metrics share,
//! [`series`] holds the values, [`text`] writes the page in the format that [`accept`] settles on, or hands
//! it to `protobuf`, [`process`] adds what the operating system knows of us. The core ([`crate::core`]) is
//! the only writer.

pub mod accept;
mod family;
pub mod inventory;
pub mod labels;
mod native;
mod number;
pub mod process;
mod protobuf;
mod samples;
pub mod series;
pub mod text;

pub use accept::Format;
pub use family::{Exemplar, SeriesId};
pub use inventory::{INVENTORY, Kind, Metric, MetricId};
pub use labels::{CommonLabels, LabelSets, SetId};
pub(crate) use series::series_key;
pub use series::{Registry, RestoreError};
