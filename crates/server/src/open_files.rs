//! How many files, and so connections, the process may have open.
//!
//! Many systems start a process with 1024, which it may raise itself: with less than the ports take together,
//! idle connections to one of them would shut out all others.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::admin;
use crate::config::Settings;

/// Files that are no connections to a port: data files with their logs, queues, destinations, questions to
/// the ledger.
const OTHERS: u64 = 128;

/// Raises the limit as far as it goes, and warns if there are fewer than the configuration asks for.
pub(crate) fn raise(settings: &Settings) {
    let limit = getrlimit(Resource::Nofile);
    let mut allowed = limit.current;
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    } else {
        allowed = limit.maximum;
    }
    let needed = needed(settings);
    if let Some(allowed) = allowed.filter(|allowed| *allowed < needed) {
        tracing::warn!(
            allowed,
            needed,
            "connections may use up the open files, and shut out others: raise `ulimit -n` (`LimitNOFILE` of \
             a service), or lower receivers.otlp.limits.max_connections"
        );
    }
}

/// Files that are open when every port has all the connections that it takes.
fn needed(settings: &Settings) -> u64 {
    let receivers = &settings.receivers;
    let grpc = receivers.grpc.as_ref().map_or(0, |grpc| grpc.max_connections);
    let http = receivers.http.as_ref().map_or(0, |http| http.max_connections);
    (grpc + http + admin::connections().max_connections) as u64 + OTHERS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_port_counts_that_is_open() {
        let mut settings = Settings::default();
        assert_eq!(needed(&settings), 2 * 1024 + 256 + 128);
        settings.receivers.grpc = None;
        assert_eq!(needed(&settings), 1024 + 256 + 128);
    }

    #[test]
    fn the_limit_is_raised_as_far_as_it_goes() {
        raise(&Settings::default());
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
    }
}
