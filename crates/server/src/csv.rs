//! Comma-separated values (RFC 4180), as the day's files and the lists of commands have them.

use std::borrow::Cow;

/// A cell of CSV: quoted when it holds a comma, a quote or a line end.
pub(crate) fn csv_cell(text: &str) -> Cow<'_, str> {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\"")).into()
    } else {
        text.into()
    }
}

#[cfg(test)]
mod tests {
    use super::csv_cell;

    #[test]
    fn cells_are_quoted_only_when_needed() {
        for (text, cell) in [("plain", "plain"), ("a,b", "\"a,b\""), ("say \"x\"", "\"say \"\"x\"\"\"")] {
            assert_eq!(csv_cell(text), cell);
        }
    }
}
