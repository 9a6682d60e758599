//! Every scored span with its true and its found job, and what is counted over them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::found::FoundJob;
use super::pairs::{Labels, Pairs, compare};
use super::{Group, GroupBy, Jobs, Stitch};
use crate::truth::{Role, Truth};

impl Role {
    /// Without downloads, helper requests and voice turns.
    pub(super) fn is_core(self) -> bool {
        self == Self::User || self.is_call()
    }

    /// What an exact job must hold.
    fn is_call(self) -> bool {
        use Role::{Cancel, Poll, Result, Submit, Unsent, Webhook};
        matches!(self, Submit | Poll | Result | Cancel | Webhook | Unsent)
    }
}

/// A true and a found job for each span, by index; spans in the order of the truth, without the shared ones.
pub(super) struct Board<'a> {
    truth: &'a Truth,
    spans: Vec<Placed>,
    /// Intents that are not voice sessions and have spans, in the order of the truth.
    pub(super) media: Vec<usize>,
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
    pub(super) found_of: BTreeMap<usize, usize>,
    /// Found jobs that hold a span of a media job.
    pub(super) touching: BTreeSet<usize>,
}

/// The calls of each media job, by index into [`Board::spans`].
pub(super) type Members = BTreeMap<usize, BTreeSet<usize>>;

impl<'a> Board<'a> {
    pub(super) fn new(truth: &'a Truth, found: &[FoundJob]) -> Self {
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
    pub(super) fn compare(&self, chosen: impl Fn(Role) -> bool) -> Pairs {
        let keep = |span: &Placed| (chosen(span.role) && !self.in_voice(*span)) || span.role == Role::Noise;
        compare(&self.spans.iter().filter(|span| keep(span)).map(labels).collect::<Vec<_>>())
    }

    pub(super) fn compare_all(&self) -> Pairs {
        compare(&self.spans.iter().map(labels).collect::<Vec<_>>())
    }

    pub(super) fn members(&self) -> Members {
        let mut members = Members::new();
        for (index, span) in self.spans.iter().enumerate() {
            if let Some(intent) = span.intent.filter(|&intent| span.role.is_call() && self.is_media[intent]) {
                members.entry(intent).or_default().insert(index);
            }
        }
        members
    }

    /// Media jobs whose calls are exactly the calls and noise of one found job.
    pub(super) fn exact(&self, members: &Members) -> BTreeSet<usize> {
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

    pub(super) fn stitch(&self, members: &Members, exact: usize) -> Stitch {
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
    pub(super) fn matching(&self) -> Matching {
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

    pub(super) fn jobs(&self, matching: &Matching) -> Jobs {
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

    pub(super) fn groups(
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
