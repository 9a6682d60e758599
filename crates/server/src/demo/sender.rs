//! An OTLP/gRPC exporter: the demo's spans take the way that anyone's spans take.
//!
//! As the OTLP specification asks, what the server refuses for now is sent again; what it refuses for good is
//! an error, since every span here is valid.

use std::net::SocketAddr;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

const EXPORT: PathAndQuery =
    PathAndQuery::from_static("/opentelemetry.proto.collector.trace.v1.TraceService/Export");
const MAX_TRIES: u32 = 10;

/// Why spans could not be sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// No connection.
    #[error("the demo's exporter cannot connect to its own server at {address}: {source}")]
    Connect {
        /// Where to.
        address: SocketAddr,
        /// Why.
        source: tonic::transport::Error,
    },
    /// Refused for good, or too often.
    #[error("the server refused spans of the demo: {0}")]
    Refused(Box<Status>),
}

/// A connection to the server.
#[derive(Debug)]
pub struct Sender {
    grpc: Grpc<Channel>,
}

impl Sender {
    /// Connects.
    pub async fn connect(address: SocketAddr) -> Result<Self, SendError> {
        let failed = |source| SendError::Connect { address, source };
        let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(failed)?;
        Ok(Self { grpc: Grpc::new(endpoint.connect().await.map_err(failed)?) })
    }

    /// Sends one batch and waits for its acknowledgement.
    pub async fn send(&mut self, request: ExportTraceServiceRequest) -> Result<(), SendError> {
        let mut pause = Duration::from_millis(20);
        for attempt in 1.. {
            let Err(status) = self.try_send(request.clone()).await else { break };
            let passing = matches!(status.code(), Code::Unavailable | Code::ResourceExhausted);
            if !passing || attempt >= MAX_TRIES {
                return Err(SendError::Refused(Box::new(status)));
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        Ok(())
    }

    async fn try_send(&mut self, request: ExportTraceServiceRequest) -> Result<(), Status> {
        self.grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let codec = ProstCodec::<ExportTraceServiceRequest, ExportTraceServiceResponse>::default();
        let answer = self.grpc.unary(Request::new(request), EXPORT, codec).await?;
        match answer.into_inner().partial_success {
            Some(partial) if partial.rejected_spans > 0 => Err(Status::invalid_argument(format!(
                "{} spans: {}",
                partial.rejected_spans, partial.error_message
            ))),
            _ => Ok(()),
        }
    }
}
