//! Records a seeded week for dashboards: a data directory, and a history for `promtool tsdb
//! create-blocks-from openmetrics`. The week ends now.

use std::path::Path;
use std::process::ExitCode;

use spantally_server::clock;
use spantally_tests::week::{Plan, record};

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool answers on its streams")]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [directory, config] = &arguments[..] else {
        eprintln!("usage: week DIRECTORY CONFIG");
        return ExitCode::from(64);
    };
    let second = 1_000_000_000;
    let end = spantally_stitch::UnixNanos(clock::now().0 / second * second);
    let plan = Plan { seed: 7, end, days: 7, jobs_per_hour: 12.0, scrape_ms: 600_000, fine_ms: 3_600_000 };
    match record(Path::new(directory), Path::new(config), &plan) {
        Ok(recording) => {
            println!("{}: {} samples", recording.history.display(), recording.samples);
            println!("spantally serve --set storage.directory={}", recording.data.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("week: {error}");
            ExitCode::FAILURE
        }
    }
}
