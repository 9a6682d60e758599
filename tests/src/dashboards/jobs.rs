//! Jobs: do they flow, how do they end, how long do they take, and what was billed for them?

use super::palette::{CURRENCY, DELIVERED, OUTCOMES, REASONS, STATUSES};
use super::panel::Panel;
use super::query::{apart, buckets, in_range, mean, per_hour, per_second, quantile, ratio, selector};
use super::table::{Look, TO_JOB_LIST, TO_WASTE, column, table};
use super::{Dashboard, variables};

const JOBS: &str = "spantally_jobs";
const DURATION: &str = "spantally_job_duration_seconds";
const FAILED: &str = "outcome=~\"failed|rejected\"";
/// Jobs take minutes and are few: shorter windows make a comb of their quantiles.
const WINDOW: &str = "1h";

/// The dashboard.
pub fn dashboard() -> Dashboard {
    let mut chosen = variables::money(variables::JOBS);
    chosen.extend([variables::address(), variables::further_labels()]);
    Dashboard {
        file: "jobs",
        uid: "spantally-jobs",
        title: "Spantally / Jobs",
        description: "Whether jobs flow, how they end, how long they take, and what was billed for them.",
        variables: chosen,
        panels: [numbers(), ends(), lengths(), calls(), vec![models(), units(), settled_late()]].concat(),
    }
}

fn numbers() -> Vec<Panel> {
    let all = in_range(JOBS, "", &[]);
    let open = selector("spantally_open_jobs", "");
    let age = selector("spantally_open_job_age_seconds", "");
    let at = |q: &str| quantile(q, DURATION, "", "$__range", "");
    let stat =
        |title, description, query: &str| Panel::stat(title, description).instant(query, "").size(3, 4);
    vec![
        stat("Jobs", "Jobs that settled in the time range.", &all).unit("locale", 0),
        stat(
            "Delivered",
            "Share of the settled jobs that delivered something.",
            &ratio(&in_range(JOBS, DELIVERED, &[]), &all),
        )
        .unit("percentunit", 1),
        stat(
            "Failed",
            "Share of the settled jobs that failed, or were refused by moderation.",
            &ratio(&in_range(JOBS, FAILED, &[]), &all),
        )
        .unit("percentunit", 1)
        .thresholds(&[(None, "green"), (Some(0.02), "orange"), (Some(0.1), "red")]),
        stat(
            "Rate limits",
            "Calls that a provider refused because there were too many.",
            &in_range("spantally_failures", "reason=\"rate_limit\"", &[]),
        )
        .unit("locale", 0),
        stat("Open now", "Jobs that have not settled.", &format!("sum({open})")).unit("locale", 0),
        stat(
            "Oldest open",
            "How long ago the oldest job that has not settled began.",
            &format!("max({age})"),
        )
        .unit("s", 0),
        stat("Half are done in", "Median time from the first call of a job to its last.", &at("0.5"))
            .unit("s", 1),
        stat("95 % are done in", "The slowest twentieth of the jobs takes longer.", &at("0.95")).unit("s", 1),
    ]
}

fn ends() -> Vec<Panel> {
    let outcomes = per_hour(JOBS, "", &["outcome"]);
    let failures = per_hour("spantally_failures", "", &["reason"]);
    vec![
        Panel::time_series("Jobs by outcome, per hour", "How do jobs end?", (12, 8), true)
            .range(&format!("{outcomes} != 0"), "{{outcome}}")
            .unit("locale", 1)
            .legend("table", "right")
            .colors(&OUTCOMES),
        Panel::time_series("Failures by reason, per hour", "Why do attempts and calls fail?", (12, 8), true)
            .range(&format!("{failures} != 0"), "{{reason}}")
            .legend("table", "right")
            .unit("locale", 1)
            .colors(&REASONS),
    ]
}

fn lengths() -> Vec<Panel> {
    vec![
        Panel::time_series(
            "Job duration",
            "How long do jobs take, of each hour? A point is one job: it leads to its trace, and names the \
             job.",
            (12, 9),
            false,
        )
        .range(&quantile("0.5", DURATION, "", WINDOW, ""), "half of the jobs")
        .range(&quantile("0.95", DURATION, "", WINDOW, ""), "95 %")
        .exemplars()
        .unit("s", 0)
        .axis(0.0, 10.0)
        .legend("list", "bottom"),
        Panel::heatmap(
            "Job durations",
            "How do durations move? The darker, the more jobs took up to so many seconds.",
            (12, 9),
        )
        .cells(&buckets(DURATION, "$__rate_interval"))
        .unit("locale", 0),
        Panel::time_series(
            "Slowest twentieth, by provider",
            "Which provider makes people wait? 95 % of the jobs of each hour are done sooner.",
            (16, 8),
            false,
        )
        .range(&quantile("0.95", DURATION, "", WINDOW, "provider"), "{{provider}}")
        .unit("s", 0)
        .axis(0.0, 10.0)
        .legend("list", "bottom"),
        Panel::bars("Jobs by duration", "How are they spread? Up to so many seconds.", (8, 8))
            .buckets(&buckets(DURATION, "$__range"))
            .unit("locale", 0),
    ]
}

