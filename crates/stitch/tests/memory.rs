//! What a stitcher holds at worst is no more than its settings are said to come to.
//!
//! Alone in its process, because it is the process's memory that is measured.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::sync::Arc;

use spantally_stitch::{
    Accepted, Answer, Call, CallRare, Client, Correlation, CorrelationKind, Endpoint, Evidence, Rare, Role,
    Settings, SpanId, SpanKey, Stitcher, TaskId, TaskState, TraceId, UnixNanos, Verdict, What,
};

const SPANS: u64 = 200_000;
const BEGIN: UnixNanos = UnixNanos(1_795_168_800_000_000_000);

/// Memory of this process that is in use, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() << 10
}

/// A delivered result that is all there is of its job: with a task, a trace and a name of its own.
fn alone(number: u64, client: &Arc<Client>, endpoint: &Arc<Endpoint>) -> Evidence {
    let rare = CallRare {
        correlations: vec![Correlation {
            kind: CorrelationKind::Job,
            value: format!("order-{number:012}").into(),
        }],
        ..CallRare::default()
    };
    Evidence {
        span: SpanKey {
            trace: TraceId(u128::from(number + 1).to_be_bytes()),
            span: SpanId((number + 1).to_be_bytes()),
        },
        parent: SpanId([9; 8]),
        start: BEGIN.plus_ms(number / 100),
        end: BEGIN.plus_ms(number / 100 + 20),
        client: client.clone(),
        what: What::Call(Call {
            role: Role::Result,
            endpoint: endpoint.clone(),
            task: Some(TaskId::new(&format!("projects/one/operations/{number:024}"))),
            answer: Answer::Status(200),
            accepted: Accepted::Yes,
            verdict: Some(Verdict { state: TaskState::Succeeded, reason: None }),
            request: number,
            agent: 7,
            rare: Rare::new(rare),
        }),
    }
}

#[test]
fn spans_take_no_more_than_is_said() {
    let settings = Settings { max_spans: SPANS as usize, ..Settings::default() };
    let most = settings.most_bytes();
    let client = Arc::new(Client { service: "clips".into(), ..Client::default() });
    let endpoint = Arc::new(Endpoint { provider: "clips".into(), rule: "x".into(), ..Endpoint::default() });
    let before = resident();
    let mut stitcher = Stitcher::new(settings);
    for number in 0..SPANS {
        stitcher.observe(alone(number, &client, &endpoint));
    }
    let open = resident() - before;
    let mut settled = 0;
    loop {
        let (changes, more) = stitcher.advance_some(BEGIN.plus_ms(3_600_000), 4000);
        settled += changes.len();
        if !more {
            break;
        }
    }
    let used = resident().saturating_sub(before).max(open);
    assert_eq!((settled as u64, stitcher.span_count() as u64), (SPANS, SPANS));
    let (a_span, said) = (used / SPANS, most.spans / SPANS);
    println!("{a_span} bytes a span, {} of them while open; at most {said} are said", open / SPANS);
    assert!(a_span <= said, "{a_span} bytes a span, {said} are said");
    assert!(a_span * 4 >= said, "{said} bytes a span are said, and it takes only {a_span}");
}
