//! Where a server listens: binding an address, and the error that says which field gave it and what to do.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::config::{Config, Endpoint, Place, ServerTlsFiles, Settings};
use crate::connections::{Port, Versions};
use crate::tls::ServerTls;

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("cannot listen on {endpoint} ({key}, {place}): {error}")]
pub struct BindError {
    endpoint: Endpoint,
    key: &'static str,
    place: Place,
    /// In the text, hence not told as a source once more.
    error: std::io::Error,
    #[help]
    help: String,
}

/// Where a server listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// OTLP/gRPC, if it is on.
    pub grpc: Option<SocketAddr>,
    /// OTLP/HTTP, if it is on.
    pub http: Option<SocketAddr>,
    /// Metrics, health and the API.
    pub admin: SocketAddr,
}

impl Addresses {
    /// Each one that is on, by the name that people see.
    pub(crate) fn named(&self) -> Vec<(&'static str, SocketAddr)> {
        let receivers = [("OTLP/gRPC", self.grpc), ("OTLP/HTTP", self.http)];
        let on = receivers.into_iter().filter_map(|(name, address)| Some((name, address?)));
        on.chain([("metrics and API", self.admin)]).collect()
    }
}

/// A listener and the address it got; port 0 in the configuration is a port of the system's choice here.
#[derive(Debug)]
pub(crate) struct OpenPort {
    pub(crate) listener: TcpListener,
    pub(crate) address: SocketAddr,
    tls: Option<Arc<ServerTls>>,
}

impl OpenPort {
    /// With a certificate, if there is one.
    pub(crate) fn with_tls(self, tls: Option<Arc<ServerTls>>) -> Self {
        Self { tls, ..self }
    }

    /// The port to serve; its certificate is looked at until `stop` is true.
    pub(crate) fn port(self, versions: Versions, stop: &watch::Receiver<bool>) -> Port {
        if let Some(tls) = &self.tls {
            tokio::spawn(tls.clone().watch(stop.clone()));
        }
        Port { listener: self.listener, tls: self.tls, versions }
    }
}

/// Warns of ports that others can reach and that ask nobody who they are.
pub(crate) fn warn_if_open(addresses: &Addresses, settings: &Settings) {
    let receivers = &settings.receivers;
    let asks = |tls: Option<&ServerTlsFiles>| tls.is_some_and(|tls| tls.client_ca_file.is_some());
    let grpc_tls = receivers.grpc.as_ref().and_then(|grpc| grpc.tls.as_ref());
    let http_tls = receivers.http.as_ref().and_then(|http| http.tls.as_ref());
    let admin_tls = settings.admin.tls.as_ref();
    let has_tokens = receivers.auth.has_tokens();
    let sending = if has_tokens { "send spans as a tenant without a token" } else { "send spans" };
    for (name, address, tls, takes_tokens, what) in [
        ("OTLP/gRPC", addresses.grpc, grpc_tls, has_tokens, sending),
        ("OTLP/HTTP", addresses.http, http_tls, has_tokens, sending),
        ("metrics and API", Some(addresses.admin), admin_tls, false, "read what is spent"),
    ] {
        let Some(address) = address.filter(|address| !address.ip().is_loopback()) else { continue };
        let asks_everyone = takes_tokens && receivers.auth.asks_everyone();
        if !asks_everyone && !asks(tls) {
            tracing::warn!(
                %address,
                "{name}: everyone who can reach this address can {what}; docs/security.md shows tokens and mTLS"
            );
        }
        if takes_tokens && tls.is_none() {
            tracing::warn!(%address, "{name}: tokens are sent in the clear here; give it a section `tls`");
        }
    }
}

/// Binds the endpoint that a key of the configuration gives.
pub(crate) async fn bind(
    config: &Config,
    key: &'static str,
    endpoint: &Endpoint,
) -> Result<OpenPort, BindError> {
    let listen = async {
        let listener = TcpListener::bind((endpoint.host.as_str(), endpoint.port)).await?;
        let address = listener.local_addr()?;
        Ok(OpenPort { listener, address, tls: None })
    };
    listen.await.map_err(|error: std::io::Error| BindError {
        help: help(key, endpoint, error.kind()),
        endpoint: endpoint.clone(),
        key,
        place: config.place(key),
        error,
    })
}

fn help(key: &str, endpoint: &Endpoint, kind: std::io::ErrorKind) -> String {
    let port = endpoint.port;
    let other = Endpoint {
        host: endpoint.host.clone(),
        port: port.checked_add(10_000).unwrap_or_else(|| port - 10_000),
    };
    let change = format!("choose another: --set {key}={other}");
    match kind {
        std::io::ErrorKind::AddrInUse => {
            format!("stop the program that has the port (`ss -ltnp 'sport = :{port}'` shows it), or {change}")
        }
        std::io::ErrorKind::PermissionDenied => {
            format!("ports below 1024 need the capability CAP_NET_BIND_SERVICE; grant it, or {change}")
        }
        std::io::ErrorKind::AddrNotAvailable => {
            format!("{} is not an address of this machine; use one that is, or {change}", endpoint.host)
        }
        _ => format!("check the host name, or {change}"),
    }
}
