//! How a request ended on the wire, and what that means where a provider file says nothing else.
//!
//! The tables come from real clients: Python (httpx, requests, aiohttp, urllib3), Node (undici, http,
//! node-fetch), Java (the JDK's, Apache's, OkHttp, Netty), Go, .NET and Ruby. What matters is one
//! distinction: whether the request can have reached the provider.

use spantally_stitch::{Accepted, Answer, FailureReason, Role, TaskState, Verdict};

use crate::attributes::Value;
use crate::keys::{Slots, integer};
use crate::rpc_status;
use crate::span::{SpanStatus, SpanView};

/// Error names for which nothing was sent: no connection, no name, no TLS.
const NOT_SENT: &[&str] = &[
    "ConnectTimeout",
    "ConnectError",
    "ConnectionRefusedError",
    "gaierror",
    "ClientConnectorError",
    "ClientConnectorDNSError",
    "ClientConnectorCertificateError",
    "ClientConnectorSSLError",
    "ConnectionTimeoutError",
    "SSLError",
    "SSLCertVerificationError",
    "NewConnectionError",
    "EndpointConnectionError",
    "NameResolutionError",
    "ConnectTimeoutError",
    "PoolTimeout",
    "UnsupportedProtocol",
    "ECONNREFUSED",
    "ENOTFOUND",
    "EAI_AGAIN",
    "EHOSTUNREACH",
    "ENETUNREACH",
    "UND_ERR_CONNECT_TIMEOUT",
    "CERT_HAS_EXPIRED",
    "DEPTH_ZERO_SELF_SIGNED_CERT",
    "UnknownHostException",
    "ConnectException",
    "SSLHandshakeException",
    "SSLPeerUnverifiedException",
    "HttpConnectTimeoutException",
    "HttpHostConnectException",
    "ConnectTimeoutException",
    "ConnectionRequestTimeoutException",
    "AnnotatedConnectException",
    "NoRouteToHostException",
    "UnresolvedAddressException",
    "DNSError",
    "CertificateVerificationError",
    "tlsHandshakeTimeoutError",
    "OpenTimeout",
    "ConnectionFailed",
    "connection_error",
    "name_resolution_error",
    "secure_connection_error",
    "proxy_tunnel_error",
];

/// Error names for which the client stopped waiting. 20 and 23 are the DOM's codes of `AbortError` and
/// `TimeoutError`, which undici's instrumentation reports as numbers.
const TIMED_OUT: &[&str] = &[
    "ReadTimeout",
    "WriteTimeout",
    "TimeoutError",
    "Timeout",
    "TimeoutException",
    "timeout",
    "AbortError",
    "20",
    "23",
    "ReadTimeoutError",
    "ServerTimeoutError",
    "SocketTimeoutError",
    "SocketTimeoutException",
    "HttpTimeoutException",
    "HeadersTimeoutError",
    "BodyTimeoutError",
    "UND_ERR_HEADERS_TIMEOUT",
    "UND_ERR_BODY_TIMEOUT",
    "UND_ERR_ABORTED",
    "ETIMEDOUT",
    "ESOCKETTIMEDOUT",
    "CancelledError",
    "APITimeoutError",
    "ReadTimeoutException",
    "InterruptedIOException",
    "deadlineExceededError",
    "TaskCanceledException",
    "OperationCanceledException",
];

/// Error names for which the connection broke after it stood.
const RESET: &[&str] = &[
    "ReadError",
    "WriteError",
    "RemoteProtocolError",
    "ConnectionResetError",
    "ConnectionError",
    "RemoteDisconnected",
    "ConnectionClosedError",
    "ProtocolError",
    "ChunkedEncodingError",
    "IncompleteRead",
    "ServerDisconnectedError",
    "ClientOSError",
    "ClientPayloadError",
    "ECONNRESET",
    "EPIPE",
    "UND_ERR_SOCKET",
    "SocketError",
    "SocketException",
    "BrokenPipeError",
    "EOFException",
    "EOF",
    "EOFError",
    "NoHttpResponseException",
    "PrematureCloseException",
    "response_ended",
];

