//! One attempt: a request by OTLP/gRPC or OTLP/HTTP, and what its answer means.

use std::fmt::Display;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TE, USER_AGENT};
use hyper::{Request, Response, StatusCode, Uri};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use tokio::sync::watch;
use tonic::Code;

use super::ForwardError;
use super::backoff::retry_after;
use super::connecting::Connecting;
use crate::config::{Compression, Destination, Protocol};
use crate::google_rpc::{RETRY_INFO, RetryInfo, Status};
use crate::tls::Renewed;
use crate::visible::visible;

const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// Largest answer that is read.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// Characters of what a destination says that are in the log.
const SAID_CHARS: usize = 300;

/// The header that names the tenant, as Tempo and Mimir read it.
const TENANT: HeaderName = HeaderName::from_static("x-scope-orgid");

/// What to do with a request that was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Send it again.
    Again,
    /// Send it in smaller parts.
    TooLarge,
    /// It is over a limit of the destination, and nobody says which: send it in smaller parts, and wait if
    /// not even a small one is taken.
    OverLimit,
    /// Something in it is not as the destination wants it: send it in smaller parts, so that only that is
    /// given up.
    Invalid,
    /// Give it up.
    Never,
}

impl Verdict {
    /// Whether a part of the request may be taken where the whole was not.
    pub(super) fn may_take_parts(self) -> bool {
        match self {
            Self::TooLarge | Self::OverLimit | Self::Invalid => true,
            Self::Again | Self::Never => false,
        }
    }
}

/// A request that was not taken.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) verdict: Verdict,
    pub(super) message: String,
    /// When the server asked to be asked again.
    pub(super) after: Option<Duration>,
    /// The destination was not reached, so another tenant's request would not be taken either.
    pub(super) is_unreached: bool,
}

/// A request that was taken.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// Spans of it that the destination rejected.
    pub(super) rejected: u64,
    /// What the destination has to say: why, or a warning without any rejected.
    pub(super) message: String,
}

impl Refused {
    pub(super) fn again(message: String) -> Self {
        Self { verdict: Verdict::Again, message, after: None, is_unreached: false }
    }

    fn broken(error: &dyn std::error::Error) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(error) = source {
            message = format!("{message}: {error}");
            source = error.source();
        }
        Self { is_unreached: true, ..Self::again(message) }
    }
}

/// Speaks to one destination.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    name: String,
    connecting: Arc<Connecting>,
    protocol: Protocol,
    compression: Compression,
    url: Uri,
    headers: HeaderMap,
}

impl Client {
    pub(super) fn new(settings: &Destination) -> Result<Self, ForwardError> {
        let trust = |problem: &dyn Display| ForwardError::Trust {
            name: settings.name.clone(),
            problem: problem.to_string(),
        };
        let path = match settings.protocol {
            Protocol::Grpc => EXPORT,
            Protocol::Http => settings.url.path(),
        };
        let mut parts = settings.url.clone().into_parts();
        parts.path_and_query = path.parse().ok();
        let url = Uri::from_parts(parts).map_err(|error| trust(&error))?;
        let mut headers = HeaderMap::new();
        for (name, value) in &settings.headers {
            let name = HeaderName::try_from(name).map_err(|error| trust(&error))?;
            let mut value = HeaderValue::try_from(&value.0).map_err(|error| trust(&error))?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        let connecting = Arc::new(Connecting::new(settings)?);
        let (name, protocol, compression) = (settings.name.clone(), settings.protocol, settings.compression);
        Ok(Self { name, connecting, protocol, compression, url, headers })
    }

    /// Its name, and the files for its TLS, if there are any.
    pub(crate) fn certificates(&self) -> Option<(String, Arc<dyn Renewed>)> {
        self.connecting.has_files().then(|| (self.name.clone(), self.connecting.clone() as Arc<dyn Renewed>))
    }

    /// Reads the files for its TLS again when they change, until `stop` is true.
    pub(super) fn watch(&self, stop: watch::Receiver<bool>) -> impl Future<Output = ()> + use<> {
        self.connecting.clone().watch(stop)
    }

    /// The body of a request, compressed and framed; away from the threads that serve connections.
    pub(super) async fn pack(&self, message: Bytes) -> Bytes {
        let (compression, protocol) = (self.compression, self.protocol);
        let plain = message.clone();
        let packed = tokio::task::spawn_blocking(move || pack(&message, compression, protocol)).await;
        // Writing to memory does not fail; only the end of the runtime does, and of this task with it.
        packed.ok().flatten().unwrap_or(plain)
    }

    /// Sends once, and tells what the destination has to say.
    pub(super) async fn send(&self, tenant: &str, packed: &Bytes) -> Result<Taken, Refused> {
        let mut request = Request::new(Full::new(packed.clone()));
        *request.method_mut() = hyper::Method::POST;
        *request.uri_mut() = self.url.clone();
        let headers = request.headers_mut();
        headers.clone_from(&self.headers);
        headers
            .insert(USER_AGENT, HeaderValue::from_static(concat!("spantally/", env!("CARGO_PKG_VERSION"))));
        if !tenant.is_empty()
            && let Ok(tenant) = HeaderValue::try_from(tenant)
        {
            headers.entry(TENANT).or_insert(tenant);
        }
        let encoding = HeaderValue::from_static(self.compression.as_str());
        let is_packed = self.compression != Compression::None;
        match self.protocol {
            Protocol::Grpc => {
                *request.version_mut() = hyper::Version::HTTP_2;
                let headers = request.headers_mut();
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
                headers.insert(TE, HeaderValue::from_static("trailers"));
                if is_packed {
                    headers.insert("grpc-encoding", encoding);
                }
            }
            Protocol::Http => {
                let headers = request.headers_mut();
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
                if is_packed {
                    headers.insert(CONTENT_ENCODING, encoding);
                }
            }
        }
        let response =
            self.connecting.http().request(request).await.map_err(|error| Refused::broken(&error))?;
        match self.protocol {
            Protocol::Grpc => grpc_answer(response).await,
            Protocol::Http => http_answer(response).await,
        }
    }
}

fn pack(message: &[u8], compression: Compression, protocol: Protocol) -> Option<Bytes> {
    let packed = match compression {
        Compression::None => message.to_vec(),
        Compression::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(message).ok()?;
            encoder.finish().ok()?
        }
        Compression::Zstd => zstd::encode_all(message, 1).ok()?,
    };
    if protocol == Protocol::Http {
        return Some(packed.into());
    }
    let mut frame = BytesMut::with_capacity(5 + packed.len());
    frame.put_u8(u8::from(compression != Compression::None));
    frame.put_u32(packed.len() as u32);
    frame.put_slice(&packed);
    Some(frame.freeze())
}

