//! Pipeline: is Spantally well, can the numbers be believed?

use super::palette::FATES;
use super::panel::Panel;
use super::query::{own, ratio};
use super::table::{Look, column, table};
use super::{Dashboard, variables};

/// The dashboard.
pub fn dashboard() -> Dashboard {
    Dashboard {
        file: "pipeline",
        uid: "spantally-pipeline",
        title: "Spantally / Pipeline",
        description: "Whether Spantally is well, and whether its numbers can be believed.",
        variables: variables::scrape(),
        panels: [
            numbers(),
            spans(),
            vec![Panel::row("From the socket to the disk")],
            super::intake::panels(),
            disk(),
            vec![Panel::row("To other backends")],
            forwarding(),
            vec![Panel::row("Stitching, series and the process")],
            series(),
            super::bounds::panels(),
            process(),
            super::certificates::panels(),
        ]
        .concat(),
    }
}

pub(super) fn gauge(metric: &str) -> String {
    own(metric, "")
}

/// Growth of a counter in a second, by labels; by none, of all together.
pub(super) fn rate(metric: &str, by: &str) -> String {
    let by = if by.is_empty() { String::new() } else { format!(" by ({by})") };
    format!("sum{by} (rate({}[$__rate_interval]))", own(metric, ""))
}

/// Growth of a counter within the time range.
pub(super) fn grown(metric: &str, matchers: &str) -> String {
    format!("sum(increase({}[$__range]))", own(metric, matchers))
}

fn quantile(q: &str, histogram: &str) -> String {
    let buckets = own(&format!("{histogram}_bucket"), "");
    format!("histogram_quantile({q}, sum by (le) (rate({buckets}[$__rate_interval]))) >= 0")
}

fn numbers() -> Vec<Panel> {
    let stat =
        |title, description, query: &str| Panel::stat(title, description).instant(query, "").size(3, 4);
    let behind = format!(
        "max({} - {})",
        gauge("spantally_applied_commit_sequence"),
        gauge("spantally_checkpointed_commit_sequence")
    );
    let failing =
        format!("max({}) + max({})", gauge("spantally_journal_failing"), gauge("spantally_ledger_failing"));
    let used = ratio(&gauge("spantally_label_sets"), &gauge("spantally_label_sets_limit"));
    vec![
        Panel::stat("Up", "Instances that answer Prometheus, and those that do not.")
            .instant(&format!("sum({})", gauge("up")), "up")
            .instant(&format!("sum({} == bool 0)", gauge("up")), "down")
            .unit("locale", 0)
            .thresholds(&[(None, "red"), (Some(1.0), "green")])
            .field("down", &none_is_well())
            .size(3, 4),
        Panel::stat("Version", "The build that is running.")
            .instant(&format!("max by (version) ({})", gauge("spantally_build_info")), "{{version}}")
            .option("textMode", "name".into())
            .unit("locale", 0)
            .size(3, 4),
        stat(
            "Up for",
            "Since the process that was started last began.",
            &format!("time() - max({})", gauge("process_start_time_seconds")),
        )
        .unit("s", 0),
        stat(
            "Disk",
            "Whether journal and ledger can be written. While they cannot, senders are refused.",
            &failing,
        )
        .unit("locale", 0)
        .thresholds(&[(None, "green"), (Some(1.0), "red")])
        .word_for("0", "well", "green"),
        stat(
            "Ledger behind",
            "Commits that are in the journal and applied, but not in the ledger yet.",
            &behind,
        )
        .unit("locale", 0),
        super::intake::refused(),
        stat(
            "Rejected spans",
            "Spans that cannot be used. Their jobs are not counted, or not whole.",
            &grown("spantally_spans_rejected_total", ""),
        )
        .unit("locale", 0)
        .thresholds(&[(None, "green"), (Some(1.0), "orange")]),
        stat(
            "Label sets used",
            "Share of the limit. Past it new label sets are counted together.",
            &format!("max({used})"),
        )
        .unit("percentunit", 0)
        .thresholds(&[(None, "green"), (Some(0.8), "orange"), (Some(1.0), "red")]),
    ]
}

fn spans() -> Vec<Panel> {
    let mut fates = Panel::time_series(
        "Spans by what became of them, per second",
        "What comes in, and is any of it lost to the numbers? Late ones come after their job was forgotten.",
        (14, 9),
        true,
    );
    for (fate, _) in FATES {
        let counter = format!("spantally_spans_{fate}_total");
        fates = fates.range(&format!("{} > 0", rate(&counter, "")), fate);
    }
    let received = grown("spantally_spans_received_total", "");
    let parts = FATES.map(|(fate, _)| grown(&format!("spantally_spans_{fate}_total"), "")).join(" - ");
    vec![
        fates.unit("locale", 1).legend("table", "right").colors(&FATES),
        Panel::time_series(
            "Spans received by transport, per second",
            "By which way do they come?",
            (6, 9),
            false,
        )
        .range(&rate("spantally_spans_received_total", "transport"), "{{transport}}")
        .unit("locale", 1)
        .axis(0.0, 1.0)
        .legend("list", "bottom"),
        Panel::stat(
            "Unaccounted spans",
            "Received less what became of them. Anything but about zero is a defect.",
        )
        .instant(&format!("round({received} - {parts})"), "")
        .unit("locale", 0)
        .thresholds(&[(None, "red"), (Some(-5.0), "green"), (Some(5.0), "red")])
        .size(4, 9),
    ]
}

