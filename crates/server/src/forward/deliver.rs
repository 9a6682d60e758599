//! Sending what waits: in order, again and again until it is taken or given up.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::watch;

use super::backoff::Backoff;
use super::client::{Client, Refused, Verdict};
use super::item::Outgoing;
use super::metrics::Counts;
use super::queue::{Loaded, Queue};
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

/// The server stops before something was taken or given up.
struct Stopped;

impl Delivery {
    /// Sends until it is told to stop and nothing waits, or what waits is not taken at once.
    pub(super) async fn run(mut self) {
        loop {
            let loaded = match self.queue.load(self.settings.queue.batch_max_bytes).await {
                Ok(loaded) => loaded,
                Err(error) => {
                    tracing::warn!(destination = self.settings.name, %error, "the queue cannot be read");
                    if self.pause(READ_PAUSE).await.is_err() {
                        return;
                    }
                    continue;
                }
            };
            if loaded.is_empty() {
                self.counts.sending_from(None);
                if self.wait().await.is_err() {
                    return;
                }
                continue;
            }
            if self.send(&loaded).await.is_err() {
                return;
            }
            self.counts.left_out(loaded.left_out);
            self.queue.sent(&loaded).await;
        }
    }

    /// Waits for spans, and then for more of them.
    async fn wait(&mut self) -> Result<(), Stopped> {
        tokio::select! {
            () = self.queue.appended() => {}
            _ = self.stop.wait_for(|stop| *stop) => return Err(Stopped),
        }
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

    async fn send(&mut self, loaded: &Loaded) -> Result<(), Stopped> {
        self.counts.sending_from(loaded.items.iter().map(|item| item.received_at).min());
        let all = Outgoing::gather(loaded.items.clone(), self.settings.queue.batch_max_bytes);
        let mut all = VecDeque::from(all);
        while let Some(outgoing) = all.pop_front() {
            let Some(too_large) = self.deliver(outgoing).await? else { continue };
            match too_large.split() {
                Ok([first, second]) => {
                    all.push_front(second);
                    all.push_front(first);
                }
                Err(one) => {
                    tracing::warn!(
                        destination = self.settings.name,
                        bytes = one.bytes(),
                        "a request is larger than the destination takes and is given up"
                    );
                    self.counts.failed(one.spans());
                }
            }
        }
        Ok(())
    }

    /// Sends one request until it is taken or given up; returns it if it is too large for the destination.
    async fn deliver(&mut self, outgoing: Outgoing) -> Result<Option<Outgoing>, Stopped> {
        let (spans, began) = (outgoing.spans(), clock::instant());
        let packed = self.client.pack(outgoing.message()).await;
        let mut backoff = Backoff::new(&self.settings.retry);
        let mut is_told = false;
        loop {
            let attempt = self.client.send(&outgoing.tenant, &packed);
            let refused = match tokio::time::timeout(self.settings.timeout, attempt).await {
                Ok(Ok(rejected)) => {
                    self.delivered(spans, rejected);
                    return Ok(None);
                }
                Ok(Err(refused)) => refused,
                Err(_) => Refused::again(format!("no answer within {:?}", self.settings.timeout)),
            };
            let destination = self.settings.name.as_str();
            let took = clock::instant().saturating_duration_since(began);
            let is_over = self.settings.retry.max_elapsed_time.is_some_and(|max| took >= max);
            match refused.verdict {
                Verdict::TooLarge => return Ok(Some(outgoing)),
                Verdict::Again if self.settings.retry.enabled && !is_over => {}
                Verdict::Again | Verdict::Never => {
                    tracing::warn!(destination, spans, reason = %refused.message, "spans are not forwarded");
                    self.counts.failed(spans);
                    return Ok(None);
                }
            }
            self.counts.retried();
            if !std::mem::replace(&mut is_told, true) {
                tracing::warn!(
                    destination,
                    reason = %refused.message,
                    "the destination does not take spans; they wait in its queue"
                );
            }
            self.pause(backoff.next(refused.after)).await?;
        }
    }

    fn delivered(&self, spans: u64, rejected: u64) {
        if rejected > 0 {
            let destination = self.settings.name.as_str();
            tracing::warn!(destination, rejected, "the destination rejected spans");
        }
        self.counts.delivered(spans, rejected);
    }
}
