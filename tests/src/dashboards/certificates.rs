//! Part of Pipeline: does a certificate of a port or a destination end soon, are renewed ones taken?

use super::panel::Panel;
use super::pipeline::{ENDS, gauge, rate};

/// The panels.
pub(super) fn panels() -> Vec<Panel> {
    let ends = gauge("spantally_tls_certificate_expiry_timestamp_seconds");
    let good = gauge("spantally_tls_last_reload_successful");
    vec![
        Panel::time_series(
            "Certificates",
            "In how many days do certificates of ports and destinations end, are files good (1)?",
            (8, 6),
            false,
        )
        .range(
            &format!("(min by (endpoint, file) ({ends}) - time()) / 86400"),
            "days left, {{endpoint}} {{file}}",
        )
        .range(&format!("min by (endpoint) ({good})"), "files are good, {{endpoint}}")
        .range(
            &format!("{} * 60", rate("spantally_tls_reloads_total", "result")),
            "read again, a minute: {{result}}",
        )
        .colors_at_end(&ENDS)
        .unit("locale", 1)
        .legend("list", "bottom"),
    ]
}
