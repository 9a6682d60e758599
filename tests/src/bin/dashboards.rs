//! Writes `grafana/dashboards/` from the code.

use std::process::ExitCode;

use spantally_tests::dashboards;
use spantally_tests::fixtures::repository;

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool answers on its streams")]
fn main() -> ExitCode {
    for dashboard in dashboards::all() {
        let path = repository().join(format!("grafana/dashboards/{}.json", dashboard.file));
        if let Err(error) = std::fs::write(&path, dashboard.to_text()) {
            eprintln!("dashboards: {}: {error}", path.display());
            return ExitCode::FAILURE;
        }
        println!("grafana/dashboards/{}.json", dashboard.file);
    }
    ExitCode::SUCCESS
}
