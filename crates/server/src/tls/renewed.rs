//! Certificates that are read again while the server runs: how that goes, and when it is done.

use std::fmt::{Debug, Display};
use std::time::Duration;

use tokio::sync::watch;

use super::Ends;

/// Files with certificates, of a port or towards a destination.
pub(crate) trait Renewed: Debug + Send + Sync {
    /// How it stands with them.
    fn standing(&self) -> Standing;
}

/// How it stands with certificates in files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// When those in use end, where that can be read.
    pub(crate) ends: Ends,
    /// How often changed files were taken.
    pub(crate) taken: u64,
    /// How often files could not be used.
    pub(crate) failed: u64,
    /// Whether the files could be used when they were last looked at.
    pub(crate) is_last_good: bool,
}

impl Standing {
    /// Of files that were just read for the first time.
    pub(crate) fn new(ends: Ends) -> Self {
        Self { ends, taken: 0, failed: 0, is_last_good: true }
    }

    /// Notes what came of a look: changed files with the ends of their certificates, none if nothing has
    /// changed. Returns whether something had.
    ///
    /// # Errors
    /// That of the look.
    pub(crate) fn note<E>(&mut self, looked: Result<Option<Ends>, E>) -> Result<bool, E> {
        self.is_last_good = looked.is_ok();
        match looked {
            Ok(None) => Ok(false),
            Ok(Some(ends)) => {
                self.ends = ends;
                self.taken += 1;
                Ok(true)
            }
            Err(error) => {
                self.failed += 1;
                Err(error)
            }
        }
    }
}

/// Looks at files every `interval` until `stop` is true. `look` reads them, and says whether they had
/// changed; `of` names them in the log.
pub(crate) async fn look_again<E: Display + Send + 'static>(
    interval: Duration,
    mut stop: watch::Receiver<bool>,
    of: &str,
    look: impl Fn() -> Result<bool, E> + Clone + Send + 'static,
) {
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(interval) => {}
        }
        match tokio::task::spawn_blocking(look.clone()).await {
            Ok(Ok(true)) => tracing::info!(of, "a new certificate is in use"),
            Ok(Ok(false)) => {}
            Ok(Err(error)) => tracing::warn!(of, %error, "the old certificate stays in use"),
            Err(error) => tracing::warn!(of, %error, "the certificate could not be looked at"),
        }
    }
}
