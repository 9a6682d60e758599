//! The jobs of a workload, found in the plainest way: everything is compared with everything.

use super::request::{Does, Request, attribute};
use crate::scenario::expect::{Block, Line, join};
use crate::scenario::{Answer, Scenario, Span};

/// A failed request is followed by the same one within this time, if it is tried again.
const RETRY_NS: u64 = 40_000_000_000;
/// Two equal requests below one parent within this time are one wish.
const DOUBLE_NS: u64 = 2_000_000_000;
/// A task that failed is asked for again within this time, if at all.
const AGAIN_NS: u64 = 60_000_000_000;

/// One submit and all that concerns the task that it made.
struct Attempt<'s> {
    submit: Request<'s>,
    rest: Vec<Request<'s>>,
    /// The job that it is of.
    job: usize,
}

/// The jobs of a workload, in the words of scenario files.
pub fn jobs(scenario: &Scenario) -> Vec<Block> {
    let mut requests: Vec<Request<'_>> = scenario.spans().filter_map(Request::read).collect();
    requests.sort_by_key(|request| request.span.start_ns);
    let (asked, rest): (Vec<_>, Vec<_>) = requests.into_iter().partition(Request::asks);
    let mut attempts: Vec<Attempt<'_>> = asked
        .into_iter()
        .enumerate()
        .map(|(job, submit)| Attempt { submit, rest: Vec::new(), job })
        .collect();
    retries(&mut attempts);
    let downloads = tasks(scenario, &mut attempts, rest);
    for download in downloads {
        // A file is fetched below the same parent, right after the job's last call.
        let near = |attempt: &&mut Attempt<'_>| attempt.submit.span.trace == download.span.trace;
        if let Some(attempt) = attempts.iter_mut().filter(near).max_by_key(|attempt| {
            let ends = attempt.rest.iter().map(Request::end_ns).filter(|&end| end <= download.span.start_ns);
            ends.max()
        }) {
            attempt.rest.push(download);
        }
    }
    wishes(&mut attempts);
    let mut blocks: Vec<Block> = Vec::new();
    for job in 0..attempts.len() {
        let own: Vec<&Attempt<'_>> = attempts.iter().filter(|attempt| attempt.job == job).collect();
        if !own.is_empty() {
            blocks.push(block(&own));
        }
    }
    blocks.sort();
    blocks
}

fn same_wish(a: &Request<'_>, b: &Request<'_>) -> bool {
    a.line() == b.line() && a.span.process == b.span.process && a.span.parent == b.span.parent
}

/// What was not taken, and the next equal request of the same process below the same parent.
fn retries(attempts: &mut [Attempt<'_>]) {
    for first in 0..attempts.len() {
        if attempts[first].submit.is_taken() {
            continue;
        }
        let end = attempts[first].submit.end_ns();
        let next = (first + 1..attempts.len()).find(|&later| {
            let other = &attempts[later].submit;
            other.span.start_ns >= end
                && other.span.start_ns - end <= RETRY_NS
                && same_wish(&attempts[first].submit, other)
        });
        if let Some(next) = next {
            let job = attempts[first].job;
            attempts[next].job = job;
        }
    }
}

/// Gives the calls of every task to its submit; what names no task and is a file comes back.
fn tasks<'s>(
    scenario: &'s Scenario,
    attempts: &mut [Attempt<'s>],
    rest: Vec<Request<'s>>,
) -> Vec<Request<'s>> {
    let mut tasks: Vec<Vec<Request<'s>>> = Vec::new();
    let mut downloads = Vec::new();
    for request in rest {
        let same = |known: &&mut Vec<Request<'_>>| {
            known[0].provider == request.provider
                && (request.task.is_some() && known[0].task == request.task
                    || request.order().is_some() && known[0].order() == request.order())
        };
        if request.does == Does::Download {
            downloads.push(request);
        } else if let Some(known) = tasks.iter_mut().find(same) {
            known.push(request);
        } else {
            tasks.push(vec![request]);
        }
    }
    for task in tasks {
        if let Some(at) = submit_of(scenario, attempts, &task) {
            attempts[at].rest = task;
        }
    }
    downloads
}

/// The submit of a task: the one that names it, or its order; the one that a span above its calls links to;
/// else the last one before it that was taken and has nothing yet.
fn submit_of(scenario: &Scenario, attempts: &[Attempt<'_>], task: &[Request<'_>]) -> Option<usize> {
    let first = &task[0];
    let named = attempts.iter().position(|attempt| {
        let id = attempt.submit.attribute("gen_ai.response.id");
        id.is_some() && id == first.task.as_deref()
    });
    // Every attempt shows the same order: the last that was taken is meant.
    let ordered = || {
        attempts.iter().rposition(|attempt| {
            let order = attempt.submit.order();
            attempt.submit.is_taken() && order.is_some() && order == first.order()
        })
    };
    let linked = || {
        let link = links(scenario, first.span).next()?;
        attempts.iter().position(|attempt| attempt.submit.span.label == link)
    };
    let nearest = || {
        attempts.iter().rposition(|attempt| {
            let submit = &attempt.submit;
            submit.does == Does::Submit
                && submit.provider == first.provider
                && submit.family == first.family
                && submit.is_taken()
                && attempt.rest.is_empty()
                && submit.attribute("gen_ai.response.id").is_none()
                && submit.order().is_none()
                && submit.span.process == first.span.process
                && submit.span.parent == first.span.parent
                && submit.end_ns() <= first.span.start_ns
        })
    };
    named.or_else(ordered).or_else(linked).or_else(nearest)
}

