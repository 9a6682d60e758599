//! What waits for a destination, by tenant: a tenant whose requests it does not take now waits, and others
//! do not wait for it.
//!
//! Items are known by their place; bodies are in memory for what is about to be sent, and are read again for
//! what had to wait.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use spantally_stitch::UnixNanos;

use super::backoff::Backoff;
use super::item::Item;
use super::progress::Place;

/// Items that are known, at most: so far is looked past those that are not taken.
pub(crate) const LOOK_AHEAD_ITEMS: usize = 1 << 16;

/// What one of them takes in memory, with its line of the progress.
pub(crate) const ITEM_BYTES: u64 = 128;

/// An item that waits.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    place: Place,
    bytes: usize,
    received_at: UnixNanos,
}

/// What waits of one tenant, in order.
#[derive(Debug)]
pub(super) struct Lane {
    waiting: VecDeque<Waiting>,
    /// Items of a request: fewer after one that was too large, and as many as before in one that is sent
    /// again.
    pub(super) most_items: usize,
    /// Its oldest request was not taken and is to be sent again, or is not to be sent at once.
    pub(super) again: Option<Again>,
}

/// A request that is not to be sent before its time.
#[derive(Debug)]
pub(super) struct Again {
    pub(super) backoff: Backoff,
    /// When it was sent first, or will be.
    pub(super) since: Instant,
    /// When it is to be sent.
    pub(super) at: Instant,
}

/// How a tenant goes on after a request that was taken, or given up.
#[derive(Debug)]
pub(super) enum After {
    /// At once, with requests of up to twice as many items.
    Larger,
    /// At once, with requests of as many items as before.
    Same,
    /// Not before a time, with requests as large as this one.
    Pause(Again),
}

impl Lane {
    fn at(&self) -> Option<Instant> {
        self.again.as_ref().map(|again| again.at)
    }
}

/// All tenants.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    by_tenant: BTreeMap<Arc<str>, Lane>,
    bodies: HashMap<Place, Item<'static>>,
    body_bytes: usize,
    items: usize,
    /// Nobody may send before: the destination was not reached.
    until: Option<Instant>,
}

/// What goes out with one request.
#[derive(Debug)]
pub(super) struct Next {
    pub(super) tenant: Arc<str>,
    pub(super) places: Vec<Place>,
    /// Those that are in memory, the others are to be read.
    pub(super) items: HashMap<Place, Item<'static>>,
}

impl Lanes {
    /// Whether there is room to look further, with bodies of so many bytes.
    pub(super) fn has_room(&self, max_bytes: usize) -> bool {
        self.items < LOOK_AHEAD_ITEMS && self.body_bytes < max_bytes
    }

    /// One more that waits.
    pub(super) fn push(&mut self, place: Place, item: Item<'static>) {
        let waiting = Waiting { place, bytes: item.body.len(), received_at: item.received_at };
        let new = || Lane { waiting: VecDeque::new(), most_items: usize::MAX, again: None };
        let lane = match self.by_tenant.get_mut(&*item.tenant) {
            Some(lane) => lane,
            None => self.by_tenant.entry((&*item.tenant).into()).or_insert_with(new),
        };
        // A tenant that waits would take the room of those that do not.
        if lane.again.is_none() {
            self.body_bytes += waiting.bytes;
            self.bodies.insert(place, item);
        }
        lane.waiting.push_back(waiting);
        self.items += 1;
    }

