//! What a terminal may be sent.

use std::io::IsTerminal;

/// Whether output there may have colours (<https://no-color.org>).
pub(crate) fn colors(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
