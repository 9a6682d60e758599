//! Which failures of SQLite mean that there is no room, although it calls them errors of the disk.

use std::fs;
use std::path::Path;

use rusqlite::ffi;

use crate::files::log_of;

/// The kernel takes a write up to the limit and refuses what is beyond it. Frames of the log are the largest
/// writes.
const LARGEST_WRITE: u64 = 1 << 16;

/// What there is no room for, if that is what a failure means.
pub(crate) fn no_room(path: &Path, error: &rusqlite::Error) -> Option<String> {
    match error.sqlite_error()?.extended_code {
        // The index of the log is a file that is made larger and then shared: on a disk that has no space.
        ffi::SQLITE_IOERR_SHMSIZE => {
            Some("the index of its write-ahead log cannot be made larger".to_owned())
        }
        ffi::SQLITE_IOERR_WRITE | ffi::SQLITE_IOERR_TRUNCATE => {
            let limit = max_file_bytes(&fs::read_to_string("/proc/self/limits").ok()?)?;
            let is_at_limit = |file: &Path| {
                fs::metadata(file).is_ok_and(|found| found.len().saturating_add(LARGEST_WRITE) >= limit)
            };
            (is_at_limit(path) || is_at_limit(&log_of(path)))
                .then(|| format!("this process may make files of {limit} bytes (ulimit -f)"))
        }
        _ => None,
    }
}

/// The limit in force on the size of a file, in bytes, as Linux tells it; none without one.
fn max_file_bytes(limits: &str) -> Option<u64> {
    limits
        .lines()
        .find_map(|line| line.strip_prefix("Max file size"))?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::max_file_bytes;

    #[test]
    fn the_limit_on_files_is_read() {
        let limits = |soft| format!("Limit  Soft  Hard  Units\nMax file size   {soft}   unlimited   bytes\n");
        assert_eq!(max_file_bytes(&limits("20480000")), Some(20_480_000));
        assert_eq!(max_file_bytes(&limits("unlimited")), None);
        assert_eq!(max_file_bytes(""), None);
    }
}
