//! How many bytes of requests are in memory, and the limit on them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::batch::Refusal;

/// Bytes that the requests of one sender have in flight: of one connection.
pub type SenderBytes = Arc<AtomicU64>;

/// Bytes of request bodies that are being read, inflated, decoded or committed.
///
/// A sender may have as much in flight as is still free, and of one request any size that is free: one that
/// storms gets half of the room, two get a third each, and there is always some for who comes next.
#[derive(Debug)]
pub struct Inflight {
    limit_bytes: u64,
    retry_after_ms: u64,
    used_bytes: AtomicU64,
    refused: AtomicU64,
}

impl Inflight {
    pub(crate) fn new(limit_bytes: u64, retry_after_ms: u64) -> Self {
        Self { limit_bytes, retry_after_ms, used_bytes: AtomicU64::new(0), refused: AtomicU64::new(0) }
    }

    /// Bytes in flight now.
    pub fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Ordering::Relaxed)
    }

    /// How many there may be.
    pub(crate) fn limit_bytes(&self) -> u64 {
        self.limit_bytes
    }

    /// How often there was no room.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// An admission of nothing, to be grown; what it holds is given back when it is dropped.
    pub(crate) fn admission(self: &Arc<Self>) -> Admission {
        self.admission_of(SenderBytes::default())
    }

    /// The same, for one of several requests of a sender.
    pub(crate) fn admission_of(self: &Arc<Self>, sender: SenderBytes) -> Admission {
        Admission { inflight: self.clone(), sender, bytes: 0 }
    }
}

/// The bytes of one request.
#[derive(Debug)]
pub struct Admission {
    inflight: Arc<Inflight>,
    sender: SenderBytes,
    bytes: u64,
}

impl Admission {
    /// Asks for more bytes. A request that is alone always gets them: its own size has a limit of its own,
    /// and refused for lack of room it would come back for ever.
    ///
    /// # Errors
    /// [`Refusal::Overloaded`]: nothing was added.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Refusal> {
        let (bytes, inflight) = (bytes as u64, &*self.inflight);
        let before = inflight.used_bytes.fetch_add(bytes, Ordering::Relaxed);
        let alone = before == self.bytes;
        let others = self.sender.load(Ordering::Relaxed) - self.bytes;
        let needed = if others > 0 { others + self.bytes + bytes } else { bytes };
        if !alone && before + needed > inflight.limit_bytes {
            inflight.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
            inflight.refused.fetch_add(1, Ordering::Relaxed);
            return Err(Refusal::Overloaded { retry_after_ms: inflight.retry_after_ms });
        }
        self.bytes += bytes;
        self.sender.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.inflight.used_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.sender.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_admitted_to_the_limit_and_given_back() {
        let inflight = Arc::new(Inflight::new(100, 7));
        let (mut one, mut other) = (inflight.admission(), inflight.admission());
        one.grow(60).unwrap();
        other.grow(40).unwrap();
        assert_eq!(other.grow(1), Err(Refusal::Overloaded { retry_after_ms: 7 }));
        assert_eq!(inflight.used_bytes(), 100);
        drop(one);
        other.grow(1).unwrap();
        drop(other);
        assert_eq!(inflight.used_bytes(), 0);
    }

    #[test]
    fn one_sender_leaves_room_for_others() {
        let inflight = Arc::new(Inflight::new(100, 7));
        let storm = SenderBytes::default();
        let take = |sender: &SenderBytes, bytes| {
            let mut admission = inflight.admission_of(sender.clone());
            admission.grow(bytes).map(|()| admission)
        };
        let held: Vec<Admission> = (0..20).map_while(|_| take(&storm, 10).ok()).collect();
        assert_eq!((held.len(), inflight.refused()), (5, 1), "half of the room");
        let other = SenderBytes::default();
        let more: Vec<Admission> = (0..20).map_while(|_| take(&other, 10).ok()).collect();
        assert_eq!(more.len(), 3, "what is free, shared with those who come later");
        let late = take(&SenderBytes::default(), 20).unwrap();
        assert_eq!((inflight.used_bytes(), inflight.refused()), (100, 2));
        drop((held, more, late));
        assert_eq!((inflight.used_bytes(), storm.load(Ordering::Relaxed)), (0, 0));
    }

    #[test]
    fn a_request_that_is_alone_is_admitted_whatever_its_size() {
        let inflight = Arc::new(Inflight::new(100, 7));
        let mut one = inflight.admission();
        one.grow(90).unwrap();
        one.grow(500).unwrap();
        inflight.admission().grow(1).unwrap_err();
    }
}
