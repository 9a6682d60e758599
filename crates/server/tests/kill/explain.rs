//! What became of a job that is not what it should be: for the message of a failure.

use std::fmt::Write as _;

use spantally_stitch::UnixNanos;

use crate::process::Process;
use crate::query::{Found, FoundJobs};
use crate::retention::{Cut, Turns};
use crate::sent::SentJob;
use crate::traffic::Truth;

/// Jobs whose stories are told.
const MAX_STORIES: usize = 12;
/// What the server did for so long around its parts is told.
const AROUND_MS: u64 = 10_000;

/// What is found of a job.
fn found_of<'f>(job: &SentJob, found: &'f FoundJobs) -> Vec<(&'f String, &'f Found)> {
    found.get(&job.trace).into_iter().flatten().collect()
}

/// Whether what is found of a job is what it comes to.
pub(crate) fn is_right(job: &SentJob, cut: Cut, found: &FoundJobs, is_idle_over: bool) -> bool {
    let truths = job.truths(cut, is_idle_over);
    let mut expected: Vec<_> = truths.iter().map(|truth| (truth.outcome, truth.calls)).collect();
    let found = found_of(job, found).into_iter();
    let mut found: Vec<_> = found.map(|(_, found)| (found.outcome.as_deref(), found.calls)).collect();
    expected.sort_unstable();
    found.sort_unstable();
    expected == found
}

/// The stories of all jobs that are not what they should be; none if all are.
pub(crate) fn strange(
    process: &Process,
    jobs: &[(&String, &SentJob, Cut)],
    (turns, found): (&Turns, &FoundJobs),
    is_idle_over: bool,
) -> Option<String> {
    let is_strange = |(_, job, cut): &&(&String, &SentJob, Cut)| !is_right(job, *cut, found, is_idle_over);
    let count = jobs.iter().filter(is_strange).count();
    let stories = jobs.iter().filter(is_strange).take(MAX_STORIES).map(|(task, job, cut)| {
        story(process, (task, job), turns, (&job.truths(*cut, is_idle_over), &found_of(job, found)))
    });
    let stories: Vec<String> = stories.collect();
    (count > 0).then(|| format!("{count} jobs are not what they should be\n{}", stories.join("\n")))
}

fn seconds(moment: UnixNanos, begin: UnixNanos) -> f64 {
    (i128::from(moment.0) - i128::from(begin.0)) as f64 / 1e9
}

fn story(
    process: &Process,
    (task, job): (&str, &SentJob),
    turns: &Turns,
    (truths, found): (&[Truth], &[(&String, &Found)]),
) -> String {
    let begin = job.parts[0].delivery.from;
    let mut story = format!("task {task}, trace {}, {:?}; seconds after {}\n", job.trace, job.kind, begin.0);
    for part in &job.parts {
        let sent = &part.delivery;
        let [from, until, last] = [sent.from, sent.until, sent.last].map(|at| seconds(at, begin));
        let _ = writeln!(
            story,
            "  {from:9.3} sent {:?} in life {}; acknowledged at {until:.3} in life {} ({} tries, the last at \
             {last:.3})",
            part.told, sent.lives[0], sent.lives[1], sent.tries
        );
    }
    let until = job.parts.iter().map(|part| part.delivery.last).max().unwrap_or(begin);
    let near = |at: UnixNanos| at > begin.minus_ms(AROUND_MS) && at < until.plus_ms(AROUND_MS);
    for (at, what) in process.events.iter().filter(|(at, _)| near(*at)) {
        let _ = writeln!(story, "  {:9.3} {what}", seconds(*at, begin));
    }
    let moments: Vec<String> =
        turns.all().iter().filter(|at| near(**at)).map(|at| format!("{:.3}", seconds(*at, begin))).collect();
    let _ = writeln!(story, "  turns at {}", moments.join(", "));
    let _ = writeln!(story, "  may be cut: {:?}", turns.cuts(job));
    for truth in truths {
        let _ = writeln!(story, "  expected {:?}, calls {:?}", truth.outcome, truth.calls);
    }
    for (id, found) in found {
        let Found { outcome, settled_at, revision, calls } = found;
        let _ =
            writeln!(story, "  found {id} {outcome:?}, calls {calls:?}, revision {revision} at {settled_at}");
    }
    story
}
