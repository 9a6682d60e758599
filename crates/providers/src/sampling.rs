//! Whether a span was kept in place of others, as its sampler writes on it.
//!
//! What was sampled away is in no span, so its money is in no figure. Nothing is scaled up for that: a job is
//! exact or absent. But that calls are missing is known, and is told.
//!
//! - `th` of the tracestate member `ot`: the share of the traces that was rejected, in 56 bits as hexadecimal
//!   digits without the zeros at their end; `0` rejects none ([specification]).
//! - `p` of it, which came before: one span stands for two to the power of `p`; `63` is a span that no
//!   probability chose ([proposal 168]).
//! - The attribute `SampleRate`, which Honeycomb's samplers write: one span stands for so many ([library]).
//!
//! Most samplers write nothing (`traceidratio`, up to now), and those cannot be told.
//!
//! [specification]: https://opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling/
//! [proposal 168]: https://github.com/open-telemetry/oteps/blob/main/text/trace/0168-sampling-propagation.md
//! [library]: https://github.com/honeycombio/honeycomb-opentelemetry-node

use crate::keys::integer;
use crate::recogniser::Recogniser;
use crate::span::SpanView;

/// Most hexadecimal digits of a threshold.
const THRESHOLD_DIGITS: usize = 14;
/// The greatest `p` that is a probability.
const EXPONENT_MAX: u8 = 62;

impl Recogniser {
    /// Whether a span stands for others that were not kept.
    pub fn is_sampled(&self, span: &SpanView<'_>) -> bool {
        is_thinned(span.trace_state)
            || integer(span, self.slots.sample_rate).is_some_and(|each_stands_for| each_stands_for > 1)
    }
}

/// Whether a tracestate says that traces were left out.
fn is_thinned(trace_state: &[u8]) -> bool {
    let Some(own) = trace_state.split(|byte| *byte == b',').find_map(|member| {
        let member = member.trim_ascii();
        member.strip_prefix(b"ot=")
    }) else {
        return false;
    };
    own.split(|byte| *byte == b';').any(|field| match field.split_at_checked(2) {
        Some((b"p:", exponent)) => {
            let exponent = std::str::from_utf8(exponent).ok().and_then(|digits| digits.parse().ok());
            exponent.is_some_and(|exponent: u8| (1..=EXPONENT_MAX).contains(&exponent))
        }
        Some((b"th", [b':', threshold @ ..])) => {
            let is_threshold = threshold.len() <= THRESHOLD_DIGITS
                && threshold.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
            is_threshold && threshold.iter().any(|digit| *digit != b'0')
        }
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tracestate_says_whether_traces_were_left_out() {
        for (trace_state, expected) in [
            ("", false),
            ("ot=th:0", false),
            ("ot=th:000", false),
            ("ot=th:8", true),
            ("ot=th:ffffffffffffff", true),
            ("ot=th:fffffffffffffff", false),
            ("ot=th:", false),
            ("ot=th:C", false),
            ("ot=th:0x8", false),
            ("ot=rv:9b8233f7e3a151", false),
            ("ot=rv:9b8233f7e3a151;th:c", true),
            ("ot=p:0;r:5", false),
            ("ot=r:5;p:3", true),
            ("ot=p:62", true),
            ("ot=p:63;r:5", false),
            ("ot=p:", false),
            ("ot=p:-1", false),
            ("ot=p:300", false),
            ("vendor=th:8", false),
            ("not=th:8", false),
            ("a=1, ot=th:8;rv:1 ,b=2", true),
            ("congo=ot=th:8", false),
            ("ot=oth:8;pp:1", false),
        ] {
            assert_eq!(is_thinned(trace_state.as_bytes()), expected, "{trace_state}");
        }
        assert!(!is_thinned(&[0xff, b'=', 0xff]));
    }
}
