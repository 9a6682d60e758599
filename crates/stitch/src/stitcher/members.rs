//! What a found job is made of: its items, and the ties between them that hold from now on.

use crate::job::Confidence;
use crate::solve::Pin;
use crate::solve::group::JobDraft;
use crate::solve::pool::Pool;
use crate::solve::{self, Solution};

/// Slots of a draft's evidence, and its ties.
pub(super) fn members_of(pool: &Pool<'_>, solution: &Solution, draft: &JobDraft<'_>) -> (Vec<u32>, Vec<Pin>) {
    let (mut members, mut pins) = (Vec::new(), Vec::new());
    for attempt in &draft.attempts {
        members.extend(attempt.shot.map(|shot| pool.shots[shot].slot));
        for &task in &attempt.tasks {
            members.extend(pool.tasks[task].slots.iter().copied());
            pins.extend(solution.task_shot[task].map(|bound| Pin {
                shot: pool.shots[bound.shot].slot,
                made: pool.tasks[task].slots[0],
                rule: bound.rule,
                confidence: bound.confidence,
                margin: bound.margin,
                instead: bound.instead,
            }));
        }
        for &known in &attempt.groups {
            members.extend(solution.groups[known].hooks.iter().map(|&hook| pool.hooks[hook].slot));
            pins.extend(pin_of_group(pool, solution, known));
        }
        members.extend(attempt.downloads.iter().map(|&at| pool.downloads[at].slot));
    }
    members.sort_unstable();
    members.dedup();
    if !pool.echoes.is_empty() {
        let beside = members.iter().flat_map(|&slot| pool.echoes.beside(slot));
        let echoes: Vec<u32> = beside.filter_map(|echo| echo.slot).collect();
        members.extend(echoes);
        members.sort_unstable();
        members.dedup();
    }
    (members, pins)
}

/// The tie of deliveries to their task, or to their submit where no task is known.
fn pin_of_group(pool: &Pool<'_>, solution: &Solution, group: usize) -> Option<Pin> {
    let made = pool.hooks[solution.groups[group].hooks[0]].slot;
    if let Some((task, rule, margin)) = solution.group_task[group] {
        let confidence = margin.map_or(Confidence::Exact, solve::confidence);
        return Some(Pin { shot: pool.tasks[task].slots[0], made, rule, confidence, margin, instead: None });
    }
    let bound = solution.group_shot[group]?;
    let (rule, confidence, margin, instead) = (bound.rule, bound.confidence, bound.margin, bound.instead);
    Some(Pin { shot: pool.shots[bound.shot].slot, made, rule, confidence, margin, instead })
}
