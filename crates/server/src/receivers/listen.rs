//! Connections: accepted up to a limit, served, and let go in order when the server stops.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::Connections;
use crate::intake::Intake;

/// Which versions of HTTP a port speaks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Versions {
    /// HTTP/1.1 and HTTP/2 without TLS.
    Both,
    /// HTTP/2 only, which is what gRPC is.
    Http2,
}

/// How long to wait when the operating system gives no more sockets.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves connections until `stop` is true or its sender is gone, then lets requests end for the drain time.
///
/// # Errors
/// The listener has no address any more; failures of single connections are counted, not returned.
pub(super) async fn serve<H, F, B>(
    listener: TcpListener,
    mut stop: watch::Receiver<bool>,
    settings: Connections,
    versions: Versions,
    intake: Arc<Intake>,
    handler: H,
) -> io::Result<()>
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    let address = listener.local_addr()?;
    let builder = Arc::new(builder(&settings, versions));
    let slots = Arc::new(Semaphore::new(settings.max_connections));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            accepted = accept(&listener, &slots) => accepted,
        };
        // Those that have ended are let go here, so that the set holds open ones only.
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, slot)) => {
                let connection =
                    Connection { builder: builder.clone(), stop: stop.clone(), intake: intake.clone() };
                let (handler, settings) = (handler.clone(), settings.clone());
                connections.spawn(async move {
                    connection.serve(stream, &settings, handler).await;
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%address, %error, "no connection could be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    let drained = tokio::time::timeout(settings.drain_timeout, async {
        while connections.join_next().await.is_some() {}
    });
    if drained.await.is_err() {
        tracing::warn!(%address, open = connections.len(), "connections did not end in time and are cut off");
        connections.shutdown().await;
    }
    Ok(())
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let slot = slots.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, slot))
}

fn builder(settings: &Connections, versions: Versions) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    if versions == Versions::Http2 {
        builder = builder.http2_only();
    }
    builder.http1().timer(TokioTimer::new()).header_read_timeout(settings.read_header_timeout);
    builder
        .http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(settings.stream_window_bytes)
        .initial_connection_window_size(settings.connection_window_bytes)
        .max_frame_size(settings.max_frame_bytes)
        .max_concurrent_streams(settings.max_concurrent_streams)
        .keep_alive_interval(settings.keepalive_time)
        .keep_alive_timeout(settings.keepalive_timeout);
    builder
}

struct Connection {
    builder: Arc<Builder<TokioExecutor>>,
    stop: watch::Receiver<bool>,
    intake: Arc<Intake>,
}

impl Connection {
    async fn serve<H, F, B>(self, stream: TcpStream, settings: &Connections, handler: H)
    where
        H: Fn(Request<Incoming>) -> F,
        F: Future<Output = Response<B>> + Send + 'static,
        B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
    {
        let Self { builder, mut stop, intake } = self;
        let stats = intake.stats();
        stats.connections_accepted.fetch_add(1, Ordering::Relaxed);
        stats.connections_open.fetch_add(1, Ordering::Relaxed);
        let asked = AtomicBool::new(false);
        let service = service_fn(|request| {
            asked.store(true, Ordering::Relaxed);
            let response = handler(request);
            async move { Ok::<_, std::convert::Infallible>(response.await) }
        });
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        let mut silence = pin!(tokio::time::sleep(settings.read_header_timeout));
        let mut age = pin!(sleep_if(settings.max_connection_age));
        let (mut silent, mut closing) = (true, false);
        let ended = loop {
            tokio::select! {
                ended = connection.as_mut() => break ended.is_ok(),
                () = silence.as_mut(), if silent => {
                    silent = false;
                    if !asked.load(Ordering::Relaxed) {
                        break false;
                    }
                }
                () = age.as_mut(), if !closing => {
                    closing = true;
                    connection.as_mut().graceful_shutdown();
                }
                _ = stop.wait_for(|stop| *stop), if !closing => {
                    closing = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        };
        if !ended {
            stats.connections_failed.fetch_add(1, Ordering::Relaxed);
        }
        stats.connections_open.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn sleep_if(duration: Option<Duration>) {
    match duration {
        Some(duration) => tokio::time::sleep(duration).await,
        None => std::future::pending().await,
    }
}
