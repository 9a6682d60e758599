//! Part of Pipeline: how senders are answered.

use super::panel::Panel;
use super::pipeline::{gauge, grown, none_is_well, rate};

/// Answers after which a sender drops its spans, as in the alert `SpantallyRefusingForGood`.
const FOR_GOOD: &str = "result=~\"unauthenticated|forbidden|bad_data|too_large|unsupported_.*|not_found\"";

/// What was refused within the time range: to be sent again, and for good.
pub(super) fn refused() -> Panel {
    Panel::stat(
        "Refused",
        "Batches that senders must send again, and requests that they drop after the answer: a token that is \
         not known, a body that is too large or cannot be read.",
    )
    .instant(&grown("spantally_commit_refused_batches_total", ""), "again")
    .instant(&grown("spantally_otlp_requests_total", FOR_GOOD), "dropped")
    .unit("locale", 0)
    .thresholds(&[(None, "green"), (Some(1.0), "orange")])
    .field("dropped", &none_is_well())
    .size(3, 4)
}

/// The panels.
pub(super) fn panels() -> Vec<Panel> {
    let requests = rate("spantally_otlp_requests_total", "result");
    vec![
        Panel::time_series("OTLP requests by result, per second", "Are senders answered well?", (8, 8), true)
            .range(&format!("{requests} > 0"), "{{result}}")
            .unit("locale", 2)
            .legend("list", "bottom"),
        Panel::time_series(
            "OTLP bytes",
            "How much comes in, a second, and how much is being read?",
            (8, 8),
            false,
        )
        .range(&rate("spantally_otlp_request_bytes_total", "transport"), "{{transport}}, a second")
        .range(&format!("sum({})", gauge("spantally_otlp_inflight_bytes")), "in memory now")
        .unit("bytes", 1)
        .axis(0.0, 1024.0)
        .legend("list", "bottom"),
        Panel::time_series("Connections", "Who is connected, and do connections fail?", (8, 8), false)
            .range(&format!("sum({})", gauge("spantally_otlp_connections_open")), "open")
            .range(
                &format!("{} * 60", rate("spantally_otlp_connections_accepted_total", "")),
                "new, a minute",
            )
            .range(
                &format!("{} * 60", rate("spantally_otlp_connections_failed_total", "")),
                "failed, a minute",
            )
            .unit("locale", 1)
            .axis(0.0, 1.0)
            .legend("list", "bottom"),
    ]
}
