//! What the limits come to is told, and follows them.

use std::process::Command;

use rust_decimal::Decimal;
use spantally_server::config::Settings;
use spantally_server::memory::{WorstCase, mib};

use super::serve;

fn check(set: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_spantally"));
    command.arg("check").env_remove("SPANTALLY_CONFIG");
    for pair in set {
        command.args(["--set", pair]);
    }
    String::from_utf8(command.output().unwrap().stdout).unwrap()
}

#[test]
fn check_tells_what_the_limits_come_to() {
    let said = check(&[]);
    let worst = WorstCase::of(&Settings::default());
    assert!(said.contains(&format!("at most {}", mib(worst.total()))), "{said}");
    for part in &worst.parts {
        let line = format!("{} {}", mib(part.bytes), part.what);
        assert!(said.contains(&line), "{line}\n{said}");
    }
    for setting in worst.parts.iter().filter_map(|part| part.setting) {
        let said = check(&[&format!("{setting}=1000000")]);
        assert!(said.contains("at most"), "{setting} is no key of the configuration");
    }
}

#[test]
fn each_limit_counts() {
    let total = |set: &[&str]| {
        let said = check(set);
        let rest = said.split("at most ").nth(1).unwrap();
        rest.split(' ').next().unwrap().parse::<u64>().unwrap()
    };
    let all = total(&[]);
    for smaller in [
        "processors.spantally.limits.max_spans=1000000",
        "processors.spantally.limits.max_open_jobs=100000",
        "receivers.otlp.limits.max_inflight_bytes=67108864",
        "receivers.otlp.limits.max_connections=64",
        "exporters.prometheus.max_label_sets=100",
    ] {
        assert!(total(&[smaller]) < all - 16, "{smaller} saves nothing of {all} MiB");
    }
}

#[test]
fn a_start_tells_what_the_limits_come_to() {
    let directory = tempfile::tempdir().unwrap();
    let server = serve(directory.path(), "processors: {spantally: {limits: {max_spans: 20000}}}");
    let mut settings = Settings::default();
    settings.stitching.max_spans = 20_000;
    let total = WorstCase::of(&settings).total();
    let log = server.log();
    assert!(log.contains(&mib(total)) && log.contains("if every limit is used up at once"), "{log}");
    assert!(server.metric("process_resident_memory_bytes", &[]) < Decimal::from(total));
}
