//! OTLP/gRPC: the unary call `TraceService/Export`.
//!
//! gRPC's framing of a unary call is five bytes before the message and a status in the trailers, so it is
//! read here, on hyper's HTTP/2, and not by tonic's codec. That gives what a codec cannot: the message as the
//! [`bytes::Bytes`] that came from the socket, its length admitted before its bytes are read, and the
//! statuses that OTLP asks for (tonic answers `OUT_OF_RANGE` to a message over the limit, which OTLP clients
//! send again for ever, and `INTERNAL` to broken gzip).

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::combinators::WithTrailers;
use http_body_util::{BodyExt, Either, Empty, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::watch;

use super::answer::{Failure, end_of, response_protobuf};
use super::compression::Coding;
use super::ending::Ending;
use super::tenant::Room;
use super::{Entry, GrpcSettings, Received, body, take};
use crate::batch::{Tally, Transport};
use crate::connections::{Port, serve as serve_connections};
use crate::request_end::RequestEnd;

const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const GRPC: &str = "application/grpc";
const GRPC_ENCODING: &str = "grpc-encoding";
const GRPC_ACCEPT_ENCODING: &str = "grpc-accept-encoding";

type GrpcBody = Either<Empty<Bytes>, WithTrailers<Full<Bytes>, Ready<Option<Result<HeaderMap, Infallible>>>>>;

/// Serves OTLP/gRPC on a bound port until `stop` is true, then drains.
///
/// # Errors
/// The listener has no address.
pub(crate) async fn serve(
    port: Port,
    settings: GrpcSettings,
    entry: Arc<Entry>,
    stop: watch::Receiver<bool>,
) -> io::Result<()> {
    let connections = settings.connections.clone();
    let (settings, watched) = (Arc::new(settings), entry.clone());
    let handler = move |request| respond(request, settings.clone(), entry.clone());
    serve_connections(port, stop, connections, watched, handler).await
}

async fn respond(
    request: Request<Incoming>,
    settings: Arc<GrpcSettings>,
    entry: Arc<Entry>,
) -> Response<GrpcBody> {
    let ending = Ending::new(&entry.intake, Transport::Grpc);
    let taken = export(request, &settings, &entry).await;
    ending.tell(taken.as_ref().map_or_else(|failure| failure.end, end_of));
    match taken {
        Ok(tally) => success(&tally),
        Err(failure) => refusal(&failure),
    }
}

async fn export(
    request: Request<Incoming>,
    settings: &GrpcSettings,
    entry: &Arc<Entry>,
) -> Result<Tally, Failure> {
    let (head, mut incoming) = request.into_parts();
    check_type(&head.method, &head.headers)?;
    if head.uri.path() != EXPORT {
        let message = format!("there is no {}; this server takes {EXPORT}", head.uri.path());
        return Err(Failure::new(RequestEnd::NotFound, message));
    }
    let tenant = entry.tenants.of(&head.headers)?;
    tenant.check()?;
    let coding = coding(&head.headers)?;
    let limit = settings.max_message_bytes;
    let sender = head.extensions.get().cloned().unwrap_or_default();
    let mut room = Room::new(&entry.intake, &tenant, sender);
    let message = body::message(&mut incoming, limit, &mut room);
    let message = tokio::time::timeout(settings.read_timeout, message).await;
    let (compressed, body) = message.unwrap_or_else(|_| {
        Err(Failure::new(RequestEnd::TimedOut, format!("no message within {:?}", settings.read_timeout)))
    })?;
    let coding = match (compressed, coding) {
        (true, Coding::Identity) => {
            let message = "the message is marked as compressed, and grpc-encoding does not say how";
            return Err(Failure::new(RequestEnd::BadData, message));
        }
        (true, coding) => coding,
        (false, _) => Coding::Identity,
    };
    take(entry, Received { transport: Transport::Grpc, coding, body, limit, tenant, room }).await
}

/// What does not speak gRPC is told so in HTTP.
fn check_type(method: &Method, headers: &HeaderMap) -> Result<(), Failure> {
    if method != Method::POST {
        return Err(Failure::new(RequestEnd::WrongMethod, "this port speaks gRPC, which is POST only"));
    }
    let given = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let given = given.split(';').next().unwrap_or_default().trim();
    if given.eq_ignore_ascii_case(GRPC) || given.eq_ignore_ascii_case("application/grpc+proto") {
        return Ok(());
    }
    let message = format!("content-type `{given}` is not {GRPC}; OTLP/HTTP has a port of its own");
    Err(Failure::new(RequestEnd::UnsupportedType, message))
}

fn coding(headers: &HeaderMap) -> Result<Coding, Failure> {
    let Some(value) = headers.get(GRPC_ENCODING) else {
        return Ok(Coding::Identity);
    };
    value.to_str().ok().and_then(Coding::parse).ok_or_else(|| {
        let message = format!("{GRPC_ENCODING} {value:?} is not one of {}", Coding::ACCEPTED);
        Failure::new(RequestEnd::UnsupportedEncoding, message)
    })
}

fn success(tally: &Tally) -> Response<GrpcBody> {
    let message = response_protobuf(tally);
    let mut frame = BytesMut::with_capacity(5 + message.len());
    frame.put_u8(0);
    frame.put_u32(message.len() as u32);
    frame.put(message);
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert(tonic::Status::GRPC_STATUS, HeaderValue::from_static("0"));
    let body = Full::new(frame.freeze()).with_trailers(ready(Some(Ok(trailers))));
    let mut response = Response::new(Either::Right(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(GRPC));
    response
}

fn refusal(failure: &Failure) -> Response<GrpcBody> {
    let (http, code) = failure.codes();
    if matches!(failure.end, RequestEnd::WrongMethod | RequestEnd::UnsupportedType) {
        let mut response = Response::new(Either::Left(Empty::new()));
        *response.status_mut() = http;
        return response;
    }
    let status = tonic::Status::with_details(code, &*failure.message, failure.status_protobuf());
    let mut response = status.into_http::<Empty<Bytes>>().map(Either::Left);
    if failure.end == RequestEnd::UnsupportedEncoding {
        let accepted = HeaderValue::from_static(Coding::ACCEPTED);
        response.headers_mut().insert(GRPC_ACCEPT_ENCODING, accepted);
    }
    debug_assert_eq!(response.status(), StatusCode::OK);
    response
}
