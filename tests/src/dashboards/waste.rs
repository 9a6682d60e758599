//! Waste: which retries, duplicates and failures cost us, why, and can we get it back?

use super::palette::{CAUSES, CURRENCY, FAILED, REASONS, RETRY, STATUSES, WASTE};
use super::panel::Panel;
use super::query::{as_in_storms, buckets, in_range, lately, mean, per_hour, ratio};
use super::table::{Look, TO_JOB_LIST, TO_JOBS, column, table};
use super::{Dashboard, variables};

const COST: &str = "spantally_cost";
const ATTEMPTS: &str = "spantally_attempts";
const DUPLICATE: &str = "currency=\"$currency\",cause=\"duplicate\"";
const TIMEOUT: &str = "currency=\"$currency\",cause=\"timeout_resubmit\"";
const RETRIED: &str = "currency=\"$currency\",cause=\"retry\"";
const ABANDONED: &str = "currency=\"$currency\",cause=\"abandoned\"";
/// Attempts that stand for their job.
const NEEDED: &str = "cause!~\"retry|timeout_resubmit|duplicate\"";
/// The same of those that were accepted, or may have been.
const NEEDED_ACCEPTED: &str = "cause!~\"retry|timeout_resubmit|duplicate\",accepted!=\"no\"";
const ACCEPTED: &str = "accepted!=\"no\"";

/// The dashboard.
pub fn dashboard() -> Dashboard {
    let mut chosen = variables::money(variables::JOBS);
    chosen.extend([variables::address(), variables::further_labels()]);
    Dashboard {
        file: "waste",
        uid: "spantally-waste",
        title: "Spantally / Waste",
        description: "Which retries, duplicates and failures cost money, why, and what can be claimed back.",
        variables: chosen,
        panels: [numbers(), over_time(), multiplication(), calls(), vec![worst(), billed_failures()]]
            .concat(),
    }
}

/// How a counter's growth is asked for.
type Ask = fn(&'static str, &'static str, &'static [&'static str]) -> String;

/// Attempts that were accepted, or may have been, by attempt that stands for its job. The legs of a voice
/// session each stand for themselves.
fn amplification(growth: Ask, by: &'static [&'static str]) -> String {
    let needed = growth(ATTEMPTS, NEEDED_ACCEPTED, by);
    ratio(&growth(ATTEMPTS, ACCEPTED, by), &format!("{needed} > 0"))
}

/// All attempts by attempt that stands for its job: what the alert on retry storms compares with its limit.
fn made(by: &'static [&'static str]) -> String {
    let needed = as_in_storms(ATTEMPTS, NEEDED, by);
    ratio(&as_in_storms(ATTEMPTS, "", by), &format!("{needed} > 0"))
}

fn numbers() -> Vec<Panel> {
    let spend = in_range(COST, CURRENCY, &[]);
    let waste = in_range(COST, WASTE, &[]);
    let amount = |title, description, matchers, color| {
        Panel::stat(title, description)
            .instant(&in_range(COST, matchers, &[]), "")
            .unit("none", 2)
            .thresholds(&[(None, color)])
            .size(3, 4)
    };
    vec![
        amount("Waste, $currency", "Spend that is neither delivered nor unverified.", WASTE, "orange"),
        Panel::stat("Waste share", "Share of the spend that is neither delivered nor unverified.")
            .instant(&ratio(&waste, &spend), "")
            .unit("percentunit", 1)
            .thresholds(&[(None, "green"), (Some(0.05), "orange"), (Some(0.15), "red")])
            .size(3, 4),
        amount(
            "Retry-driven, $currency",
            "Retries, resubmissions after time-outs and duplicates.",
            RETRY,
            "orange",
        ),
        amount(
            "Resubmits, $currency",
            "Attempts made again after a time-out, while the first may still have been running.",
            TIMEOUT,
            "dark-orange",
        ),
        amount("Duplicates, $currency", "The same request, submitted twice.", DUPLICATE, "purple"),
        amount(
            "Failed, $currency",
            "Billed although the job failed or was refused by moderation.",
            FAILED,
            "red",
        ),
        amount("Not fetched, $currency", "Finished, and the result was never fetched.", ABANDONED, "text"),
        Panel::stat(
            "Amplification",
            "Attempts that a provider took, by attempt that was needed. 1 is the best there is.",
        )
        .instant(&amplification(in_range, &[]), "")
        .unit("none", 2)
        .thresholds(&[(None, "green"), (Some(1.2), "orange"), (Some(2.0), "red")])
        .size(3, 4),
    ]
}

fn over_time() -> Vec<Panel> {
    let by_cause = per_hour(COST, WASTE, &["cause"]);
    let by_provider = per_hour(COST, RETRY, &["provider"]);
    vec![
        Panel::time_series(
            "Waste by cause, $currency an hour",
            "When was money spent for nothing, and why?",
            (12, 9),
            true,
        )
        .range(&format!("{by_cause} != 0"), "{{cause}}")
        .unit("none", 2)
        .legend("table", "right")
        .colors(&CAUSES),
        Panel::time_series(
            "Retry-driven spend by provider, $currency an hour",
            "At which provider are attempts paid for more than once?",
            (12, 9),
            true,
        )
        .range(&format!("{by_provider} != 0"), "{{provider}}")
        .unit("none", 2)
        .legend("table", "right"),
    ]
}

