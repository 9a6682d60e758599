//! OTLP/HTTP: `POST /v1/traces` in protobuf or JSON, compressed or not.
//!
//! Answers, errors among them, have the content type of the request. Where that is no type that we know, they
//! are plain text.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::header::{
    ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response};
use tokio::sync::watch;

use super::answer::{Failure, end_of, response_json, response_protobuf};
use super::compression::Coding;
use super::ending::Ending;
use super::tenant::Room;
use super::{Entry, HttpSettings, Received, body, cors, take};
use crate::batch::{Tally, Transport};
use crate::connections::{Port, serve as serve_connections};
use crate::request_end::RequestEnd;

/// How much of a refused request is read and thrown away, so that its sender gets to read the answer.
const DISCARD_BYTES_MAX: usize = 64 << 20;

/// How long that may take.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(2);

/// Serves OTLP/HTTP on a bound port until `stop` is true, then drains.
///
/// # Errors
/// The listener has no address.
pub(crate) async fn serve(
    port: Port,
    settings: HttpSettings,
    entry: Arc<Entry>,
    stop: watch::Receiver<bool>,
) -> io::Result<()> {
    let connections = settings.connections.clone();
    let (settings, watched) = (Arc::new(settings), entry.clone());
    let handler = move |request| respond(request, settings.clone(), entry.clone());
    serve_connections(port, stop, connections, watched, handler).await
}

/// How requests and answers are spelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Protobuf,
    Json,
}