/// The colour of a number that should be 0.
pub(super) fn none_is_well() -> serde_json::Value {
    let steps = serde_json::json!([{"color": "text", "value": null}, {"color": "red", "value": 1}]);
    serde_json::json!([{"id": "thresholds", "value": {"mode": "absolute", "steps": steps}}])
}

/// An axis of its own, with its unit.
fn on_the_right(unit: &str) -> serde_json::Value {
    serde_json::json!([{"id": "unit", "value": unit}, {"id": "custom.axisPlacement", "value": "right"}])
}

fn disk() -> Vec<Panel> {
    vec![
        Panel::time_series("Time to commit", "How long until a sender has its answer?", (8, 8), false)
            .range(&quantile("0.5", "spantally_commit_duration_seconds"), "half of the groups")
            .range(&quantile("0.99", "spantally_commit_duration_seconds"), "99 %")
            .range(&quantile("0.99", "spantally_checkpoint_duration_seconds"), "checkpoint, 99 %")
            .unit("s", 1)
            .axis(0.0, 0.01)
            .legend("list", "bottom"),
        Panel::time_series(
            "Journal",
            "How much is written, and how many senders share a flush?",
            (8, 8),
            false,
        )
        .range(&rate("spantally_commit_bytes_total", ""), "bytes, a second")
        .range(&rate("spantally_commit_batches_total", ""), "batches, a second")
        .range(&rate("spantally_commit_groups_total", ""), "flushes, a second")
        .range(
            &format!("{} * 60", rate("spantally_checkpoints_total", "result")),
            "checkpoints, a minute: {{result}}",
        )
        .field("bytes, a second", &on_the_right("Bps"))
        .colors_at_end(&ENDS)
        .unit("locale", 1)
        .axis(0.0, 1.0)
        .legend("list", "bottom"),
        Panel::time_series(
            "Queue and refusals",
            "Does the disk keep up? Refused batches are sent again.",
            (8, 8),
            false,
        )
        .range(&format!("sum({})", gauge("spantally_commit_queue_batches")), "batches waiting")
        .range(&format!("sum({})", gauge("spantally_commit_queue_spans")), "spans waiting")
        .range(
            &format!("{} * 60 > 0", rate("spantally_commit_refused_batches_total", "reason")),
            "refused, a minute: {{reason}}",
        )
        .range(
            &format!("{} * 60 > 0", rate("spantally_journal_drop_failures_total", "")),
            "room not given back, a minute",
        )
        .unit("locale", 1)
        .axis(0.0, 1.0)
        .legend("list", "bottom"),
    ]
}

/// How a request, a checkpoint, a span on its way ends.
pub(super) const ENDS: [(&str, &str); 7] = [
    ("ok", "#73BF69"),
    ("sent", "#73BF69"),
    ("retry", "#FF9830"),
    ("not_queued", "#FF9830"),
    ("rejected", "#F2495C"),
    ("failed", "#F2495C"),
    ("error", "#F2495C"),
];

/// Empty where nothing is forwarded.
fn forwarding() -> Vec<Panel> {
    let requests = format!("{} > 0", rate("spantally_forward_requests_total", "destination, result"));
    vec![
        Panel::time_series(
            "Forwarded spans, per second",
            "Does each backend get its spans? What a full queue left out is not queued.",
            (8, 8),
            false,
        )
        .range(&rate("spantally_forward_spans_total", "destination, outcome"), "{{destination}}: {{outcome}}")
        .colors_at_end(&ENDS)
        .unit("locale", 1)
        .axis(0.0, 1.0)
        .legend("list", "bottom"),
        Panel::time_series("Forwarding queues", "How much waits on disk, and how much may?", (8, 8), false)
            .range(
                &format!("max by (destination) ({})", gauge("spantally_forward_queue_bytes")),
                "{{destination}}",
            )
            .range(
                &format!("min by (destination) ({})", gauge("spantally_forward_queue_limit_bytes")),
                "limit, {{destination}}",
            )
            .unit("bytes", 1)
            .axis(0.0, 1024.0)
            .legend("list", "bottom"),
        Panel::time_series(
            "Forwarding destinations",
            "Does a backend take spans from each instance (1), how late are they, how do requests end?",
            (8, 8),
            false,
        )
        .range(
            &format!("min by (destination) ({})", gauge("spantally_forward_up")),
            "{{destination}} takes spans",
        )
        .range(
            &format!("max by (destination) ({})", gauge("spantally_forward_delay_seconds")),
            "seconds behind, {{destination}}",
        )
        .range(&requests, "requests a second, {{destination}}: {{result}}")
        .colors_at_end(&ENDS)
        .unit("locale", 1)
        .axis(0.0, 1.0)
        .legend("list", "bottom"),
    ]
}

