//! What was matched, as bytes: there is little of it, so it goes through the generated messages both ways.

use prost::Message;
use spantally_proto::journal as wire;
use spantally_stitch::{Confidence, JoinRule, SpanKey, Tie, TiePin};

use super::RecordError;
use super::decode::read_link;
use super::encode::span_number;

/// Writes a tie, for a checkpoint.
pub fn encode_tie(tie: Tie) -> Vec<u8> {
    let pins = tie.pins.iter().map(write_pin).collect();
    wire::TieRecord { members: tie.members, pins }.encode_to_vec()
}

/// Reads what [`encode_tie`] wrote.
pub fn decode_tie(bytes: &[u8]) -> Result<Tie, RecordError> {
    let wire::TieRecord { members, pins } = wire::TieRecord::decode(bytes)?;
    Ok(Tie { members, pins: pins.into_iter().map(read_pin).collect::<Result<_, _>>()? })
}

fn write_pin(pin: &TiePin) -> wire::TiePinRecord {
    let link = |key: SpanKey| wire::SpanLink { trace: key.trace.0.to_vec(), span: span_number(key.span) };
    wire::TiePinRecord {
        shot: pin.shot,
        made: pin.made,
        rule: pin.rule.to_string(),
        confidence: pin.confidence.to_string(),
        margin: pin.margin,
        instead: pin.instead.map(link),
    }
}

fn read_pin(record: wire::TiePinRecord) -> Result<TiePin, RecordError> {
    let wire::TiePinRecord { shot, made, rule, confidence, margin, instead } = record;
    Ok(TiePin {
        shot,
        made,
        rule: read_word("rule", rule, JoinRule::parse)?,
        confidence: read_word("confidence", confidence, Confidence::parse)?,
        margin,
        instead: instead.as_ref().map(read_link).transpose()?,
    })
}

fn read_word<T>(
    field: &'static str,
    word: String,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<T, RecordError> {
    parse(&word).ok_or(RecordError::Invalid { field, found: word, expected: "a word of the job JSON" })
}

#[cfg(test)]
mod tests {
    use spantally_stitch::{SpanId, TraceId};

    use super::*;

    fn tie() -> Tie {
        let instead = SpanKey { trace: TraceId([7; 16]), span: SpanId([9; 8]) };
        let pin = |rule, confidence, margin, instead| TiePin {
            shot: 1,
            made: u64::MAX,
            rule,
            confidence,
            margin,
            instead,
        };
        let pins = vec![
            pin(JoinRule::ClientRhythm, Confidence::Likely, Some(2.5), Some(instead)),
            pin(JoinRule::HandlerFetch, Confidence::Exact, None, None),
        ];
        Tie { members: vec![1, u64::MAX, 0], pins }
    }

    #[test]
    fn what_goes_in_comes_out() {
        for tie in [tie(), Tie::default()] {
            assert_eq!(decode_tie(&encode_tie(tie.clone())), Ok(tie));
        }
    }

    #[test]
    fn what_is_not_known_here_is_an_error() {
        let bytes = encode_tie(tie());
        assert!(matches!(decode_tie(&bytes[..bytes.len() - 1]), Err(RecordError::Malformed(_))));
        let mut record = wire::TieRecord::decode(&*bytes).unwrap();
        "by_magic".clone_into(&mut record.pins[0].rule);
        let error = decode_tie(&record.encode_to_vec()).unwrap_err();
        assert!(
            error.to_string().starts_with("rule is by_magic, expected a word of the job JSON"),
            "{error}"
        );
    }
}
