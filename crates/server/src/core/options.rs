//! How a core is set up.

use std::sync::Arc;

use spantally_stitch::Settings;

/// How a core is set up.
#[derive(Clone, Debug)]
pub struct CoreOptions {
    /// Limits and delays of stitching, for each shard.
    pub stitching: Settings,
    /// How many stitchers there are; at least 1, at most 32,767. It must not change over the life of a
    /// ledger.
    pub shards: u16,
    /// Most distinct sets of the common labels; further ones are counted in one overflow set.
    pub max_label_sets: usize,
    /// Names of the extra labels, in the order of [`spantally_stitch::Client::labels`].
    pub extra_labels: Vec<Arc<str>>,
    /// Whether the protobuf page has native histograms beside the classic ones.
    pub native_histograms: bool,
}

impl Default for CoreOptions {
    fn default() -> Self {
        Self {
            stitching: Settings::default(),
            shards: 1,
            max_label_sets: 2000,
            extra_labels: Vec::new(),
            native_histograms: false,
        }
    }
}
