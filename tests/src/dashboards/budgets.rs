//! Budgets and credits: will we overrun, when do credits end, can the prices be trusted?

use super::palette::{BASES, CURRENCY};
use super::panel::Panel;
use super::query::{in_range, of_provider, own, per_hour, ratio, selector};
use super::table::{Look, column, table};
use super::{Dashboard, variables};

const NO_BUDGET: &str = "no budget in spantally.yaml";
const NO_ACCOUNT: &str = "no prepaid account in spantally.yaml";

/// The dashboard.
pub fn dashboard() -> Dashboard {
    Dashboard {
        file: "budgets",
        uid: "spantally-budgets",
        title: "Spantally / Budgets & credits",
        description: "Whether the money lasts: budgets, prepaid credits, and how sure the numbers are.",
        variables: variables::money(variables::JOBS),
        panels: [
            numbers(),
            vec![Panel::row("Budgets, all currencies")],
            budgets(),
            vec![Panel::row("Prepaid credits")],
            credits(),
            vec![Panel::row("Invoices"), invoices()],
            vec![Panel::row("How sure the numbers are")],
            trust(),
        ]
        .concat(),
    }
}

fn budget(part: &str) -> String {
    own(&format!("spantally_budget_{part}"), "")
}

/// The amounts of several servers together: each counts what it has seen.
fn together(query: &str) -> String {
    format!("sum by (job, budget, currency) ({query})")
}

/// What several servers of one configuration say alike.
fn alike(query: &str) -> String {
    format!("max by (job, budget, currency) ({query})")
}

/// What is spent of each budget's limit.
pub(super) fn used() -> String {
    ratio(&together(&budget("spent")), &format!("{} > 0", alike(&budget("limit"))))
}

/// How long each budget's period is.
fn period() -> String {
    let start = budget("period_start_timestamp_seconds");
    let end = budget("period_end_timestamp_seconds");
    format!("{end} - {start}")
}

/// What part of each budget's period has passed.
fn passed() -> String {
    let start = budget("period_start_timestamp_seconds");
    alike(&format!("(time() - {start}) / ({})", period()))
}

/// What of each budget's limit will be spent at the end of its period, at the pace of the period so far.
fn forecast() -> String {
    format!("({}) / ({} > 0.02)", used(), passed())
}

/// How many times faster than its limit allows a budget was spent in a window. The turn of a period would
/// show as a negative amount: it is left out.
fn burn(window: &str, seconds: u32) -> String {
    let spent = together(&format!("delta({}[{window}]) >= 0", budget("spent")));
    format!("{spent} / ({} > 0) * {} / {seconds}", alike(&budget("limit")), alike(&period()))
}

fn numbers() -> Vec<Panel> {
    let spend = in_range("spantally_cost", CURRENCY, &[]);
    let bound = |bound| in_range("spantally_cost_bound", bound, &[]);
    let assumed = in_range("spantally_cost", "currency=\"$currency\",basis=\"assumed\"", &[]);
    let unpriced = in_range("spantally_unpriced_jobs", "", &[]);
    let age = of_provider("spantally_rate_card_age_seconds", "");
    let runway = own("spantally_prepaid_runway_seconds", "");
    let stat =
        |title, description, query: &str| Panel::stat(title, description).instant(query, "").size(3, 4);
    vec![
        stat(
            "Most used budget",
            "The share that is spent of the budget that is spent most.",
            &format!("max({})", used()),
        )
        .unit("percentunit", 0)
        .thresholds(&[(None, "text"), (Some(0.0), "green"), (Some(0.8), "orange"), (Some(1.0), "red")])
        .no_value("none set"),
        stat(
            "Highest forecast",
            "Where the budget that fares worst ends its period, at the pace of the period so far.",
            &format!("max({})", forecast()),
        )
        .unit("percentunit", 0)
        .thresholds(&[(None, "text"), (Some(0.0), "green"), (Some(0.9), "orange"), (Some(1.0), "red")])
        .no_value("none set"),
        stat("Shortest runway", "When the first prepaid account is empty.", &format!("min({runway})"))
            .unit("s", 1)
            .thresholds(&[
                (None, "text"),
                (Some(0.0), "red"),
                (Some(43_200.0), "orange"),
                (Some(259_200.0), "green"),
            ])
            .no_value("none set"),
        stat("At least, $currency", "The least that the jobs of the time range may have cost.", &bound(MIN))
            .unit("none", 2),
        stat("At most, $currency", "The most that the jobs of the time range may have cost.", &bound(MAX))
            .unit("none", 2),
        stat(
            "Assumed",
            "Share of the spend whose price, quantity or policy is assumed.",
            &ratio(&assumed, &spend),
        )
        .unit("percentunit", 1)
        .thresholds(&[(None, "green"), (Some(0.1), "orange"), (Some(0.3), "red")]),
        stat("Oldest prices", "Since prices were last compared with their source.", &format!("max({age})"))
            .unit("s", 0)
            .thresholds(&[(None, "green"), (Some(2_592_000.0), "orange"), (Some(7_776_000.0), "red")]),
        stat(
            "Unpriced jobs",
            "Settled jobs of which money is missing from every number here: all of it, or that of the attempts \
             that have no price.",
            &unpriced,
        )
            .unit("locale", 0)
            .thresholds(&[(None, "green"), (Some(1.0), "orange")]),
    ]
}

