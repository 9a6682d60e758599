//! Voice: what does a minute of a session cost, which leg costs it, what did interruptions waste?
//!
//! A voice session is one job whose legs are its attempts; its counters carry the operation of the leg, and
//! those of the job that of its first leg. Money and time are counted apart for sessions, since their
//! service may make single calls for speech, and images, as well. What is counted by calls and by units is
//! of all legs, in sessions or alone.

use super::palette::{CAUSES, LEG, OUTCOMES};
use super::panel::Panel;
use super::query::{apart, in_range, per_hour, per_second, quantile, ratio, selector};
use super::table::{Look, column, table};
use super::{Dashboard, variables};

const COST: &str = "spantally_voice_session_cost";
const DURATION: &str = "spantally_voice_session_duration_seconds";
const SPENT: &str = "currency=\"$currency\"";
const INTERRUPTED: &str = "cause=\"interrupted\",currency=\"$currency\"";
/// Legs, each in its colour.
const LEGS: [(&str, &str); 5] = [
    ("speech_to_text", "#8AB8FF"),
    ("chat", "#FADE2A"),
    ("text_to_speech", "#B877D9"),
    ("speech_to_speech", "#FF9830"),
    ("realtime", "#5794F2"),
];

/// The jobs dashboard for a row's service: a session is at several providers, and counted at its first leg.
const TO_ITS_JOBS: (&str, &str) = (
    "How its jobs go",
    "/d/spantally-jobs?${datasource:queryparam}&${job:queryparam}&${instance:queryparam}\
     &${currency:queryparam}&${tenant:queryparam}&${spantally:queryparam}\
     &var-service=${__data.fields.raw_service:percentencode}&${__url_time_range}",
);
/// The jobs themselves, as [`super::table::TO_JOB_LIST`].
const TO_ITS_JOB_LIST: (&str, &str) =
    ("The jobs, with their traces", "${spantally}/#/jobs?service=${__data.fields.raw_service:percentencode}");

/// The dashboard.
pub fn dashboard() -> Dashboard {
    let mut chosen = variables::money(
        "spantally_voice_session_duration_seconds_count{job=~\"$job\",instance=~\"$instance\"}",
    );
    for variable in &mut chosen {
        if variable["name"] == "service" {
            // All services that are found, not all that there are.
            variable["allValue"] = serde_json::Value::Null;
        }
        // A session has legs at several providers; the service is what sets it apart.
        if ["provider", "model", "operation"].iter().any(|name| variable["name"] == *name) {
            *variable = variables::everything(&variable["name"]);
        }
    }
    chosen.extend([variables::address(), variables::further_labels()]);
    Dashboard {
        file: "voice",
        uid: "spantally-voice",
        title: "Spantally / Voice",
        description: "What a minute of voice costs, which leg costs it, and what interruptions waste.",
        variables: chosen,
        panels: [numbers(), over_time(), sessions(), vec![legs(), services()]].concat(),
    }
}

/// Minutes of sessions, by service or all together.
fn minutes(growth: &str, window: &str, by: &str) -> String {
    let sum = selector(&format!("{DURATION}_sum"), "");
    let grown = apart(&[by], &format!("{growth}({sum}[{window}])"));
    let by = if by.is_empty() { String::new() } else { format!(" by ({by})") };
    format!("sum{by} ({grown}) / 60")
}

/// Sessions that settled, by outcome or all together.
fn settled(growth: &str, window: &str, by: &str) -> String {
    let count = selector(&format!("{DURATION}_count"), "");
    let by = if by.is_empty() { String::new() } else { format!(" by ({by})") };
    format!("sum{by} ({growth}({count}[{window}]))")
}

fn numbers() -> Vec<Panel> {
    let spend = in_range(COST, SPENT, &[]);
    let interrupted = in_range(COST, INTERRUPTED, &[]);
    let sessions = settled("increase", "$__range", "");
    let unpriced = in_range("spantally_unpriced_jobs", LEG, &[]);
    let stat =
        |title, description, query: &str| Panel::stat(title, description).instant(query, "").size(3, 4);
    vec![
        stat("Voice spend, $currency", "Cost of all legs of sessions in the time range.", &spend)
            .unit("none", 2)
            .size(4, 4),
        stat(
            "Cost per minute, $currency",
            "All legs that have a price, by minute from the first call of a session to its last.",
            &ratio(&spend, &minutes("increase", "$__range", "")),
        )
        .unit("none", 4)
        .size(4, 4),
        stat(
            "Cost per session, $currency",
            "All legs that have a price, by session.",
            &ratio(&spend, &sessions),
        )
        .unit("none", 4)
        .size(4, 4),
        stat(
            "Sessions",
            "Sessions that settled in the time range: jobs with legs of several kinds, or whose calls for speech \
             share a session, or with a connection that stays open. A single call for speech is none.",
            &sessions,
        )
        .unit("locale", 0),
        stat(
            "Jobs with unpriced legs",
            "Jobs with a leg, in a session or alone, that has no price: it is missing from every cost here.",
            &unpriced,
        )
        .unit("locale", 0)
        .thresholds(&[(None, "green"), (Some(1.0), "orange")]),
        stat(
            "Interrupted, $currency",
            "Audio that was generated and never played because the user spoke.",
            &interrupted,
        )
        .unit("none", 2)
        .thresholds(&[(None, "text"), (Some(0.01), "orange")]),
        stat("Interrupted share", "Share of the voice spend.", &ratio(&interrupted, &spend))
            .unit("percentunit", 1)
            .thresholds(&[(None, "green"), (Some(0.05), "orange"), (Some(0.15), "red")]),
    ]
}

