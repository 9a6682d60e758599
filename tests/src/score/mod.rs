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
//! [`pairs`] counts pairs, [`mod@tally`] counts attempts, polls and outcomes, `report` prints, [`sample`]
//! makes jobs from the truth itself.

pub mod found;
pub mod pairs;
mod report;
pub mod sample;
pub mod tally;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use found::FoundJob;
use pairs::{Labels, Pairs, compare};
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

impl Role {
    /// Without downloads, helper requests and voice turns.
    fn is_core(self) -> bool {
        self == Self::User || self.is_call()
    }

    /// What an exact job must hold.
    fn is_call(self) -> bool {
        use Role::{Cancel, Poll, Result, Submit, Unsent, Webhook};
        matches!(self, Submit | Poll | Result | Cancel | Webhook | Unsent)
    }
}

/// A true and a found job for each span, by index; spans in the order of the truth, without the shared ones.
struct Board<'a> {
    truth: &'a Truth,
    spans: Vec<Placed>,
    /// Intents that are not voice sessions and have spans, in the order of the truth.
    media: Vec<usize>,
    is_voice: Vec<bool>,
    is_media: Vec<bool>,
    found_sizes: HashMap<usize, usize>,
    true_sizes: HashMap<usize, usize>,
    noise_only: usize,
    unknown_spans: usize,
    spans_in_two_jobs: usize,
}

/// One span and where it belongs.
#[derive(Clone, Copy)]
struct Placed {
    role: Role,
    intent: Option<usize>,
    found: Option<usize>,
}

/// Which found job stands for which true one.
#[derive(Debug, Default)]
pub(super) struct Matching {
    /// By index of the intent.
    found_of: BTreeMap<usize, usize>,
    /// Found jobs that hold a span of a media job.
    touching: BTreeSet<usize>,
}

/// The calls of each media job, by index into [`Board::spans`].
type Members = BTreeMap<usize, BTreeSet<usize>>;

impl<'a> Board<'a> {
    fn new(truth: &'a Truth, found: &[FoundJob]) -> Self {
        let known: HashSet<&str> = truth.spans.iter().map(|span| span.span_id.as_str()).collect();
        let (mut found_of, mut unknown_spans, mut spans_in_two_jobs) = (HashMap::new(), 0, 0);
        for (job, span) in found.iter().enumerate().flat_map(|(k, j)| j.spans.iter().map(move |s| (k, s))) {
            if !known.contains(span.as_str()) {
                unknown_spans += 1;
            } else if *found_of.entry(span.as_str()).or_insert(job) != job {
                spans_in_two_jobs += 1;
            }
        }
        let intent_of: HashMap<&str, usize> =
            truth.intents.iter().enumerate().map(|(index, intent)| (intent.intent.as_str(), index)).collect();
        let every: Vec<Placed> = truth
            .spans
            .iter()
            .map(|span| Placed {
                role: span.role,
                intent: span.intent.as_deref().and_then(|name| intent_of.get(name).copied()),
                found: found_of.get(span.span_id.as_str()).copied(),
            })
            .collect();
        let is_voice: Vec<bool> = truth.intents.iter().map(|intent| intent.scenario == "voice").collect();
        let is_media: Vec<bool> =
            truth.intents.iter().zip(&is_voice).map(|(i, v)| !v && !i.spans.is_empty()).collect();
        let not_noise: HashSet<usize> =
            every.iter().filter(|span| span.role != Role::Noise).filter_map(|span| span.found).collect();
        let spans: Vec<Placed> = every.iter().filter(|span| span.role != Role::Shared).copied().collect();
        Self {
            truth,
            media: (0..is_media.len()).filter(|&intent| is_media[intent]).collect(),
            is_voice,
            is_media,
            found_sizes: sizes(every.iter().filter_map(|span| span.found)),
            true_sizes: sizes(spans.iter().filter_map(|span| span.intent)),
            noise_only: found_of
                .values()
                .collect::<HashSet<_>>()
                .into_iter()
                .filter(|k| !not_noise.contains(k))
                .count(),
            spans,
            unknown_spans,
            spans_in_two_jobs,
        }
    }

    fn in_voice(&self, span: Placed) -> bool {
        span.intent.is_some_and(|intent| self.is_voice[intent])
    }

    /// Compares spans of media jobs whose role is chosen, and noise.
    fn compare(&self, chosen: impl Fn(Role) -> bool) -> Pairs {
        let keep = |span: &Placed| (chosen(span.role) && !self.in_voice(*span)) || span.role == Role::Noise;
        compare(&self.spans.iter().filter(|span| keep(span)).map(labels).collect::<Vec<_>>())
    }

    fn compare_all(&self) -> Pairs {
        compare(&self.spans.iter().map(labels).collect::<Vec<_>>())
    }

    fn members(&self) -> Members {
        let mut members = Members::new();
        for (index, span) in self.spans.iter().enumerate() {
            if let Some(intent) = span.intent.filter(|&intent| span.role.is_call() && self.is_media[intent]) {
                members.entry(intent).or_default().insert(index);
            }
        }
        members
    }

