//! Several submits under one span id.
//!
//! An instrumentation below the client (eBPF, a proxy) sees each try of a request and may report all of them
//! under the id of the one span that the client made. They are attempts of one job.

use std::collections::BTreeMap;

use crate::id::SpanKey;
use crate::solve::pool::Pool;
use crate::solve::union::Union;

/// Ties submits that have one span id.
pub(crate) fn tie(pool: &Pool<'_>, jobs: &mut Union) {
    if pool.shots.len() < 2 {
        return;
    }
    let mut first: BTreeMap<SpanKey, usize> = BTreeMap::new();
    for (at, shot) in pool.shots.iter().enumerate() {
        let held = *first.entry(shot.evidence.span).or_insert(at);
        if held != at {
            jobs.join(held, at);
        }
    }
}
