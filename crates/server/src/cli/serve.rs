//! `spantally serve`: the server, until it is told to stop.

use super::{ConfigArgs, Exit, Outcome, runtime};
use crate::app::App;
use crate::telemetry;

/// Receive spans, keep the ledger, serve metrics and the API, until ctrl-c or SIGTERM.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
}

/// Builds the server and runs it until a signal; a second signal ends the process at once.
pub(super) fn run(args: Args) -> Outcome {
    let config = args.config.load()?;
    telemetry::init(config.settings.logs);
    runtime()?.block_on(async {
        let app = App::build(&config).await?;
        app.run_until_signal().await?;
        Ok(Exit::Success)
    })
}
