//! Redeliveries: a delivery that was refused, and the one that comes instead of it.
//!
//! Solved as one assignment of refused deliveries to later ones at the same path. A candidate is worth the
//! log odds that it is the redelivery and not the first delivery of another event: how well its wait fits the
//! sender, against how often deliveries come anyway. Each wait is about twice the one before.
//!
//! What a sender does is learned from the chains themselves, each link judged without its own wait: how long
//! it waits first, and whether it keeps to its schedule. Some keep it to a few milliseconds, and of these a
//! delivery that comes a tenth too early is another event; some draw their waits anew each time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::call::{Call, CorrelationKind};
use crate::solve::assign::{self, Edge, Pair};
use crate::solve::density::{Kernels, lognormal};
use crate::solve::pool::{Hook, Pool};

/// Most rounds of finding redeliveries.
const ROUNDS: usize = 8;
/// Most of them in which every sender is thought to keep to its schedule.
const TRUSTING: usize = 6;
/// Longest wait before the first redelivery, in seconds: of the longer of the usual ones (20 s) two spreads
/// up. What comes later is as likely another event.
const FIRST_SECONDS: f64 = 300.0;
/// Longest wait between two deliveries, in seconds: ten of them within two hours, each twice as long as the
/// one before, end with a wait of an hour.
const LONGEST_SECONDS: f64 = 3600.0;
/// Longest further wait, in waits before it. A wait that doubles varies by a fifth either way, so that four
/// times the doubled one is seven such steps away.
const LONGEST_RATIO: f64 = 8.0;
/// Most later deliveries that are weighed as the one that follows: those nearest to when it is due. An
/// endpoint that is down refuses thousands, of which the wait tells no more than a few apart.
pub(super) const MAX_NEXT: usize = 32;
/// How far the logarithm of a wait strays from what is due, of a sender that keeps to its schedule and of one
/// that does not.
const EXACT: f64 = 0.015;
const LOOSE: f64 = 0.2;
/// So often is a sender late that keeps to its schedule.
const LAPSE: f64 = 0.01;

/// Whose deliveries may follow one another: provider, tenant and service that takes them (any of its
/// instances may be asked), at which path, and for which job of the application if the delivery says so.
pub(super) type LaneKey<'a> = (SenderKey<'a>, Option<&'a Arc<str>>);

/// Who sends deliveries, to which service and path: all of them are made again after the same waits.
type SenderKey<'a> = (&'a Arc<str>, &'a Arc<str>, &'a Arc<str>, u64);

pub(super) fn refused(call: &Call) -> bool {
    !call.answer.is_success()
}

/// Each refused delivery that came again, with its redelivery.
pub(super) fn pairs(pool: &Pool<'_>, keyless: &[usize], limit: usize) -> Vec<Pair> {
    let lanes = lanes(pool, keyless);
    let mut pairs: Vec<Pair> = Vec::new();
    // Where chains cross, wrong links look like waits that are drawn. So each sender is thought to keep to
    // its schedule until that changes nothing any more.
    let mut trusting = true;
    // How well a link fits depends on the link before it, so that a wrong one is undone only step by step.
    for round in 1..=ROUNDS {
        let edges = edges(pool, keyless, &lanes, &Waits::learn(pool, &pairs, trusting));
        let found = assign::assign(&edges, limit, false);
        let same = assign::same(&found, &pairs);
        if same && !trusting || round == ROUNDS {
            return assign::assign(&edges, limit, true);
        }
        trusting &= !same && round < TRUSTING;
        pairs = found;
    }
    pairs
}

/// Deliveries that may follow one another, by start.
pub(super) fn lanes<'a>(pool: &Pool<'a>, keyless: &[usize]) -> BTreeMap<LaneKey<'a>, Vec<usize>> {
    let mut lanes: BTreeMap<LaneKey<'a>, Vec<usize>> = BTreeMap::new();
    for &at in keyless {
        lanes.entry(lane_of(pool.hooks[at])).or_default().push(at);
    }
    lanes
}

