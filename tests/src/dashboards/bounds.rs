//! Part of Pipeline: is a bound near, was one met?

use super::panel::Panel;
use super::pipeline::{gauge, rate};

/// The panels.
pub(super) fn panels() -> Vec<Panel> {
    let used = format!(
        "max by (limit) ({}) / max by (limit) ({})",
        gauge("spantally_limit_used"),
        gauge("spantally_limit")
    );
    let reached = format!("{} * 60 > 0", rate("spantally_limit_reached_total", "limit"));
    vec![
        Panel::time_series("Limits in use", "Is any bound near? Share of each.", (12, 7), false)
            .range(&used, "{{limit}}")
            .unit("percentunit", 0)
            .axis(0.0, 1.0)
            .legend("list", "bottom"),
        Panel::time_series(
            "Limits reached, per minute",
            "Was a bound met? Jobs settled early, ties not made, spans not kept, senders that wait.",
            (12, 7),
            true,
        )
        .range(&reached, "{{limit}}")
        .unit("locale", 1)
        .axis(0.0, 1.0)
        .legend("list", "bottom"),
    ]
}
