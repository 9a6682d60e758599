//! Cost of the last minutes, hours and day: what the ratio gauges divide.
//!
//! `rate()` in Prometheus can do this too; the gauges are for the page itself, for thresholds without a
//! server behind them, and they survive a restart. Money is booked into the minute in which its revision was
//! made; what is older than an hour is kept in quarters of an hour. Money of two currencies is never added
//! up.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects, reason = "a decimal's operators panic"))]

use std::collections::{BTreeMap, VecDeque};
use std::str::FromStr as _;
use std::sync::Arc;

use rust_decimal::{Decimal, RoundingStrategy};
use spantally_price::add;
use spantally_stitch::{Cause, UnixNanos};

pub(crate) const MINUTE_NANOS: u64 = 60_000_000_000;
/// Minutes are kept apart this long.
const FINE_MINUTES: u64 = 60;
/// Beyond that, this many minutes lie together.
const COARSE_MINUTES: u64 = 15;
/// Windows as labels, and their lengths in minutes.
pub(super) const WINDOWS: [(&str, u64); 4] = [("5m", 5), ("1h", 60), ("6h", 360), ("1d", 1440)];
const LONGEST_MINUTES: u64 = 1440;

/// Provider, model, currency.
pub(super) type WindowKey = [Arc<str>; 3];

/// Cost by time.
#[derive(Debug)]
pub(super) struct CostWindows {
    rings: BTreeMap<WindowKey, Ring>,
    limit: usize,
    /// The minute in which keys without cost in any window were last looked for.
    swept: u64,
    /// Keys that went, to be saved without buckets.
    emptied: Vec<WindowKey>,
}

/// Cost of one key.
#[derive(Debug, Default, PartialEq)]
struct Ring {
    buckets: VecDeque<Bucket>,
    /// Since it was last saved.
    changed: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Bucket {
    /// Minutes since 1970.
    start: u64,
    total: Decimal,
    retry: Decimal,
    waste: Decimal,
}

impl Bucket {
    fn take_in(&mut self, other: &Self) {
        add(&mut self.total, other.total);
        add(&mut self.retry, other.retry);
        add(&mut self.waste, other.waste);
    }
}

/// Shares of one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shares {
    pub(super) retry: Decimal,
    pub(super) waste: Decimal,
}

impl CostWindows {
    /// At most `limit` keys that have cost in some window; past it the further models of a provider are taken
    /// together, until others have none any more.
    pub(super) fn new(limit: usize) -> Self {
        Self { rings: BTreeMap::new(), limit, swept: 0, emptied: Vec::new() }
    }

    /// Books an amount, negative when it is taken back.
    pub(super) fn add(&mut self, mut key: WindowKey, cause: Option<Cause>, amount: Decimal, now: UnixNanos) {
        let start = now.0 / MINUTE_NANOS;
        if !self.rings.contains_key(&key) {
            if self.rings.len() >= self.limit {
                self.sweep(start);
            }
            if self.rings.len() >= self.limit {
                key[1] = "".into();
            }
            self.rings.entry(key.clone()).or_default();
        }
        let Some(ring) = self.rings.get_mut(&key) else { return };
        ring.changed = true;
        let buckets = &mut ring.buckets;
        if buckets.back().is_none_or(|bucket| bucket.start < start) {
            buckets.push_back(Bucket { start, ..Bucket::default() });
            coarsen(buckets, start);
        }
        if let Some(bucket) = buckets.back_mut() {
            add(&mut bucket.total, amount);
            if cause.is_some_and(Cause::is_retry_driven) {
                add(&mut bucket.retry, amount);
            }
            if cause.is_some_and(Cause::is_waste) {
                add(&mut bucket.waste, amount);
            }
        }
    }

    /// Drops keys whose cost has left the longest window: once a minute, since it looks at all of them.
    fn sweep(&mut self, now: u64) {
        if self.swept == now {
            return;
        }
        self.swept = now;
        let is_old = |ring: &Ring| ring.buckets.back().is_none_or(|last| last.start + LONGEST_MINUTES < now);
        self.emptied.extend(self.rings.extract_if(.., |_, ring| is_old(ring)).map(|(key, _)| key));
    }

