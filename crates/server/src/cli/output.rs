//! Standard output, and the formats of commands that list things.

use std::io::{BufWriter, StdoutLock, Write};

use crate::csv::csv_cell;

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

/// A cell of CSV for a spreadsheet: what it would take for a formula, and is no number, has an apostrophe in
/// front, by which spreadsheets know text.
pub(crate) fn sheet_cell(text: &str) -> std::borrow::Cow<'_, str> {
    let is_numbers = || text.split(' ').all(|word| word.parse::<rust_decimal::Decimal>().is_ok());
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) && !is_numbers() {
        csv_cell(&format!("'{text}")).into_owned().into()
    } else {
        csv_cell(text)
    }
}

/// A word of a command that can be pasted into a shell: in quotes where it needs them.
pub(crate) fn shell_word(text: &str) -> std::borrow::Cow<'_, str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-+=:,./@%".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) {
        text.into()
    } else {
        format!("'{}'", text.replace('\'', r"'\''")).into()
    }
}

#[cfg(test)]
mod tests {
    use super::{sheet_cell, shell_word};

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
}
