//! Part of Pipeline: is a bound near, was one met?

use super::panel::Panel;
use super::pipeline::{gauge, rate};
use super::query::ratio;

/// The panels.
pub(super) fn panels() -> Vec<Panel> {
    // Of each instance first: the largest of one over the largest of another is the share of none.
    let share = ratio(&gauge("spantally_limit_used"), &format!("{} > 0", gauge("spantally_limit")));
    let used = format!("max by (limit) ({share})");
    let reached = format!("{} * 60 > 0", rate("spantally_limit_reached_total", "limit"));
    vec![
        Panel::time_series(
            "Limits in use",
            "Is any bound near? Share of each, at the instance that is nearest.",
            (12, 7),
            false,
        )
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
