//! Compares the jobs that the product found in a capture with the truth.
//!
//! What is counted, and over what:
//!
//! - A true job is one intent of the application with all its attempts, duplicates, polls, results, cancels,
//!   downloads and webhooks. *Media* jobs are all but voice sessions.
//! - A span that the product put nowhere is a job of one span. Spans that serve several intents are not
//!   scored. Noise belongs nowhere: putting it into a job costs precision.
//! - **Exact**: a found job holds the same submits, polls, results, cancels and webhooks as the true one,
//!   no more and no noise. **Polls with their submit**: the share of polls and results in a found job that
//!   also has one of their own submits. **Retries together**: of the jobs with several submits, the share
//!   that has them in one found job.
//! - Counts and outcomes are compared after found and true jobs were paired one to one, most alike first.
//!
//! Judge by these and B-cubed. Pairwise F1 alone flatters: jobs with a hundred polls own most pairs, and
//! equal ids in URLs join those without any stitching. The files: [`found`] reads the product's jobs,
//! `board` places every span, [`pairs`] counts pairs, [`mod@tally`] counts attempts, polls and outcomes,
//! `report` prints, [`sample`] makes jobs from the truth itself.

mod board;
pub mod found;
pub mod pairs;
mod report;
pub mod sample;
pub mod tally;

use std::collections::BTreeMap;

use board::Board;
use found::FoundJob;
use pairs::Pairs;
use tally::{Counts, TaskIds};

use crate::truth::{Intent, Role, Truth};

/// How good the found jobs are.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// Submits, polls, results, cancels, webhooks and spans above one job, of media jobs.
    pub media_core: Pairs,
    /// The same with downloads and helper requests.
    pub media_all: Pairs,
    /// Every span that is scored.
    pub everything: Pairs,
    /// The stitching itself.
    pub stitch: Stitch,
    /// Numbers of jobs.
    pub jobs: Jobs,
    /// Attempts, polls and duplicates.
    pub counts: [(&'static str, Option<Counts>); 3],
    /// Share of true jobs whose outcome the product gives; none when it gives no outcome at all.
    pub outcome_accuracy: Option<f64>,
    /// Task ids; none when the product gives none.
    pub task_ids: Option<TaskIds>,
    /// The breakdown that was asked for.
    pub groups: Option<(GroupBy, BTreeMap<String, Group>)>,
}

/// The stitching itself, over media jobs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stitch {
    /// Share of jobs found exactly.
    pub exact_jobs: f64,
    /// Share of polls and results that are with a submit of theirs.
    pub polls_with_their_submit: f64,
    /// Share of jobs with several submits that have them together.
    pub retries_together: f64,
    /// Jobs.
    pub intents: usize,
    /// Polls and results.
    pub polls: usize,
    /// Jobs with several submits.
    pub retried_intents: usize,
}

/// Numbers of jobs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Jobs {
    /// True media jobs.
    pub truth: usize,
    /// Found jobs that hold a span of a media job.
    pub predicted: usize,
    /// Relative error of the number.
    pub error: f64,
    /// True jobs that no found job stands for.
    pub unmatched_truth: usize,
    /// Found jobs that stand for no true job.
    pub unmatched_predicted: usize,
    /// Found jobs that hold only noise.
    pub noise_only: usize,
    /// Spans given to a second job.
    pub spans_in_two_jobs: usize,
    /// Span ids that are not in the capture.
    pub unknown_spans: usize,
}

/// By what to break the exact jobs down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupBy {
    /// The fault or habit that was played.
    Scenario,
    /// Provider.
    Provider,
    /// Provider and kind of output.
    Op,
    /// How a worker's spans relate to the submit.
    Xtrace,
    /// Who waits for the end.
    Wait,
}

impl GroupBy {
    /// Every value.
    pub const ALL: [Self; 5] = [Self::Scenario, Self::Provider, Self::Op, Self::Xtrace, Self::Wait];

    /// The word on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scenario => "scenario",
            Self::Provider => "provider",
            Self::Op => "op",
            Self::Xtrace => "xtrace",
            Self::Wait => "wait",
        }
    }

    fn of(self, intent: &Intent) -> String {
        let value = match self {
            Self::Scenario => Some(&intent.scenario),
            Self::Provider => Some(&intent.provider),
            Self::Op => Some(&intent.op),
            Self::Xtrace => intent.xtrace.as_ref(),
            Self::Wait => intent.wait.as_ref(),
        };
        value.map_or_else(|| "None".to_owned(), Clone::clone)
    }
}

/// One row of the breakdown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// Jobs in it.
    pub intents: usize,
    /// Found exactly.
    pub exact: usize,
    /// Paired with some found job.
    pub matched: usize,
}

/// Scores `found` against `truth`.
pub fn score(truth: &Truth, found: &[FoundJob], by: Option<GroupBy>) -> Score {
    let board = Board::new(truth, found);
    let members = board.members();
    let exact = board.exact(&members);
    let matching = board.matching();
    let accuracy = tally::outcome_accuracy(truth, found, &board.media, &matching.found_of);
    Score {
        media_core: board.compare(Role::is_core),
        media_all: board.compare(|role| role.is_core() || matches!(role, Role::Download | Role::Aux)),
        everything: board.compare_all(),
        stitch: board.stitch(&members, exact.len()),
        jobs: board.jobs(&matching),
        counts: tally::counts(truth, found, &board.media, &matching),
        outcome_accuracy: accuracy,
        task_ids: tally::task_ids(truth, found, &matching.found_of),
        groups: by.map(|by| (by, board.groups(by, &members, &exact, &matching))),
    }
}