    /// The next request, of the tenant that may send and whose oldest item is the oldest; about `max_bytes`.
    pub(super) fn next(&mut self, now: Instant, max_bytes: usize) -> Option<Next> {
        // Of those that paused, and of whom nothing came meanwhile.
        self.by_tenant.retain(|_, lane| !lane.waiting.is_empty() || lane.at().is_some_and(|at| at > now));
        let may_send = |lane: &Lane| lane.at().max(self.until).is_none_or(|at| at <= now);
        let lanes = self.by_tenant.iter().filter(|(_, lane)| !lane.waiting.is_empty() && may_send(lane));
        let (tenant, lane) = lanes.min_by_key(|(_, lane)| lane.waiting.front().map(|one| one.place))?;
        let mut bytes = 0;
        let fits = lane.waiting.iter().take(lane.most_items).take_while(|one| {
            bytes += one.bytes;
            bytes <= max_bytes
        });
        let places = lane.waiting.iter().take(fits.count().max(1)).map(|one| one.place).collect();
        let mut next = Next { tenant: tenant.clone(), places, items: HashMap::new() };
        for place in &next.places {
            if let Some(item) = self.bodies.remove(place) {
                self.body_bytes -= item.body.len();
                next.items.insert(*place, item);
            }
        }
        Some(next)
    }

    /// A tenant that has something that waits.
    pub(super) fn lane(&mut self, tenant: &str) -> Option<&mut Lane> {
        self.by_tenant.get_mut(tenant)
    }

    /// The oldest of a tenant were sent, or given up.
    pub(super) fn finish(&mut self, tenant: &str, count: usize, after: After) {
        let Some(lane) = self.by_tenant.get_mut(tenant) else { return };
        lane.again = None;
        let finished = lane.waiting.drain(..count.min(lane.waiting.len())).count();
        self.items -= finished;
        match after {
            After::Larger => lane.most_items = lane.most_items.saturating_mul(2),
            After::Same => {}
            After::Pause(again) => {
                (lane.again, lane.most_items) = (Some(again), count);
                // It stays without anything that waits, so that what comes next keeps the pause.
                self.unload(tenant);
                return;
            }
        }
        if lane.waiting.is_empty() {
            self.by_tenant.remove(tenant);
        }
    }

    /// A tenant waits: what is in memory of it makes room for others.
    pub(super) fn unload(&mut self, tenant: &str) {
        for one in self.by_tenant.get(tenant).into_iter().flat_map(|lane| &lane.waiting) {
            if let Some(item) = self.bodies.remove(&one.place) {
                self.body_bytes -= item.body.len();
            }
        }
    }

    /// Nobody may send before.
    pub(super) fn hold_all(&mut self, until: Instant) {
        self.until = Some(until);
    }

