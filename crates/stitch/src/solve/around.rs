//! What an application says of single calls, on spans that it puts around each of them: it reads the answer
//! and writes the state of the task there, where the call's own span shows no more than a status code.
//!
//! A span around several calls has the last word of them alone, and says nothing of any one.

use std::collections::BTreeMap;

use crate::call::TaskState;
use crate::evidence::Evidence;
use crate::id::SpanKey;
use crate::solve::pool::Pool;

/// By call, the state of its task that the nearest span around it alone tells.
pub(crate) fn told(pool: &Pool<'_>) -> BTreeMap<SpanKey, TaskState> {
    if pool.frames.iter().all(|frame| stated(frame).is_none()) {
        return BTreeMap::new();
    }
    let tasks = pool.tasks.iter().filter(|task| !task.named).flat_map(|task| &task.calls).copied();
    let calls: Vec<&Evidence> = pool.shots.iter().map(|shot| shot.evidence).chain(tasks).collect();
    let mut below: BTreeMap<SpanKey, u32> = BTreeMap::new();
    for call in &calls {
        for above in pool.lineage.ancestors(call) {
            *below.entry(above.span).or_default() += 1;
        }
    }
    let told = |call: &&Evidence| {
        let mut around = pool.lineage.ancestors(call).take_while(|above| below.get(&above.span) == Some(&1));
        Some((call.span, around.find_map(stated)?))
    };
    calls.iter().filter_map(told).collect()
}

/// The state that a span above calls tells in a word. That it failed may be the client's own error.
fn stated(span: &Evidence) -> Option<TaskState> {
    let crate::What::Frame(frame) = &span.what else { return None };
    frame.verdict.map(|verdict| verdict.state).filter(|&state| state != TaskState::Errored)
}
