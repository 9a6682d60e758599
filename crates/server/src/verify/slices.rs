//! Reading rows in slices, also where some of them are damaged.

use spantally_store::StoreError;

/// Rows whose documents are in memory at once.
pub(super) const SLICE: u64 = 4096;

/// What `read` finds in a slice. Where it fails for what a row has in it, rows are read one by one: `broken`
/// is told of those that cannot be read, and the others are found all the same.
///
/// # Errors
/// The file cannot be read.
pub(super) fn read_slice<T>(
    (first, last): (u64, u64),
    read: impl Fn((u64, u64), &mut Vec<(u64, T)>) -> Result<(), StoreError>,
    mut broken: impl FnMut(u64, &StoreError),
) -> Result<Vec<(u64, T)>, StoreError> {
    let mut found = Vec::new();
    match read((first, last), &mut found) {
        Ok(()) => return Ok(found),
        Err(error) if !is_of_a_row(&error) => return Err(error),
        Err(_) => found.clear(),
    }
    for row in first..=last {
        let before = found.len();
        match read((row, row), &mut found) {
            Err(error) if is_of_a_row(&error) => {
                found.truncate(before);
                broken(row, &error);
            }
            read => read?,
        }
    }
    Ok(found)
}

/// Text that is no JSON, no UTF-8, no number; other failures are of the file.
fn is_of_a_row(error: &StoreError) -> bool {
    matches!(error, StoreError::Sqlite { .. })
}