    /// The shares of every key in a window of some minutes; without positive cost there is no share.
    pub(super) fn shares(&self, minutes: u64, now: UnixNanos) -> impl Iterator<Item = (&WindowKey, Shares)> {
        let oldest = (now.0 / MINUTE_NANOS + 1).saturating_sub(minutes);
        self.rings.iter().filter_map(move |(key, ring)| {
            let mut sum = Bucket::default();
            for bucket in ring.buckets.iter().rev().take_while(|bucket| bucket.start >= oldest) {
                sum.take_in(bucket);
            }
            if sum.total <= Decimal::ZERO {
                return None;
            }
            Some((key, Shares { retry: share(sum.retry, sum.total), waste: share(sum.waste, sum.total) }))
        })
    }

    /// What changed since the last call, as text.
    pub(super) fn take_changed(&mut self) -> Vec<(String, String)> {
        let bucket =
            |Bucket { start, total, retry, waste }: &Bucket| format!("{start} {total} {retry} {waste}");
        let text = |ring: &Ring| ring.buckets.iter().map(bucket).collect::<Vec<_>>().join("\n");
        // A key that went and came again is written last as what it is.
        let emptied =
            std::mem::take(&mut self.emptied).into_iter().map(|key| (key.join("\n"), String::new()));
        let changed = self.rings.iter_mut().filter_map(|(key, ring)| {
            std::mem::take(&mut ring.changed).then(|| (key.join("\n"), text(ring)))
        });
        emptied.chain(changed).collect()
    }

    /// Takes back what [`Self::take_changed`] gave; false if it is not readable.
    pub(super) fn restore(&mut self, key: &str, text: &str) -> bool {
        let mut names = key.splitn(3, '\n').map(Arc::<str>::from);
        let (Some(provider), Some(model), Some(currency)) = (names.next(), names.next(), names.next()) else {
            return false;
        };
        let Some(buckets) = text.lines().map(parse_bucket).collect::<Option<VecDeque<_>>>() else {
            return false;
        };
        if !buckets.is_empty() {
            self.rings.insert([provider, model, currency], Ring { buckets, changed: false });
        }
        true
    }
}

fn parse_bucket(line: &str) -> Option<Bucket> {
    let mut words = line.split(' ');
    let start = words.next()?.parse().ok()?;
    let mut amount = || Decimal::from_str(words.next()?).ok();
    Some(Bucket { start, total: amount()?, retry: amount()?, waste: amount()? })
}

/// Drops what is too old and lays together what is old.
fn coarsen(ring: &mut VecDeque<Bucket>, now: u64) {
    while ring.front().is_some_and(|bucket| bucket.start + LONGEST_MINUTES + COARSE_MINUTES < now) {
        ring.pop_front();
    }
    let mut kept = VecDeque::<Bucket>::with_capacity(ring.len());
    for bucket in ring.drain(..) {
        let quarter = bucket.start / COARSE_MINUTES;
        match kept.back_mut() {
            Some(last) if bucket.start + FINE_MINUTES < now && last.start / COARSE_MINUTES == quarter => {
                last.take_in(&bucket);
            }
            _ => kept.push_back(bucket),
        }
    }
    *ring = kept;
}

