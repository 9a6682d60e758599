//! Where the committed test data is, and the one way to compare text with a golden file.

use std::path::{Path, PathBuf};

/// The captures of `tests/fixtures/captures`, in the order in which reports list them.
pub const CAPTURES: [&str; 6] =
    ["bare-new", "bare-headers", "node-bare", "parented-dup", "rich-new", "cross-trace-new"];

/// Root of the repository.
pub fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Directory of one capture.
pub fn capture_dir(name: &str) -> PathBuf {
    repository().join("tests/fixtures/captures").join(name)
}

/// Compares `actual` with the file `golden` (relative to the repository's root), line by line.
///
/// With `SPANTALLY_BLESS=1` in the environment the file is written instead: read the difference before
/// committing it.
pub fn compare_with_golden(golden: &str, actual: &str) -> Result<(), String> {
    let path = repository().join(golden);
    if std::env::var_os("SPANTALLY_BLESS").is_some_and(|value| value == "1") {
        return std::fs::write(&path, actual)
            .map_err(|error| format!("{golden}: cannot be written: {error}"));
    }
    let expected = std::fs::read_to_string(&path)
        .map_err(|error| format!("{golden}: {error}; SPANTALLY_BLESS=1 writes it for the first time"))?;
    if expected == actual {
        return Ok(());
    }
    let (mut left, mut right) = (expected.lines(), actual.lines());
    let mut line = 0;
    loop {
        line += 1;
        match (left.next(), right.next()) {
            (a, b) if a == b && a.is_some() => {}
            (a, b) => {
                return Err(format!(
                    "{golden}:{line} differs\n  expected: {}\n  found:    {}\nif the new text is right, \
                     run the test with SPANTALLY_BLESS=1",
                    a.unwrap_or("(end)"),
                    b.unwrap_or("(end)")
                ));
            }
        }
    }
}
