//! Binding an address, and the error that says which field gave it and what to do.

use std::net::SocketAddr;

use tokio::net::TcpListener;

use crate::config::{Config, Endpoint, Place};

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("cannot listen on {endpoint} ({key}, {place}): {source}")]
pub struct BindError {
    endpoint: Endpoint,
    key: &'static str,
    place: Place,
    source: std::io::Error,
    #[help]
    help: String,
}

/// A listener and the address it got; port 0 in the configuration is a port of the system's choice here.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) listener: TcpListener,
    pub(crate) address: SocketAddr,
}

/// Binds the endpoint that a key of the configuration gives.
pub(crate) async fn bind(
    config: &Config,
    key: &'static str,
    endpoint: &Endpoint,
) -> Result<Bound, BindError> {
    let listen = async {
        let listener = TcpListener::bind((endpoint.host.as_str(), endpoint.port)).await?;
        let address = listener.local_addr()?;
        Ok(Bound { listener, address })
    };
    listen.await.map_err(|source: std::io::Error| BindError {
        help: help(key, endpoint, source.kind()),
        endpoint: endpoint.clone(),
        key,
        place: config.place(key),
        source,
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