/// Errors that SDKs raise for a status code, on spans that show no code: those of the Stainless SDKs (OpenAI,
/// Runway, Luma), of AWS and of google.api_core.
const CODES: &[(&str, u16)] = &[
    ("BadRequestError", 400),
    ("AuthenticationError", 401),
    ("PermissionDeniedError", 403),
    ("NotFoundError", 404),
    ("ConflictError", 409),
    ("UnprocessableEntityError", 422),
    ("RateLimitError", 429),
    ("InternalServerError", 500),
    ("ValidationException", 400),
    ("AccessDeniedException", 403),
    ("ThrottlingException", 429),
    ("ServiceUnavailableException", 503),
    ("InvalidArgument", 400),
    ("PermissionDenied", 403),
    ("ResourceExhausted", 429),
];

/// What a message says when the error's name does not: first match wins. In Go nearly every error has the
/// name of a wrapper, and a dial that fails has sent nothing, however it fails.
const MESSAGES: &[(&str, Answer)] = &[
    ("ECONNREFUSED", Answer::NotSent),
    ("refused", Answer::NotSent),
    ("getaddrinfo", Answer::NotSent),
    ("Name or service not known", Answer::NotSent),
    ("Failed to establish a new connection", Answer::NotSent),
    ("certificate", Answer::NotSent),
    ("no such host", Answer::NotSent),
    ("dial tcp", Answer::NotSent),
    ("TLS handshake timeout", Answer::NotSent),
    ("onnect timed out", Answer::NotSent),
    ("onnect timeout", Answer::NotSent),
    ("onnect Timeout", Answer::NotSent),
    ("socket hang up", Answer::Reset),
    ("Connection aborted", Answer::Reset),
    ("ECONNRESET", Answer::Reset),
    ("reset by peer", Answer::Reset),
    ("EOF", Answer::Reset),
    ("deadline exceeded", Answer::TimedOut),
    ("context canceled", Answer::TimedOut),
    ("timed out", Answer::TimedOut),
    ("timeout", Answer::TimedOut),
    ("aborted", Answer::TimedOut),
];

/// Instrumentations that write nothing at all when the client gives up: a span of theirs without a status, an
/// error or an event is a time-out. That is how the Stainless SDKs of Node give up. Others (Next.js) never
/// write a status, and their silence tells nothing.
const SILENT_WHEN_GIVEN_UP: &[&str] =
    &["@opentelemetry/instrumentation-undici", "opentelemetry-instrumentation-fetch-node"];

/// How the request of a span ended.
pub(crate) fn answer(span: &SpanView<'_>, slots: &Slots) -> Answer {
    if let Some(status) = integer(span, slots.status).and_then(|status| u16::try_from(status).ok())
        && status >= 100
    {
        return Answer::Status(status);
    }
    if let Some(answer) = rpc_status::answer(span, slots) {
        // Where nothing listens, the client makes an UNAVAILABLE of it itself.
        let is_unsent =
            answer == rpc_status::UNAVAILABLE && told(span.status_message) == Some(Answer::NotSent);
        return if is_unsent { Answer::NotSent } else { answer };
    }
    let mut digits = [0; 20];
    let error = match span.get(slots.error) {
        Some(Value::Text(text)) => text,
        Some(Value::Int(code)) => decimal(code, &mut digits),
        _ => "",
    };
    // A `ConnectionError` of requests may be a refusal or a reset: then the message decides. OkHttp's
    // `SocketTimeoutException` may be one of connecting.
    let name = named(error).or_else(|| named(span.exception));
    let message = || told(span.status_message).or_else(|| told(span.exception_message));
    let answer = match name {
        None | Some(Answer::Reset) => message().or(name),
        Some(Answer::TimedOut) => message().filter(|told| *told == Answer::NotSent).or(name),
        name => name,
    };
    let code = || error.parse().ok().filter(|code| (100..=599).contains(code)).map(Answer::Status);
    let raised = || coded(error).or_else(|| coded(span.exception));
    let given_up =
        || (is_silent(span, error) && SILENT_WHEN_GIVEN_UP.contains(&span.scope)).then_some(Answer::TimedOut);
    answer.or_else(code).or_else(raised).or_else(given_up).unwrap_or(Answer::Missing)
}

/// Whether a span has no word of an error.
fn is_silent(span: &SpanView<'_>, error: &str) -> bool {
    span.status != SpanStatus::Error && error.is_empty() && span.exception.is_empty()
}

/// The last part of an error's name, `httpx.ReadTimeout`, `java.net.ConnectException` or `Net::OpenTimeout`.
fn last_part(error: &str) -> &str {
    error.rsplit(['.', ':', '$', '\\']).next().unwrap_or(error)
}

