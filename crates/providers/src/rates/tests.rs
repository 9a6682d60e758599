//! The built-in files, and everything that must be refused.

use crate::load;

#[test]
fn the_built_in_files_are_good() {
    if let Err(findings) = crate::builtin::files() {
        panic!("{}", findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
    }
}
