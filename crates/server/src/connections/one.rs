//! The life of one connection: handshake, requests, and the end that it comes to.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::stream::Stream;
use super::{Connections, Watch};
use crate::intake::SenderBytes;
use crate::tls::ServerTls;

/// What connections of a port have in common.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) builder: Arc<Builder<TokioExecutor>>,
    pub(super) stop: watch::Receiver<bool>,
    pub(super) watched: Arc<dyn Watch>,
    pub(super) tls: Option<Arc<ServerTls>>,
    pub(super) settings: Arc<Connections>,
}

/// Requests of a connection.
#[derive(Debug, Default)]
struct Requests {
    begun: AtomicU64,
    under_way: AtomicU64,
}

impl Requests {
    fn begin(self: &Arc<Self>) -> UnderWay {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.under_way.fetch_add(1, Ordering::Relaxed);
        UnderWay(self.clone())
    }

    fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }

    fn is_idle(&self) -> bool {
        self.under_way.load(Ordering::Relaxed) == 0
    }
}

/// A request that has not been answered; also when it is reset.
struct UnderWay(Arc<Requests>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Tells of the end of a connection, also when its task is cut off.
struct Told<'w> {
    watched: &'w dyn Watch,
    well: bool,
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        self.watched.ended(self.well);
    }
}

impl Connection {
    pub(super) async fn serve<H, F, B>(self, tcp: TcpStream, handler: H)
    where
        H: Fn(Request<Incoming>) -> F,
        F: Future<Output = Response<B>> + Send + 'static,
        B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
    {
        let watched = self.watched.clone();
        watched.opened();
        let mut told = Told { watched: &*watched, well: false };
        let Some(stream) = self.secured(tcp).await else { return };
        let requests = Arc::new(Requests::default());
        let sender = SenderBytes::default();
        let service = service_fn(|mut request: Request<Incoming>| {
            request.extensions_mut().insert(sender.clone());
            let (under_way, response) = (requests.begin(), handler(request));
            async move {
                let response = response.await;
                drop(under_way);
                Ok::<_, Infallible>(response)
            }
        });
        let connection = self.builder.serve_connection(TokioIo::new(stream), service);
        let Connections { read_header_timeout, max_connection_idle, max_connection_age, .. } = *self.settings;
        let mut stop = self.stop.clone();
        let mut connection = pin!(connection);
        let mut silence = pin!(tokio::time::sleep(read_header_timeout));
        let mut age = pin!(sleep_if(max_connection_age));
        let mut idle = pin!(sleep_if(max_connection_idle));
        let mut grace = pin!(sleep_if(None));
        let (mut silent, mut closing, mut seen) = (true, false, 0);
        told.well = loop {
            let is_over = tokio::select! {
                ended = connection.as_mut() => break ended.is_ok(),
                () = grace.as_mut() => break false,
                () = silence.as_mut(), if silent => {
                    silent = false;
                    if requests.begun() == 0 {
                        break false;
                    }
                    false
                }
                () = idle.as_mut(), if !closing => {
                    let was_used = requests.begun() != std::mem::replace(&mut seen, requests.begun());
                    idle.set(sleep_if(max_connection_idle));
                    requests.is_idle() && !was_used
                }
                () = age.as_mut(), if !closing => true,
                // No time of its own: the whole port has one.
                _ = stop.wait_for(|stop| *stop), if !closing => {
                    closing = true;
                    connection.as_mut().graceful_shutdown();
                    false
                }
            };
            if is_over {
                closing = true;
                grace.set(sleep_if(Some(self.settings.max_connection_age_grace)));
                connection.as_mut().graceful_shutdown();
            }
        };
    }

    /// The stream, after the TLS handshake where there is TLS; none if that fails or takes too long.
    async fn secured(&self, tcp: TcpStream) -> Option<Stream> {
        let Some(tls) = &self.tls else {
            return Some(Stream::Plain(tcp));
        };
        let handshake = tls.acceptor().accept(tcp);
        match tokio::time::timeout(self.settings.read_header_timeout, handshake).await {
            Ok(Ok(stream)) => Some(Stream::Tls(Box::new(stream))),
            Ok(Err(error)) => {
                tracing::debug!(%error, "a TLS handshake failed");
                None
            }
            Err(_) => None,
        }
    }
}

async fn sleep_if(duration: Option<Duration>) {
    match duration {
        Some(duration) => tokio::time::sleep(duration).await,
        None => std::future::pending().await,
    }
}
