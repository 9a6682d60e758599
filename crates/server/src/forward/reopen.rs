//! Files of a destination that cannot be opened for now: the disk has no room, or fails.
//!
//! One destination must not keep the server from starting. So its files are opened later, once they can be;
//! until then whoever asks for something is refused. Everything else that is wrong with files (others', of a
//! newer version, in use, not to be written) is for a person to put right, and told at the start.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use spantally_store::{Fault, StoreError};

use super::trouble::Trouble;
use crate::clock;

/// Time between two tries.
const INTERVAL: Duration = Duration::from_secs(5);

/// What was opened; none when it is to be tried again later, which is counted and told.
///
/// # Errors
/// What does not pass by itself.
pub(super) fn now_or_later<T>(
    opened: Result<T, StoreError>,
    opening: &mut Trouble,
) -> Result<Option<T>, StoreError> {
    match opened {
        Err(error) if !matches!(error.fault(), Fault::Full | Fault::Sync | Fault::Io) => Err(error),
        opened => Ok(opening.value_of(opened)),
    }
}

/// Tries to open until it succeeds, and refuses what is asked meanwhile; none when nobody is left who asks.
pub(super) fn later<A, T>(
    asked: &Receiver<A>,
    mut open: impl FnMut() -> Option<T>,
    mut refuse: impl FnMut(A),
) -> Option<T> {
    let mut try_at = clock::instant() + INTERVAL;
    loop {
        match asked.recv_timeout(try_at.saturating_duration_since(clock::instant())) {
            Ok(ask) => refuse(ask),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return None,
        }
        if clock::instant() >= try_at {
            let opened = open();
            if opened.is_some() {
                return opened;
            }
            try_at = clock::instant() + INTERVAL;
        }
    }
}

#[cfg(test)]
mod tests;
