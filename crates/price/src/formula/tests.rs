use spantally_stitch::FactSource;

use super::*;
use crate::fixture::{attempt, dec};

#[test]
fn formulas_are_exact() {
    let attempt = attempt(&[
        ("width", "1280", FactSource::Request),
        ("height", "720", FactSource::Request),
        ("seconds", "3.008", FactSource::Response),
        ("audio", "on", FactSource::Request),
        ("cached_tokens", "300", FactSource::Response),
        ("input_tokens", "1000", FactSource::Response),
    ]);
    for (text, expected) in [
        ("width * height * seconds * 24 / 1024", Some("64972.8")),
        ("7 / 2", Some("3.5")),
        ("0.1 + 0.2", Some("0.3")),
        ("7 % 4", Some("3")),
        ("ceil(width * height / 1000000)", Some("1")),
        ("floor(1.9) + round(1.5) + ceil(0.1)", Some("4")),
        ("max(0, width * height / 1000000 - 1)", Some("0")),
        ("min(3, 2, 1)", Some("1")),
        ("input_tokens - cached_tokens", Some("700")),
        ("audio == 'on' && seconds > 3 ? 2 : 1", Some("2")),
        ("!(seconds <= 3) || never_read ? 1 : 2", Some("1")),
        ("-seconds", Some("-3.008")),
        ("missing + 1", None),
        ("audio == 'on' ? 1 : missing", Some("1")),
        ("audio != 'on' ? 1 : missing", None),
        ("1 / 0", None),
        ("audio * 2", None),
        ("seconds > 1", None),
        ("9223372036854775807 * 9223372036854775807", None),
    ] {
        let formula = Formula::new(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(formula.evaluate(&attempt), expected.map(dec), "{text}");
    }
}

#[test]
fn what_a_formula_reads_is_known() {
    let formula = Formula::new("ceil(width * height / 1000000) * images + width").unwrap();
    assert_eq!(formula.facts(), ["width", "height", "images"]);
    assert_eq!(formula.to_string(), formula.as_str());
}

#[test]
fn what_cannot_be_computed_is_refused() {
    for text in [
        "",
        "1 +",
        "a.b",
        "[1, 2]",
        "sqrt(2)",
        "ceil()",
        "min()",
        "a.size()",
        "null",
        "has(a.b)",
        "b'x'",
        "ceil(1, 2)",
        "1e300",
    ] {
        assert!(Formula::new(text).is_err(), "{text}");
    }
}
