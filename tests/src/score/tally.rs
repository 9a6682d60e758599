//! Attempts, polls, duplicates, outcomes and task ids, after true and found jobs were paired.

use std::collections::{BTreeMap, HashSet};

use super::board::Matching;
use super::found::FoundJob;
use crate::truth::{Intent, Truth};

/// How well one count agrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Counts {
    /// Sum over the true media jobs.
    pub truth: usize,
    /// Sum over the found jobs that hold a span of one.
    pub predicted: usize,
    /// Relative error of the sum.
    pub total_error: f64,
    /// Share of true jobs whose count is right.
    pub exact: f64,
    /// Mean absolute error over the true jobs.
    pub mean_abs_error: f64,
}

/// Tasks of found jobs compared with the tasks of the true jobs that they stand for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TaskIds {
    /// Of the tasks named, the share that belongs to that job.
    pub precision: f64,
    /// Of the tasks whose id is in some span, the share named in the right job.
    pub recall_of_discoverable: f64,
    /// Of the tasks whose id the client was given, the share named in the right job.
    pub recall_of_all: f64,
    /// Tasks whose id is in some span.
    pub discoverable: usize,
    /// Tasks whose id the client was given.
    pub all: usize,
}

/// A count of a true job and the same of a found one.
type Count = (&'static str, fn(&Intent) -> usize, fn(&FoundJob) -> usize);

/// What is counted.
const COUNTS: [Count; 3] = [
    ("attempts", |intent| intent.attempts, |job| job.attempts),
    ("polls", |intent| intent.polls, |job| job.polls),
    ("duplicates", |intent| intent.duplicates, |job| job.duplicates),
];

/// Compares each count; none when no job was found.
pub(super) fn counts(
    truth: &Truth,
    found: &[FoundJob],
    media: &[usize],
    matching: &Matching,
) -> [(&'static str, Option<Counts>); 3] {
    COUNTS.map(|(name, in_truth, in_found)| {
        let total: usize = media.iter().map(|&intent| in_truth(&truth.intents[intent])).sum();
        let predicted: usize = matching.touching.iter().map(|&job| in_found(&found[job])).sum();
        let errors = media.iter().map(|intent| {
            let job = matching.found_of.get(intent).map(|&job| &found[job]);
            job.map_or(0, in_found).abs_diff(in_truth(&truth.intents[*intent]))
        });
        let errors: Vec<usize> = errors.collect();
        let jobs = media.len().max(1) as f64;
        let counts = Counts {
            truth: total,
            predicted,
            total_error: relative_error(predicted, total),
            exact: errors.iter().filter(|&&error| error == 0).count() as f64 / jobs,
            mean_abs_error: errors.iter().sum::<usize>() as f64 / jobs,
        };
        (name, (!found.is_empty()).then_some(counts))
    })
}

/// Against nothing, anything is wrong by 1.
fn relative_error(predicted: usize, truth: usize) -> f64 {
    match truth {
        0 => f64::from(u8::from(predicted != 0)),
        _ => (predicted as f64 - truth as f64) / truth as f64,
    }
}

/// Share of true jobs whose found job names their outcome.
pub(super) fn outcome_accuracy(
    truth: &Truth,
    found: &[FoundJob],
    media: &[usize],
    found_of: &BTreeMap<usize, usize>,
) -> Option<f64> {
    found.iter().any(|job| job.outcome.is_some()).then(|| {
        let right = media.iter().filter(|intent| {
            let job = found_of.get(intent).map(|&job| &found[job]);
            job.is_some_and(|job| job.outcome == Some(truth.intents[**intent].outcome.as_str()))
        });
        right.count() as f64 / media.len().max(1) as f64
    })
}

/// Compares (task, intent) pairs; a task in a found job that stands for nothing is wrong.
pub(super) fn task_ids(
    truth: &Truth,
    found: &[FoundJob],
    found_of: &BTreeMap<usize, usize>,
) -> Option<TaskIds> {
    let intent_of: BTreeMap<usize, &str> =
        found_of.iter().map(|(&intent, &job)| (job, truth.intents[intent].intent.as_str())).collect();
    let named: HashSet<(&str, Option<&str>)> = found
        .iter()
        .enumerate()
        .flat_map(|(job, found)| found.tasks.iter().map(move |task| (job, task.as_str())))
        .map(|(job, task)| (task, intent_of.get(&job).copied()))
        .collect();
    let visible = truth.jobs.iter().filter(|job| job.visible);
    let pair = |job: &'_ crate::truth::ProviderJob| (job.job.clone(), job.intent.clone());
    let all: HashSet<(String, String)> = visible.clone().map(pair).collect();
    let discoverable: HashSet<(String, String)> = visible.filter(|job| job.discoverable).map(pair).collect();
    let hits = |set: &HashSet<(String, String)>| {
        set.iter().filter(|(task, intent)| named.contains(&(task.as_str(), Some(intent.as_str())))).count()
            as f64
    };
    (!named.is_empty()).then(|| TaskIds {
        precision: hits(&all) / named.len() as f64,
        recall_of_discoverable: hits(&discoverable) / discoverable.len().max(1) as f64,
        recall_of_all: hits(&all) / all.len().max(1) as f64,
        discoverable: discoverable.len(),
        all: all.len(),
    })
}
