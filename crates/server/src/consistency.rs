//! Whether values that are good one by one are good together, and with what is on the disk.
//!
//! What a server cannot start with is an error, so that `check` does not call it good. What it can start
//! with and what hardly anybody wants is worth a look: `check` shows it, `serve` warns of it.

use std::io::ErrorKind;
use std::net::IpAddr;
use std::time::Duration;

use crate::config::{Config, Endpoint, Settings};
use crate::setting_error::SettingError;

/// Refuses what no server can start with.
///
/// # Errors
/// Two ports would be one, or the data directory is none.
pub(crate) fn check(config: &Config) -> Result<(), SettingError> {
    let endpoints = endpoints(&config.settings);
    for (at, (key, endpoint)) in endpoints.iter().enumerate() {
        if let Some((other, before)) = endpoints[..at].iter().find(|(_, before)| is_same(endpoint, before)) {
            // The one of the two that somebody has written.
            let [key, other] = if config.is_default(key) { [other, key] } else { [key, other] };
            let message = format!("{key} {endpoint}: {other} has this port too ({before})");
            let help = "give each endpoint a port of its own".to_owned();
            return Err(SettingError::new(config, key, &message, Some(help)));
        }
    }
    let directory = &config.settings.storage.directory;
    let is_none = match std::fs::metadata(directory) {
        Ok(found) => !found.is_dir(),
        Err(error) => error.kind() == ErrorKind::NotADirectory,
    };
    if is_none {
        let key = "storage.directory";
        let message = format!("{key} {}: there is a file in its place or above it", directory.display());
        let help = "name a directory; it is made if there is none".to_owned();
        return Err(SettingError::new(config, key, &message, Some(help)));
    }
    Ok(())
}

/// Where it listens, by key.
fn endpoints(settings: &Settings) -> Vec<(&'static str, &Endpoint)> {
    let grpc = settings.receivers.grpc.as_ref().map(|grpc| &grpc.endpoint);
    let http = settings.receivers.http.as_ref().map(|http| &http.endpoint);
    let all = [
        ("receivers.otlp.protocols.grpc.endpoint", grpc),
        ("receivers.otlp.protocols.http.endpoint", http),
        ("exporters.prometheus.endpoint", Some(&settings.admin.endpoint)),
    ];
    all.into_iter().filter_map(|(key, endpoint)| Some((key, endpoint?))).collect()
}

/// Whether only one of them can be listened on. Of port 0 the system chooses another each time; what a name
/// stands for is known when it is bound.
fn is_same(one: &Endpoint, other: &Endpoint) -> bool {
    let address = |endpoint: &Endpoint| endpoint.host.parse::<IpAddr>().ok();
    let is_same_host = match (address(one), address(other)) {
        (Some(one), Some(other)) => {
            let is_every = one.is_unspecified() || other.is_unspecified();
            one == other || is_every && one.is_ipv4() == other.is_ipv4()
        }
        _ => one.host.eq_ignore_ascii_case(&other.host),
    };
    one.port == other.port && one.port != 0 && is_same_host
}

/// What a server starts with, and what is hardly meant.
pub(crate) fn worth_a_look(settings: &Settings) -> Vec<String> {
    let (stitching, millis) = (&settings.stitching, Duration::from_millis);
    let settle_delay = ("processors.spantally.settle_delay", millis(stitching.settle_delay_ms));
    let mut pairs = vec![
        (
            settle_delay.0.to_owned(),
            settle_delay.1,
            ("processors.spantally.idle_timeout".to_owned(), millis(stitching.idle_timeout_ms)),
            "a silent job settles after settle_delay, so idle_timeout has no effect",
        ),
        (
            settle_delay.0.to_owned(),
            settle_delay.1,
            ("processors.spantally.retention".to_owned(), millis(stitching.retention_ms)),
            "late spans may find a job forgotten that has just settled",
        ),
    ];
    for destination in &settings.forward {
        let key = |name: &str| format!("exporters.{}.retry_on_failure.{name}", destination.name);
        pairs.push((
            key("initial_interval"),
            destination.retry.initial_interval,
            (key("max_interval"), destination.retry.max_interval),
            "the first wait is max_interval",
        ));
    }
    let longer = pairs.into_iter().filter(|(_, long, (_, short), _)| long > short);
    let told = longer.map(|(key, long, (other, short), meaning)| {
        format!("{key} ({long:?}) is longer than {other} ({short:?}): {meaning}")
    });
    told.collect()
}

