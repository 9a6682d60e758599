//! What goes in comes out; what is written is what the schema says; what is damaged is an error.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;
use rust_decimal::Decimal;
use spantally_proto::journal as wire;
use spantally_stitch::{
    Accepted, Answer, Call, CallRare, Came, Client, Correlation, CorrelationKind, Endpoint, Evidence, Fact,
    FactSource, FactValue, FailureReason, Frame, FrameKind, FrameRare, Rare, Role, SpanId, SpanKey, TaskId,
    TaskState, TraceId, UnixNanos, Verdict, What,
};

use super::{RecordError, decode, decode_carried, decode_labelled, encode, encode_carried, encode_labelled};
use crate::batch::{Batch, RejectReason, Tally, Transport};

fn word() -> impl Strategy<Value = Arc<str>> {
    prop_oneof!["[a-z/.-]{0,12}", ".{0,40}", ".{120,140}"].prop_map(Arc::from)
}

fn one_of<T: Copy + std::fmt::Debug + 'static>(values: &'static [T]) -> impl Strategy<Value = T> {
    proptest::sample::select(values)
}

fn task() -> impl Strategy<Value = TaskId> {
    prop_oneof![
        any::<[u8; 16]>().prop_map(TaskId::from_uuid),
        "[a-zA-Z0-9_-]{0,60}".prop_map(|text| TaskId::new(&text)),
    ]
}

fn span_key() -> impl Strategy<Value = SpanKey> {
    // Few traces, so that neighbours share one now and then.
    (prop_oneof![0..3_u8, any::<u8>()], any::<[u8; 8]>())
        .prop_map(|(trace, span)| SpanKey { trace: TraceId([trace; 16]), span: SpanId(span) })
}

fn decimal() -> impl Strategy<Value = Decimal> {
    (any::<[u32; 3]>(), any::<bool>(), 0..=28_u32).prop_map(|([low, middle, high], negative, scale)| {
        Decimal::from_parts(low, middle, high, negative, scale)
    })
}

fn verdict() -> impl Strategy<Value = Verdict> {
    const STATES: [TaskState; 10] = [
        TaskState::NotReady,
        TaskState::Running,
        TaskState::Ended,
        TaskState::Errored,
        TaskState::CanceledQueued,
        TaskState::Canceled,
        TaskState::Failed,
        TaskState::Rejected,
        TaskState::Partial,
        TaskState::Succeeded,
    ];
    (one_of(&STATES), proptest::option::of(one_of(FailureReason::ALL)))
        .prop_map(|(state, reason)| Verdict { state, reason })
}

fn facts() -> impl Strategy<Value = Vec<Fact>> {
    const SOURCES: [FactSource; 3] = [FactSource::Request, FactSource::Response, FactSource::Reported];
    let value = prop_oneof![decimal().prop_map(FactValue::Number), word().prop_map(FactValue::Text)];
    vec(
        (word(), value, one_of(&SOURCES)).prop_map(|(name, value, source)| Fact { name, value, source }),
        0..4,
    )
}

fn links() -> impl Strategy<Value = Vec<SpanKey>> {
    vec(span_key(), 0..3)
}

fn correlations() -> impl Strategy<Value = Vec<Correlation>> {
    const KINDS: [CorrelationKind; 4] = [
        CorrelationKind::Idempotency,
        CorrelationKind::Callback,
        CorrelationKind::Job,
        CorrelationKind::Session,
    ];
    vec((one_of(&KINDS), word()).prop_map(|(kind, value)| Correlation { kind, value }), 0..3)
}

fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![
        Just(Answer::Status(200)),
        any::<u16>().prop_map(Answer::Status),
        Just(Answer::NotSent),
        Just(Answer::TimedOut),
        Just(Answer::Reset),
        Just(Answer::Missing),
    ]
}

fn endpoint() -> impl Strategy<Value = Arc<Endpoint>> {
    (word(), word(), word(), word(), word(), any::<bool>(), proptest::option::of(word())).prop_map(
        |(provider, rule, family, model, operation, needs_result, leg)| {
            Arc::new(Endpoint { provider, rule, family, model, operation, needs_result, leg })
        },
    )
}

