//! The signals of a server: the first ctrl-c or SIGTERM stops it gently, the second one at once; SIGHUP has
//! it read its provider files again. SIGXFSZ is taken away from the kernel, which ends the process with it.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::run_error::RunError;

/// Ctrl-c and SIGTERM, caught from the moment this is made.
#[derive(Debug)]
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

/// A file is as large as this process may make one (`ulimit -f`): the number has no name in the standard
/// library, and is the same on x86 and ARM.
const SIGXFSZ: i32 = 25;

/// Catches SIGHUP, which else ends the process, from now on.
pub(crate) fn hangups() -> Result<Signal, RunError> {
    signal(SignalKind::hangup()).map_err(RunError::system("cannot catch SIGHUP"))
}

impl Signals {
    /// Catches the signals from now on.
    pub(crate) fn catch() -> Result<Self, RunError> {
        let failed = || RunError::system("cannot catch signals");
        // Once caught it stays caught: the write then fails, is told and tried again as on a full disk.
        drop(signal(SignalKind::from_raw(SIGXFSZ)).map_err(failed())?);
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).map_err(failed())?,
            terminate: signal(SignalKind::terminate()).map_err(failed())?,
        })
    }

    /// Waits for the first one. From then on a second one ends the process at once.
    pub async fn first(mut self) {
        let name = self.next().await.0;
        tracing::info!(signal = name, "stopping; a second signal ends the process at once");
        tokio::spawn(async move {
            let (name, number) = self.next().await;
            tracing::warn!(signal = name, "ended at once; what was acknowledged is in the journal");
            std::process::exit(128 + number);
        });
    }

    async fn next(&mut self) -> (&'static str, i32) {
        tokio::select! {
            _ = self.interrupt.recv() => ("SIGINT", SignalKind::interrupt().as_raw_value()),
            _ = self.terminate.recv() => ("SIGTERM", SignalKind::terminate().as_raw_value()),
        }
    }
}
