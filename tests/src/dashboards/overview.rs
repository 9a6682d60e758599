//! Overview: what do we spend, how much of it is waste, what changed?
//!
//! From large to small: the numbers of the time range, when and why money went, who takes it, what changed,
//! and where to look next.

use serde_json::json;

use super::budgets::used;
use super::palette::{CAUSES, CURRENCY, NO_TENANT, RETRY, UNKNOWN, UNVERIFIED, VERIFIED, WASTE};
use super::panel::Panel;
use super::query::{Growth, Net, in_range, lately, per_hour, ratio, selector};
use super::table::{Look, TO_JOB_LIST, TO_JOBS, TO_WASTE, column, table};
use super::{Dashboard, variables};

const COST: &str = "spantally_cost";

/// Jobs within the time range that delivered something for money of the chosen currency. Others, paid in
/// another one or without a price, would make the cost of one look lower than it is.
fn delivered(by: &'static [&'static str]) -> String {
    format!("({}) > 0", in_range("spantally_delivered_jobs", CURRENCY, by))
}

/// The dashboard.
pub fn dashboard() -> Dashboard {
    let mut chosen = variables::money(variables::JOBS);
    chosen.extend([variables::compare(), variables::address(), variables::further_labels()]);
    Dashboard {
        file: "overview",
        uid: "spantally-overview",
        title: "Spantally / Overview",
        description: "What media generation costs, how much of it is waste, and where to look next.",
        variables: chosen,
        panels: [numbers(), over_time(), takers(), vec![top_spenders(), changes()]].concat(),
    }
}

/// The waste dashboard for all that is chosen.
const ALL_WASTE: &str = "/d/spantally-waste?${datasource:queryparam}&${job:queryparam}&${instance:queryparam}\
                         &${currency:queryparam}&${provider:queryparam}&${model:queryparam}\
                         &${operation:queryparam}&${service:queryparam}&${tenant:queryparam}\
                         &${spantally:queryparam}&${__url_time_range}";
/// The budgets dashboard for all that is chosen.
const ALL_BUDGETS: &str = "/d/spantally-budgets?${datasource:queryparam}&${job:queryparam}\
                           &${instance:queryparam}&${currency:queryparam}&${provider:queryparam}\
                           &${model:queryparam}&${operation:queryparam}&${service:queryparam}\
                           &${tenant:queryparam}&${__url_time_range}";

fn numbers() -> Vec<Panel> {
    let spend = in_range(COST, CURRENCY, &[]);
    let waste = in_range(COST, WASTE, &[]);
    let per_delivered = ratio(&in_range(COST, VERIFIED, &[]), &delivered(&[]));
    let unverified = ratio(&in_range(COST, UNVERIFIED, &[]), &format!("{spend} > 0"));
    let exposure = selector("spantally_exposure", "currency=\"$currency\",bound=\"max\"");
    vec![
        Panel::stat("Spend, $currency", "Expected cost of the jobs that settled in the time range.")
            .instant(&spend, "")
            .unit("none", 2),
        Panel::stat("Waste, $currency", "Spend that is neither delivered nor unverified.")
            .instant(&waste, "")
            .unit("none", 2)
            .thresholds(&[(None, "orange")])
            .link("Waste", ALL_WASTE),
        Panel::stat("Waste share", "Share of the spend that is neither delivered nor unverified.")
            .instant(&ratio(&waste, &spend), "")
            .unit("percentunit", 1)
            .thresholds(&[(None, "green"), (Some(0.05), "orange"), (Some(0.15), "red")])
            .link("Waste", ALL_WASTE),
        Panel::stat(
            "Retry-driven spend, $currency",
            "Spend on retries, resubmissions after time-outs and duplicates.",
        )
        .instant(&in_range(COST, RETRY, &[]), "")
        .unit("none", 2)
        .thresholds(&[(None, "orange")])
        .link("Waste", ALL_WASTE),
        Panel::stat(
            "Cost per delivered job, $currency",
            "Spend of the time range, waste included, by job that delivered and has a price in the currency. \
             Spend on jobs of which nobody knows whether they delivered is left out; its share stands \
             beside.",
        )
        .instant(&per_delivered, "each")
        .instant(&unverified, "unverified")
        .unit("none", 4)
        .field(
            "unverified",
            &json!([
                {"id": "unit", "value": "percentunit"},
                {"id": "decimals", "value": 0},
                {"id": "color", "value": {"fixedColor": "text", "mode": "fixed"}},
            ]),
        ),
        Panel::stat(
            "30 days at this rate, $currency",
            "What thirty days cost if they go as the time range did. Choose a whole day or week.",
        )
        .instant(&format!("({spend}) / $__range_s * 86400 * 30"), "")
        .unit("locale", 0),
        Panel::stat(
            "Most used budget",
            "The share that is spent of the budget that is spent most, in whatever currency.",
        )
        .instant(&format!("max({})", used()), "")
        .unit("percentunit", 0)
        .thresholds(&[(None, "text"), (Some(0.0), "green"), (Some(0.8), "orange"), (Some(1.0), "red")])
        .no_value("no budget set")
        .link("Budgets", ALL_BUDGETS),
        Panel::stat(
            "Open exposure, $currency",
            "The most that open jobs and undecided charges may still add to an invoice.",
        )
        .instant(&format!("sum({exposure})"), "")
        .unit("none", 2),
    ]
}