    /// When the first of those that wait may send.
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.by_tenant.values().filter_map(|lane| lane.at().max(self.until)).min()
    }

    /// When the oldest was received.
    pub(super) fn oldest(&self) -> Option<UnixNanos> {
        self.by_tenant.values().filter_map(|lane| Some(lane.waiting.front()?.received_at)).min()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use spantally_store::Seq;

    use super::*;
    use crate::clock;
    use crate::config::Retry;

    /// Of each tenant its name as often as it has bytes.
    fn lanes(items: &[(&'static str, usize)]) -> Lanes {
        let mut lanes = Lanes::default();
        for (row, (tenant, bytes)) in (1..).zip(items) {
            let received_at = UnixNanos(row);
            let body = Bytes::from(tenant.repeat(*bytes));
            let item = Item { tenant: (*tenant).into(), spans: 1, received_at, body };
            lanes.push(Place { row: Seq(row), index: 0 }, item);
        }
        lanes
    }

    fn next(lanes: &mut Lanes) -> Option<(String, Vec<u64>, usize)> {
        let next = lanes.next(clock::instant(), 10)?;
        let rows = next.places.iter().map(|place| place.row.0).collect();
        Some((next.tenant.to_string(), rows, next.items.len()))
    }

    fn expect(tenant: &str, rows: &[u64], in_memory: usize) -> (String, Vec<u64>, usize) {
        (tenant.to_owned(), rows.to_vec(), in_memory)
    }

    #[test]
    fn requests_are_put_together_by_tenant_up_to_a_size_and_in_order() {
        let mut lanes = lanes(&[("a", 4), ("b", 5), ("a", 6), ("a", 12), ("a", 1)]);
        assert!(lanes.has_room(29) && !lanes.has_room(28));
        for (tenant, rows) in [("a", &[1, 3][..]), ("b", &[2]), ("a", &[4]), ("a", &[5])] {
            assert_eq!(next(&mut lanes), Some(expect(tenant, rows, rows.len())));
            lanes.finish(tenant, rows.len(), After::Larger);
        }
        assert_eq!(next(&mut lanes), None);
        assert_eq!((lanes.items, lanes.body_bytes, lanes.by_tenant.len()), (0, 0, 0));
    }

    #[test]
    fn a_tenant_that_waits_takes_no_room_and_no_turn_of_others() {
        let mut lanes = lanes(&[("a", 1), ("b", 2), ("a", 3), ("a", 4)]);
        let at = clock::instant() + Duration::from_hours(1);
        let backoff = Backoff::new(&Retry::default());
        assert_eq!(next(&mut lanes), Some(expect("a", &[1, 3, 4], 3)));
        let lane = lanes.lane("a").unwrap();
        lane.again = Some(Again { backoff, since: at, at });
        lane.most_items = 2;
        lanes.unload("a");
        assert_eq!(lanes.body_bytes, 2);
        assert_eq!(next(&mut lanes), Some(expect("b", &[2], 1)));
        lanes.finish("b", 1, After::Larger);
        assert_eq!((next(&mut lanes), lanes.next_at()), (None, Some(at)));
        let later = lanes.next(at, 10).unwrap();
        assert_eq!((later.places.len(), later.items.len()), (2, 0), "they are read again");
        assert_eq!(lanes.oldest(), Some(UnixNanos(1)));
    }

    #[test]
    fn requests_grow_with_those_that_are_taken_only() {
        let mut lanes = lanes(&[("a", 1); 8]);
        lanes.lane("a").unwrap().most_items = 1;
        for (rows, after) in [(&[1][..], After::Same), (&[2], After::Larger), (&[3, 4], After::Larger)] {
            assert_eq!(next(&mut lanes), Some(expect("a", rows, rows.len())));
            lanes.finish("a", rows.len(), after);
        }
        assert_eq!(next(&mut lanes), Some(expect("a", &[5, 6, 7, 8], 4)));
    }

    #[test]
    fn a_tenant_that_pauses_does_so_for_what_comes_next_too() {
        let mut lanes = lanes(&[("a", 1)]);
        let at = clock::instant() + Duration::from_hours(1);
        let pause = || After::Pause(Again { backoff: Backoff::new(&Retry::default()), since: at, at });
        assert_eq!(next(&mut lanes), Some(expect("a", &[1], 1)));
        lanes.finish("a", 1, pause());
        assert_eq!((next(&mut lanes), lanes.next_at(), lanes.oldest()), (None, Some(at), None));
        for row in [2, 3] {
            let item = Item { tenant: "a".into(), spans: 1, received_at: UnixNanos(row), body: "x".into() };
            lanes.push(Place { row: Seq(row), index: 0 }, item);
        }
        assert_eq!((next(&mut lanes), lanes.body_bytes), (None, 0));
        assert_eq!(lanes.next(at, 10).unwrap().places.len(), 1, "as large as the one that was refused");
        lanes.finish("a", 2, pause());
        assert!(lanes.next(at, 10).is_none());
        assert_eq!((lanes.next_at(), lanes.by_tenant.len()), (None, 0), "it is forgotten with its pause");
    }

    #[test]
    fn nobody_sends_to_who_is_not_reached() {
        let mut lanes = lanes(&[("a", 1), ("b", 2)]);
        let until = clock::instant() + Duration::from_hours(1);
        lanes.hold_all(until);
        assert_eq!((next(&mut lanes), lanes.next_at()), (None, Some(until)));
        assert!(lanes.next(until, 10).is_some());
    }
}