/// Warns in the log of what is worth a look.
pub(crate) fn tell(settings: &Settings) {
    for finding in worth_a_look(settings) {
        tracing::warn!("{finding}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str, set: &[&str]) -> Config {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("spantally.yaml");
        std::fs::write(&file, text).unwrap();
        let set: Vec<_> = set.iter().map(|&pair| pair.to_owned()).collect();
        Config::load(Some(&file), &set).unwrap()
    }

    /// What is wrong with ports of gRPC, HTTP and metrics.
    fn refused(grpc: &str, http: &str, admin: &str) -> Option<String> {
        let text = format!(
            "receivers: {{otlp: {{protocols: {{grpc: {{endpoint: '{grpc}'}}, http: {{endpoint: '{http}'}}}}}}}}\n\
             exporters: {{prometheus: {{endpoint: '{admin}'}}}}\n\
             storage: {{directory: /nonexistent}}\n"
        );
        check(&config(&text, &[])).err().map(|error| error.to_string())
    }

    #[test]
    fn two_endpoints_of_one_port_are_refused_at_the_line_of_the_second() {
        for (grpc, http, admin, place) in [
            ("127.0.0.1:4317", "127.0.0.1:4317", "127.0.0.1:9464", Some("1:")),
            ("127.0.0.1:4317", "127.0.0.1:4318", "0.0.0.0:4318", Some("2:")),
            ("[::1]:4317", "[::]:4317", "127.0.0.1:9464", Some("1:")),
            ("localhost:4317", "127.0.0.1:4318", "LOCALHOST:4317", Some("2:")),
            ("127.0.0.1:4317", "127.0.0.2:4317", "[::1]:4317", None),
            ("127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", None),
        ] {
            let told = refused(grpc, http, admin);
            let is_told = match (&told, place) {
                (Some(told), Some(place)) => told.contains(&format!("spantally.yaml:{place}")),
                (told, place) => told.is_none() && place.is_none(),
            };
            assert!(is_told, "{grpc} {http} {admin}: {told:?}");
        }
        let text = "receivers: {otlp: {protocols: {grpc: {endpoint: '127.0.0.1:9464'}}}}";
        let told = check(&config(text, &["storage.directory=/nonexistent"])).unwrap_err().to_string();
        let expected = "receivers.otlp.protocols.grpc.endpoint 127.0.0.1:9464: exporters.prometheus.endpoint";
        assert!(told.contains(expected), "the line that was written: {told}");
    }

    #[test]
    fn a_data_directory_that_is_a_file_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        std::fs::write(&file, "").unwrap();
        for (place, is_refused) in
            [(file.clone(), true), (file.join("below"), true), (directory.path().join("new"), false)]
        {
            let set = format!("storage.directory={}", place.display());
            assert_eq!(check(&config("{}", &[&set])).is_err(), is_refused, "{}", place.display());
        }
    }

    #[test]
    fn times_that_undo_one_another_are_worth_a_look() {
        let found = |text: &str| worth_a_look(&config(text, &[]).settings);
        assert_eq!(found("{}"), Vec::<String>::new());
        let all = found(
            "processors: {spantally: {settle_delay: 2h, idle_timeout: 1h, retention: 90m}}\n\
             exporters: {otlp/a: {endpoint: 'a:1', retry_on_failure: {initial_interval: 1m}}}",
        );
        let expected = [
            "processors.spantally.settle_delay (7200s) is longer than \
             processors.spantally.idle_timeout (3600s)",
            "processors.spantally.settle_delay (7200s) is longer than processors.spantally.retention (5400s)",
            "exporters.otlp/a.retry_on_failure.initial_interval (60s) is longer than exporters.otlp/a.",
        ];
        assert_eq!(all.len(), expected.len(), "{all:?}");
        for (told, expected) in all.iter().zip(expected) {
            assert!(told.starts_with(expected), "{told}");
        }
    }
}
