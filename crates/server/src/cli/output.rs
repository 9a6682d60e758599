//! Standard output, and the formats of commands that list things.

use std::io::{BufWriter, IsTerminal, StdoutLock, Write};

/// How a list is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Human,
    /// One JSON document.
    Json,
    /// One JSON object a line.
    Jsonl,
    /// Comma-separated values with a header line (RFC 4180).
    Csv,
}

/// Standard output, buffered. Flush it before returning, so that a full disk or a closed pipe is noticed.
pub fn stdout() -> impl Write {
    BufWriter::<StdoutLock<'static>>::new(std::io::stdout().lock())
}

/// Whether output there may have colours (<https://no-color.org>).
pub fn colors(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// A cell of CSV: quoted when it holds a comma, a quote or a line end.
pub fn csv_cell(text: &str) -> std::borrow::Cow<'_, str> {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\"")).into()
    } else {
        text.into()
    }
}

/// A cell of CSV for a spreadsheet: what it would take for a formula, and is no number, has an apostrophe in
/// front, by which spreadsheets know text.
pub fn sheet_cell(text: &str) -> std::borrow::Cow<'_, str> {
    let is_numbers = || text.split(' ').all(|word| word.parse::<rust_decimal::Decimal>().is_ok());
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) && !is_numbers() {
        csv_cell(&format!("'{text}")).into_owned().into()
    } else {
        csv_cell(text)
    }
}

/// A word of a command that can be pasted into a shell: in quotes where it needs them.
pub fn shell_word(text: &str) -> std::borrow::Cow<'_, str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-+=:,./@%".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) {
        text.into()
    } else {
        format!("'{}'", text.replace('\'', r"'\''")).into()
    }
}

#[cfg(test)]
mod tests {
    use super::{csv_cell, sheet_cell, shell_word};

    #[test]
    fn words_for_a_shell_are_quoted_only_when_needed() {
        for (text, word) in [
            ("/srv/data", "/srv/data"),
            ("a.b=127.0.0.1:0", "a.b=127.0.0.1:0"),
            ("my data", "'my data'"),
            ("it's", r"'it'\''s'"),
            ("$HOME", "'$HOME'"),
            ("", "''"),
        ] {
            assert_eq!(shell_word(text), word);
        }
    }

    #[test]
    fn no_cell_is_a_formula() {
        for (text, cell) in [
            ("fal", "fal"),
            ("=cmd|calc", "'=cmd|calc"),
            ("@SUM(A1,B2)", "\"'@SUM(A1,B2)\""),
            ("-1+2", "'-1+2"),
            ("+x", "'+x"),
            ("\tcmd", "'\tcmd"),
            ("-0.25", "-0.25"),
            ("-0.25 3", "-0.25 3"),
            ("", ""),
        ] {
            assert_eq!(sheet_cell(text), cell);
        }
    }

    #[test]
    fn cells_are_quoted_only_when_needed() {
        for (text, cell) in [("plain", "plain"), ("a,b", "\"a,b\""), ("say \"x\"", "\"say \"\"x\"\"\"")] {
            assert_eq!(csv_cell(text), cell);
        }
    }
}
