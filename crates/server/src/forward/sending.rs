//! The tasks that send, and their end.

use std::time::Duration;

use tokio::task::JoinSet;

use super::queue::Queue;

/// How long a stopping server goes on sending. What is left stays in the queue.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// The tasks that send.
#[derive(Debug)]
pub(crate) struct Sending {
    pub(super) tasks: JoinSet<()>,
    pub(super) queues: Vec<Queue>,
}

impl Sending {
    /// Waits, for a while, until the queues are empty, and until it is on disk what is not. They were told to
    /// stop before.
    pub(crate) async fn ended(mut self) {
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN_TIMEOUT, all).await.is_err() {
            tracing::info!("what could not be forwarded yet stays in its queue");
            self.tasks.shutdown().await;
        }
        for queue in &self.queues {
            // It is not settled in time only if its thread panicked, and said so.
            drop(tokio::time::timeout(DRAIN_TIMEOUT, queue.settled()).await);
        }
    }
}
