//! The page of what is measured is what is measured, and joins are as sure as they say.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use spantally_stitch::Confidence;
use spantally_tests::fixtures::{compare_with_golden, repository};
use spantally_tests::report::calibration::Calibration;
use spantally_tests::report::measured::measured;

/// At least this share of the joins of a class is right.
fn hold(what: &str, calibration: &Calibration, classes: [(Confidence, f64); 4]) {
    for (confidence, least) in classes {
        let count = calibration.by_confidence.get(&confidence).copied().unwrap_or_default();
        let share = count.share().unwrap_or_default();
        assert!(
            share >= least,
            "{what}: joins said to be {confidence}: {count:?}, at least {least} is right"
        );
    }
}

#[test]
fn the_page_shows_what_is_measured_and_joins_are_as_sure_as_they_say() {
    use Confidence::{Exact, Guess, Likely, Strong};
    let measured = measured().unwrap();
    hold("captures", &measured.recorded, [(Exact, 1.0), (Strong, 0.99), (Likely, 0.9), (Guess, 0.5)]);
    hold(
        "changed captures",
        &measured.changed,
        [(Exact, 0.99), (Strong, 0.98), (Likely, 0.85), (Guess, 0.5)],
    );
    compare_with_golden("docs/stitching-measured.md", &measured.page).unwrap();
    let instrumentation = std::fs::read_to_string(repository().join("docs/instrumentation.md")).unwrap();
    assert!(
        instrumentation.contains(&measured.steps),
        "docs/instrumentation.md must have this table of steps, as in docs/stitching-measured.md:\n{}",
        measured.steps
    );
}
