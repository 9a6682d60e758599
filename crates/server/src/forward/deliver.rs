//! Sending what waits: of each tenant in order, again and again until it is taken or given up.
//!
//! A backend may defer the requests of one tenant (its rate, its quota) and take those of others. So each
//! tenant waits by itself ([`Lanes`]), and what comes after it in the queue goes on, up to a bound on how far
//! is looked ahead. A destination that is not reached at all is not asked for each tenant.

use std::time::{Duration, Instant};

use spantally_store::{Seq, StoreError};
use tokio::sync::watch;

use super::backoff::Backoff;
use super::client::{Client, Refused, Taken, Verdict};
use super::item::{Outgoing, REQUEST_BYTES};
use super::lanes::{After, Again, Lanes, Next};
use super::metrics::Counts;
use super::progress::Place;
use super::queue::Queue;
use crate::clock;
use crate::config::Destination;

/// How long to wait when the queue cannot be read.
const READ_PAUSE: Duration = Duration::from_secs(5);

/// One destination's sender.
pub(super) struct Delivery {
    pub(super) settings: Destination,
    pub(super) client: Client,
    pub(super) queue: Queue,
    pub(super) counts: std::sync::Arc<Counts>,
    pub(super) stop: watch::Receiver<bool>,
}

/// What is known of the queue.
#[derive(Default)]
struct Ahead {
    lanes: Lanes,
    /// The last row that was read.
    read_to: Seq,
    /// Whether there was nothing after it.
    is_end: bool,
}

/// The server stops.
struct Stopped;

/// What became of a request.
enum Outcome {
    /// Taken, or given up, and how its tenant goes on.
    Done(After),
    /// It is sent again.
    Waits,
}

impl Delivery {
    /// Sends until it is told to stop and nothing waits, or what waits is not taken at once.
    pub(super) async fn run(mut self) {
        let (mut ahead, mut is_stopping) = (Ahead::default(), false);
        loop {
            let sent = match self.look_ahead(&mut ahead).await {
                Ok(()) => self.send_next(&mut ahead.lanes).await,
                Err(error) => Err(error),
            };
            let waited = match sent {
                Ok(true) => continue,
                Ok(false) => self.wait(&mut ahead).await,
                Err(error) => {
                    tracing::warn!(destination = self.settings.name, %error, "the queue cannot be read");
                    self.pause(READ_PAUSE).await
                }
            };
            if waited.is_err() && std::mem::replace(&mut is_stopping, true) {
                return;
            }
            // What came in the last moment before the stop is sent too.
            ahead.is_end &= waited.is_ok();
        }
    }

    /// Reads what is to be sent next, and further where something waits.
    async fn look_ahead(&self, ahead: &mut Ahead) -> Result<(), StoreError> {
        let max_bytes = self.settings.queue.batch_max_bytes;
        while !ahead.is_end && ahead.lanes.has_room(max_bytes) {
            let loaded = self.queue.load(ahead.read_to, max_bytes).await?;
            ahead.is_end = loaded.to <= ahead.read_to || loaded.items.is_empty() && loaded.left_out == 0;
            ahead.read_to = ahead.read_to.max(loaded.to);
            self.counts.left_out(loaded.left_out);
            loaded.items.into_iter().for_each(|(place, item)| ahead.lanes.push(place, item));
        }
        self.counts.sending_from(ahead.lanes.oldest());
        Ok(())
    }

