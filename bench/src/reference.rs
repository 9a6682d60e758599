//! The two servers to compare with: one that throws requests away, one that decodes them with prost and no
//! more.
//!
//! Between them lies what a server can cost: the first is the floor (transport), the second is what most Rust
//! receivers pay before they do anything. Both have the connection settings of the product.

use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::body::Body;
use tonic::codec::CompressionEncoding;
use tonic::codegen::{Service, http};
use tonic::server::{Grpc, UnaryService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use crate::codec::BytesCodec;

/// HTTP/2 flow-control window of one stream.
pub const STREAM_WINDOW_BYTES: u32 = 8 << 20;
/// HTTP/2 flow-control window of one connection.
pub const CONNECTION_WINDOW_BYTES: u32 = 32 << 20;
/// Largest HTTP/2 frame.
pub const FRAME_BYTES: u32 = 1 << 20;
/// Largest request.
const MESSAGE_BYTES: usize = 64 << 20;

/// What a reference server does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Work {
    /// Nothing.
    Discard,
    /// Decodes it with prost and throws the message away.
    Prost,
}

/// Serves until the process is killed, by TLS if there is a certificate and its key (PEM).
pub async fn serve(
    work: Work,
    address: SocketAddr,
    identity: Option<(Vec<u8>, Vec<u8>)>,
) -> Result<(), Box<dyn std::error::Error>> {
    let listener = tokio::net::TcpListener::bind(address).await?;
    let mut server = tonic::transport::Server::builder();
    if let Some((certificate, key)) = identity {
        let identity = tonic::transport::Identity::from_pem(certificate, key);
        server = server.tls_config(tonic::transport::ServerTlsConfig::new().identity(identity))?;
    }
    server
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES)
        .serve_with_incoming(Reference(work), TcpListenerStream::new(listener))
        .await?;
    Ok(())
}

#[derive(Clone, Copy)]
struct Reference(Work);

impl Service<http::Request<Body>> for Reference {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        match self.0 {
            Work::Discard => Box::pin(async move {
                let mut grpc = Grpc::new(BytesCodec)
                    .max_decoding_message_size(MESSAGE_BYTES)
                    .accept_compressed(CompressionEncoding::Gzip);
                Ok(grpc.unary(Discard, request).await)
            }),
            Work::Prost => Box::pin(async move {
                let codec = ProstCodec::<ExportTraceServiceResponse, ExportTraceServiceRequest>::default();
                let mut grpc = Grpc::new(codec)
                    .max_decoding_message_size(MESSAGE_BYTES)
                    .accept_compressed(CompressionEncoding::Gzip);
                Ok(grpc.unary(Decode, request).await)
            }),
        }
    }
}

struct Discard;

impl UnaryService<Bytes> for Discard {
    type Response = Bytes;
    type Future = Ready<Result<Response<Bytes>, Status>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        drop(request);
        ready(Ok(Response::new(Bytes::new())))
    }
}

struct Decode;

impl UnaryService<ExportTraceServiceRequest> for Decode {
    type Response = ExportTraceServiceResponse;
    type Future = Ready<Result<Response<ExportTraceServiceResponse>, Status>>;

    fn call(&mut self, request: Request<ExportTraceServiceRequest>) -> Self::Future {
        // The codec has decoded it; keep the optimiser from proving that nobody looks.
        std::hint::black_box(request.get_ref().resource_spans.len());
        ready(Ok(Response::new(ExportTraceServiceResponse::default())))
    }
}
