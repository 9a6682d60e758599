//! Under which bounds the spans of the journal's rows were taken.
//!
//! Whether a poll was kept, and whether a call was tied to its trace, is decided when it comes. A start takes
//! the rows again; under other bounds it would decide otherwise, and jobs would change that were settled long
//! ago. So it takes each row under the bounds of the process that took it first.

use serde::{Deserialize, Serialize};
use spantally_stitch::{Settings, Stitcher};

use crate::history::History;

/// Bounds by the first row of the journal that was taken under them.
pub(crate) type BoundHistory = History<Bounds>;

/// What a task and a trace keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bounds {
    task_spans: usize,
    trace_tasks: usize,
}

impl Bounds {
    /// Those of the configuration.
    pub(crate) fn of(settings: &Settings) -> Self {
        Self { task_spans: settings.max_task_spans, trace_tasks: settings.max_trace_tasks }
    }

    /// They hold from the next span on.
    pub(crate) fn set(self, shards: &mut [Stitcher]) {
        for shard in shards {
            shard.set_bounds(self.task_spans, self.trace_tasks);
        }
    }
}
