//! OTLP/HTTP for the SDK's exporters, which export from threads of their own: requests run in our runtime.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, Response};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::ExporterBuildError;
use tokio::runtime::Handle;

use crate::tls::server_authorities;

/// Largest answer that is read.
const ANSWER_BYTES_MAX: usize = 4 << 20;

#[derive(Clone, Debug)]
pub(super) struct Transport {
    runtime: Handle,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// How long a request and its answer may take: the SDK leaves that to its client.
    timeout: Duration,
}

impl Transport {
    /// A client with the authorities of `OTEL_EXPORTER_OTLP_CERTIFICATE`, else of the system. To be called in
    /// the runtime.
    pub(super) fn new(
        environment: &dyn Fn(&str) -> Option<String>,
        timeout: Duration,
    ) -> Result<Self, ExporterBuildError> {
        let failed =
            |problem: &dyn std::fmt::Display| ExporterBuildError::InternalFailure(problem.to_string());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(&error))?;
        let config = match environment("OTEL_EXPORTER_OTLP_CERTIFICATE") {
            Some(file) => config
                .with_root_certificates(server_authorities(file.as_ref()).map_err(|error| failed(&error))?),
            // Without any authority of the system plain HTTP still works.
            None => config
                .clone()
                .with_native_roots()
                .unwrap_or_else(|_| config.with_root_certificates(rustls::RootCertStore::empty())),
        };
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(config.with_no_client_auth())
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Self {
            runtime: Handle::current(),
            client: Client::builder(TokioExecutor::new()).build(connector),
            timeout,
        })
    }
}

#[async_trait]
impl HttpClient for Transport {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (client, timeout) = (self.client.clone(), self.timeout);
        let exchange = async move {
            let (head, body) = client.request(request.map(Full::new)).await?.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await?.to_bytes();
            Ok::<_, HttpError>(Response::from_parts(head, body))
        };
        let answered = self.runtime.spawn(async move {
            let no_answer = |_| format!("no answer within {timeout:?}");
            tokio::time::timeout(timeout, exchange).await.map_err(no_answer)?
        });
        answered.await?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_that_never_answers_is_not_waited_for() {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1/metrics", silent.local_addr().unwrap());
        let transport = Transport::new(&|_| None, Duration::from_millis(50)).unwrap();
        let sent = transport.send_bytes(Request::post(url).body(Bytes::new()).unwrap());
        let answer = tokio::time::timeout(Duration::from_secs(20), sent).await;
        let error = answer.expect("it is waited for").unwrap_err().to_string();
        assert!(error.contains("no answer within 50ms"), "{error}");
    }
}