fn calls() -> Vec<Panel> {
    let submits = per_hour("spantally_calls", "call=~\"submit|sync\"", &["status"]);
    let open = selector("spantally_open_jobs", "");
    let age = selector("spantally_open_job_age_seconds", "");
    vec![
        Panel::time_series(
            "Submits by status, per hour",
            "Do providers take what is sent? 4xx is refused, 5xx fails, none had no answer.",
            (8, 8),
            true,
        )
        .range(&format!("{submits} != 0"), "{{status}}")
        .unit("locale", 1)
        .legend("list", "bottom")
        .colors(&STATUSES),
        Panel::time_series("Open jobs", "How much is under way, or not known to have ended?", (8, 8), false)
            .range(&format!("sum by (provider) ({})", apart(&["provider"], &open)), "{{provider}}")
            .unit("locale", 0)
            .axis(0.0, 1.0)
            .legend("list", "bottom"),
        Panel::time_series("Oldest open job", "Does anything hang? By provider.", (8, 8), false)
            .range(&format!("max by (provider) ({})", apart(&["provider"], &age)), "{{provider}}")
            .unit("s", 0)
            .axis(0.0, 60.0)
            .legend("list", "bottom"),
    ]
}

const BY: &[&str] = &["provider", "model", "service"];
const LABELS: [(&str, &str, u32); 3] =
    [("provider", "Provider", 110), ("model", "Model", 350), ("service", "Service", 130)];

fn models() -> Panel {
    let by = "provider, model, service";
    let jobs = in_range(JOBS, "", BY);
    let top = format!("topk(20, {jobs} > 0)");
    let failed = in_range(JOBS, FAILED, BY);
    let spend = in_range("spantally_cost", CURRENCY, BY);
    let cost = |part: &str| {
        let counter = selector(&format!("spantally_job_cost_{part}"), CURRENCY);
        format!("sum by ({by}) ({})", apart(BY, &format!("increase({counter}[$__range])")))
    };
    let and = |query: &str| format!("({query}) and {top}");
    let columns = [
        column("Jobs", &top, Look::Count),
        column("Failed", &ratio(&failed, &top), Look::Share(0.02, 0.1)),
        column("Median", &and(&quantile("0.5", DURATION, "", "$__range", by)), Look::Seconds),
        column("95 %", &and(&quantile("0.95", DURATION, "", "$__range", by)), Look::Seconds),
        column("Polls per job", &and(&mean("spantally_job_polls", "$__range", by)), Look::Number),
        column("Spend", &and(&spend), Look::Money(2)),
        column("Mean cost", &and(&ratio(&cost("sum"), &format!("{} > 0", cost("count")))), Look::Money(4)),
    ];
    table(
        "Models, $currency",
        "Which models are slow, fail, or are polled too often? The twenty with the most jobs.",
        (24, 11),
        &LABELS,
        &columns,
        "Jobs",
    )
    .cell_links("Model", &[TO_WASTE])
    .cell_links("Service", &[TO_WASTE, TO_JOB_LIST])
    .totals(&["Jobs", "Spend"])
}

fn units() -> Panel {
    const BY: &[&str] = &["provider", "operation", "unit"];
    const LOST: &str = "cause!~\"delivered|unverified\"";
    let billed = in_range("spantally_billed_units", "", BY);
    let lost = in_range("spantally_billed_units", LOST, BY);
    let columns = [
        column("Billed", &format!("{billed} > 0"), Look::Number),
        column("Wasted", &format!("{lost} and ({billed} > 0)"), Look::Number),
        column("Wasted share", &ratio(&lost, &format!("{billed} > 0")), Look::Share(0.05, 0.15)),
    ];
    table(
        "Billed units",
        "How many seconds, images, tokens, characters and credits were billed, and how many for nothing?",
        (16, 10),
        &[("provider", "Provider", 0), ("operation", "Operation", 0), ("unit", "Unit", 0)],
        &columns,
        "Provider",
    )
}

fn settled_late() -> Panel {
    let late = selector("spantally_late_jobs_total", "");
    let taken_back = selector("spantally_jobs_reversed_total", "");
    let rate = |counter: &str| {
        let grown = apart(&["provider"], &format!("rate({counter}[$__rate_interval])"));
        format!("sum by (provider) ({grown}) * 3600")
    };
    let settled = per_second(JOBS, "", &["provider"]);
    Panel::time_series(
        "Revised and late jobs, per hour",
        "How often is a settled job changed by later evidence, or seen again after it was forgotten?",
        (8, 10),
        false,
    )
    .range(&format!("{} and ({settled} > 0)", rate(&taken_back)), "revised, {{provider}}")
    .range(&format!("{} > 0", rate(&late)), "late, {{provider}}")
    .unit("locale", 1)
    .axis(0.0, 1.0)
    .legend("list", "bottom")
}
