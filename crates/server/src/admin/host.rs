//! Which `Host` the port answers to.
//!
//! A site whose name an attacker's DNS points at this port ("DNS rebinding") is of the same origin as the
//! port to a browser: neither its rules for other origins nor the page's [policy](super::page::POLICY) stand
//! in the way of reading every job. The name of the site gives it away, since the browser sends it as
//! `Host`. So a port that only its own machine can reach answers to addresses and to `localhost`; a port
//! that others reach by a name answers to any, unless `exporters.prometheus.allowed_hosts` says which.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;

use super::Admin;
use super::error::ApiError;

/// A request for a name that is not ours: what RFC 9110, section 15.5.20, has the code for.
const MISDIRECTED: (StatusCode, &str) = (StatusCode::MISDIRECTED_REQUEST, "misdirected_request");

/// The names that requests may be for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Hosts {
    /// Whatever they are.
    Any,
    /// Addresses, `localhost` with what is below it, and these, in lower case.
    Named(Vec<String>),
}

impl Hosts {
    /// Those of a port that listens at `address`, where the configuration allows `allowed`.
    pub(crate) fn new(address: IpAddr, allowed: &[String]) -> Self {
        let any_by_default = allowed.is_empty() && !address.to_canonical().is_loopback();
        if any_by_default || allowed.iter().any(|name| name == "*") {
            return Self::Any;
        }
        Self::Named(allowed.iter().map(|name| name.to_ascii_lowercase()).collect())
    }

    /// Whether a request may be for this: a name or an address, perhaps with a port.
    fn allow(&self, authority: &str) -> bool {
        let Self::Named(names) = self else { return true };
        let Ok(authority) = authority.parse::<Authority>() else { return false };
        let host = authority.host().to_ascii_lowercase();
        let host = host.strip_suffix('.').unwrap_or(&host);
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        bare.parse::<IpAddr>().is_ok()
            || host == "localhost"
            || host.ends_with(".localhost")
            || names.iter().any(|name| name == host)
    }
}

/// Passes on what is for one of our names. Who names none (HTTP/1.0) is no browser.
pub(super) async fn check(
    State(admin): State<Arc<Admin>>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let header = request.headers().get(header::HOST).map(|host| host.to_str().unwrap_or_default());
    let named = request.uri().authority().map(Authority::as_str).or(header);
    match named {
        Some(host) if !admin.hosts.allow(host) => {
            let (status, code) = MISDIRECTED;
            let message = format!(
                "this port answers to addresses and to localhost, not to {host:?}; if that is one of its names, add \
                 it to exporters.prometheus.allowed_hosts"
            );
            Err(ApiError::new(status, code, message))
        }
        Some(_) | None => Ok(next.run(request).await),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(address: &str, allowed: &[&str]) -> Hosts {
        let allowed: Vec<String> = allowed.iter().map(|&name| name.to_owned()).collect();
        Hosts::new(address.parse().unwrap(), &allowed)
    }

    #[test]
    fn a_port_of_loopback_answers_to_addresses_and_localhost() {
        for address in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            let ours = hosts(address, &[]);
            for host in
                ["127.0.0.1:9464", "[::1]:9464", "10.0.0.7", "localhost:9464", "LOCALHOST", "localhost."]
            {
                assert!(ours.allow(host), "{host} at {address}");
            }
            assert!(ours.allow("spantally.localhost:80"));
            for host in [
                "evil.example",
                "evil.example:9464",
                "localhost.evil.example",
                "notlocalhost",
                "",
                "a b",
                "@",
            ] {
                assert!(!ours.allow(host), "{host:?} at {address}");
            }
        }
    }

    #[test]
    fn other_ports_answer_to_any_name_until_some_are_allowed() {
        assert_eq!(hosts("0.0.0.0", &[]), Hosts::Any);
        let named = hosts("0.0.0.0", &["Costs.example.com"]);
        assert!(
            named.allow("costs.example.com:9464")
                && named.allow("COSTS.example.com.")
                && named.allow("10.1.2.3")
        );
        assert!(!named.allow("evil.example"));
        assert!(hosts("127.0.0.1", &["costs.example.com"]).allow("costs.example.com"));
        assert_eq!(hosts("127.0.0.1", &["*"]), Hosts::Any);
    }
}
