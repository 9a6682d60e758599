//! `spantally serve`: the server, until it is told to stop.

use super::{ConfigArgs, Exit, Failure, Outcome, block_on};
use crate::app::{App, RunError};
use crate::consistency;
use crate::memory;
use crate::signals::{Signals, hangups};
use crate::telemetry;

/// Receive spans, keep the ledger, serve metrics and the API, until ctrl-c or SIGTERM. SIGHUP reads the
/// provider files again.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
}

/// Builds the server and runs it until a signal.
pub(super) fn run(args: &Args) -> Outcome {
    block_on(async {
        // First of all: a supervisor may send one as soon as the process is there.
        let (signals, mut hangups) = (Signals::catch()?, hangups()?);
        let config = args.config.load()?;
        let mut exporters = telemetry::init_with_exporters(&config.settings);
        let app = App::build(&config).await?;
        memory::tell(&config.settings);
        consistency::tell(&config.settings);
        let running = app.start().await?;
        exporters.export_metrics(running.metrics_page());
        let reloader = running.reloader();
        tokio::spawn(async move {
            while hangups.recv().await.is_some() {
                reloader.reload().await;
            }
        });
        signals.first().await;
        running.stop().await?;
        exporters.shutdown().await;
        Ok(Exit::Success)
    })
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        Self::failed(miette::miette!("{error}"))
    }
}