fn series() -> Vec<Panel> {
    let joins = "sum by (rule, confidence)";
    let side = |metric: &str| format!("{joins} (increase({}[$__range]))", own(metric, ""));
    let joined =
        format!("({} - {}) > 0", side("spantally_joins_total"), side("spantally_joins_reversed_total"));
    vec![
        table(
            "Joins by rule",
            "How do spans find their jobs? `exact` is by name, the rest is inferred.",
            (12, 10),
            &[("rule", "Rule", 0), ("confidence", "Confidence", 120)],
            &[column("Joins", &joined, Look::Count)],
            "Joins",
        ),
        Panel::time_series(
            "Label sets",
            "Is the limit near, at the fullest instance? Past it new sets are counted in one that overflows.",
            (6, 10),
            false,
        )
        .range(&format!("max({})", gauge("spantally_label_sets")), "in use")
        .range(&format!("min({})", gauge("spantally_label_sets_limit")), "limit")
        .range(&format!("{} * 60", rate("spantally_label_sets_overflowed_total", "")), "overflowed, a minute")
        .unit("locale", 0)
        .axis(0.0, 1.0)
        .dashed("limit")
        .legend("list", "bottom"),
        Panel::time_series("Scrape", "What does a scrape cost, and how large is the page?", (6, 10), false)
            .range(&format!("max({})", gauge("scrape_duration_seconds")), "duration")
            .range(&format!("max({})", gauge("scrape_samples_scraped")), "samples")
            .field("samples", &on_the_right("short"))
            .unit("s", 1)
            .axis(0.0, 0.01)
            .legend("list", "bottom"),
    ]
}

fn process() -> Vec<Panel> {
    vec![
        Panel::time_series("Memory", "How much memory does the process hold?", (8, 7), false)
            .range(&gauge("process_resident_memory_bytes"), "{{instance}}")
            .unit("bytes", 1)
            .axis(0.0, 1024.0)
            .legend("list", "bottom"),
        Panel::time_series("Processor", "How many cores does it use?", (8, 7), false)
            .range(
                &format!("rate({}[$__rate_interval])", own("process_cpu_seconds_total", "")),
                "{{instance}}",
            )
            .unit("locale", 2)
            .axis(0.0, 0.1)
            .legend("list", "bottom"),
        Panel::time_series("Files and threads", "Does anything leak?", (8, 7), false)
            .range(&gauge("process_open_fds"), "files, {{instance}}")
            .range(&gauge("process_threads"), "threads, {{instance}}")
            .unit("locale", 0)
            .axis(0.0, 1.0)
            .legend("list", "bottom"),
        Panel::time_series(
            "Provider files",
            "Were the files good when they were last read (1), and how old are the rules in force?",
            (8, 6),
            false,
        )
        .range(&format!("min({})", gauge("spantally_rules_last_reload_successful")), "files are good")
        .range(
            &format!("{} * 60", rate("spantally_rules_reloads_total", "result")),
            "read again, a minute: {{result}}",
        )
        .colors_at_end(&ENDS)
        .range(
            &format!(
                "(time() - min({})) / 86400",
                gauge("spantally_rules_last_reload_success_timestamp_seconds")
            ),
            "days in force",
        )
        .unit("locale", 1)
        .axis(0.0, 1.0)
        .legend("list", "bottom"),
        Panel::time_series(
            "Requests that no rule takes, per minute",
            "Does a client use a provider's API in a way that its file does not know? Such a POST may cost \
             money that is in no sum.",
            (8, 6),
            true,
        )
        .range(
            &format!("{} * 60 > 0", rate("spantally_unrecognised_requests_total", "provider, method")),
            "{{provider}}: {{method}}",
        )
        .unit("locale", 1)
        .axis(0.0, 1.0)
        .legend("list", "bottom"),
        Panel::time_series(
            "Sampled calls, per minute",
            "Do spans say that others were left out? What those cost is in no sum: every figure is less than \
             the truth.",
            (8, 6),
            true,
        )
        .range(&format!("{} * 60 > 0", rate("spantally_sampled_calls_total", "provider")), "{{provider}}")
        .unit("locale", 1)
        .axis(0.0, 1.0)
        .legend("list", "bottom"),
    ]
}