/// To six places: a gauge, not money.
fn share(part: Decimal, total: Decimal) -> Decimal {
    let share = part.checked_div(total).unwrap_or_default();
    share.clamp(Decimal::ZERO, Decimal::ONE).round_dp_with_strategy(6, RoundingStrategy::MidpointAwayFromZero)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> WindowKey {
        ["fal".into(), "flux".into(), "USD".into()]
    }

    fn minute(minute: u64) -> UnixNanos {
        UnixNanos(minute * MINUTE_NANOS)
    }

    fn dec(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn money_leaves_a_window_when_its_minute_does() {
        let mut windows = CostWindows::new(9);
        windows.add(key(), Some(Cause::Retry), dec("1"), minute(1000));
        windows.add(key(), Some(Cause::Delivered), dec("3"), minute(1004));
        let shares = |windows: &CostWindows, minutes, now| {
            windows.shares(minutes, minute(now)).next().map(|(_, shares)| (shares.retry, shares.waste))
        };
        assert_eq!(shares(&windows, 5, 1004), Some((dec("0.25"), dec("0.25"))));
        assert_eq!(shares(&windows, 5, 1005), Some((dec("0"), dec("0"))));
        assert_eq!(shares(&windows, 5, 1009), None, "no cost has no share");
        assert_eq!(shares(&windows, 60, 1009), Some((dec("0.25"), dec("0.25"))));
    }

    #[test]
    fn a_day_is_bounded_exact_and_comes_back() {
        let mut windows = CostWindows::new(9);
        for at in 0..1440 {
            windows.add(
                key(),
                Some(if at % 4 == 0 { Cause::Failed } else { Cause::Delivered }),
                dec("0.1"),
                minute(at),
            );
        }
        assert!(windows.rings[&key()].buckets.len() <= 160, "{}", windows.rings[&key()].buckets.len());
        let total: Decimal = windows.rings[&key()].buckets.iter().map(|bucket| bucket.total).sum();
        assert_eq!(total, dec("144"));
        let mut again = CostWindows::new(9);
        for (key, text) in windows.take_changed() {
            assert!(again.restore(&key, &text));
        }
        assert_eq!(again.rings, windows.rings);
        let (_, day) = again.shares(1440, minute(1439)).next().unwrap();
        assert_eq!((day.retry, day.waste), (dec("0"), dec("0.25")));
        assert!(!again.restore("fal\nflux\nUSD", "1 2 x 4"));
    }

    #[test]
    fn no_sum_leaves_the_range() {
        let mut windows = CostWindows::new(9);
        for at in [0, 0, 1, 2, 700] {
            windows.add(key(), Some(Cause::Retry), Decimal::MAX, minute(at));
        }
        let (_, day) = windows.shares(1440, minute(700)).next().unwrap();
        assert_eq!((day.retry, day.waste), (Decimal::ONE, Decimal::ONE));
    }

    #[test]
    fn past_the_limit_models_are_taken_together() {
        let mut windows = CostWindows::new(1);
        for model in ["a", "b", "c"] {
            let key = ["fal".into(), model.into(), "USD".into()];
            windows.add(key, Some(Cause::Delivered), Decimal::ONE, minute(5));
        }
        assert_eq!(windows.rings.len(), 2);
        let total: Decimal =
            windows.rings.values().flat_map(|ring| &ring.buckets).map(|bucket| bucket.total).sum();
        assert_eq!(total, dec("3"));
    }

    #[test]
    fn keys_without_cost_in_any_window_give_room_to_new_ones_also_after_a_restart() {
        let mut windows = CostWindows::new(2);
        let mut add = |model: &str, at| {
            let key = ["fal".into(), model.into(), "USD".into()];
            windows.add(key, Some(Cause::Delivered), Decimal::ONE, minute(at));
            let models: Vec<String> = windows.rings.keys().map(|key| key[1].to_string()).collect();
            (models, windows.take_changed())
        };
        add("a", 10);
        add("b", 1000);
        assert_eq!(add("c", 10 + LONGEST_MINUTES).0, ["", "a", "b"], "the last minute of the window");
        let (models, saved) = add("d", 11 + LONGEST_MINUTES);
        assert_eq!(models, ["", "b"], "two are in use still");
        assert!(saved.contains(&("fal\na\nUSD".to_owned(), String::new())), "{saved:?}");
        let (models, saved) = add("e", 5000);
        assert_eq!(models, ["e"]);
        let mut again = CostWindows::new(2);
        for (key, text) in saved {
            assert!(again.restore(&key, &text));
        }
        assert_eq!(again.rings.len(), 1, "what went does not come back");
    }
}
