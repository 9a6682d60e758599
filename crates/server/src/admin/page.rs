//! The page for people: `GET /`, and its style and modules under `/page/`.
//!
//! It is a few files that are part of the program and ask `/metrics` and the API like everyone else, so it
//! has no rules of its own about who may see what, and there is nothing to build and nothing to fetch. What
//! it shows comes from spans, which strangers may have sent: the modules make text of it and never markup,
//! and the [policy](POLICY) leaves no way to run or to load anything else.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderName, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

use super::error::ApiError;
use super::{Admin, not_found};

/// What a browser may do with the page: its own scripts, style and questions, in no frame, with no form.
pub(super) const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
                                 connect-src 'self'; img-src 'self' data:; base-uri 'none'; \
                                 form-action 'none'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

const PAGE: &str = include_str!("page/page.html");

/// Name under `/page/`, content type, text.
pub(super) const FILES: [(&str, &str, &str); 14] = [
    ("page.css", CSS, include_str!("page/page.css")),
    ("page.js", SCRIPT, include_str!("page/page.js")),
    ("api.js", SCRIPT, include_str!("page/api.js")),
    ("decimal.js", SCRIPT, include_str!("page/decimal.js")),
    ("dom.js", SCRIPT, include_str!("page/dom.js")),
    ("exposition.js", SCRIPT, include_str!("page/exposition.js")),
    ("figures.js", SCRIPT, include_str!("page/figures.js")),
    ("job.js", SCRIPT, include_str!("page/job.js")),
    ("jobs.js", SCRIPT, include_str!("page/jobs.js")),
    ("money.js", SCRIPT, include_str!("page/money.js")),
    ("overview.js", SCRIPT, include_str!("page/overview.js")),
    ("time.js", SCRIPT, include_str!("page/time.js")),
    ("timeline.js", SCRIPT, include_str!("page/timeline.js")),
    ("words.js", SCRIPT, include_str!("page/words.js")),
];

/// The page, with what listens where: that is known before there is a core to ask.
pub(super) async fn start(State(admin): State<Arc<Admin>>) -> Response {
    let addresses: String = admin.addresses.iter().map(listening).collect();
    let page = PAGE.replace("{{version}}", env!("CARGO_PKG_VERSION")).replace("{{addresses}}", &addresses);
    answer(HTML, page)
}

/// Names are ours, and an address has no letter that means something in HTML.
fn listening((name, address): &(&'static str, SocketAddr)) -> String {
    format!("<div data-name=\"{name}\"><dt>{name}</dt><dd>{address}</dd></div>\n")
}

/// One of its files.
pub(super) async fn file(name: Result<Path<String>, PathRejection>, uri: Uri) -> Result<Response, ApiError> {
    let found = name.ok().and_then(|Path(name)| FILES.iter().find(|(known, ..)| *known == name));
    match found {
        Some(&(_, content_type, text)) => Ok(answer(content_type, text)),
        None => Err(not_found(uri).await),
    }
}

/// An older file beside newer ones would not fit: a browser asks each time.
fn answer(content_type: &'static str, text: impl IntoResponse) -> Response {
    const NOSNIFF: HeaderName = HeaderName::from_static("x-content-type-options");
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (NOSNIFF, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (StatusCode::OK, headers, text).into_response()
}
