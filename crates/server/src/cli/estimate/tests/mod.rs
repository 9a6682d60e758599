//! Jobs made by hand, and what is estimated from them, reckoned by hand.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod forecasts;
mod limits;

use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::cli::job_doc::JobDoc;
use crate::job_calls::{JobCalls, TimedCall};
use crate::job_json::Rfc3339;
use spantally_stitch::UnixNanos;

fn dec(text: &str) -> Decimal {
    text.parse().unwrap()
}

/// A moment so many milliseconds after the beginning of 2026-11-20.
fn at(ms: i64) -> String {
    Rfc3339(UnixNanos((DAY.unsigned_abs() + ms.unsigned_abs()) * 1_000_000)).to_string()
}

/// 2026-11-20 in milliseconds since 1970.
const DAY: i64 = 1_795_132_800_000;

/// A charge: attempt, cause, cost, basis.
type ChargeText<'a> = (usize, &'a str, &'a str, &'a str);

/// A job of provider `clips`. Attempts are `accepted outcome cause polls task`, with `-` for no task. The
/// cost is `min max` of all charges; what is expected is their sum.
fn job(start: i64, end: i64, outcome: &str, attempts: &[&str], charges: &[ChargeText], cost: &str) -> JobDoc {
    let spans = json!({"submit":[],"poll":[],"result":[],"cancel":[],"webhook":[],"download":[],"sync":[],
        "session":[]});
    let attempt = |text: &&str| {
        let [accepted, outcome, cause, polls, task] = text.split(' ').collect::<Vec<_>>().try_into().unwrap();
        let task = if task == "-" { Value::Null } else { task.into() };
        json!({"task_id":task,"accepted":accepted,"outcome":outcome,"failure_reason":null,"cause":cause,
            "polls":polls.parse::<u32>().unwrap(),"spans":spans,"joins":[]})
    };
    let charge = |&(attempt, cause, cost, basis): &ChargeText| {
        json!({"attempt":attempt,"unit":"clip","quantity":"1","unit_price":cost,"cost":cost,"currency":"USD",
            "cause":cause,"basis":basis,"rule":"clips/clip","policy":"clips/success"})
    };
    let expected: Decimal = charges.iter().map(|charge| dec(charge.2)).sum();
    let cost =
        cost.split_once(' ').map(|(min, max)| json!({"USD":{"min":min,"expected":expected,"max":max}}));
    serde_json::from_value(json!({"job_id":"1","revision":1,"state":"settled","tenant":"","service":"ads",
        "provider":"clips","model":"clip","operation":"text_to_video","outcome":outcome,
        "failure_reason":null,"spans":[],"started_at":at(start),"ended_at":at(end),
        "attempts":attempts.iter().map(attempt).collect::<Vec<_>>(),
        "charges":charges.iter().map(charge).collect::<Vec<_>>(),"cost":cost.unwrap_or(json!({}))}))
    .unwrap()
}

/// A job that one attempt delivered for so much.
fn delivered(start: i64, cost: &str) -> JobDoc {
    let charges = [(0, "delivered", cost, "documented")];
    job(
        start,
        start + 1000,
        "succeeded",
        &["yes succeeded delivered 0 t"],
        &charges,
        &format!("{cost} {cost}"),
    )
}

/// Calls, as attempt, role, start and end in milliseconds, status.
fn calls(calls: &[(usize, &str, i64, i64, u16)]) -> JobCalls {
    let timed = |&(attempt, call, start, end, status): &(usize, &str, i64, i64, u16)| TimedCall {
        attempt,
        call: call.to_owned(),
        span: String::new(),
        started_at: at(start),
        ended_at: at(end),
        status: Some(status).filter(|status| *status != 0),
        failure_reason: None,
    };
    JobCalls { calls: calls.iter().map(timed).collect() }
}
