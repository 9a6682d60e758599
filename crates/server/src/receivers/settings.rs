//! What the receivers can be told, and the defaults.

use std::time::Duration;

use crate::config::Cors;
use crate::config::settings::{GrpcReceiver, HttpReceiver};
use crate::connections::Connections;

/// Settings of the OTLP/gRPC receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrpcSettings {
    /// Largest request message in bytes, before and after decompression.
    pub max_message_bytes: usize,
    /// How long a request may take to arrive.
    pub read_timeout: Duration,
    /// The connections.
    pub connections: Connections,
}

/// Settings of the OTLP/HTTP receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpSettings {
    /// Largest request body in bytes, before and after decompression.
    pub max_body_bytes: usize,
    /// How long a request body may take to arrive.
    pub read_timeout: Duration,
    /// The path of trace requests.
    pub traces_url_path: String,
    /// What pages of other origins may do.
    pub cors: Cors,
    /// The connections.
    pub connections: Connections,
}

/// How long a request may take to arrive, unless told otherwise.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Largest request, unless told otherwise: what the OTLP specification recommends.
const MAX_BYTES: usize = 64 << 20;

impl Default for GrpcSettings {
    fn default() -> Self {
        Self { max_message_bytes: MAX_BYTES, read_timeout: READ_TIMEOUT, connections: Connections::default() }
    }
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            max_body_bytes: MAX_BYTES,
            read_timeout: READ_TIMEOUT,
            traces_url_path: "/v1/traces".to_owned(),
            cors: Cors::default(),
            connections: Connections::default(),
        }
    }
}

impl From<&GrpcReceiver> for GrpcSettings {
    fn from(receiver: &GrpcReceiver) -> Self {
        let connections = Connections {
            max_connections: receiver.max_connections,
            max_connection_idle: receiver.max_connection_idle,
            max_connection_age: receiver.max_connection_age,
            max_connection_age_grace: receiver.max_connection_age_grace,
            max_concurrent_streams: receiver.max_concurrent_streams,
            keepalive_time: receiver.keepalive_time,
            keepalive_timeout: receiver.keepalive_timeout,
            ..Connections::default()
        };
        Self { max_message_bytes: receiver.max_message_bytes, connections, ..Self::default() }
    }
}

impl From<&HttpReceiver> for HttpSettings {
    fn from(receiver: &HttpReceiver) -> Self {
        let connections = Connections {
            max_connections: receiver.max_connections,
            read_header_timeout: receiver.read_header_timeout,
            // As for gRPC by default: HTTP/2 is spoken on this port too.
            max_connection_idle: GrpcReceiver::default().max_connection_idle,
            ..Connections::default()
        };
        Self {
            max_body_bytes: receiver.max_body_bytes,
            traces_url_path: receiver.traces_url_path.clone(),
            cors: receiver.cors.clone(),
            connections,
            ..Self::default()
        }
    }
}
