//! How many bytes of requests are in memory, and the limit on them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::batch::Refusal;

/// Bytes of request bodies that are being read, inflated, decoded or committed.
#[derive(Debug)]
pub struct Inflight {
    limit_bytes: u64,
    retry_after_ms: u64,
    used_bytes: AtomicU64,
}

impl Inflight {
    pub(crate) fn new(limit_bytes: u64, retry_after_ms: u64) -> Self {
        Self { limit_bytes, retry_after_ms, used_bytes: AtomicU64::new(0) }
    }

    /// Bytes in flight now.
    pub fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Ordering::Relaxed)
    }

    /// An admission of nothing, to be grown; what it holds is given back when it is dropped.
    pub fn admission(self: &Arc<Self>) -> Admission {
        Admission { inflight: self.clone(), bytes: 0 }
    }
}

/// The bytes of one request.
#[derive(Debug)]
pub struct Admission {
    inflight: Arc<Inflight>,
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
        if !alone && before + bytes > inflight.limit_bytes {
            inflight.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
            return Err(Refusal::Overloaded { retry_after_ms: inflight.retry_after_ms });
        }
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.inflight.used_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
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
    fn a_request_that_is_alone_is_admitted_whatever_its_size() {
        let inflight = Arc::new(Inflight::new(100, 7));
        let mut one = inflight.admission();
        one.grow(90).unwrap();
        one.grow(500).unwrap();
        inflight.admission().grow(1).unwrap_err();
    }
}