fn over_time() -> Vec<Panel> {
    let by_leg = per_hour(COST, SPENT, &["operation"]);
    let per_service = per_second(COST, SPENT, &["service"]);
    let minutes = minutes("rate", "$__rate_interval", "service");
    vec![
        Panel::time_series("Spend by leg, $currency an hour", "Which leg takes the money?", (14, 9), true)
            .range(&format!("{by_leg} != 0"), "{{operation}}")
            .unit("none", 2)
            .legend("table", "right")
            .colors(&LEGS),
        Panel::time_series(
            "Cost per minute by service, $currency",
            "Does a minute get dearer?",
            (10, 9),
            false,
        )
        .range(&ratio(&per_service, &format!("{minutes} > 0")), "{{service}}")
        .unit("none", 4)
        .axis(0.0, 0.01)
        .legend("list", "bottom"),
    ]
}

fn sessions() -> Vec<Panel> {
    let by_cause = per_hour(COST, SPENT, &["cause"]);
    let outcomes = format!("{} * 3600", settled("rate", "$__rate_interval", "outcome"));
    vec![
        Panel::time_series(
            "Session length",
            "How long do people talk, in the sessions of each hour?",
            (8, 8),
            false,
        )
        .range(&quantile("0.5", DURATION, "", "1h", ""), "half of the sessions")
        .range(&quantile("0.95", DURATION, "", "1h", ""), "95 %")
        .exemplars()
        .unit("s", 0)
        .axis(0.0, 10.0)
        .legend("list", "bottom"),
        Panel::time_series("Sessions by outcome, per hour", "How do sessions end?", (8, 8), true)
            .range(&format!("{outcomes} != 0"), "{{outcome}}")
            .unit("locale", 1)
            .legend("list", "bottom")
            .colors(&OUTCOMES),
        Panel::time_series(
            "Spend by cause, $currency an hour",
            "What of it was played, retried, or cut off by the user?",
            (8, 8),
            true,
        )
        .range(&format!("{by_cause} != 0"), "{{cause}}")
        .unit("none", 2)
        .legend("list", "bottom")
        .colors(&CAUSES),
    ]
}

fn legs() -> Panel {
    const BY: &[&str] = &["operation", "provider", "model"];
    let spend = in_range(COST, SPENT, BY);
    let calls = in_range("spantally_calls", LEG, BY);
    let failures = in_range("spantally_failures", LEG, BY);
    let per_minute = format!("({spend}) / scalar({} > 0)", minutes("increase", "$__range", ""));
    let taken = format!("({calls} > 0)");
    let columns = [
        column("Calls", &taken, Look::Count),
        column("Failures", &format!("({failures}) and {taken}"), Look::Count),
        column("Spend", &format!("({spend}) and {taken}"), Look::Money(4)),
        column("Per minute", &format!("({per_minute}) and {taken}"), Look::Money(6)),
    ];
    table(
        "Legs, $currency",
        "Which vendor and model of which leg costs how much? Calls and failures are of all such calls, spend is of \
         those in sessions.",
        (14, 9),
        &[("operation", "Leg", 130), ("provider", "Provider", 100), ("model", "Model", 230)],
        &columns,
        "Spend",
    )
    .totals(&["Calls", "Spend", "Per minute"])
}

fn services() -> Panel {
    const BY: &[&str] = &["service", "operation", "unit"];
    let billed = in_range("spantally_billed_units", LEG, BY);
    table(
        "Billed units by leg",
        "How many tokens, characters, seconds and requests were billed for each leg?",
        (10, 9),
        &[("service", "Service", 130), ("operation", "Leg", 140), ("unit", "Unit", 0)],
        &[column("Billed", &format!("{billed} > 0"), Look::Count)],
        "Billed",
    )
    .cell_links("Service", &[TO_ITS_JOBS, TO_ITS_JOB_LIST])
}
