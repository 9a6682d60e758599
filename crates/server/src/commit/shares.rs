//! How much of the queue each service has: as much as is still free, and no more.
//!
//! Who sends alone gets half of the queue. Of several that storm each gets as much as is left free, so that
//! there is always room for one that has nothing in it yet. A batch of several services counts for its first.

use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::Mutex;

use crate::batch::Batch;

/// What is in the queue, or free in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) spans: u64,
    pub(super) batches: u64,
}

/// Tenant and service.
type Owner = (Arc<str>, Arc<str>);

/// Who has how much in the queue.
#[derive(Clone, Debug, Default)]
pub(super) struct Shares(Arc<Mutex<HashMap<Owner, Held, foldhash::fast::RandomState>>>);

/// The part of one batch, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    shares: Shares,
    owner: Owner,
    spans: u64,
}

impl Shares {
    /// Takes room for a batch; none when its service has more in the queue than is free.
    pub(super) fn take(&self, batch: &Batch, free: Held) -> Option<Share> {
        let client = batch.evidence.first().map(|evidence| &evidence.client);
        let owner: Owner =
            client.map(|client| (client.tenant.clone(), client.service.clone())).unwrap_or_default();
        let spans = batch.evidence.len() as u64;
        let mut shares = self.0.lock();
        let held = shares.entry(owner.clone()).or_default();
        let has_more = held.spans + spans > free.spans || held.batches >= free.batches;
        if held.batches > 0 && has_more {
            return None;
        }
        held.spans += spans;
        held.batches += 1;
        Some(Share { shares: self.clone(), owner, spans })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut shares = self.shares.0.lock();
        if let Some(held) = shares.get_mut(&self.owner) {
            held.spans -= self.spans;
            held.batches -= 1;
            if held.batches == 0 {
                shares.remove(&self.owner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use spantally_stitch::{
        Client, Evidence, Frame, FrameKind, Rare, SpanId, SpanKey, TraceId, UnixNanos, What,
    };

    use super::*;

    fn batch(service: &str, spans: usize) -> Batch {
        let client = Arc::new(Client { service: service.into(), ..Client::default() });
        let frame = Frame { kind: FrameKind::Internal, verdict: None, rare: Rare::default() };
        let evidence = Evidence {
            span: SpanKey { trace: TraceId([1; 16]), span: SpanId([1; 8]) },
            parent: SpanId::default(),
            start: UnixNanos(1),
            end: UnixNanos(2),
            client,
            what: What::Frame(frame),
        };
        Batch { evidence: vec![evidence; spans], ..Batch::default() }
    }

    #[test]
    fn a_service_has_no_more_than_is_free() {
        let shares = Shares::default();
        let mut used = 0;
        let mut fill = |service: &str| {
            let mut held = Vec::new();
            while let Some(share) = shares.take(&batch(service, 10), Held { spans: 100 - used, batches: 99 })
            {
                held.push(share);
                used += 10;
            }
            held
        };
        let (storm, second, third) = (fill("storm"), fill("second"), fill("third"));
        assert_eq!((storm.len(), second.len(), third.len()), (5, 3, 1));
        drop((storm, second, third));
        assert!(shares.0.lock().is_empty());
    }

    #[test]
    fn many_small_batches_are_no_way_around() {
        let shares = Shares::default();
        let free = |used: usize| Held { spans: 1_000_000, batches: 8 - used as u64 };
        let mut held = Vec::new();
        while let Some(share) = shares.take(&batch("storm", 1), free(held.len())) {
            held.push(share);
        }
        assert_eq!(held.len(), 4);
        assert!(shares.take(&batch("calm", 1), free(held.len())).is_some());
        assert!(shares.take(&Batch::default(), free(held.len())).is_some(), "one without evidence, too");
    }
}
