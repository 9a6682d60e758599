//! Jobs for tests, as documents.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use serde_json::json;

use crate::cli::job_doc::JobDoc;

/// A job with an attempt for each charge: its task, its cost, and how sure that is; `cost` is the job's
/// bound.
pub(super) fn job(charges: &[(&str, &str, &str)], cost: [&str; 3]) -> JobDoc {
    let attempts = charges.iter().map(|(task, ..)| {
        json!({"task_id": task, "accepted": "yes", "outcome": "succeeded", "failure_reason": null,
            "cause": "delivered", "polls": 0, "joins": [], "spans": {"submit": [], "poll": [],
            "result": [], "cancel": [], "webhook": [], "download": [], "sync": [], "session": []}})
    });
    let booked = charges.iter().enumerate().map(|(at, (_, cost, basis))| {
        json!({"attempt": at, "unit": "clip", "quantity": "1", "unit_price": cost, "cost": cost,
            "currency": "USD", "cause": "delivered", "basis": basis, "rule": "clips/clip"})
    });
    let [min, expected, max] = cost;
    let text = json!({
        "job_id": "1", "revision": 1, "state": "settled", "tenant": "", "service": "s",
        "provider": "clips", "model": "m", "operation": "o", "outcome": "succeeded",
        "failure_reason": null, "spans": [], "started_at": "2026-11-20T10:00:00.000Z",
        "ended_at": "2026-11-20T10:00:01.000Z", "attempts": attempts.collect::<Vec<_>>(),
        "charges": booked.collect::<Vec<_>>(),
        "cost": {"USD": {"min": min, "expected": expected, "max": max}},
    });
    serde_json::from_value(text).unwrap()
}
