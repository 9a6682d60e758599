//! Deliveries that were taken and came once more: at least once is all that providers promise.
//!
//! A delivery without a name that finds no submit and no task would be a job that nobody asked for. Where one
//! like it was taken shortly before and has found its job, it is that delivery again. Only what is left over
//! is looked at, so that it takes nothing from a job of its own.

use std::collections::BTreeSet;

use crate::job::{Confidence, JoinRule};
use crate::solve::pool::Pool;
use crate::solve::redelivery::{lane_of, refused};
use crate::solve::{Solution, Tied};

/// Longest wait before a delivery that was taken comes again, in seconds.
const LONGEST_SECONDS: f64 = 60.0;
/// Most deliveries before one that are looked at.
const MAX_BEFORE: usize = 64;

/// Gives what is left over of the deliveries to the jobs of those before it, one to each.
pub(crate) fn delivered_again(pool: &Pool<'_>, solution: &mut Solution) {
    let is_found = |solution: &Solution, group: usize| {
        solution.group_task[group].is_some() || solution.group_shot[group].is_some()
    };
    let mut taken: BTreeSet<usize> = BTreeSet::new();
    for at in 0..solution.groups.len() {
        let hook = solution.groups[at].first(pool);
        if is_found(solution, at) || refused(hook.call) {
            continue;
        }
        let follows = |&before: &usize| {
            let last = solution.groups[before].last(pool);
            let gap = hook.evidence.start.seconds_since(last.evidence.end);
            is_found(solution, before)
                && !taken.contains(&before)
                && !refused(last.call)
                && lane_of(last) == lane_of(hook)
                && (0.0..=LONGEST_SECONDS).contains(&gap)
        };
        let Some(before) = (at.saturating_sub(MAX_BEFORE)..at).rev().find(follows) else { continue };
        taken.insert(before);
        let (rule, margin) = (JoinRule::Redelivery, Some(0.0));
        solution.group_task[at] = solution.group_task[before].map(|(task, ..)| (task, rule, margin));
        let again = |bound: Tied| Tied { rule, confidence: Confidence::Guess, margin, ..bound };
        solution.group_shot[at] = solution.group_shot[before].map(again);
    }
}
