//! What is kept of a callback URL: the ids in its query, and what tells its path from others.
//!
//! A submit shows the URL that it asks to be called back at, and a delivery the one at which it came.

use std::sync::Arc;

use spantally_stitch::{Correlation, CorrelationKind};

use crate::endpoint::EndpointCache;
use crate::fingerprint::Fingerprint;
use crate::lengths::{CALLBACK_IDS_MAX, Cuts};
use crate::placeholder::is_placeholder;
use crate::url::{decode, parameters};

/// What stands between several ids that make one name: it is in no URL.
const AND: &str = "\u{1f}";

/// Parameters of a callback URL that hold an id which the client chose.
const CHOSEN: &[&str] = &[
    "order",
    "order_id",
    "job",
    "job_id",
    "jobId",
    "id",
    "ref",
    "reference",
    "external_id",
    "external_task_id",
    "correlation_id",
    "callback_id",
    "generation",
    "attempt_id",
];

/// Parameters that hold the provider's own id, or one that the client chose.
pub(crate) const TASK: &[&str] = &["request_id", "task_id", "prediction_id", "generation_id", "video_id"];

/// Adds the ids in a callback URL's query. Parameters of other names are not kept: they may be secrets.
///
/// What the client chose comes first, in whatever order the parameters stand: the provider adds its own id
/// to the URL that it was given, before or after them. Several ids that the client chose are one name: it
/// takes all of them to tell two attempts of a job apart.
pub(crate) fn correlations(query: &str, out: &mut Vec<Correlation>, cuts: &mut Cuts) {
    let (mut chosen, mut given) = (Vec::new(), Vec::new());
    let ids = parameters(query)
        .filter(|(name, value)| !is_placeholder(value) && (CHOSEN.contains(name) || TASK.contains(name)));
    for (at, (name, value)) in ids.enumerate() {
        if at >= CALLBACK_IDS_MAX {
            cuts.callback_ids += 1;
            continue;
        }
        let value = cuts.id(&decode(value, true)).into_owned();
        match CHOSEN.iter().position(|chosen| *chosen == name) {
            Some(place) => chosen.push((place, value)),
            None => given.push(value),
        }
    }
    chosen.sort_unstable();
    chosen.dedup();
    let chosen: Vec<String> = chosen.into_iter().map(|(_, value)| value).collect();
    let name = (!chosen.is_empty()).then(|| cuts.id(&chosen.join(AND)).into_owned());
    let values = name.into_iter().chain(given);
    out.extend(values.map(|value| Correlation { kind: CorrelationKind::Callback, value: value.into() }));
}

/// What tells one path of a callback URL from another. Not the path itself: who knows it may deliver, so
/// applications put secrets into it.
pub(crate) fn place(path: &str, cache: &mut EndpointCache) -> Arc<str> {
    cache.text(&format!("{:016x}", Fingerprint::new().part(path).value()))
}
