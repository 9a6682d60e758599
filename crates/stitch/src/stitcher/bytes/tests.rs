use std::sync::Arc;

use super::*;
use crate::call::{Accepted, Answer, Call, Endpoint, Role};
use crate::evidence::Client;
use crate::frame::{Frame, FrameKind};

fn evidence(span: u8, task: Option<&str>, resend: Option<u16>) -> Evidence {
    let call = Call {
        role: Role::Poll,
        endpoint: Arc::new(Endpoint::default()),
        task: task.map(TaskId::new),
        answer: Answer::Status(200),
        accepted: Accepted::Yes,
        verdict: None,
        request: u64::from(span) % 3,
        agent: 7,
        rare: Rare::new(CallRare { resend, ..CallRare::default() }),
    };
    Evidence {
        span: SpanKey { trace: TraceId([span / 4; 16]), span: SpanId([span; 8]) },
        parent: SpanId([span / 3; 8]),
        start: UnixNanos(u64::MAX - u64::from(span) * 7_000_000_000),
        end: UnixNanos(u64::from(span)),
        client: Arc::new(Client::default()),
        what: What::Call(call),
    }
}

#[test]
fn evidence_comes_out_as_it_went_in_and_leaves_no_kind_behind() {
    let long = "t".repeat(5000);
    let ids = [
        None,
        Some(""),
        Some("task"),
        Some("task"),
        Some("78321ff1-ddfa-4582-bc75-06854bbf40ad"),
        None,
        Some(&long[..253]),
        Some(&long[..254]),
        Some(&long[..255]),
        Some(&long),
    ];
    let mut all: Vec<Evidence> = (0..).zip(ids).map(|(span, task)| evidence(span, task, None)).collect();
    all.push(evidence(20, Some("task"), Some(2)));
    let frame = Frame { kind: FrameKind::Server, verdict: None, rare: Rare::default() };
    all.push(Evidence { what: What::Frame(frame), ..evidence(21, None, None) });
    let mut kinds = Kinds::default();
    let mut packer = Packer::new(&mut kinds, UnixNanos(9));
    for evidence in &all {
        packer.evidence(evidence);
    }
    packer.number(u64::MAX);
    packer.creation(3);
    packer.creation(1);
    let (bytes, uncommon) = packer.into_parts();
    assert_eq!(uncommon.len(), 1);
    let mut unpacker = Unpacker::new(&bytes, UnixNanos(9), uncommon, &kinds);
    for evidence in &all {
        assert_eq!(unpacker.evidence().as_ref(), Some(evidence));
    }
    assert_eq!((unpacker.number(), unpacker.creation(), unpacker.creation()), (u64::MAX, 3, 1));
    assert_eq!((unpacker.byte(), unpacker.number(), unpacker.fixed()), (0, 0, [0; 3]), "nothing is left");
    let met = unpacker.into_met();
    assert_eq!((met.len(), kinds.len()), (all.len(), all.len()), "each was made with its own endpoint");
    for kind in met {
        kinds.release(kind);
    }
    assert_eq!(kinds.len(), 0);
}

#[test]
fn numbers_moments_and_lists_come_out_as_they_went_in() {
    let numbers = [0, 127, 128, u64::from(u32::MAX), u64::MAX];
    let reals = [0.0, -0.0, 7.0, 0.1, f64::MIN_POSITIVE, f64::INFINITY, f64::NEG_INFINITY, f64::MAX];
    let moments = [u64::MAX, 0, 9, 1 << 63].map(UnixNanos);
    let mut kinds = Kinds::default();
    let mut packer = Packer::new(&mut kinds, UnixNanos(9));
    packer.list(&numbers, |into, &number| into.number(number));
    packer.list(&reals, |into, &real| into.real(real));
    packer.list(&moments, |into, &moment| into.moment(moment));
    packer.list(&[], |into, &moment| into.moment(moment));
    let (bytes, uncommon) = packer.into_parts();
    assert_eq!(number_at_start(&bytes), numbers.len() as u64);
    let mut unpacker = Unpacker::new(&bytes, UnixNanos(9), uncommon, &kinds);
    assert_eq!(unpacker.list(|from| Some(from.number())), Some(numbers.to_vec()));
    let bits = unpacker.list(|from| Some(from.real().to_bits()));
    assert_eq!(bits, Some(reals.map(f64::to_bits).to_vec()));
    assert_eq!(unpacker.list(|from| Some(from.moment())), Some(moments.to_vec()));
    assert_eq!(unpacker.list(|from| Some(from.moment())), Some(Vec::new()));
    assert_eq!(unpacker.list(|_| None::<u8>), Some(Vec::new()), "nothing is left");
    let mut short = Packer::new(&mut kinds, UnixNanos(1 << 60));
    short.real(7.0);
    short.moment(UnixNanos(1 + (1 << 60)));
    assert_eq!(short.into_parts().0.len(), 3, "a whole number, and a moment that is near");
}

#[test]
fn a_request_is_that_of_the_kind_or_of_the_span_before_or_its_own() {
    let first = evidence(1, Some("task"), None);
    let with = |request: u64| {
        let mut evidence = first.clone();
        if let What::Call(call) = &mut evidence.what {
            call.request = request;
        }
        evidence
    };
    // With by how much it is longer than the shortest; none at all costs nothing.
    for (requests, longer) in
        [([5, 5, 5], 0), ([5, 6, 6], 8), ([5, 6, 7], 16), ([5, 6, 5], 8), ([0, 0, 0], 0), ([5, 0, 7], 8)]
    {
        let all = requests.map(with);
        let mut kinds = Kinds::default();
        let pack = |kinds: &mut Kinds, all: &[Evidence; 3]| {
            let mut packer = Packer::new(kinds, UnixNanos(9));
            for evidence in all {
                packer.evidence(evidence);
            }
            packer.into_parts()
        };
        let (bytes, uncommon) = pack(&mut kinds, &all);
        let (shortest, _) = pack(&mut Kinds::default(), &[5, 5, 5].map(with));
        assert_eq!(bytes.len(), shortest.len() + longer, "{requests:?}");
        let mut unpacker = Unpacker::new(&bytes, UnixNanos(9), uncommon, &kinds);
        assert_eq!([(); 3].map(|()| unpacker.evidence()), all.map(Some));
    }
}

#[test]
fn spans_of_one_kind_share_its_number() {
    let first = evidence(1, Some("a"), None);
    let mut kinds = Kinds::default();
    let number = kinds.number(&first);
    let other = Evidence { span: SpanKey::default(), ..first.clone() };
    assert_eq!(kinds.number(&other), number);
    kinds.release(number);
    assert_eq!(kinds.client(number), Some(&first.client));
    kinds.release(number);
    assert_eq!(kinds.client(number), None);
}