impl Format {
    /// The format of a content type. JSON may say that it is UTF-8, and nothing else.
    pub(super) fn parse(content_type: &str) -> Option<Self> {
        let mut parts = content_type.split(';').map(str::trim);
        let format = match parts.next()? {
            name if name.eq_ignore_ascii_case("application/x-protobuf") => return Some(Self::Protobuf),
            name if name.eq_ignore_ascii_case("application/json") => Self::Json,
            _ => return None,
        };
        let parameters = parts.filter_map(|part| part.split_once('='));
        let mut charsets = parameters.filter(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
        let utf8 = |value: &str| value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8");
        charsets.all(|(_, charset)| utf8(charset)).then_some(format)
    }

    fn transport(self) -> Transport {
        match self {
            Self::Protobuf => Transport::HttpProtobuf,
            Self::Json => Transport::HttpJson,
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        }
    }
}

async fn respond(
    request: Request<Incoming>,
    settings: Arc<HttpSettings>,
    entry: Arc<Entry>,
) -> Response<Full<Bytes>> {
    let (head, incoming) = request.into_parts();
    let origin = cors::allowed(&settings.cors, &head.headers).cloned();
    let mut response = if is_ours(&head, &settings) && cors::is_preflight(&head.method, &head.headers) {
        cors::preflight(&settings.cors, origin.is_some())
    } else {
        answer(&head, incoming, &settings, &entry).await
    };
    cors::tell(&settings.cors, origin, response.headers_mut());
    response
}

/// Whether a request is for the path of traces.
fn is_ours(head: &Parts, settings: &HttpSettings) -> bool {
    head.uri.path() == settings.traces_url_path
}

/// Takes a request, counts how it ended, and says so to its sender.
async fn answer(
    head: &Parts,
    mut incoming: Incoming,
    settings: &HttpSettings,
    entry: &Arc<Entry>,
) -> Response<Full<Bytes>> {
    let given = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let format = Format::parse(given);
    let ending = Ending::new(&entry.intake, format.map_or(Transport::HttpProtobuf, Format::transport));
    let taken = match check(head, settings, format, given) {
        Ok(format) => export(format, head, &mut incoming, settings, entry).await.map(|tally| (format, tally)),
        Err(failure) => Err(failure),
    };
    ending.tell(taken.as_ref().map_or_else(|failure| failure.end, |(_, tally)| end_of(tally)));
    match taken {
        Ok((format, tally)) => success(format, &tally),
        Err(failure) => {
            // The answer goes out at once; what is still being sent is read meanwhile, for a while.
            if !incoming.is_end_stream() {
                let discard = async move { body::discard(&mut incoming, DISCARD_BYTES_MAX).await };
                tokio::spawn(tokio::time::timeout(DISCARD_TIMEOUT, discard));
            }
            refusal(format, &failure)
        }
    }
}

/// What can be said of a request before its sender and its body are looked at; its format.
fn check(
    head: &Parts,
    settings: &HttpSettings,
    format: Option<Format>,
    given: &str,
) -> Result<Format, Failure> {
    if !is_ours(head, settings) {
        let message = format!("there is no {}; traces go to {}", head.uri.path(), settings.traces_url_path);
        return Err(Failure::new(RequestEnd::NotFound, message));
    }
    if head.method != Method::POST {
        return Err(Failure::new(RequestEnd::WrongMethod, format!("{} is not POST", head.method)));
    }
    format.ok_or_else(|| {
        let message =
            format!("content-type `{given}` is neither application/x-protobuf nor application/json in UTF-8");
        Failure::new(RequestEnd::UnsupportedType, message)
    })
}

/// Reads the body for the tenant whose it is, and takes it.
async fn export(
    format: Format,
    head: &Parts,
    incoming: &mut Incoming,
    settings: &HttpSettings,
    entry: &Arc<Entry>,
) -> Result<Tally, Failure> {
    let tenant = entry.tenants.of(&head.headers)?;
    tenant.check()?;
    let coding = coding(&head.headers)?;
    let limit = settings.max_body_bytes;
    let sender = head.extensions.get().cloned().unwrap_or_default();
    let mut room = Room::new(&entry.intake, &tenant, sender);
    let whole = body::whole(incoming, limit, &mut room);
    let whole = tokio::time::timeout(settings.read_timeout, whole).await;
    let body = whole.unwrap_or_else(|_| {
        Err(Failure::new(RequestEnd::TimedOut, format!("no whole body within {:?}", settings.read_timeout)))
    })?;
    take(entry, Received { transport: format.transport(), coding, body, limit, tenant, room }).await
}

fn coding(headers: &HeaderMap) -> Result<Coding, Failure> {
    let Some(value) = headers.get(CONTENT_ENCODING) else {
        return Ok(Coding::Identity);
    };
    value.to_str().ok().and_then(Coding::parse).ok_or_else(|| {
        let message = format!("content-encoding {value:?} is not one of {}", Coding::ACCEPTED);
        Failure::new(RequestEnd::UnsupportedEncoding, message)
    })
}

fn success(format: Format, tally: &Tally) -> Response<Full<Bytes>> {
    let body = match format {
        Format::Protobuf => response_protobuf(tally),
        Format::Json => response_json(tally),
    };
    let mut response = Response::new(Full::new(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    response
}

fn refusal(format: Option<Format>, failure: &Failure) -> Response<Full<Bytes>> {
    let (content_type, body) = match format {
        Some(Format::Protobuf) => (Format::Protobuf.content_type(), failure.status_protobuf()),
        Some(Format::Json) => (Format::Json.content_type(), failure.status_json()),
        None => ("text/plain; charset=utf-8", format!("{}\n", failure.message).into()),
    };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = failure.codes().0;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    match failure.end {
        RequestEnd::Unauthenticated => {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        RequestEnd::WrongMethod => drop(headers.insert(ALLOW, HeaderValue::from_static("POST"))),
        RequestEnd::UnsupportedEncoding => {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(Coding::ACCEPTED));
        }
        _ => {}
    }
    if let Some(ms) = failure.retry_after_ms {
        headers.insert(RETRY_AFTER, HeaderValue::from(ms.div_ceil(1000)));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_are_read_with_their_parameters() {
        let table = [
            ("application/x-protobuf", Some(Format::Protobuf)),
            ("Application/X-Protobuf", Some(Format::Protobuf)),
            ("application/json", Some(Format::Json)),
            ("application/json; charset=utf-8", Some(Format::Json)),
            ("application/json;charset=\"UTF-8\"; x=y", Some(Format::Json)),
            ("application/json; charset=latin1", None),
            ("application/protobuf", None),
            ("text/plain", None),
            ("", None),
        ];
        for (content_type, format) in table {
            assert_eq!(Format::parse(content_type), format, "{content_type}");
        }
    }
}
