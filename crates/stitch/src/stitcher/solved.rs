//! A pool, solved: the jobs in it, and what of it waits for something outside.

use crate::evidence::Evidence;
use crate::settings::Settings;
use crate::solve::group::JobDraft;
use crate::solve::pool::Pool;
use crate::solve::{self, Pin, Solution, stand_in};
use crate::stitcher::pocket::LaneKey;

/// What joins its calls, and the jobs that come of it.
pub(super) fn solved<'a>(
    pool: &Pool<'a>,
    settings: &Settings,
    pins: &[Pin],
) -> (Solution, Vec<JobDraft<'a>>) {
    let solution = solve::solve(pool, settings, pins);
    let drafts = solve::group::jobs(pool, &solution, settings.max_assignment);
    (solution, drafts)
}

/// The lanes in which a submit waits for a task, or a task or a delivery for a submit. Where each call of an
/// SDK is a trace, any submit may be a retry of another, until it was looked at with the others and has its
/// ties. The requests of a span that stands for them may be traces of their own.
pub(super) fn loose(pool: &Pool<'_>, solution: &Solution, pins: &[Pin]) -> Vec<LaneKey> {
    let open = solve::open(pool, solution);
    let shots = open.shots.iter().map(|&shot| pool.shots[shot].evidence);
    let fresh = pool.shots.iter().filter(|shot| pins.iter().all(|pin| pin.shot != shot.slot));
    let of_sdk = fresh.map(|shot| shot.evidence);
    let of_sdk = of_sdk.filter(|shot| stand_in::stands_in(shot) || pool.lineage.is_sdk_call(shot));
    let tasks = open.tasks.iter().filter_map(|&task| pool.tasks[task].calls.first().copied());
    let hooks = open.groups.iter().map(|&group| solution.groups[group].first(pool).evidence);
    let key = |evidence: &Evidence| {
        let call = solve::pool::call_of(evidence)?;
        Some((evidence.client.tenant.clone(), call.endpoint.provider.clone()))
    };
    let mut lanes: Vec<LaneKey> = shots.chain(of_sdk).chain(tasks).chain(hooks).filter_map(key).collect();
    lanes.sort_unstable();
    lanes.dedup();
    lanes
}
