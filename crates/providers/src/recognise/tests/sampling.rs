//! What samplers write on a span.

use super::*;

#[test]
fn a_rate_above_one_says_that_spans_were_left_out() {
    let recogniser = builtin();
    let sampled = |attributes| recogniser.is_sampled(&span(&recogniser, SpanKind::Client, "GET", attributes));
    for (attributes, expected) in [
        (&[][..], false),
        (&[("SampleRate", Value::Int(1))], false),
        (&[("SampleRate", Value::Int(10))], true),
        (&[("SampleRate", Value::Text("10"))], true),
        (&[("SampleRate", Value::Double(10.0))], true),
        (&[("SampleRate", Value::Text("often"))], false),
        // Of sound, and not of a sampler.
        (&[("sampleRate", Value::Int(44_100))], false),
    ] {
        assert_eq!(sampled(attributes), expected, "{attributes:?}");
    }
    let stated = SpanView { trace_state: b"ot=th:8", ..span(&recogniser, SpanKind::Client, "GET", &[]) };
    assert!(recogniser.is_sampled(&stated));
}
