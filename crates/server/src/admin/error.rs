//! Errors of the API: a status, and JSON `{"error": {"code": …, "message": …}}`.

use std::fmt::Display;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// Why a request was not answered.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    body: Body,
}

#[derive(Debug, Serialize)]
struct Body {
    error: Details,
}

#[derive(Debug, Serialize)]
struct Details {
    /// For programs.
    code: &'static str,
    /// For people.
    message: String,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, body: Body { error: Details { code, message: message.into() } } }
    }

    /// The request makes no sense.
    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_argument", message)
    }

    /// There are no numbers yet.
    pub(super) fn starting() -> Self {
        let message = "the state of the last run is still being taken back; ask again in a few seconds";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "starting", message)
    }

    /// Something of ours failed.
    pub(super) fn internal(error: impl Display) -> Self {
        tracing::error!(%error, "a request to the API failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", error.to_string())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        // Two strings always serialise; the alternative to an empty body would be a panic.
        let body = serde_json::to_string(&self.body).unwrap_or_default() + "\n";
        (self.status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
    }
}
