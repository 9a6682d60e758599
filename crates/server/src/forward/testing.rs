//! A destination for tests: it keeps what it gets and answers as it is told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_ENCODING, HeaderMap};
use hyper::{Request, Response};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::connections::{Connections, Port, Versions, Watch, serve};
use crate::tls::ServerTls;

/// A request as it came, inflated.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// What was answered.
    pub(crate) status: u16,
}

/// A server that takes OTLP by HTTP and gRPC.
pub(crate) struct Destination {
    pub(crate) address: SocketAddr,
    got: Arc<Mutex<Vec<Got>>>,
    _stop: watch::Sender<bool>,
}

struct Uncounted;

impl Watch for Uncounted {}

impl Destination {
    /// Starts one whose `answer` to a body is an HTTP status; for gRPC it is 200 or a status code below 20.
    pub(crate) async fn start(answer: impl Fn(&Got) -> u16 + Clone + Send + Sync + 'static) -> Self {
        Self::start_with(answer, None).await
    }

    pub(crate) async fn start_with(
        answer: impl Fn(&Got) -> u16 + Clone + Send + Sync + 'static,
        tls: Option<Arc<ServerTls>>,
    ) -> Self {
        Self::listen(TcpListener::bind("127.0.0.1:0").await.unwrap(), answer, tls)
    }

    /// The same where another one was, which may be a moment from having gone.
    pub(crate) async fn start_at(
        address: SocketAddr,
        answer: impl Fn(&Got) -> u16 + Clone + Send + Sync + 'static,
        tls: Option<Arc<ServerTls>>,
    ) -> Self {
        for _ in 0..500 {
            if let Ok(listener) = TcpListener::bind(address).await {
                return Self::listen(listener, answer, tls);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{address} stays in use");
    }

    fn listen(
        listener: TcpListener,
        answer: impl Fn(&Got) -> u16 + Clone + Send + Sync + 'static,
        tls: Option<Arc<ServerTls>>,
    ) -> Self {
        let address = listener.local_addr().unwrap();
        let got: Arc<Mutex<Vec<Got>>> = Arc::default();
        let (stop, stops) = watch::channel(false);
        let all = got.clone();
        let handler = move |request: Request<Incoming>| {
            let (all, answer) = (all.clone(), answer.clone());
            async move {
                let (head, body) = request.into_parts();
                let mut body = body.collect().await.unwrap().to_bytes();
                let is_grpc = head.headers.contains_key("te");
                let mut coding = head.headers.get(CONTENT_ENCODING);
                if is_grpc {
                    coding = head.headers.get("grpc-encoding");
                    body.advance(5);
                }
                let body = match coding.map(|coding| coding.to_str().unwrap()) {
                    Some("gzip") => {
                        let mut plain = Vec::new();
                        let mut reader = flate2::read::MultiGzDecoder::new(&*body);
                        std::io::Read::read_to_end(&mut reader, &mut plain).unwrap();
                        plain.into()
                    }
                    Some("zstd") => zstd::decode_all(&*body).unwrap().into(),
                    _ => body,
                };
                let mut got =
                    Got { path: head.uri.path().to_owned(), headers: head.headers, body, status: 0 };
                got.status = answer(&got);
                let response = respond(got.status, is_grpc);
                all.lock().push(got);
                response
            }
        };
        let port = Port { listener, tls, versions: Versions::Both };
        tokio::spawn(serve(port, stops, Connections::default(), Arc::new(Uncounted), handler));
        Self { address, got, _stop: stop }
    }

    /// Every request so far.
    pub(crate) fn got(&self) -> Vec<Got> {
        self.got.lock().clone()
    }

    /// The bodies that were taken, one after the other.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let got = self.got.lock();
        got.iter().filter(|got| got.status == 200).flat_map(|got| got.body.to_vec()).collect()
    }

    /// Waits until there are so many requests.
    pub(crate) async fn wait_for(&self, requests: usize) -> Vec<Got> {
        for _ in 0..1000 {
            if self.got.lock().len() >= requests {
                return self.got();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{} of {requests} requests came", self.got.lock().len());
    }
}

/// An HTTP status, or for gRPC a status alone in the headers: 200 stands for OK.
fn respond(status: u16, is_grpc: bool) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    if is_grpc {
        let code = if status == 200 { 0 } else { status };
        response.headers_mut().insert("grpc-status", code.into());
        response.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
    } else {
        *response.status_mut() = status.try_into().unwrap();
    }
    if status == 503 {
        response.headers_mut().insert("retry-after", 1.into());
    }
    response
}
