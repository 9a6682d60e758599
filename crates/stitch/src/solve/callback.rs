//! Which values of a callback parameter name a job, and which are the same in every callback URL.
//!
//! `?order=42` tells which submit a delivery is about; `?ref=prod` tells where the application runs. Nothing
//! but its use tells the two apart: a client that tries again soon shows the same value once more, and so may
//! a double click, but what was plainly accepted twice, further apart than that, are two pieces of work.
//! What such deliveries are about has to be found by time, as if they came without a name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::call::{Accepted, Call, CorrelationKind};
use crate::evidence::Evidence;
use crate::solve::hooks::callback_value;
use crate::solve::pool::{Pool, Shot};

/// Tenant, provider and the value of a callback parameter.
pub(crate) type CallbackKey<'a> = (&'a Arc<str>, &'a Arc<str>, &'a Arc<str>);

/// The values that two accepted submits show which are further apart than a double submit.
#[derive(Debug, Default)]
pub(crate) struct Constants<'a>(BTreeSet<CallbackKey<'a>>);

impl<'a> Constants<'a> {
    /// Those of a pool. Submits whose starts are no more than `window_ms` milliseconds apart may be one wish.
    /// Of the attempts of a retry chain only the last is plainly accepted, so that these stay one name.
    pub(crate) fn new(pool: &Pool<'a>, window_ms: u64) -> Self {
        let mut first: BTreeMap<CallbackKey<'a>, &Shot<'a>> = BTreeMap::new();
        let mut constants = BTreeSet::new();
        for shot in pool.shots.iter().filter(|shot| shot.is_async() && shot.call.accepted == Accepted::Yes) {
            let Some(value) = callback_value(shot.call) else { continue };
            let key = (&shot.evidence.client.tenant, &shot.call.endpoint.provider, value);
            let held = *first.entry(key).or_insert(shot);
            if shot.evidence.start > held.evidence.start.plus_ms(window_ms) && !are_one_task(held, shot) {
                constants.insert(key);
            }
        }
        Self(constants)
    }

    /// The value of a call's callback parameter, if it names a job.
    pub(crate) fn name<'c>(&self, evidence: &'c Evidence, call: &'c Call) -> Option<&'c Arc<str>> {
        let value = callback_value(call)?;
        let key = (&evidence.client.tenant, &call.endpoint.provider, value);
        (!self.0.contains(&key)).then_some(value)
    }
}

/// Whether two submits are known to have made one task: they name it, or show one idempotency key.
fn are_one_task(a: &Shot<'_>, b: &Shot<'_>) -> bool {
    let mut keys = a.call.rare.correlations.iter().filter(|name| name.kind == CorrelationKind::Idempotency);
    a.task.is_some() && a.task == b.task || keys.any(|key| b.call.rare.correlations.contains(key))
}