type Answer = Response<hyper::body::Incoming>;

async fn http_answer(response: Answer) -> Result<Taken, Refused> {
    let (head, body) = response.into_parts();
    let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map(http_body_util::Collected::to_bytes);
    if head.status.is_success() {
        // It is taken, even if the answer cannot be read.
        return Ok(taken(&body.unwrap_or_default()));
    }
    let verdict = match head.status {
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Verdict::Again,
        StatusCode::PAYLOAD_TOO_LARGE => Verdict::TooLarge,
        // Some destinations blame themselves for a message that they cannot read.
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY | StatusCode::INTERNAL_SERVER_ERROR => {
            Verdict::Invalid
        }
        _ => Verdict::Never,
    };
    let status = body.ok().and_then(|body| Status::decode(body).ok()).unwrap_or_default();
    let message = format!("HTTP {}: {}", head.status, shown(&status.message));
    let after = retry_after(&head.headers).or_else(|| retry_info(&status));
    Err(Refused { verdict, message, after, is_unreached: false })
}

async fn grpc_answer(response: Answer) -> Result<Taken, Refused> {
    let (head, body) = response.into_parts();
    if !head.status.is_success() {
        let verdict = match head.status.as_u16() {
            429 | 502 | 503 | 504 => Verdict::Again,
            _ => Verdict::Never,
        };
        let message = format!("HTTP {} instead of gRPC", head.status);
        let after = retry_after(&head.headers);
        return Err(Refused { verdict, message, after, is_unreached: false });
    }
    let collected = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
    let collected = collected.map_err(|error| Refused::again(format!("the answer was cut off: {error}")))?;
    let status = collected.trailers().and_then(tonic::Status::from_header_map);
    let Some(status) = status.or_else(|| tonic::Status::from_header_map(&head.headers)) else {
        return Err(Refused::again("the answer has no grpc-status".to_owned()));
    };
    if status.code() == Code::Ok {
        let message = collected.to_bytes();
        return Ok(taken(message.get(5..).unwrap_or_default()));
    }
    let after = Status::decode(status.details()).ok().and_then(|status| retry_info(&status));
    let verdict = match status.code() {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => Verdict::Again,
        Code::ResourceExhausted if after.is_some() => Verdict::Again,
        Code::ResourceExhausted => Verdict::OverLimit,
        // Internal is what gRPC itself says of a message that cannot be decoded, and Unknown what an error
        // without a code becomes in a Go server.
        Code::InvalidArgument | Code::Internal | Code::Unknown => Verdict::Invalid,
        _ => Verdict::Never,
    };
    let message = format!("gRPC {:?}: {}", status.code(), shown(status.message()));
    Err(Refused { verdict, message, after, is_unreached: false })
}

/// What an `ExportTraceServiceResponse` says.
fn taken(message: &[u8]) -> Taken {
    let response = ExportTraceServiceResponse::decode(message).unwrap_or_default();
    let partial = response.partial_success.unwrap_or_default();
    Taken { rejected: partial.rejected_spans.try_into().unwrap_or(0), message: shown(&partial.error_message) }
}

/// What a destination says, for the log: cut, and without what would act on a terminal.
fn shown(text: &str) -> String {
    match text.char_indices().nth(SAID_CHARS) {
        Some((end, _)) => format!("{}…", visible(&text[..end])),
        None => visible(text).into_owned(),
    }
}

fn retry_info(status: &Status) -> Option<Duration> {
    let info = status.details.iter().find(|detail| detail.type_url == RETRY_INFO)?;
    let delay = RetryInfo::decode(&*info.value).ok()?.retry_delay.unwrap_or_default();
    let nanos = u32::try_from(delay.nanos).ok()?;
    Some(Duration::from_secs(u64::try_from(delay.seconds).ok()?) + Duration::from_nanos(nanos.into()))
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTracePartialSuccess;

    use super::*;

    fn said(rejected_spans: i64, error_message: &str) -> Taken {
        let partial = ExportTracePartialSuccess { rejected_spans, error_message: error_message.to_owned() };
        taken(&ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec())
    }

    #[test]
    fn what_a_destination_says_of_what_it_took_is_kept_cut_and_visible() {
        assert_eq!(taken(b""), Taken::default());
        assert_eq!(taken(b"no protobuf"), Taken::default());
        let warned = Taken { rejected: 0, message: "too old\\u{1b}[2J\\n".to_owned() };
        assert_eq!(said(0, "too old\u{1b}[2J\n"), warned);
        let long = said(3, &"é".repeat(100_000));
        assert_eq!((long.rejected, long.message), (3, "é".repeat(SAID_CHARS) + "…"));
        assert_eq!(said(-1, "").rejected, 0);
    }
}
