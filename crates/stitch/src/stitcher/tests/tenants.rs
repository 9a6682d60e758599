//! Tenants whose spans have the same ids: by one seed in both, by a trace that goes through both, on purpose.

use super::*;
use crate::call::{TaskState, Verdict};
use crate::judge;

/// What one tenant sends: spans of a trace, by number, parent, and what they are.
type Sent = Vec<(u8, u8, What)>;

/// A clip below span 9: its submit does not say which task it made.
fn clip(task: &str) -> Sent {
    vec![
        (1, 9, call("clips", Role::Submit, None)),
        (2, 9, call("clips", Role::Poll, Some(task))),
        (3, 9, call("clips", Role::Result, Some(task))),
    ]
}

/// Span 9, of an application that says how its task ended.
fn failed() -> Sent {
    let verdict = Some(Verdict { state: TaskState::Failed, reason: None });
    vec![(9, 0, What::Frame(Frame { kind: FrameKind::Internal, verdict, rare: Rare::default() }))]
}

/// Takes spans of some tenants, each of them twice.
fn process_of(sent: &[(&str, &Sent)]) -> Process {
    let mut process = Process::new();
    for wanted in [Observed::New, Observed::Duplicate] {
        for (tenant, spans) in sent {
            process.client = Arc::new(Client { tenant: (*tenant).into(), ..(*process.client).clone() });
            for (span, parent, what) in *spans {
                process.spans = *span;
                let observed = process.send(1, *parent, u64::from(*span) * 1000, 300, what.clone());
                assert_eq!(observed, wanted, "span {span} of {tenant}");
            }
        }
    }
    process
}

/// The jobs of some spans, as time passes and at the end of a recording.
fn jobs_of(sent: &[(&str, &Sent)]) -> [Vec<Job>; 2] {
    let finished = process_of(sent).stitcher.finish().into_iter().map(|change| match change {
        Change::Published { job, .. } => *job,
        Change::Forgotten(id) => panic!("{id} is forgotten"),
    });
    let mut all = [process_of(sent).jobs_after(60), finished.collect()];
    for jobs in &mut all {
        jobs.sort_unstable_by_key(|job| job.id);
    }
    all
}

#[test]
fn each_tenant_has_the_jobs_that_it_has_alone() {
    let (clip_a, clip_b, above) = (clip("a"), clip("b"), failed());
    let whole: Sent = above.iter().chain(&clip_a).cloned().collect();
    let outcomes = |sent: &Sent| jobs_of(&[("red", sent)]).map(|jobs| jobs[0].outcome);
    assert_ne!(outcomes(&whole), outcomes(&clip_a), "the span above decides");
    for (red, blue) in [(&clip_a, &clip_a), (&clip_a, &clip_b), (&clip_a, &above), (&whole, &clip_b)] {
        for named in ["red", ""] {
            let (red, blue) = ((named, red), ("blue", blue));
            let alone = [jobs_of(&[red]), jobs_of(&[blue])];
            for both in [[red, blue], [blue, red]] {
                for (at, found) in jobs_of(&both).into_iter().enumerate() {
                    let (of_red, of_blue): (Vec<Job>, Vec<Job>) =
                        found.into_iter().partition(|job| &*job.tenant == named);
                    assert_eq!((&of_red, &of_blue), (&alone[0][at], &alone[1][at]), "{both:?}");
                }
            }
        }
    }
}

/// A name is a hash. Whoever finds another that is equal ties nothing of a stranger to himself.
#[test]
fn no_tie_holds_between_tenants() {
    let mut process = process_of(&[("red", &clip("a")), ("blue", &clip("b"))]);
    let pockets = [0, 1, 2, 3].map(|slot| process.stitcher.pocket_of(slot));
    assert_eq!((pockets[0], pockets[2]), (pockets[1], pockets[3]), "submit and task of each");
    assert!(!process.stitcher.merge(0, 2));
    assert_eq!([0, 1, 2, 3].map(|slot| process.stitcher.pocket_of(slot)), pockets);
}

/// A ledger may have the job of a tenant under the id that it would have without one.
#[test]
fn a_job_that_was_published_under_its_spans_id_alone_is_taken_back() {
    let mut process = process_of(&[("red", &clip("a"))]);
    let span = SpanKey { trace: TraceId([1; 16]), span: SpanId([1; 8]) };
    let id = judge::id_of_span("", span);
    process.stitcher.restore_published(id, (1, 7), (BEGIN, BEGIN));
    process.stitcher.recall();
    let changes = process.stitcher.advance(BEGIN.plus_ms(3_600_000));
    let told = changes.iter().map(|change| match change {
        Change::Published { job, revision, .. } => (job.id, job.state, *revision),
        Change::Forgotten(id) => panic!("{id} is forgotten"),
    });
    let mut told: Vec<_> = told.collect();
    told.sort_unstable_by_key(|(other, ..)| *other != id);
    let own = judge::id_of_span("red", span);
    assert_eq!(told, [(id, crate::State::Superseded, 2), (own, crate::State::Settled, 1)]);
    assert_ne!(own, judge::id_of_span("blue", span));
}
