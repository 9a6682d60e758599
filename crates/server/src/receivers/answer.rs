//! What is answered: the export response, or a `google.rpc.Status` with details.

use std::borrow::Cow;

use bytes::Bytes;
use hyper::StatusCode;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use prost::Message;
use serde_json::json;
use tonic::Code;

use crate::batch::{Refusal, RejectReason, Tally};
use crate::decode::DecodeError;
use crate::google_rpc::{
    Any, BAD_REQUEST, BadRequest, Duration, FieldViolation, RETRY_INFO, RetryInfo, Status,
};
use crate::intake::RETRY_AFTER_MS;
use crate::request_end::RequestEnd;

/// Longest message of a refusal, in bytes.
const MESSAGE_BYTES_MAX: usize = 600;

/// A request that was not taken.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) end: RequestEnd,
    pub(super) message: Cow<'static, str>,
    /// When to come back; none when it would not help.
    pub(super) retry_after_ms: Option<u64>,
}

impl Failure {
    /// A refusal for good. A long message is cut: it goes into response headers, which clients limit.
    pub(super) fn new(end: RequestEnd, message: impl Into<Cow<'static, str>>) -> Self {
        let mut message = message.into();
        if message.len() > MESSAGE_BYTES_MAX {
            let cut = message.floor_char_boundary(MESSAGE_BYTES_MAX);
            message = format!("{}...", &message[..cut]).into();
        }
        Self { end, message, retry_after_ms: None }
    }

    /// A refusal of a tenant that sends too much, and when to come back.
    pub(super) fn rate_limited(tenant: &str, retry_after_ms: u64) -> Self {
        let message = format!("the tenant `{tenant}` sends more than its limit; send the batch again later");
        Self { retry_after_ms: Some(retry_after_ms), ..Self::new(RequestEnd::RateLimited, message) }
    }

    pub(super) fn too_large(limit: usize, what: &str) -> Self {
        let message = format!(
            "the {what} body is larger than the {limit} bytes that this receiver takes; send smaller batches"
        );
        Self::new(RequestEnd::TooLarge, message)
    }

    /// How the two protocols spell it.
    pub(super) fn codes(&self) -> (StatusCode, Code) {
        match self.end {
            RequestEnd::Accepted | RequestEnd::Partial => (StatusCode::OK, Code::Ok),
            RequestEnd::BadData => (StatusCode::BAD_REQUEST, Code::InvalidArgument),
            RequestEnd::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, Code::ResourceExhausted),
            RequestEnd::UnsupportedType | RequestEnd::UnsupportedEncoding => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::Unimplemented)
            }
            RequestEnd::WrongMethod => (StatusCode::METHOD_NOT_ALLOWED, Code::Unimplemented),
            RequestEnd::NotFound => (StatusCode::NOT_FOUND, Code::Unimplemented),
            RequestEnd::TimedOut => (StatusCode::REQUEST_TIMEOUT, Code::DeadlineExceeded),
            RequestEnd::Disconnected => (StatusCode::BAD_REQUEST, Code::Cancelled),
            RequestEnd::Overloaded | RequestEnd::Storage | RequestEnd::Stopping => {
                (StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable)
            }
            RequestEnd::Unauthenticated => (StatusCode::UNAUTHORIZED, Code::Unauthenticated),
            RequestEnd::Forbidden => (StatusCode::FORBIDDEN, Code::PermissionDenied),
            // With RetryInfo, which alone makes this code one that clients send again.
            RequestEnd::RateLimited => (StatusCode::TOO_MANY_REQUESTS, Code::ResourceExhausted),
        }
    }

    /// `google.rpc.Status` in protobuf.
    pub(super) fn status_protobuf(&self) -> Bytes {
        let details = match (self.end, self.retry_after_ms) {
            (RequestEnd::BadData, _) => {
                let violation =
                    FieldViolation { description: self.message.to_string(), ..Default::default() };
                vec![Any::of(BAD_REQUEST, &BadRequest { field_violations: vec![violation] })]
            }
            (_, Some(ms)) => {
                let nanos = (ms % 1000 * 1_000_000) as i32;
                let retry_delay = Some(Duration { seconds: (ms / 1000).cast_signed(), nanos });
                vec![Any::of(RETRY_INFO, &RetryInfo { retry_delay })]
            }
            _ => Vec::new(),
        };
        let code = self.codes().1 as i32;
        Status { code, message: self.message.to_string(), details }.encode_to_vec().into()
    }

    /// `google.rpc.Status` in JSON.
    pub(super) fn status_json(&self) -> Bytes {
        let details = match (self.end, self.retry_after_ms) {
            (RequestEnd::BadData, _) => json!([{
                "@type": BAD_REQUEST,
                "fieldViolations": [{ "description": self.message }],
            }]),
            (_, Some(ms)) => json!([{
                "@type": RETRY_INFO,
                "retryDelay": format!("{}.{:03}s", ms / 1000, ms % 1000),
            }]),
            _ => json!([]),
        };
        let status = json!({ "code": self.codes().1 as i32, "message": self.message, "details": details });
        status.to_string().into()
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let (end, retry_after_ms) = match refusal {
            Refusal::Overloaded { retry_after_ms } => (RequestEnd::Overloaded, retry_after_ms),
            Refusal::Storage { .. } => (RequestEnd::Storage, RETRY_AFTER_MS),
            Refusal::Stopping => (RequestEnd::Stopping, RETRY_AFTER_MS),
        };
        Self { end, message: refusal.to_string().into(), retry_after_ms: Some(retry_after_ms) }
    }
}

impl From<DecodeError> for Failure {
    fn from(error: DecodeError) -> Self {
        Self::new(RequestEnd::BadData, error.to_string())
    }
}

/// How a request ended that was taken.
pub(super) fn end_of(tally: &Tally) -> RequestEnd {
    if rejected(tally) > 0 { RequestEnd::Partial } else { RequestEnd::Accepted }
}

fn rejected(tally: &Tally) -> u64 {
    tally.rejected.iter().sum()
}

/// `3 spans were rejected: invalid_trace_id 2, invalid_time 1`.
fn rejections(tally: &Tally) -> String {
    let reasons = RejectReason::ALL.iter().zip(tally.rejected).filter(|(_, count)| *count > 0);
    let reasons = reasons.map(|(reason, count)| format!("{} {count}", reason.as_str())).collect::<Vec<_>>();
    format!("{} spans were rejected: {}", rejected(tally), reasons.join(", "))
}

/// `ExportTraceServiceResponse` in protobuf: no bytes at all when everything was taken.
pub(super) fn response_protobuf(tally: &Tally) -> Bytes {
    if rejected(tally) == 0 {
        return Bytes::new();
    }
    let partial = ExportTracePartialSuccess {
        rejected_spans: rejected(tally).cast_signed(),
        error_message: rejections(tally),
    };
    ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec().into()
}

/// `ExportTraceServiceResponse` in JSON.
pub(super) fn response_json(tally: &Tally) -> Bytes {
    if rejected(tally) == 0 {
        return Bytes::from_static(b"{}");
    }
    let partial = json!({
        "rejectedSpans": rejected(tally).to_string(),
        "errorMessage": rejections(tally),
    });
    json!({ "partialSuccess": partial }).to_string().into()
}
