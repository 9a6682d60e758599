//! Changed captures scored: nothing may depend on names, hosts, codes, density or the length of jobs.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use spantally_tests::fixtures::compare_with_golden;
use spantally_tests::traffic::variant::{VARIANTS, table};

#[test]
fn changed_captures_are_stitched_as_well() {
    let rows = VARIANTS.iter().map(|variant| (variant, variant.score().unwrap()));
    let text = table(rows);
    compare_with_golden("tests/golden/variants.md", &text).unwrap();
}