fn client() -> impl Strategy<Value = Arc<Client>> {
    (word(), word(), word(), vec(word(), 0..3)).prop_map(|(tenant, service, instance, labels)| {
        Arc::new(Client { tenant, service, instance, labels })
    })
}

fn call(endpoints: Vec<Arc<Endpoint>>) -> impl Strategy<Value = What> {
    const ACCEPTED: [Accepted; 3] = [Accepted::Yes, Accepted::No, Accepted::Ambiguous];
    let ids = (proptest::option::of(task()), proptest::option::of(task()), proptest::option::of(task()));
    let ending = (answer(), one_of(&ACCEPTED), proptest::option::of(verdict()));
    let marks = (proptest::option::of(any::<u16>()), any::<u64>(), 0..3_u64, proptest::option::of(word()));
    let place = (one_of(&Role::ALL), proptest::sample::select(endpoints));
    let told = (facts(), any::<bool>());
    (place, ids, links(), correlations(), ending, marks, told).prop_map(
        |((role, endpoint), (task, alias, parent_task), links, correlations, ending, marks, told)| {
            let (answer, accepted, verdict) = ending;
            let (resend, request, agent, callback) = marks;
            let (facts, stands_in) = told;
            let rare =
                CallRare { links, alias, parent_task, correlations, resend, callback, facts, stands_in };
            What::Call(Call {
                role,
                endpoint,
                task,
                answer,
                accepted,
                verdict,
                request,
                agent,
                rare: Rare::new(rare),
            })
        },
    )
}

fn frame(endpoints: Vec<Arc<Endpoint>>) -> impl Strategy<Value = What> {
    const KINDS: [FrameKind; 7] = [
        FrameKind::Server,
        FrameKind::Consumer,
        FrameKind::Internal,
        FrameKind::Operation,
        FrameKind::Wrapper,
        FrameKind::Chat,
        FrameKind::Session,
    ];
    let words = (word(), word(), word(), word());
    let task = proptest::option::of(task());
    let verdict = proptest::option::of(verdict());
    let told = (facts(), proptest::option::of(call(endpoints)));
    (one_of(&KINDS), words, task, links(), correlations(), verdict, told).prop_map(
        |(kind, (name, provider, model, operation), task, links, correlations, verdict, (facts, call))| {
            let call = call.and_then(|what| standing_in(what, &links));
            let rare = FrameRare { links, name, task, correlations, provider, model, operation, facts, call };
            What::Frame(Frame { kind, verdict, rare: Rare::new(rare) })
        },
    )
}

/// A call of a span with links.
fn standing_in(what: What, links: &[SpanKey]) -> Option<Box<Call>> {
    let What::Call(call) = what else { return None };
    let rare = CallRare { links: links.to_vec(), ..call.rare.into_inner() };
    Some(Box::new(Call { rare: Rare::new(rare), ..call }))
}

fn evidence(clients: Vec<Arc<Client>>, endpoints: Vec<Arc<Endpoint>>) -> impl Strategy<Value = Evidence> {
    let what = prop_oneof![3 => call(endpoints.clone()), 1 => frame(endpoints)];
    let client = proptest::sample::select(clients);
    (span_key(), any::<[u8; 8]>(), any::<u64>(), any::<u64>(), client, what).prop_map(
        |(span, parent, start, end, client, what)| Evidence {
            span,
            parent: SpanId(parent),
            start: UnixNanos(start),
            end: UnixNanos(end),
            client,
            what,
        },
    )
}

fn batches() -> impl Strategy<Value = Vec<Batch>> {
    (vec(client(), 1..4), vec(endpoint(), 1..4)).prop_flat_map(|(clients, endpoints)| {
        let tally = (any::<u64>(), any::<u64>(), any::<[u64; RejectReason::ALL.len()]>())
            .prop_map(|(received, ignored, rejected)| Tally { received, ignored, rejected });
        let batch = (vec(evidence(clients, endpoints), 0..6), tally, one_of(&Transport::ALL))
            .prop_map(|(evidence, tally, transport)| Batch { evidence, tally, transport });
        vec(batch, 0..4)
    })
}

