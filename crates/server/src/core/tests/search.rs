//! One job is sought in parts.

use std::ops::ControlFlow;

use spantally_stitch::JobId;

use super::fixture::{at, core, message, unfinished};
use crate::core::search::JobSearch;

#[test]
fn a_job_is_sought_in_parts_and_an_unknown_one_ends_with_the_last() {
    let mut core = core();
    core.advance(at(0));
    let spans = (0..40).flat_map(|task| unfinished(&format!("task-{task:03}"), task)).collect();
    core.apply(message(1, spans));
    core.refresh();
    let search = |id| {
        let (mut search, mut parts) = (JobSearch::default(), 1);
        loop {
            match core.seek_job(id, &mut search, 4) {
                ControlFlow::Break(found) => return (found, parts),
                ControlFlow::Continue(()) => parts += 1,
            }
        }
    };
    let (found, parts) = search(JobId([7; 16]));
    assert!(found.is_none() && parts >= 10, "{parts} parts");
    assert!(core.job(JobId([7; 16])).is_none());
    assert_eq!(core.open_jobs().len(), 40);
    for open in core.open_jobs() {
        let (found, _) = search(open.job.id);
        assert_eq!(found.as_ref().map(|view| (&view.job, view.revision)), Some((&open.job, 0)));
        assert_eq!(core.job(open.job.id), found);
    }
}
