//! What the receivers can be told, and the defaults.

use std::time::Duration;

use crate::config::settings::{GrpcReceiver, HttpReceiver};

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
    /// The connections.
    pub connections: Connections,
}

/// How connections are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connections {
    /// Most connections at a time; further ones wait in the listener's backlog.
    pub max_connections: usize,
    /// A connection that brings no request head within this is closed; HTTP/1 connections also between
    /// requests.
    pub read_header_timeout: Duration,
    /// Connections older than this are closed in order, so that clients behind a balancer spread again.
    pub max_connection_age: Option<Duration>,
    /// How long requests may go on after the server was told to stop.
    pub drain_timeout: Duration,
    /// Most requests under way on one HTTP/2 connection.
    pub max_concurrent_streams: u32,
    /// An HTTP/2 connection without traffic is pinged after this long.
    pub keepalive_time: Duration,
    /// An HTTP/2 connection that does not answer a ping within this is closed.
    pub keepalive_timeout: Duration,
    /// HTTP/2 flow-control window of a request, in bytes. With the protocol's default of 64 KiB a large
    /// request is many round trips: 2.2 times the CPU of this.
    pub stream_window_bytes: u32,
    /// HTTP/2 flow-control window of a connection, in bytes.
    pub connection_window_bytes: u32,
    /// Largest HTTP/2 frame, in bytes: a request that fits one frame is never copied.
    pub max_frame_bytes: u32,
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
            connections: Connections::default(),
        }
    }
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            max_connections: 1024,
            read_header_timeout: Duration::from_mins(1),
            max_connection_age: None,
            drain_timeout: Duration::from_secs(10),
            max_concurrent_streams: 256,
            keepalive_time: Duration::from_mins(1),
            keepalive_timeout: Duration::from_secs(20),
            stream_window_bytes: 8 << 20,
            connection_window_bytes: 32 << 20,
            max_frame_bytes: 1 << 20,
        }
    }
}

impl From<&GrpcReceiver> for GrpcSettings {
    fn from(receiver: &GrpcReceiver) -> Self {
        let connections = Connections {
            max_connection_age: receiver.max_connection_age,
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
        let connections =
            Connections { read_header_timeout: receiver.read_header_timeout, ..Connections::default() };
        Self {
            max_body_bytes: receiver.max_body_bytes,
            traces_url_path: receiver.traces_url_path.clone(),
            connections,
            ..Self::default()
        }
    }
}
