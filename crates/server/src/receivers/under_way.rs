//! Work on a request that goes on when its sender does not wait for it.
//!
//! A sender that goes away, or whose deadline ends, takes the task that serves it along. What it sent may be
//! in the journal by then, and counts; so what follows, forwarding it, may not depend on that task. It is
//! done in a task of its own, and who stops the server waits for all of them.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinError;
use tracing::Instrument as _;

/// The tasks that are not done yet. There are no more than requests may be in flight: each holds the room of
/// its request until it ends.
#[derive(Clone, Debug, Default)]
pub(crate) struct UnderWay {
    count: Arc<watch::Sender<usize>>,
}

/// Counts a task for as long as it lives, also if it panics.
struct Counted(Arc<watch::Sender<usize>>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

impl UnderWay {
    /// Does something to its end, whether or not the caller waits for it.
    ///
    /// # Errors
    /// It panicked, or the whole runtime ends.
    pub(crate) async fn finish<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, JoinError> {
        self.count.send_modify(|count| *count += 1);
        let counted = Counted(Arc::clone(&self.count));
        let task = async move {
            let _counted = counted;
            work.await
        };
        tokio::spawn(task.in_current_span()).await
    }

    /// Waits until all is done that was begun.
    pub(crate) async fn ended(&self) {
        // The sender of the counts is ours, so it is there.
        drop(self.count.subscribe().wait_for(|count| *count == 0).await);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn work_goes_on_without_its_caller_and_is_waited_for() {
        let under_way = UnderWay::default();
        under_way.ended().await;
        let (go, gone) = oneshot::channel::<()>();
        let (done, is_done) = oneshot::channel();
        let work = under_way.finish(async move {
            drop(gone.await);
            let _ = done.send(());
        });
        assert!(tokio::time::timeout(Duration::from_millis(20), work).await.is_err(), "it waits");
        assert!(tokio::time::timeout(Duration::from_millis(20), under_way.ended()).await.is_err());
        go.send(()).unwrap();
        is_done.await.unwrap();
        under_way.ended().await;
        assert!(under_way.finish(async { panic!("by order of the test") }).await.is_err());
        under_way.ended().await;
    }
}