fn over_time() -> Vec<Panel> {
    let by_cause = per_hour(COST, CURRENCY, &["cause"]);
    let waste = lately(COST, WASTE, &["provider"]);
    let all = lately(COST, CURRENCY, &["provider"]);
    vec![
        Panel::time_series(
            "Spend by cause, $currency an hour",
            "When and why did money go? Blue was delivered, light blue is unverified, the rest is waste.",
            (16, 9),
            true,
        )
        .range(&format!("{by_cause} != 0"), "{{cause}}")
        .unit("none", 2)
        .legend("table", "right")
        .colors(&CAUSES),
        Panel::time_series(
            "Waste share by provider",
            "Is waste of three hours within what is allowed? The line is the 15 % at which the number above \
             turns red.",
            (8, 9),
            false,
        )
        .range(&ratio(&waste, &format!("{all} > 0")), "{{provider}}")
        .unit("percentunit", 1)
        .legend("list", "bottom")
        .axis(0.0, 0.3)
        .threshold_line(0.15),
    ]
}

/// Bars by a label: title, question, width, the label, its legend, and the word where it has no value.
type Taker = (&'static str, &'static str, u32, &'static [&'static str; 1], &'static str, &'static str);

const TAKERS: [Taker; 5] = [
    (
        "Spend by provider, $currency",
        "Which provider takes the money of the time range?",
        8,
        &["provider"],
        "{{provider}}",
        UNKNOWN,
    ),
    (
        "Spend by model, $currency",
        "Which models take it? The eight dearest.",
        8,
        &["model"],
        "{{model}}",
        UNKNOWN,
    ),
    (
        "Spend by service, $currency",
        "Which services cause it? The eight dearest.",
        8,
        &["service"],
        "{{service}}",
        UNKNOWN,
    ),
    (
        "Spend by operation, $currency",
        "What is it spent on: images, video, speech? The eight dearest.",
        12,
        &["operation"],
        "{{operation}}",
        UNKNOWN,
    ),
    (
        "Spend by tenant, $currency",
        "Which teams or customers cause it? The eight dearest.",
        12,
        &["tenant"],
        "{{tenant}}",
        NO_TENANT,
    ),
];

/// The largest of each label's values. Where a label has no value, the bar says so.
fn takers() -> Vec<Panel> {
    TAKERS
        .iter()
        .map(|&(title, description, width, by, legend, none)| {
            let [label] = *by;
            let top = format!("topk(8, {} > 0)", in_range(COST, CURRENCY, by));
            let named = format!("label_replace({top}, \"{label}\", \"{none}\", \"{label}\", \"\")");
            Panel::bars(title, description, (width, 7)).instant(&named, legend).unit("none", 2)
        })
        .collect()
}

const BY: &[&str] = &["provider", "model", "service"];
const LABELS: [(&str, &str, u32); 3] =
    [("provider", "Provider", 0), ("model", "Model", 350), ("service", "Service", 0)];

fn top_spenders() -> Panel {
    let spend = in_range(COST, CURRENCY, BY);
    let waste = in_range(COST, WASTE, BY);
    let top = format!("topk(20, {spend} > 0)");
    let jobs = in_range("spantally_jobs", "", BY);
    let unverified = in_range(COST, UNVERIFIED, BY);
    let known = in_range(COST, VERIFIED, BY);
    let per_delivered = ratio(&format!("({known}) and {top}"), &delivered(BY));
    let columns = [
        column("Spend", &top, Look::Money(2)),
        column("Waste", &format!("{waste} and {top}"), Look::Money(2)),
        column("Waste share", &ratio(&waste, &top), Look::Share(0.05, 0.15)),
        column("Jobs", &format!("{jobs} and {top}"), Look::Count),
        column("Unverified", &ratio(&unverified, &top), Look::Percent),
        column("Per delivered job", &per_delivered, Look::Money(4)),
    ];
    table(
        "Top spenders, $currency",
        "What to look at next: the twenty dearest models of a service. Click a model or a service to go on. \
         What is unverified is not in the cost of a delivered job.",
        (24, 12),
        &LABELS,
        &columns,
        "Spend",
    )
    .cell_links("Model", &[TO_WASTE, TO_JOBS])
    .cell_links("Service", &[TO_WASTE, TO_JOB_LIST])
    .totals(&["Spend", "Waste", "Jobs"])
}

fn changes() -> Panel {
    const BY: &[&str] = &["provider", "model"];
    let now = in_range(COST, CURRENCY, BY);
    let before = Net { metric: COST, matchers: CURRENCY, growth: Growth::InRangeBefore, by: BY }.query();
    let change = format!("({now}) - ({before}) or ({now})");
    let top = format!("topk(15, abs({change}) > 0)");
    let columns = [
        column("Now", &format!("({now}) and {top}"), Look::Money(2)),
        column("Before", &format!("({before}) and {top}"), Look::Money(2)),
        column("Change", &format!("({change}) and {top}"), Look::Change),
        column("Change, share", &format!("(({change}) / ({before} > 0)) and {top}"), Look::ChangeShare),
    ];
    table(
        "What changed, $currency",
        "Spend of the time range beside the same length of time before, as long ago as `Compare with` says.",
        (24, 9),
        &LABELS[..2],
        &columns,
        "Change",
    )
    .no_value("nothing")
    .cell_links("Model", &[TO_WASTE, TO_JOBS])
    .totals(&["Now", "Change"])
}