    /// Media jobs whose calls are exactly the calls and noise of one found job.
    fn exact(&self, members: &Members) -> BTreeSet<usize> {
        let mut held = BTreeMap::<usize, BTreeSet<usize>>::new();
        for (index, span) in self.spans.iter().enumerate() {
            if let Some(found) = span.found.filter(|_| span.role.is_call() || span.role == Role::Noise) {
                held.entry(found).or_default().insert(index);
            }
        }
        let is_exact = |calls: &BTreeSet<usize>| {
            let mut jobs = calls.iter().filter_map(|&index| self.spans[index].found);
            let alone = calls.len() == 1 && calls.iter().all(|&index| self.spans[index].found.is_none());
            alone || jobs.any(|job| held.get(&job) == Some(calls))
        };
        members.iter().filter(|(_, calls)| is_exact(calls)).map(|(&intent, _)| intent).collect()
    }

    fn stitch(&self, members: &Members, exact: usize) -> Stitch {
        let (mut polls, mut with_submit, mut retried, mut together) = (0, 0, 0, 0);
        for calls in members.values() {
            let of = |roles: &[Role]| -> Vec<usize> {
                calls.iter().copied().filter(|&index| roles.contains(&self.spans[index].role)).collect()
            };
            let submits = of(&[Role::Submit]);
            for poll in of(&[Role::Poll, Role::Result]) {
                let job = self.spans[poll].found;
                polls += 1;
                with_submit += usize::from(
                    job.is_some() && submits.iter().any(|&submit| self.spans[submit].found == job),
                );
            }
            if let [first, rest @ ..] = &submits[..]
                && !rest.is_empty()
            {
                let job = self.spans[*first].found;
                retried += 1;
                together +=
                    usize::from(job.is_some() && rest.iter().all(|&submit| self.spans[submit].found == job));
            }
        }
        let share = |part: usize, whole: usize| part as f64 / whole.max(1) as f64;
        Stitch {
            exact_jobs: share(exact, members.len()),
            polls_with_their_submit: share(with_submit, polls),
            retries_together: share(together, retried),
            intents: members.len(),
            polls,
            retried_intents: retried,
        }
    }

    /// Pairs true and found jobs, most alike (shared spans / spans of either) first.
    fn matching(&self) -> Matching {
        let mut shared = BTreeMap::<(usize, usize), usize>::new();
        for span in &self.spans {
            if let (Some(intent), Some(found)) =
                (span.intent.filter(|&intent| self.is_media[intent]), span.found)
            {
                *shared.entry((intent, found)).or_default() += 1;
            }
        }
        let mut candidates: Vec<(f64, usize, usize, usize)> = shared
            .iter()
            .map(|(&(intent, found), &count)| {
                let either = self.found_sizes[&found] + self.true_sizes[&intent] - count;
                (count as f64 / either as f64, count, intent, found)
            })
            .collect();
        let name = |intent: usize| &self.truth.intents[intent].intent;
        candidates.sort_by(|a, b| {
            let alike = b.0.total_cmp(&a.0).then(b.1.cmp(&a.1));
            alike.then_with(|| name(a.2).cmp(name(b.2))).then(a.3.cmp(&b.3))
        });
        let mut matching =
            Matching { touching: shared.keys().map(|&(_, found)| found).collect(), ..Matching::default() };
        let mut taken = BTreeSet::new();
        for (_, _, intent, found) in candidates {
            if !matching.found_of.contains_key(&intent) && taken.insert(found) {
                matching.found_of.insert(intent, found);
            }
        }
        matching
    }

    fn jobs(&self, matching: &Matching) -> Jobs {
        let (truth, predicted) = (self.media.len(), matching.touching.len());
        Jobs {
            truth,
            predicted,
            error: (predicted as f64 - truth as f64) / truth.max(1) as f64,
            unmatched_truth: truth - matching.found_of.len(),
            unmatched_predicted: predicted - matching.found_of.len(),
            noise_only: self.noise_only,
            spans_in_two_jobs: self.spans_in_two_jobs,
            unknown_spans: self.unknown_spans,
        }
    }

    fn groups(
        &self,
        by: GroupBy,
        members: &Members,
        exact: &BTreeSet<usize>,
        matching: &Matching,
    ) -> BTreeMap<String, Group> {
        let mut groups = BTreeMap::<String, Group>::new();
        for intent in members.keys() {
            let group = groups.entry(by.of(&self.truth.intents[*intent])).or_default();
            group.intents += 1;
            group.exact += usize::from(exact.contains(intent));
            group.matched += usize::from(matching.found_of.contains_key(intent));
        }
        groups
    }
}

fn labels(span: &Placed) -> Labels {
    (span.intent, span.found)
}

fn sizes(groups: impl Iterator<Item = usize>) -> HashMap<usize, usize> {
    groups.fold(HashMap::new(), |mut sizes, group| {
        *sizes.entry(group).or_default() += 1;
        sizes
    })
}