pub(super) fn lane_of(hook: Hook<'_>) -> LaneKey<'_> {
    let mut names = hook.call.rare.correlations.iter();
    let job = names.find(|known| known.kind == CorrelationKind::Job).map(|known| &known.value);
    (sender_of(hook), job)
}

fn sender_of(hook: Hook<'_>) -> SenderKey<'_> {
    let client = &hook.evidence.client;
    (&hook.call.endpoint.provider, &client.tenant, &client.service, hook.call.request)
}

fn gap(pool: &Pool<'_>, from: usize, to: usize) -> f64 {
    pool.hooks[to].evidence.start.seconds_since(pool.hooks[from].evidence.end).max(1e-6)
}

/// Each refused delivery with those that may follow it.
pub(super) fn edges(
    pool: &Pool<'_>,
    keyless: &[usize],
    lanes: &BTreeMap<LaneKey<'_>, Vec<usize>>,
    waits: &Waits<'_>,
) -> Vec<Edge> {
    let mut edges = Vec::new();
    for &from in keyless.iter().filter(|&&at| refused(pool.hooks[at].call)) {
        let Some(lane) = lanes.get(&lane_of(pool.hooks[from])) else { continue };
        let rate = per_second(pool, lane);
        for to in due(pool, lane, from, waits.before.get(&from).copied()) {
            let density = waits.density(pool, from, to);
            edges.push(Edge { left: from, right: to, gain: (9.0 * density / rate).ln() });
        }
    }
    edges
}

/// How often deliveries of a lane come: none of another lane is taken for one of these.
fn per_second(pool: &Pool<'_>, lane: &[usize]) -> f64 {
    let seconds = match (lane.first(), lane.last()) {
        (Some(&first), Some(&last)) => {
            pool.hooks[last].evidence.start.seconds_since(pool.hooks[first].evidence.start)
        }
        _ => 0.0,
    };
    lane.len() as f64 / seconds.max(60.0)
}

/// The deliveries of its lane that may follow one, given the wait before it: at most [`MAX_NEXT`]. First
/// waits are the likelier the shorter they are; further ones are near the one before, or near twice that.
fn due(pool: &Pool<'_>, lane: &[usize], from: usize, previous: Option<f64>) -> Vec<usize> {
    let end = pool.hooks[from].evidence.end;
    let place =
        |wait: f64| lane.partition_point(|&at| pool.hooks[at].evidence.start.seconds_since(end) < wait);
    let longest = previous.map_or(FIRST_SECONDS, |wait| (LONGEST_RATIO * wait).min(LONGEST_SECONDS));
    let (begin, until) = (place(0.0), place(longest));
    let near = |wait: f64, most: usize| {
        let at = place(wait);
        let low = at.saturating_sub(most / 2).max(begin);
        low..(low + most).min(until)
    };
    let places: BTreeSet<usize> = match previous {
        None => (begin..until).take(MAX_NEXT).collect(),
        Some(wait) => near(wait, MAX_NEXT / 2).chain(near(2.0 * wait, MAX_NEXT / 2)).collect(),
    };
    places.into_iter().map(|place| lane[place]).filter(|&to| to > from).collect()
}

/// The waits before a delivery is made again, as the links of the last round have them.
#[derive(Debug, Default)]
pub(super) struct Waits<'a> {
    /// The wait of the link that leads to a delivery, in seconds.
    pub(super) before: BTreeMap<usize, f64>,
    senders: BTreeMap<SenderKey<'a>, Sender>,
    /// The share of further waits that are as long as the one before: rare until seen.
    stays: f64,
    /// Whether a sender is as likely as not to keep to its schedule, whatever the links say.
    trusting: bool,
    links: BTreeMap<(usize, usize), Link>,
}

/// What is known of a sender.
#[derive(Debug)]
struct Sender {
    /// Its first waits.
    first: Kernels,
    /// How much likelier its further waits are if it keeps to its schedule, in nats.
    keeps: f64,
}

/// What a link tells of its sender: its wait, if it is the first of a chain, else how much likelier the wait
/// is of a sender that keeps to its schedule, in nats.
#[derive(Clone, Copy, Debug)]
enum Link {
    First(f64),
    Further(f64),
}

impl<'a> Waits<'a> {
    fn learn(pool: &Pool<'a>, pairs: &[Pair], trusting: bool) -> Self {
        let before = pairs.iter().map(|pair| (pair.right, gap(pool, pair.left, pair.right))).collect();
        let mut waits =
            Self { stays: share_that_stays(pool, pairs, &before), before, trusting, ..Self::default() };
        let mut told: BTreeMap<SenderKey<'a>, (Vec<f64>, f64)> = BTreeMap::new();
        for pair in pairs {
            let gap = gap(pool, pair.left, pair.right);
            let sender = told.entry(sender_of(pool.hooks[pair.left])).or_default();
            let link = match waits.before.get(&pair.left) {
                None => Link::First(gap),
                Some(&previous) => {
                    let (exact, loose) = waits.further(gap, previous);
                    Link::Further((exact / loose.max(f64::MIN_POSITIVE)).max(LAPSE).ln())
                }
            };
            match link {
                Link::First(wait) => sender.0.push(wait),
                Link::Further(keeps) => sender.1 += keeps,
            }
            waits.links.insert((pair.left, pair.right), link);
        }
        let sender = |(first, keeps)| Sender { first: Kernels::new(first), keeps };
        waits.senders = told.into_iter().map(|(key, told)| (key, sender(told))).collect();
        waits
    }

    /// Waits as they are after others of so many seconds, of senders of which nothing is known.
    #[cfg(test)]
    pub(super) fn after(before: BTreeMap<usize, f64>) -> Self {
        Self { before, stays: 0.05, ..Self::default() }
    }

    /// Density of the wait of a link, per second.
    fn density(&self, pool: &Pool<'a>, from: usize, to: usize) -> f64 {
        let wait = gap(pool, from, to);
        let sender = self.senders.get(&sender_of(pool.hooks[from]));
        let own = self.links.get(&(from, to));
        let Some(&previous) = self.before.get(&from) else {
            let own = own.and_then(|link| if let Link::First(own) = link { Some(*own) } else { None });
            let (learned, count) = sender.map_or((0.0, 0.0), |sender| sender.first.density(wait, own));
            let weight = count / (count + 2.0);
            return weight * learned + (1.0 - weight) * first_wait(wait);
        };
        let own = own.and_then(|link| if let Link::Further(own) = link { Some(*own) } else { None });
        let keeps = sender.map_or(0.0, |sender| sender.keeps - own.unwrap_or_default());
        let keeps = if self.trusting { keeps.max(0.0) } else { keeps };
        let share = 1.0 / (1.0 + (-keeps).exp());
        let (exact, loose) = self.further(wait, previous);
        share * exact + (1.0 - share) * loose
    }

    /// Density of a wait after another one, per second, of a sender that keeps to its schedule and of one
    /// that does not: they double, or stay as they are at providers that do so.
    fn further(&self, wait: f64, previous: f64) -> (f64, f64) {
        let around = |spread: f64| {
            let double = lognormal(wait, (2.0 * previous).ln(), spread);
            (1.0 - self.stays) * double + self.stays * lognormal(wait, previous.ln(), spread)
        };
        let loose = around(LOOSE);
        ((1.0 - LAPSE) * around(EXACT) + LAPSE * loose, loose)
    }
}

/// The wait before a delivery is made again: about a second at some providers, minutes at others.
fn first_wait(gap: f64) -> f64 {
    0.7 * lognormal(gap, 0.0, 1.3) + 0.3 * lognormal(gap, 20.0_f64.ln(), 1.3)
}

/// The share of further waits that are as long as the one before, as found in the last round: rare until
/// seen.
fn share_that_stays(pool: &Pool<'_>, pairs: &[Pair], before: &BTreeMap<usize, f64>) -> f64 {
    let (mut stays, mut doubles) = (0.05, 2.0);
    for pair in pairs {
        let Some(&previous) = before.get(&pair.left) else { continue };
        let ratio = gap(pool, pair.left, pair.right) / previous;
        if (0.8..1.25).contains(&ratio) {
            stays += 1.0;
        } else if (1.6..2.5).contains(&ratio) {
            doubles += 1.0;
        }
    }
    stays / (stays + doubles)
}
