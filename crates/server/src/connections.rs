//! Connections, of the receivers and of the admin server alike: accepted up to a limit, with TLS where it is
//! configured, served, and let go in order when the server stops.
//!
//! What a client that means harm can hold is bounded here: how many connections there are, how long one may
//! be silent, idle or old, how many requests one may have under way, and how many it may begin and reset.
//! [`one`] is the life of a single connection, [`stream`] its bytes with and without TLS.

mod one;
mod stream;

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use self::one::Connection;
use crate::clock;
use crate::once_a_minute::OnceAMinute;
use crate::tls::ServerTls;

/// How connections are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connections {
    /// Most connections at a time; further ones wait in the listener's backlog.
    pub max_connections: usize,
    /// A connection that brings no request head within this is closed (the TLS handshake has as long again);
    /// HTTP/1 connections also between requests.
    pub read_header_timeout: Duration,
    /// A connection without a request for this long is closed in order, so that connections that only answer
    /// pings do not use up the limit.
    pub max_connection_idle: Option<Duration>,
    /// Connections older than this are closed in order, so that clients behind a balancer spread again.
    pub max_connection_age: Option<Duration>,
    /// How long requests may go on after their connection was told to end for its age.
    pub max_connection_age_grace: Duration,
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

impl Default for Connections {
    fn default() -> Self {
        Self {
            max_connections: 1024,
            read_header_timeout: Duration::from_mins(1),
            max_connection_idle: None,
            max_connection_age: None,
            max_connection_age_grace: Duration::from_secs(30),
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

/// Largest request head, in bytes: a bearer token and a few headers of proxies are a tenth of it.
const MAX_HEADER_BYTES: u32 = 32 << 10;

/// Most streams that a client has reset before they were looked at; one more and its connection is closed.
/// Clients that mean no harm reset a few when they give up waiting.
const MAX_RESET_STREAMS: usize = 64;

/// Most streams that were reset for the client's own errors, over a connection's life.
const MAX_ERROR_STREAMS: usize = 1024;

/// How long to wait when the operating system gives no more sockets.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Which versions of HTTP a port speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Versions {
    /// HTTP/1.1 and HTTP/2.
    Both,
    /// HTTP/2 only, which is what gRPC is.
    Http2,
}

/// Is told of connections, to count them.
pub(crate) trait Watch: Send + Sync + 'static {
    /// One was accepted.
    fn opened(&self) {}
    /// There are as many as may be: the next one has to wait.
    fn full(&self) {}
    /// One is gone; not well if it ended in an error, in silence or by being cut off.
    fn ended(&self, _well: bool) {}
}

/// A bound port and what it speaks.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) listener: TcpListener,
    pub(crate) tls: Option<Arc<ServerTls>>,
    pub(crate) versions: Versions,
}

/// Serves connections until `stop` is true or its sender is gone, then lets requests end for the drain time.
///
/// # Errors
/// The listener has no address any more; failures of single connections are told to `watched`, not returned.
pub(crate) async fn serve<H, F, B>(
    port: Port,
    mut stop: watch::Receiver<bool>,
    settings: Connections,
    watched: Arc<dyn Watch>,
    handler: H,
) -> io::Result<()>
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    let Port { listener, tls, versions } = port;
    let address = listener.local_addr()?;
    let slots = Arc::new(Semaphore::new(settings.max_connections));
    let connection = Connection {
        builder: Arc::new(builder(&settings, versions)),
        stop: stop.clone(),
        watched,
        tls,
        settings: Arc::new(settings),
    };
    let (mut connections, mut refusals) = (JoinSet::new(), OnceAMinute::default());
    loop {
        let accepted = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            accepted = accept(&listener, &slots, &*connection.watched) => accepted,
        };
        // Those that have ended are let go here, so that the set holds open ones only.
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, slot)) => {
                let (connection, handler) = (connection.clone(), handler.clone());
                connections.spawn(async move {
                    connection.serve(stream, handler).await;
                    drop(slot);
                });
            }
            Err(error) => {
                // The system gives no more of them.
                connection.watched.full();
                if let Some(times) = refusals.count(clock::instant(), 1) {
                    tracing::warn!(%address, %error, times, "no connection could be accepted");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    let drained = tokio::time::timeout(connection.settings.drain_timeout, async {
        while connections.join_next().await.is_some() {}
    });
    if drained.await.is_err() {
        tracing::warn!(%address, open = connections.len(), "connections did not end in time and are cut off");
        connections.shutdown().await;
    }
    Ok(())
}

/// A slot first, then a connection: without a slot the connection stays in the system's queue.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
    watched: &dyn Watch,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let slot = if let Ok(slot) = slots.clone().try_acquire_owned() {
        slot
    } else {
        watched.full();
        slots.clone().acquire_owned().await.map_err(io::Error::other)?
    };
    let (stream, _) = listener.accept().await?;
    // Answers are small and whole; waiting to fill a packet only delays them.
    stream.set_nodelay(true)?;
    Ok((stream, slot))
}

fn builder(settings: &Connections, versions: Versions) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    if versions == Versions::Http2 {
        builder = builder.http2_only();
    }
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(settings.read_header_timeout)
        .max_buf_size(MAX_HEADER_BYTES as usize * 4);
    builder
        .http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(settings.stream_window_bytes)
        .initial_connection_window_size(settings.connection_window_bytes)
        .max_frame_size(settings.max_frame_bytes)
        .max_header_list_size(MAX_HEADER_BYTES)
        .max_concurrent_streams(settings.max_concurrent_streams)
        .max_pending_accept_reset_streams(MAX_RESET_STREAMS)
        .max_local_error_reset_streams(MAX_ERROR_STREAMS)
        .keep_alive_interval(settings.keepalive_time)
        .keep_alive_timeout(settings.keepalive_timeout);
    builder
}