/// The links of a span and of the spans above it.
fn links<'s>(scenario: &'s Scenario, span: &'s Span) -> impl Iterator<Item = &'s str> {
    let parent = |span: &Span| {
        let label = span.parent.clone()?;
        scenario.spans().find(|other| other.label == label)
    };
    let above = std::iter::successors(Some(span), move |span| parent(span));
    above.flat_map(|span| &span.links).map(String::as_str)
}

/// Below one parent: an equal request right after one that nothing followed, or after one whose task failed.
fn wishes(attempts: &mut [Attempt<'_>]) {
    for first in 0..attempts.len() {
        let one = &attempts[first];
        if one.submit.span.parent.is_none() || !one.submit.is_taken() {
            continue;
        }
        let failed = one.rest.iter().find(|request| ended(request) == Some("failed")).map(Request::end_ns);
        let next = attempts.iter().skip(first + 1).find(|other| {
            let start = other.submit.span.start_ns;
            let double = one.rest.is_empty()
                && other.submit.is_taken()
                && start.saturating_sub(one.submit.span.start_ns) <= DOUBLE_NS;
            let again = failed.is_some_and(|failed| start >= failed && start - failed <= AGAIN_NS);
            same_wish(&one.submit, &other.submit) && (double || again)
        });
        if let Some((from, to)) = next.map(|next| (next.job, one.job)) {
            for attempt in attempts.iter_mut().filter(|attempt| attempt.job == from) {
                attempt.job = to;
            }
        }
    }
}

/// What one call tells of the end.
fn ended(request: &Request<'_>) -> Option<&'static str> {
    let word = attribute(request.span, "spantally.task.status").map(str::to_lowercase);
    match word.as_deref() {
        Some("succeeded" | "ok") => return Some("succeeded"),
        Some("failed" | "error") => return Some("failed"),
        _ => {}
    }
    match (request.does, request.span.answer) {
        (Does::Result, Answer::Status(200)) => Some("succeeded"),
        (Does::Result, Answer::Status(500)) => Some("failed"),
        (Does::Cancel, Answer::Status(200..=299)) => Some("canceled"),
        _ => None,
    }
}

impl Attempt<'_> {
    fn outcome(&self) -> &'static str {
        let told: Vec<&str> = self.rest.iter().filter_map(ended).collect();
        if told.contains(&"succeeded") {
            return "succeeded";
        }
        if let Some(last) = told.last() {
            return last;
        }
        if self.rest.iter().any(|request| request.does == Does::Download) {
            return "succeeded";
        }
        match (self.submit.span.answer, self.submit.does) {
            (Answer::Status(422), _) => "rejected",
            (Answer::Status(200..=299), Does::Sync) => "succeeded",
            (Answer::Status(200..=299), _) if self.rest.is_empty() => "abandoned",
            // A result that was never fetched.
            (Answer::Status(200..=299), _) if self.submit.provider == "fal" => "abandoned",
            (Answer::Status(200..=299), _) => "unknown",
            _ => "failed",
        }
    }

    fn accepted(&self) -> &'static str {
        match () {
            () if self.submit.is_taken() || !self.rest.is_empty() => "yes",
            () if self.submit.is_refused() => "no",
            () => "ambiguous",
        }
    }

    fn cause(&self, leads: bool) -> &'static str {
        match (leads, self.outcome(), self.accepted()) {
            (true, "succeeded", _) => "delivered",
            (true, "unknown", _) => "unverified",
            (true, "canceled", _) => "canceled",
            (true, "abandoned", _) => "abandoned",
            (true, ..) => "failed",
            (false, _, "no") | (false, "failed", "yes") => "retry",
            (false, _, "ambiguous") => "timeout_resubmit",
            (false, ..) => "duplicate",
        }
    }

    fn line(&self, leads: bool) -> Line {
        let mut line = Line::of(&["attempt", self.accepted(), self.cause(leads)]);
        let every = std::iter::once(&self.submit).chain(&self.rest);
        let mut roles: Vec<Does> = every.clone().map(|request| request.does).collect();
        roles.sort();
        roles.dedup();
        for role in roles {
            let labels = every.clone().filter(|request| request.does == role);
            line = line.with(role.word(), join(labels.map(|request| request.span.label.clone()).collect()));
        }
        line
    }
}

/// The attempt that stands for the job: the one that succeeded, else the last of which nobody knows, else the
/// last.
fn block(attempts: &[&Attempt<'_>]) -> Block {
    let place = |outcome: &str| attempts.iter().rposition(|attempt| attempt.outcome() == outcome);
    let first = attempts.iter().position(|attempt| attempt.outcome() == "succeeded");
    let leads = first.or_else(|| place("unknown")).unwrap_or(attempts.len() - 1);
    let rest = attempts.iter().enumerate().map(|(at, attempt)| attempt.line(at == leads)).collect();
    Block { job: Line::of(&["job", attempts[leads].outcome()]), rest }
}
