//! Ties that were decided before, for the next time that one end of them is solved.
//!
//! What is decided in a lane is solved again later, alone: when a span comes late, or when a former neighbour
//! has gone. Without its neighbours the best assignment may be another one, so the stitcher keeps what was
//! found and hands it back, and [`keep`] holds to it unless a name says otherwise by then.

use std::collections::BTreeMap;

use crate::id::SpanKey;
use crate::job::{Confidence, JoinRule};
use crate::solve::pool::Pool;
use crate::solve::{Solution, Tied};

/// A decided tie between two items, kept for when they are solved again without their neighbours: a submit
/// and what it made, or a task and deliveries of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Pin {
    /// The submit's slot, or the task's where deliveries are tied to it.
    pub(crate) shot: u32,
    /// The slot of what it made, or of the first delivery.
    pub(crate) made: u32,
    pub(crate) rule: JoinRule,
    pub(crate) confidence: Confidence,
    /// How much worse the best assignment was without the tie, in nats; none for a tie by name.
    pub(crate) margin: Option<f64>,
    /// The call that came near its place.
    pub(crate) instead: Option<SpanKey>,
}

impl Pin {
    /// Another assignment is nearly as good: with other neighbours it may be the best.
    pub(crate) fn is_close(&self) -> bool {
        self.confidence > Confidence::Strong
    }
}

/// Ties that were decided before hold, unless a name says otherwise.
pub(crate) fn keep(pool: &Pool<'_>, solution: &mut Solution, pins: &[Pin]) {
    if pins.is_empty() {
        return;
    }
    let shots: BTreeMap<u32, usize> =
        pool.shots.iter().enumerate().map(|(at, shot)| (shot.slot, at)).collect();
    let tasks: BTreeMap<u32, usize> =
        pool.tasks.iter().enumerate().map(|(at, task)| (task.slots[0], at)).collect();
    let hooks = solution
        .groups
        .iter()
        .enumerate()
        .flat_map(|(at, group)| group.hooks.iter().map(move |hook| (at, hook)));
    let groups: BTreeMap<u32, usize> = hooks.map(|(at, &hook)| (pool.hooks[hook].slot, at)).collect();
    let mut taken: Vec<bool> = vec![false; pool.shots.len()];
    for bound in solution.task_shot.iter().flatten() {
        taken[bound.shot] = true;
    }
    for pin in pins {
        let Pin { rule, confidence, margin, instead, .. } = *pin;
        let bound = |shot| Tied { shot, rule, confidence, margin, instead };
        let shot = shots.get(&pin.shot).copied();
        if let Some(&group) = groups.get(&pin.made) {
            if solution.group_task[group].is_some() || solution.group_shot[group].is_some() {
                continue;
            }
            if let Some(&task) = tasks.get(&pin.shot) {
                solution.groups[group].task = Some((task, rule));
                solution.group_task[group] = Some((task, rule, margin));
            } else if let Some(shot) = shot.filter(|&shot| !std::mem::replace(&mut taken[shot], true)) {
                solution.group_shot[group] = Some(bound(shot));
            }
        } else if let (Some(shot), Some(&task)) = (shot, tasks.get(&pin.made))
            && !std::mem::replace(&mut taken[shot], true)
            && solution.task_shot[task].is_none()
        {
            solution.task_shot[task] = Some(bound(shot));
        }
    }
}
