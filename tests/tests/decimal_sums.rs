//! Money is added up without panics: where it is, a decimal's operators are banned (clippy), and `sum` too.
//!
//! Clippy cannot tell a sum of decimals from another one, so in these places a sum of something else says of
//! what it is: `.sum::<u64>()`.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::{Path, PathBuf};

use spantally_tests::fixtures::repository;
use spantally_tests::source::{code_only, without_tests};

/// Files that begin with the ban, each with the folder of its modules where it has one.
const PLACES: [(&str, Option<&str>); 7] = [
    ("crates/price/src/lib.rs", Some("crates/price/src")),
    ("crates/server/src/budgets/mod.rs", Some("crates/server/src/budgets")),
    ("crates/server/src/core/charges.rs", None),
    ("crates/server/src/core/exposure.rs", None),
    ("crates/server/src/core/windows.rs", None),
    ("crates/server/src/replay/summary/count.rs", None),
    ("crates/server/src/verify/counters.rs", None),
];

const BAN: &str = "#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects";

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.flat_map(|path| if path.is_dir() { files_in(&path) } else { vec![path] });
    files.filter(|path| path.file_stem().is_some_and(|name| name != "tests")).collect()
}

#[test]
fn no_decimal_is_summed_where_a_sum_may_panic() {
    let mut broken = Vec::new();
    for (file, folder) in PLACES {
        let own = repository().join(file);
        if !std::fs::read_to_string(&own).unwrap().contains(BAN) {
            broken.push(format!("{file}: does not begin with the ban on a decimal's operators"));
        }
        let files = folder.map_or_else(|| vec![own], |folder| files_in(&repository().join(folder)));
        for path in files {
            let text = std::fs::read_to_string(&path).unwrap();
            let code = without_tests(&code_only(&text)).replace(['\n', ' '], "");
            let calls = [".sum()", ".sum::<Decimal>()", "Decimal::sum("];
            let found = calls.iter().filter(|call| code.contains(**call));
            broken.extend(found.map(|call| format!("{}: {call}", path.display())));
        }
    }
    assert!(broken.is_empty(), "use spantally_price::sum:\n  {}", broken.join("\n  "));
}