/// The status code for which an SDK raises an error.
fn coded(error: &str) -> Option<Answer> {
    let name = last_part(error);
    CODES.iter().find(|(known, _)| *known == name).map(|(_, code)| Answer::Status(*code))
}

fn named(error: &str) -> Option<Answer> {
    let name = last_part(error);
    if name.is_empty() {
        return None;
    }
    let table = [(NOT_SENT, Answer::NotSent), (TIMED_OUT, Answer::TimedOut), (RESET, Answer::Reset)];
    table.into_iter().find(|(names, _)| names.contains(&name)).map(|(_, answer)| answer)
}

fn told(message: &str) -> Option<Answer> {
    if message.is_empty() {
        return None;
    }
    MESSAGES.iter().find(|(part, _)| message.contains(part)).map(|(_, answer)| *answer)
}

fn decimal(number: i64, buffer: &mut [u8; 20]) -> &str {
    let mut left = number.unsigned_abs();
    let mut at = buffer.len();
    loop {
        at -= 1;
        buffer[at] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 || at == 0 {
            return std::str::from_utf8(&buffer[at..]).unwrap_or_default();
        }
    }
}

/// Whether the provider took a submit, where its file does not say otherwise.
pub(crate) fn accepted(answer: Answer) -> Accepted {
    match answer {
        Answer::Status(101 | 200..=299) => Accepted::Yes,
        Answer::Status(300..=499) | Answer::NotSent => Accepted::No,
        Answer::Status(_) | Answer::TimedOut | Answer::Reset | Answer::Missing => Accepted::Ambiguous,
    }
}

/// What an answer tells of the task, by role, where the provider's file does not say otherwise.
///
/// A poll's 200 tells nothing: the state is in the body, for success and failure alike.
pub(crate) fn verdict(role: Role, answer: Answer, accepted: Accepted) -> Option<Verdict> {
    let state = |state| Some(Verdict { state, reason: None });
    match (role, answer) {
        (Role::Submit | Role::Sync, _) if accepted == Accepted::No => {
            Some(Verdict { state: TaskState::Failed, reason: Some(refusal(answer)) })
        }
        (Role::Sync | Role::Result | Role::Download, Answer::Status(200 | 201 | 203..=299)) => {
            state(TaskState::Succeeded)
        }
        (Role::Poll, Answer::Status(404 | 409 | 425))
        | (Role::Result, Answer::Status(202 | 404 | 409 | 425)) => state(TaskState::NotReady),
        (Role::Cancel, Answer::Status(200..=299)) => state(TaskState::Canceled),
        _ => None,
    }
}

/// Why a request was refused.
pub(crate) fn refusal(answer: Answer) -> FailureReason {
    match answer {
        Answer::Status(429) => FailureReason::RateLimit,
        Answer::Status(408 | 504) => FailureReason::ProviderTimeout,
        Answer::Status(415) => FailureReason::InvalidMedia,
        Answer::Status(401..=403 | 407) => FailureReason::Unknown,
        Answer::Status(400..=499) => FailureReason::InvalidInput,
        Answer::Status(503 | 529) => FailureReason::Capacity,
        Answer::Status(_) | Answer::NotSent | Answer::Reset => FailureReason::ProviderError,
        Answer::TimedOut | Answer::Missing => FailureReason::ClientTimeout,
    }
}

/// What is told of a request without a status code, if its span has an error of a name that nobody knows: it
/// failed, and by what is not known.
pub(crate) fn unnamed_error(
    span: &SpanView<'_>,
    slots: &Slots,
    role: Role,
    answer: Answer,
    told: Option<Verdict>,
) -> Option<Verdict> {
    let is_guess = told.is_none_or(|verdict| verdict.reason == Some(FailureReason::ClientTimeout));
    let is_sent = matches!((role, answer), (Role::Submit | Role::Sync, Answer::Missing));
    let is_unnamed = is_sent && is_guess && (is_error(span, slots) || !span.exception.is_empty());
    let unknown = Verdict { state: TaskState::Failed, reason: Some(FailureReason::Unknown) };
    if is_unnamed { Some(unknown) } else { told }
}

/// Whether a span says that it failed.
pub(crate) fn is_error(span: &SpanView<'_>, slots: &Slots) -> bool {
    span.status == SpanStatus::Error || span.get(slots.error).is_some()
}
