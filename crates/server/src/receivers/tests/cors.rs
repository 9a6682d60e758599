//! Browsers: what a page of another origin may do.

use std::time::Duration;

use super::raw::{JSON, post, raw, send};
use crate::config::Cors;
use crate::receivers::testing::Server;
use crate::receivers::{GrpcSettings, HttpSettings};

const ASKS: &str = "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: content-type\r\n";

async fn server() -> Server {
    let cors = Cors {
        allowed_origins: vec!["https://*.example.com".to_owned()],
        allowed_headers: vec!["x-scope-orgid".to_owned()],
        exposed_headers: vec!["retry-after".to_owned()],
        max_age: Duration::from_mins(10),
    };
    let http = HttpSettings { cors, ..HttpSettings::default() };
    Server::start_with(GrpcSettings::default(), http, 1 << 20).await
}

#[tokio::test]
async fn a_page_of_an_allowed_origin_may_ask_and_send() {
    let server = server().await;
    let origin = "Origin: https://app.example.com\r\n";
    let answer = send(server.http, &raw("OPTIONS /v1/traces", &format!("{origin}{ASKS}"), b"")).await;
    assert_eq!(answer.code, 204);
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://app.example.com"));
    assert_eq!(answer.header("access-control-allow-methods"), Some("POST"));
    let names = answer.header("access-control-allow-headers").unwrap();
    assert!(names.contains("content-type") && names.contains("x-scope-orgid"), "{names}");
    assert_eq!(answer.header("access-control-max-age"), Some("600"));
    assert_eq!(answer.header("vary"), Some("origin"));
    for (body, code) in [("{}", 200), ("{", 400)] {
        let answer = send(server.http, &post(&format!("{JSON}{origin}"), body.as_bytes())).await;
        assert_eq!(answer.code, code);
        assert_eq!(answer.header("access-control-allow-origin"), Some("https://app.example.com"));
        assert_eq!(answer.header("access-control-expose-headers"), Some("retry-after"));
    }
}

#[tokio::test]
async fn a_page_of_another_origin_is_told_nothing() {
    let origin = "Origin: https://evil.net\r\n";
    for server in [server().await, Server::start().await] {
        let answer = send(server.http, &raw("OPTIONS /v1/traces", &format!("{origin}{ASKS}"), b"")).await;
        assert_eq!((answer.code, answer.header("access-control-allow-origin")), (204, None));
        assert_eq!(answer.header("access-control-allow-methods"), None);
        let answer = send(server.http, &post(&format!("{JSON}{origin}"), b"{}")).await;
        assert_eq!((answer.code, answer.header("access-control-allow-origin")), (200, None));
    }
    let bare = send(server().await.http, &raw("OPTIONS /v1/traces", "", b"")).await;
    assert_eq!(bare.code, 405, "no browser asks like this");
}
