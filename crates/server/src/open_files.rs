//! How many files, and so connections, the process may have open.
//!
//! Many systems start a process with 1024, which it may raise itself. Where even that is less than the ports
//! take together, the receivers get less: who uses up all files of a process by connections to a receiver
//! would shut out scrapes, health checks and the ledger's own files.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::admin;
use crate::config::Settings;

/// Files that are no connections to a port: data files with their logs, queues, destinations, questions to
/// the ledger.
const OTHERS: u64 = 128;

/// Raises the limit as far as it goes, and bounds the receivers' connections by what it leaves for them.
pub(crate) fn raise(settings: &mut Settings) {
    let limit = getrlimit(Resource::Nofile);
    let mut allowed = limit.current;
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    } else {
        allowed = limit.maximum;
    }
    // Without a limit there is nothing to share.
    let Some(allowed) = allowed else { return };
    let needed = needed(settings);
    if allowed < needed {
        let connections = bound(settings, allowed);
        tracing::warn!(
            allowed,
            needed,
            connections,
            "there may be too few open files for all connections, so each receiver takes fewer: raise \
             `ulimit -n` (`LimitNOFILE` of a service), or lower receivers.otlp.limits.max_connections"
        );
    }
}

/// Files that are open when every port has all the connections that it takes.
fn needed(settings: &mut Settings) -> u64 {
    connections(settings).into_iter().map(|most| *most as u64).sum::<u64>() + reserve()
}

/// Files that are not for the receivers.
fn reserve() -> u64 {
    admin::MAX_CONNECTIONS as u64 + OTHERS
}

/// Lets the receivers have what the reserve leaves, in equal parts, and says how many that is for each. Of a
/// limit that is hardly larger than the reserve they have a quarter: what is idle of the reserve is then
/// enough for the server to work.
fn bound(settings: &mut Settings, allowed: u64) -> usize {
    let receivers = allowed.saturating_sub(reserve()).max(allowed / 4);
    let mut ports = connections(settings);
    let share = usize::try_from(receivers / ports.len().max(1) as u64).unwrap_or(usize::MAX).max(1);
    for most in &mut ports {
        **most = share.min(**most);
    }
    share
}

/// The most connections of each receiver that is on.
fn connections(settings: &mut Settings) -> Vec<&mut usize> {
    let receivers = &mut settings.receivers;
    let grpc = receivers.grpc.as_mut().map(|grpc| &mut grpc.max_connections);
    let http = receivers.http.as_mut().map(|http| &mut http.max_connections);
    grpc.into_iter().chain(http).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_port_counts_that_is_open() {
        let mut settings = Settings::default();
        assert_eq!(needed(&mut settings), 2 * 1024 + 256 + 128);
        settings.receivers.grpc = None;
        assert_eq!(needed(&mut settings), 1024 + 256 + 128);
    }

    #[test]
    fn receivers_share_what_the_others_do_not_need() {
        for (allowed, has_grpc, each) in [
            (2048, true, 832),
            (1024, true, 320),
            (1024, false, 640),
            (512, true, 64),
            (200, true, 25),
            (3, true, 1),
        ] {
            let mut settings = Settings::default();
            if !has_grpc {
                settings.receivers.grpc = None;
            }
            assert_eq!(bound(&mut settings, allowed), each, "{allowed}");
            assert!(connections(&mut settings).iter().all(|most| **most == each), "{allowed}");
        }
        let mut few = Settings::default();
        for most in connections(&mut few) {
            *most = 10;
        }
        bound(&mut few, 1024);
        assert_eq!(few.receivers.max_connections(), 10, "what is configured is never raised");
    }

    #[test]
    fn the_limit_is_raised_as_far_as_it_goes() {
        raise(&mut Settings::default());
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
    }
}