const MIN: &str = "currency=\"$currency\",bound=\"min\"";
const MAX: &str = "currency=\"$currency\",bound=\"max\"";

fn budgets() -> Vec<Panel> {
    let steps = [(None, "text"), (Some(0.0), "green"), (Some(0.8), "orange"), (Some(1.0), "red")];
    let by_name = |query: &str| format!("max by (budget, currency) ({query})");
    let columns = [
        column("Spent", &by_name(&together(&budget("spent"))), Look::Money(2)),
        column("Limit", &by_name(&budget("limit")), Look::Money(2)),
        column("Used", &by_name(&used()), Look::Share(0.8, 1.0)),
        column("Period passed", &by_name(&passed()), Look::Percent),
        column("Forecast", &by_name(&forecast()), Look::Percent),
        column(
            "Period ends",
            &format!("{} * 1000", by_name(&budget("period_end_timestamp_seconds"))),
            Look::Moment,
        ),
    ];
    vec![
        Panel::bars("Used", "How much of each budget is spent in its running period?", (6, 8))
            .instant(&by_name(&used()), "{{budget}}")
            .unit("percentunit", 1)
            .thresholds(&steps)
            .scale_to(1.0)
            .no_value(NO_BUDGET),
        table(
            "Budgets",
            "Where will each budget end its period, at the pace of the period so far? Of several servers \
             together.",
            (18, 8),
            &[("budget", "Budget", 0), ("currency", "Currency", 90)],
            &columns,
            "Used",
        )
        .no_value(NO_BUDGET),
        Panel::time_series(
            "Spent, and what an even pace would have spent",
            "Are we ahead of the budget? The share of the limit, beside the share of the period that passed.",
            (12, 9),
            false,
        )
        .range(&by_name(&used()), "{{budget}}")
        .range(&by_name(&passed()), "{{budget}}, even pace")
        .unit("percentunit", 0)
        .axis(0.0, 1.0)
        .threshold_line(1.0)
        .dashed(".*even pace")
        .legend("list", "bottom")
        .no_value(NO_BUDGET),
        Panel::time_series(
            "Burn rate",
            "How many times too fast? 1 ends the period at the limit; 14.4 spends a month in two days.",
            (12, 9),
            false,
        )
        .range(&by_name(&burn("1h", 3600)), "{{budget}}, 1 h")
        .range(&by_name(&burn("6h", 21_600)), "{{budget}}, 6 h")
        .unit("none", 1)
        .axis(0.0, 2.0)
        .threshold_lines(&[(1.0, "yellow"), (6.0, "orange"), (14.4, "red")])
        .legend("list", "bottom")
        .no_value(NO_BUDGET),
    ]
}

fn credits() -> Vec<Panel> {
    let balance = own("spantally_prepaid_balance", "");
    let runway = own("spantally_prepaid_runway_seconds", "");
    // What was paid in is in no metric, so several servers' accounts cannot be put together: the one that is
    // worst off counts, as in the number above, and an alert tells of an account that two spend from.
    let by_name = |query: &str| format!("min by (account, currency) ({query})");
    vec![
        Panel::time_series(
            "Prepaid balance",
            "How do the credits of each account go down? Top-ups and expiries are steps. One server should \
             spend from an account: it takes off only what it has seen.",
            (16, 8),
            false,
        )
        .range(&by_name(&balance), "{{account}}, {{currency}}")
        .unit("locale", 0)
        .threshold_line(0.0)
        .legend("table", "right")
        .no_value(NO_ACCOUNT),
        Panel::bars("Runway", "When is each account empty, if it goes on as in the last day?", (8, 8))
            .instant(&by_name(&runway), "{{account}}")
            .unit("s", 1)
            .thresholds(&[
                (None, "text"),
                (Some(0.0), "red"),
                (Some(43_200.0), "orange"),
                (Some(259_200.0), "green"),
            ])
            .no_value(NO_ACCOUNT),
    ]
}