fn encoded(batches: &[Batch]) -> Vec<u8> {
    let mut bytes = b"left over from before".to_vec();
    encode(batches, &mut bytes);
    bytes
}

proptest! {
    #[test]
    fn what_goes_in_comes_out(batches in batches()) {
        prop_assert_eq!(decode(&encoded(&batches)).unwrap(), batches);
    }

    #[test]
    fn the_bytes_are_those_of_the_generated_messages(batches in batches()) {
        let bytes = encoded(&batches);
        let message = wire::JournalBatch::decode(&*bytes).unwrap();
        prop_assert_eq!(message.encode_to_vec(), bytes);
    }

    #[test]
    fn spans_of_a_job_come_out_as_they_went_in(batches in batches(), came in any::<[u64; 2]>()) {
        let spans: Vec<Evidence> = batches.into_iter().flat_map(|batch| batch.evidence).collect();
        let came = Came { first: UnixNanos(came[0]), last: UnixNanos(came[1]) };
        let mut bytes = Vec::new();
        let labels = ["team".into()];
        encode_carried(came, &spans.iter().collect::<Vec<_>>(), &labels, &mut bytes);
        let message = wire::JournalBatch::decode(&*bytes).unwrap();
        prop_assert_eq!(message.encode_to_vec(), bytes.as_slice());
        prop_assert_eq!(decode_carried(&bytes, &labels).unwrap(), (came, spans));
    }

    #[test]
    fn damaged_bytes_never_panic(
        batches in batches(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = encoded(&batches);
        if !bytes.is_empty() {
            for (at, value) in damage {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            bytes.truncate(cut.index(bytes.len()) + 1);
        }
        // Some damage cannot be told from other content (the journal's checksum is for that); the rest is
        // an error.
        let _ = decode(&bytes);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..200)) {
        let _ = decode(&bytes);
    }
}

/// Of another configuration, of one without labels, and of a version that did not write the names.
#[test]
fn each_label_value_is_read_by_its_name() {
    let names = |names: &[&str]| names.iter().map(|&name| name.into()).collect::<Vec<Arc<str>>>();
    for (written, values, read, wanted) in [
        (&["team", "env"][..], &["red", "blue"][..], &["env", "team"][..], &["blue", "red"][..]),
        (&["team", "env"], &["red", "blue"], &["env", "region"], &["blue", ""]),
        (&["team"], &["red"], &[], &[]),
        (&[], &[], &["team"], &[""]),
        (&[], &["red", "blue"], &["team", "env"], &["red", "blue"]),
        (&[], &["red", "blue"], &["team"], &["red"]),
    ] {
        let client = Arc::new(Client { labels: names(values), ..Client::default() });
        let evidence = vec![poll(1, &client, &Arc::new(Endpoint::default()))];
        let batch = Batch { evidence: evidence.clone(), tally: Tally::default(), transport: Transport::Grpc };
        let (mut row, mut carried) = (Vec::new(), Vec::new());
        encode_labelled(&[batch], &names(written), &mut row);
        encode_carried(Came::default(), &[&evidence[0]], &names(written), &mut carried);
        let of_row = decode_labelled(&row, &names(read)).unwrap().remove(0).evidence;
        let (_, of_carried) = decode_carried(&carried, &names(read)).unwrap();
        for found in [of_row, of_carried] {
            assert_eq!(found[0].client.labels, names(wanted), "{written:?} read as {read:?}");
        }
    }
}

/// A poll as a bare HTTP client makes it: a trace of its own, a task by UUID, the answer 200.
fn poll(at: u64, client: &Arc<Client>, endpoint: &Arc<Endpoint>) -> Evidence {
    let mut id = [0xa5; 16];
    id[..8].copy_from_slice(&at.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    let start = UnixNanos(1_794_000_000_000_000_000 + at * 137_000_000);
    Evidence {
        span: SpanKey { trace: TraceId(id), span: SpanId(id[..8].try_into().unwrap()) },
        parent: SpanId::default(),
        start,
        end: UnixNanos(start.0 + 48_123_456),
        client: client.clone(),
        what: What::Call(Call {
            role: Role::Poll,
            endpoint: endpoint.clone(),
            task: Some(TaskId::from_uuid(id)),
            answer: Answer::Status(200),
            accepted: Accepted::Yes,
            verdict: Some(Verdict { state: TaskState::Running, reason: None }),
            request: 0x1234_5678_9abc_def0,
            agent: 7,
            rare: Rare::default(),
        }),
    }
}

fn polls(count: u64) -> Batch {
    let client =
        Arc::new(Client { service: "clips".into(), instance: "clips-0".into(), ..Client::default() });
    let endpoint = Arc::new(Endpoint {
        provider: "fal".into(),
        rule: "queue_status".into(),
        family: "fal-ai/flux".into(),
        ..Endpoint::default()
    });
    Batch {
        evidence: (0..count).map(|at| poll(at, &client, &endpoint)).collect(),
        tally: Tally { received: count, ..Tally::default() },
        transport: Transport::Grpc,
    }
}

#[test]
fn a_poll_takes_less_than_80_bytes() {
    let (one, many) = (encoded(&[polls(1)]).len(), encoded(&[polls(513)]).len());
    let per_poll = (many - one) as f64 / 512.0;
    assert!(per_poll < 80.0, "{per_poll} bytes a poll");
}

#[test]
fn what_spans_share_stands_once_in_a_row() {
    let bytes = encoded(&[polls(100), polls(1)]);
    let message = wire::JournalBatch::decode(&*bytes).unwrap();
    // Two batches built apart have clients at two addresses; the spans of each share theirs.
    assert_eq!((message.clients.len(), message.endpoints.len(), message.agents), (2, 2, vec![7]));
}

#[test]
fn a_field_of_a_newer_version_is_passed_over() {
    let batches = vec![polls(2)];
    let mut bytes = encoded(&batches);
    bytes.extend_from_slice(&[0xfa, 0x07, 3, b'n', b'e', b'w']); // field 127, a text
    assert_eq!(decode(&bytes).unwrap(), batches);
}

#[test]
fn a_value_of_a_newer_version_is_an_error() {
    let mut message = wire::JournalBatch::decode(&*encoded(&[polls(1)])).unwrap();
    let evidence = &mut message.requests[0].evidence[0];
    let Some(wire::evidence_record::What::Call(call)) = &mut evidence.what else {
        panic!("a poll is a call")
    };
    call.role = 99;
    let error = decode(&message.encode_to_vec()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "role is 99, expected a value of its enum; if a newer Spantally wrote it, run that one"
    );
}

#[test]
fn references_past_a_table_and_missing_parts_are_errors() {
    type Break = fn(&mut wire::JournalBatch);
    let breaks: [(&str, Break); 5] = [
        ("client", |message| message.clients.clear()),
        ("endpoint", |message| message.endpoints.clear()),
        ("agent", |message| message.agents.clear()),
        ("trace", |message| message.requests[0].evidence[0].trace = Some(vec![1, 2, 3])),
        ("rejected", |message| message.requests[0].rejected = vec![1; 99]),
    ];
    for (expected, break_it) in breaks {
        let mut message = wire::JournalBatch::decode(&*encoded(&[polls(1)])).unwrap();
        break_it(&mut message);
        match decode(&message.encode_to_vec()) {
            Err(RecordError::Invalid { field, .. }) => assert_eq!(field, expected),
            other => panic!("{expected}: {other:?}"),
        }
    }
    let missing: [(&str, Break); 2] = [
        ("trace", |message| message.requests[0].evidence[0].trace = None),
        ("what", |message| message.requests[0].evidence[0].what = None),
    ];
    for (field, break_it) in missing {
        let mut message = wire::JournalBatch::decode(&*encoded(&[polls(1)])).unwrap();
        break_it(&mut message);
        assert_eq!(decode(&message.encode_to_vec()), Err(RecordError::Missing { field }));
    }
}

#[test]
fn reading_back_shares_what_was_shared() {
    let back = decode(&encoded(&[polls(3)])).unwrap();
    let [first, .., last] = &back[0].evidence[..] else { panic!("three spans went in") };
    assert!(Arc::ptr_eq(&first.client, &last.client));
}