fn multiplication() -> Vec<Panel> {
    let failures = per_hour("spantally_failures", "", &["reason"]);
    vec![
        Panel::time_series(
            "Attempts by attempt needed",
            "How many are made in 15 minutes for one that is needed, refused ones too? Above the red line is a \
             retry storm. Dashed: how many the provider takes, in three hours; those are billed.",
            (8, 8),
            false,
        )
        .range(&made(&["provider"]), "{{provider}}")
        .range(&amplification(lately, &["provider"]), "{{provider}}, taken")
        .unit("none", 2)
        .legend("list", "bottom")
        .dashed(", taken$")
        .axis(1.0, 3.5)
        .threshold_line(3.0),
        Panel::bars(
            "Jobs by attempts",
            "How often is a job tried again? Up to so many. In a voice session each leg is an attempt.",
            (4, 8),
        )
        .buckets(&buckets("spantally_job_attempts", "$__range"))
        .unit("locale", 0),
        Panel::time_series(
            "Failures by reason, per hour",
            "What do the retries answer to? Time-outs of the client, limits, or the provider?",
            (12, 8),
            true,
        )
        .range(&format!("{failures} != 0"), "{{reason}}")
        .unit("locale", 1)
        .legend("table", "right")
        .colors(&REASONS),
    ]
}

fn calls() -> Vec<Panel> {
    let by_status = |call: &'static str| per_hour("spantally_calls", call, &["status"]);
    vec![
        Panel::time_series(
            "Polls per job",
            "How often is a job's status asked for, in three hours? Where this is high, a webhook saves \
             calls.",
            (8, 8),
            false,
        )
        .range(&mean("spantally_job_polls", "3h", "provider"), "{{provider}}")
        .legend("list", "bottom")
        .unit("locale", 1),
        Panel::time_series(
            "Polls by status, per hour",
            "How many status calls are made, and does the provider push back?",
            (8, 8),
            true,
        )
        .range(&format!("{} != 0", by_status("call=\"poll\"")), "{{status}}")
        .legend("list", "bottom")
        .unit("locale", 1)
        .colors(&STATUSES),
        Panel::time_series(
            "Webhooks by status, per hour",
            "Are deliveries refused? A refused one comes again, and may submit again.",
            (8, 8),
            true,
        )
        .range(&format!("{} != 0", by_status("call=\"webhook\"")), "{{status}}")
        .legend("list", "bottom")
        .unit("locale", 1)
        .colors(&STATUSES)
        .no_value("no webhooks"),
    ]
}

const BY: &[&str] = &["provider", "model", "service"];
const LABELS: [(&str, &str, u32); 3] =
    [("provider", "Provider", 110), ("model", "Model", 350), ("service", "Service", 130)];

fn worst() -> Panel {
    let spend = in_range(COST, CURRENCY, BY);
    let waste = in_range(COST, WASTE, BY);
    let top = format!("topk(20, {waste} > 0)");
    let part = |matchers| format!("{} and {top}", in_range(COST, matchers, BY));
    let columns = [
        column("Waste", &top, Look::Money(2)),
        column("Waste share", &ratio(&top, &format!("{spend} > 0")), Look::Share(0.05, 0.15)),
        column("Retries", &part(RETRIED), Look::Money(2)),
        column("Resubmits", &part(TIMEOUT), Look::Money(2)),
        column("Duplicates", &part(DUPLICATE), Look::Money(2)),
        column("Failed", &part(FAILED), Look::Money(2)),
        column("Not fetched", &part(ABANDONED), Look::Money(2)),
    ];
    table(
        "Where it is wasted, $currency",
        "Which models of which services waste most? Click a service for its jobs, each with its traces.",
        (24, 11),
        &LABELS,
        &columns,
        "Waste",
    )
    .cell_links("Model", &[TO_JOBS])
    .cell_links("Service", &[TO_JOBS, TO_JOB_LIST])
    .totals(&["Waste", "Retries", "Resubmits", "Duplicates", "Failed", "Not fetched"])
}

fn billed_failures() -> Panel {
    let net = in_range(COST, FAILED, &["provider", "model", "service", "cause", "basis"]);
    table(
        "Billed although it failed, $currency",
        "What may be claimed back, from whom, and how sure is it? `assumed` may have cost nothing.",
        (24, 9),
        &[LABELS[0], LABELS[1], LABELS[2], ("cause", "Cause", 130), ("basis", "Basis", 130)],
        &[column("Amount", &format!("topk(20, {net} > 0)"), Look::Money(2))],
        "Amount",
    )
    .cell_links(
        "Service",
        &[(
            "The failed jobs, with their task ids",
            "${spantally}/#/jobs?provider=${__data.fields.Provider:percentencode}\
             &service=${__data.fields.raw_service:percentencode}&model=${__data.fields.raw_model:percentencode}\
             &cause=${__data.fields.Cause:percentencode}",
        )],
    )
    .totals(&["Amount"])
}