fn invoices() -> Panel {
    const BY: &str = "provider, currency, period";
    let invoiced = format!("max by ({BY}) ({})", of_provider("spantally_reconciliation_invoiced", ""));
    // Several servers have each booked a part of it.
    let booked = |bound: &str| {
        let all = of_provider("spantally_reconciliation_booked", bound);
        format!("max by ({BY}) (sum by (job, {BY}) ({all}))")
    };
    let [least, expected, most] = ["min", "expected", "max"].map(|word| booked(&format!("bound=\"{word}\"")));
    let columns = [
        column("Invoiced", &invoiced, Look::Money(2)),
        column("At least", &least, Look::Money(2)),
        column("Expected", &expected, Look::Money(2)),
        column("At most", &most, Look::Money(2)),
        column(
            "Drift",
            &ratio(&format!("{invoiced} - {expected}"), &format!("{invoiced} > 0")),
            Look::Percent,
        ),
        column(
            "Not explained",
            &format!("clamp_min({invoiced} - {most}, 0) - clamp_min({least} - {invoiced}, 0)"),
            Look::Money(2),
        ),
    ];
    table(
        "Invoices beside the ledger",
        "Do providers bill what we booked? Not explained: above the most, or below the least.",
        (24, 7),
        &[("provider", "Provider", 0), ("period", "Period", 200), ("currency", "Currency", 90)],
        &columns,
        "Invoiced",
    )
    .no_value("no invoice in spantally.yaml")
}

fn trust() -> Vec<Panel> {
    let age = of_provider("spantally_rate_card_age_seconds", "");
    let info = of_provider("spantally_rate_card_info", "");
    let oldest = format!("max by (provider) ({age})");
    let of_day = format!("max by (provider, as_of) ({info}) * on (provider) group_left () {oldest}");
    let unpriced = per_hour("spantally_unpriced_jobs", "", &["reason"]);
    let by_basis = per_hour("spantally_cost", CURRENCY, &["basis"]);
    let undecided = in_range("spantally_ambiguous_cost", CURRENCY, &["provider", "service"]);
    let exposure = |bound: &str| {
        let gauge = selector("spantally_exposure", &format!("currency=\"$currency\",bound=\"{bound}\""));
        format!("sum({gauge})")
    };
    vec![
        Panel::time_series(
            "Spend by how sure it is, $currency an hour",
            "Reported by the provider, documented with a source, or assumed?",
            (8, 8),
            true,
        )
        .range(&format!("{by_basis} != 0"), "{{basis}}")
        .unit("none", 2)
        .legend("list", "bottom")
        .colors(&BASES),
        Panel::time_series(
            "Exposure, $currency",
            "What may open jobs, and charges that nobody knows to be billed, still add to an invoice?",
            (8, 8),
            false,
        )
        .range(&exposure("max"), "at most")
        .range(&exposure("min"), "at least")
        .unit("none", 2)
        .axis(0.0, 1.0)
        .legend("list", "bottom"),
        Panel::time_series(
            "Unpriced jobs by reason, per hour",
            "Whose money is missing from every number, and why?",
            (8, 8),
            true,
        )
        .range(&format!("{unpriced} != 0"), "{{reason}}")
        .unit("locale", 1)
        .legend("list", "bottom")
        .no_value("every job has a price"),
        Panel::bars(
            "Not known to be billed, $currency",
            "Where do most of the amounts come from of which nobody knows whether they were billed?",
            (8, 9),
        )
        .instant(&format!("topk(10, {undecided} > 0)"), "{{provider}} {{service}}")
        .unit("none", 2)
        .no_value("nothing"),
        Panel::bars("Age of the prices", "When were they last compared with their source?", (8, 9))
            .instant(&oldest, "{{provider}}")
            .unit("s", 1)
            .thresholds(&[(None, "green"), (Some(2_592_000.0), "orange"), (Some(7_776_000.0), "red")]),
        table(
            "Prices in use",
            "As of which day are the prices of each provider?",
            (8, 9),
            &[("provider", "Provider", 0), ("as_of", "As of", 0)],
            &[column("Age", &of_day, Look::Seconds)],
            "Age",
        ),
    ]
}