    /// Waits until a tenant may send again, or spans come, and then for more of them.
    async fn wait(&mut self, ahead: &mut Ahead) -> Result<(), Stopped> {
        let again = async {
            match ahead.lanes.next_at() {
                Some(at) => tokio::time::sleep(at.saturating_duration_since(clock::instant())).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = again => return Ok(()),
            () = self.queue.appended() => {}
            _ = self.stop.wait_for(|stop| *stop) => return Err(Stopped),
        }
        ahead.is_end = false;
        // Told to stop meanwhile, it sends what has come.
        drop(self.pause(self.settings.queue.flush_timeout).await);
        Ok(())
    }

    async fn pause(&mut self, time: Duration) -> Result<(), Stopped> {
        tokio::select! {
            () = tokio::time::sleep(time) => Ok(()),
            _ = self.stop.wait_for(|stop| *stop) => Err(Stopped),
        }
    }

    /// Sends one request if a tenant may send one, and tells whether there was one.
    async fn send_next(&self, lanes: &mut Lanes) -> Result<bool, StoreError> {
        let max_bytes = self.settings.queue.batch_max_bytes;
        let Some(next) = lanes.next(clock::instant(), max_bytes) else { return Ok(false) };
        let Next { tenant, places, mut items } = next;
        let missing: Vec<Place> = places.iter().filter(|place| !items.contains_key(place)).copied().collect();
        if !missing.is_empty() {
            items.extend(self.queue.read(missing).await?);
        }
        let items: Vec<_> = places.iter().filter_map(|place| items.remove(place)).collect();
        // Of a row that could be read before, and now cannot.
        self.counts.left_out((places.len() - items.len()) as u64);
        let outgoing = Outgoing { tenant, items };
        let outcome = if outgoing.items.is_empty() {
            Outcome::Done(After::Larger)
        } else {
            self.send(lanes, &outgoing).await
        };
        let Outcome::Done(after) = outcome else { return Ok(true) };
        lanes.finish(&outgoing.tenant, places.len(), after);
        self.queue.finish(places);
        Ok(true)
    }

    async fn send(&self, lanes: &mut Lanes, outgoing: &Outgoing) -> Outcome {
        let began = clock::instant();
        match self.attempt(outgoing).await {
            Ok(taken) => {
                self.delivered(outgoing, &taken);
                Outcome::Done(After::Larger)
            }
            Err(refused) if self.is_to_wait(lanes, outgoing, &refused, began) => Outcome::Waits,
            Err(refused) => {
                self.give_up(outgoing, &refused);
                Outcome::Done(self.after_given_up(lanes, outgoing, &refused))
            }
        }
    }

    async fn attempt(&self, outgoing: &Outgoing) -> Result<Taken, Refused> {
        let packed = self.client.pack(outgoing.message()).await;
        let attempt = self.client.send(&outgoing.tenant, &packed);
        match tokio::time::timeout(self.settings.timeout, attempt).await {
            Ok(answer) => answer,
            Err(_) => Err(Refused::again(format!("no answer within {:?}", self.settings.timeout))),
        }
    }

    /// Whether a request that was not taken is sent again, later or in smaller parts; if so its tenant waits.
    fn is_to_wait(&self, lanes: &mut Lanes, outgoing: &Outgoing, refused: &Refused, began: Instant) -> bool {
        let (retry, count) = (&self.settings.retry, outgoing.items.len());
        let Some(lane) = lanes.lane(&outgoing.tenant) else { return false };
        if refused.verdict.may_take_parts() && count > 1 {
            lane.most_items = count / 2;
            return true;
        }
        let since = lane.again.as_ref().map_or(began, |again| again.since);
        let now = clock::instant();
        let took = now.saturating_duration_since(since);
        let is_over = retry.max_elapsed_time.is_some_and(|max| took >= max);
        if refused.verdict != Verdict::Again || !retry.enabled || is_over {
            return false;
        }
        self.counts.retried();
        if lane.again.is_none() {
            tracing::warn!(
                destination = self.settings.name.as_str(),
                tenant = &*outgoing.tenant,
                reason = %refused.message,
                "the destination does not take spans; they wait in its queue"
            );
        }
        let mut again =
            lane.again.take().unwrap_or_else(|| Again { backoff: Backoff::new(retry), since, at: now });
        again.at = now + again.backoff.next(refused.after);
        let at = again.at;
        (lane.again, lane.most_items) = (Some(again), count);
        lanes.unload(&outgoing.tenant);
        if refused.is_unreached {
            lanes.hold_all(at);
        }
        true
    }

    /// How a tenant goes on whose request was given up. What was refused for itself says nothing of the next
    /// one but that it had better not be larger. A request that is small and still over a limit is over one
    /// of the rate: the next one would be too if it came at once.
    fn after_given_up(&self, lanes: &mut Lanes, outgoing: &Outgoing, refused: &Refused) -> After {
        if !refused.verdict.may_take_parts() {
            return After::Larger;
        }
        if refused.verdict != Verdict::OverLimit || outgoing.bytes() > REQUEST_BYTES {
            return After::Same;
        }
        let paused = lanes.lane(&outgoing.tenant).and_then(|lane| lane.again.take());
        let mut backoff = paused.map_or_else(|| Backoff::new(&self.settings.retry), |again| again.backoff);
        let at = clock::instant() + backoff.next(refused.after);
        After::Pause(Again { backoff, since: at, at })
    }

    fn give_up(&self, outgoing: &Outgoing, refused: &Refused) {
        let (destination, tenant) = (self.settings.name.as_str(), &*outgoing.tenant);
        let (spans, bytes) = (outgoing.spans(), outgoing.bytes());
        let why = match refused.verdict {
            Verdict::TooLarge => "a request is larger than the destination takes and is given up",
            Verdict::OverLimit => "a request is over the destination's limit (size or rate) and is given up",
            Verdict::Again | Verdict::Invalid | Verdict::Never => "spans are not forwarded",
        };
        tracing::warn!(destination, tenant, spans, bytes, reason = %refused.message, "{why}");
        self.counts.failed(spans);
    }

    fn delivered(&self, outgoing: &Outgoing, taken: &Taken) {
        let Taken { rejected, message } = taken;
        let (destination, tenant) = (self.settings.name.as_str(), &*outgoing.tenant);
        if *rejected > 0 {
            tracing::warn!(destination, tenant, rejected, reason = message, "the destination rejected spans");
        } else if !message.is_empty() {
            tracing::warn!(destination, tenant, message, "the destination warns of spans that it took");
        }
        self.counts.delivered(outgoing.spans(), *rejected);
    }
}

#[cfg(test)]
mod tests;
