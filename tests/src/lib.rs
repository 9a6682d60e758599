//! What the tests that span crates share.
//!
//! [`capture`] reads recorded traffic of real provider SDKs, [`truth`] what was really submitted, served and
//! billed while it was recorded, [`score`] compares the jobs that the product found with that truth.
//! [`week`] makes a week's history for dashboards.
//! [`scenario`] reads situations, one file each, with the jobs that they are. The tests themselves are in
//! `tests/tests/`; the recordings, and how they were made, in `tests/fixtures/`.

pub mod capture;
pub mod dashboards;
pub mod fixtures;
pub mod modules;
pub mod oracle;
mod paths;
pub mod promql;
pub mod purity;
pub mod report;
pub mod scenario;
pub mod score;
pub mod source;
pub mod stream;
pub mod traffic;
pub mod truth;
pub mod week;
