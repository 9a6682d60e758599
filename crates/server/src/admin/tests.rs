//! The admin server over a real socket, before and after there is a core to ask.

use std::io::Read as _;
use std::sync::Arc;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::app::{App, Running};
use crate::config::Config;
use crate::connections::Versions;

struct Answer {
    status: u16,
    headers: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        assert!(self.headers.contains("content-type: application/json"), "{}", self.headers);
        serde_json::from_str(&self.body).unwrap()
    }

    fn error_code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap().to_owned()
    }
}

async fn ask(address: SocketAddr, method: &str, path: &str) -> Answer {
    ask_for("localhost", address, method, path).await
}

async fn ask_for(host: &str, address: SocketAddr, method: &str, path: &str) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, headers: head.to_ascii_lowercase(), body: body.to_owned() }
}

async fn get(address: SocketAddr, path: &str) -> Answer {
    ask(address, "GET", path).await
}

async fn running(directory: &std::path::Path) -> Running {
    let set = [
        "receivers.otlp.protocols.grpc.endpoint=127.0.0.1:0".to_owned(),
        "receivers.otlp.protocols.http.endpoint=127.0.0.1:0".to_owned(),
        "exporters.prometheus.endpoint=127.0.0.1:0".to_owned(),
        format!("storage.directory={}", directory.display()),
    ];
    let config = Config::load(None, &set).unwrap();
    App::build(&config).await.unwrap().start().await.unwrap()
}

#[tokio::test]
async fn while_starting_only_health_answers() {
    let (_readiness, seen) = watch::channel(Readiness::Starting);
    let (stop, stops) = watch::channel(false);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let admin = Admin::new(seen, "nowhere".into(), vec![("metrics and API", address)], Hosts::Any);
    let port = Port { listener, tls: None, versions: Versions::Both };
    let served = tokio::spawn(Arc::clone(&admin).serve(port, stops));

    assert_eq!(get(address, "/healthz").await.status, 200);
    let ready = get(address, "/readyz").await;
    assert_eq!((ready.status, ready.body.as_str()), (503, "starting\n"));
    for path in ["/metrics", "/api/v1/jobs"] {
        let answer = get(address, path).await;
        assert_eq!((answer.status, answer.error_code().as_str()), (503, "starting"), "{path}");
    }
    // The page is there to say so.
    assert_eq!(get(address, "/").await.status, 200);
    stop.send_replace(true);
    served.await.unwrap();
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens after the end");
}

#[tokio::test]
async fn a_server_without_jobs_answers() {
    let directory = tempfile::tempdir().unwrap();
    let running = running(directory.path()).await;
    let admin = running.addresses.admin;

    let ready = get(admin, "/readyz").await;
    assert_eq!((ready.status, ready.body.as_str()), (200, "ready\n"));
    let page = get(admin, "/metrics").await;
    assert_eq!(page.status, 200);
    assert!(page.headers.contains("content-type: text/plain; version=0.0.4"), "{}", page.headers);
    for series in
        ["spantally_build_info{", "spantally_otlp_requests_total{transport=\"grpc\",result=\"accepted\"} 0"]
    {
        assert!(page.body.contains(series), "{series} is not in\n{}", page.body);
    }
    let jobs = get(admin, "/api/v1/jobs").await;
    assert_eq!(jobs.json(), serde_json::json!({"jobs": [], "next_cursor": null}));
    let jobs = get(admin, "/api/v1/jobs?model=a%26b%20%2B%231&tenant=acme&provider=fal&service=clips").await;
    assert_eq!((jobs.status, jobs.json()["jobs"].clone()), (200, serde_json::json!([])));
    let jobs = get(admin, "/api/v1/jobs?outcome=failed&limit=5&outcome=rejected").await;
    assert_eq!((jobs.status, jobs.json()["jobs"].clone()), (200, serde_json::json!([])));
    let index = get(admin, "/").await;
    assert!(index.body.contains(&running.addresses.grpc.unwrap().to_string()), "{}", index.body);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn questions_that_take_long_do_not_keep_the_metrics_away() {
    let directory = tempfile::tempdir().unwrap();
    let running = running(directory.path()).await;
    let (_readiness, seen) = watch::channel(Readiness::Ready);
    let (stop, stops) = watch::channel(false);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let admin = Admin::new(seen, directory.path().into(), Vec::new(), Hosts::Any);
    admin.answer_from(running.sources.clone());
    let port = Port { listener, tls: None, versions: Versions::Both };
    let served = tokio::spawn(Arc::clone(&admin).serve(port, stops));

    let under_way = admin.questions.acquire_many(MAX_QUESTIONS as u32).await.unwrap();
    let soon = Duration::from_secs(20);
    let page = tokio::time::timeout(soon, get(address, "/metrics")).await.expect("it waits for them");
    assert_eq!(page.status, 200);
    let list = get(address, "/api/v1/jobs");
    let mut list = std::pin::pin!(list);
    let waited = tokio::time::timeout(Duration::from_millis(300), &mut list).await;
    assert!(waited.is_err(), "there is no place for one more question");
    drop(under_way);
    assert_eq!(list.await.status, 200);
    stop.send_replace(true);
    served.await.unwrap();
    running.stop().await.unwrap();
}

#[tokio::test]
async fn wrong_requests_are_told_so_in_json() {
    let directory = tempfile::tempdir().unwrap();
    let running = running(directory.path()).await;
    for (method, path, status, code) in [
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/page/nothing.js", 404, "not_found"),
        ("GET", "/page/..%2fadmin.rs", 404, "not_found"),
        ("GET", "/page/%ff", 404, "not_found"),
        ("POST", "/", 405, "method_not_allowed"),
        ("POST", "/metrics", 405, "method_not_allowed"),
        ("DELETE", "/api/v1/jobs", 405, "method_not_allowed"),
        ("GET", "/api/v1/jobs/00000000000000000000000000000000", 404, "not_found"),
        ("GET", "/api/v1/jobs/xyz", 400, "invalid_argument"),
        ("GET", "/api/v1/jobs?outcome=good", 400, "invalid_argument"),
        ("GET", "/api/v1/jobs?outcome=failed&outcome=good", 400, "invalid_argument"),
        ("GET", "/api/v1/jobs?limit=0", 400, "invalid_argument"),
        ("GET", "/api/v1/jobs?limit=5&limit=1", 400, "invalid_argument"),
        ("GET", "/api/v1/jobs?state=open&limit=5&state=settled", 400, "invalid_argument"),
        ("GET", "/api/v1/jobs/%ff", 400, "invalid_argument"),
        ("GET", "/api/v1/jobs/%ff/calls", 400, "invalid_argument"),
        ("GET", "/api/v1/jobs?cursor=5", 400, "invalid_argument"),
        ("GET", "/api/v1/jobs?started_since=soon", 400, "invalid_argument"),
        ("GET", "/api/v1/jobs?started_since=1960-01-01T00:00:00Z", 400, "invalid_argument"),
        ("GET", "/api/v1/jobs?colour=red", 400, "invalid_argument"),
    ] {
        let answer = ask(running.addresses.admin, method, path).await;
        assert_eq!((answer.status, answer.error_code().as_str()), (status, code), "{method} {path}");
    }
    running.stop().await.unwrap();
}

/// What a browser is told about the page, and that everything that it names is there.
#[tokio::test]
async fn the_page_runs_what_is_its_own_alone() {
    let directory = tempfile::tempdir().unwrap();
    let running = running(directory.path()).await;
    let page = get(running.addresses.admin, "/").await;
    assert!(!page.body.contains("{{"), "{}", page.body);
    let mut paths = vec!["/".to_owned()];
    for (index, _) in page.body.match_indices("=\"/page/") {
        paths.extend(page.body[index + 2..].split('"').next().map(str::to_owned));
    }
    assert_eq!(paths.len(), 3, "style and script: {paths:?}");
    let mut asked = 0;
    while let Some(path) = paths.get(asked).cloned() {
        asked += 1;
        let file = get(running.addresses.admin, &path).await;
        let content_type = match path.rsplit_once('.').map(|(_, end)| end) {
            Some("js") => "text/javascript",
            Some("css") => "text/css",
            _ => "text/html",
        };
        assert_eq!(file.status, 200, "{path}");
        for header in [
            format!("content-type: {content_type}; charset=utf-8"),
            format!("content-security-policy: {}", page::POLICY),
            "x-content-type-options: nosniff".to_owned(),
            "referrer-policy: no-referrer".to_owned(),
            "cache-control: no-cache".to_owned(),
        ] {
            assert!(file.headers.contains(&header), "{path}: no {header}\n{}", file.headers);
        }
        for elsewhere in ["http-equiv", "innerHTML", "@import", "url(", "src=\"http"] {
            assert!(!file.body.contains(elsewhere), "{path} has {elsewhere}");
        }
        for (index, _) in file.body.match_indices(" from \"./") {
            let name = file.body[index + " from \"./".len()..].split('"').next().unwrap();
            let module = format!("/page/{name}");
            if !paths.contains(&module) {
                paths.push(module);
            }
        }
    }
    assert_eq!(asked, 1 + page::FILES.len(), "a file that nobody asks for: {paths:?}");
    running.stop().await.unwrap();
}

#[tokio::test]
async fn head_has_the_head_of_get_and_no_body() {
    let directory = tempfile::tempdir().unwrap();
    let running = running(directory.path()).await;
    for path in ["/", "/page/page.js", "/healthz", "/readyz", "/metrics", "/api/v1/jobs"] {
        let answer = ask(running.addresses.admin, "HEAD", path).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, ""), "{path}");
    }
    running.stop().await.unwrap();
}

/// What a scraper gets over the socket: the format that weighs most, the escaping that it asked for, gzip if
/// it takes it.
#[tokio::test]
async fn a_scraper_gets_the_format_and_the_coding_that_it_asks_for() {
    const PROTOBUF: &str =
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
    const OPENMETRICS: &str = "application/openmetrics-text;version=1.0.0";
    let directory = tempfile::tempdir().unwrap();
    let running = running(directory.path()).await;
    let address = running.addresses.admin;
    for (accept, content_type, mark) in [
        (String::new(), "text/plain; version=0.0.4", "# TYPE spantally_commit_groups_total counter"),
        (
            format!("{PROTOBUF};q=0.2,{OPENMETRICS};escaping=underscores;q=0.7,text/plain;q=0.5"),
            "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores",
            "# EOF",
        ),
        (
            format!("{PROTOBUF};escaping=allow-utf-8,{OPENMETRICS};q=0.7"),
            "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited; \
             escaping=allow-utf-8",
            "\u{1d}spantally_commit_groups_total",
        ),
    ] {
        for gzip in [false, true] {
            let coding = if gzip { "br;q=1,gzip;q=0.5" } else { "gzip;q=0,identity" };
            let (head, body) = scrape(address, &accept, coding).await;
            assert!(head.contains(&format!("content-type: {}", content_type.to_lowercase())), "{head}");
            assert!(head.contains(&format!("vary: {VARY}")), "{head}");
            assert_eq!(head.contains("content-encoding: gzip"), gzip, "{head}");
            let mut page = Vec::new();
            if gzip {
                flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut page).unwrap();
            } else {
                page = body;
            }
            assert!(memchr::memmem::find(&page, mark.as_bytes()).is_some(), "{content_type}: no {mark}");
        }
    }
    running.stop().await.unwrap();
}

/// Prometheus says how long it waits; who does not say it reads the page by hand.
#[tokio::test]
async fn what_is_new_is_at_zero_for_prometheus_alone() {
    const SPAN: &str = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"00000000000000000000000000000001",
        "spanId":"0000000000000001","name":"work","startTimeUnixNano":"1795168800000000000",
        "endTimeUnixNano":"1795168801000000000"}]}]}]}"#;
    let directory = tempfile::tempdir().unwrap();
    let running = running(directory.path()).await;
    let mut stream = TcpStream::connect(running.addresses.http.unwrap()).await.unwrap();
    let head =
        "POST /v1/traces HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nconnection: close";
    let request = format!("{head}\r\ncontent-length: {}\r\n\r\n{SPAN}", SPAN.len());
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");

    let address = running.addresses.admin;
    let page = async |headers: &str| {
        let (_, body) = scrape(address, &format!("text/plain{headers}"), "identity").await;
        String::from_utf8(body).unwrap()
    };
    let received = |count| format!("\nspantally_spans_received_total{{transport=\"http_json\"}} {count}\n");
    while !page("").await.contains(&received(1)) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(page("\r\nX-Prometheus-Scrape-Timeout-Seconds: 10").await.contains(&received(0)));
    assert!(page("").await.contains(&received(1)));
    running.stop().await.unwrap();
}

/// Head in lower case, and body.
async fn scrape(address: SocketAddr, accept: &str, coding: &str) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET /metrics HTTP/1.0\r\nhost: localhost\r\naccept: {accept}\r\naccept-encoding: {coding}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let end = memchr::memmem::find(&answer, b"\r\n\r\n").unwrap();
    let body = answer.split_off(end + 4);
    (String::from_utf8(answer).unwrap().to_ascii_lowercase(), body)
}

#[tokio::test]
async fn a_name_that_an_attacker_points_at_the_port_is_not_answered() {
    let directory = tempfile::tempdir().unwrap();
    let running = running(directory.path()).await;
    let address = running.addresses.admin;
    for path in ["/", "/metrics", "/api/v1/jobs", "/page/page.js", "/nowhere"] {
        let answer = ask_for("rebound.example:9464", address, "GET", path).await;
        assert_eq!((answer.status, answer.error_code().as_str()), (421, "misdirected_request"), "{path}");
        assert!(answer.body.contains("exporters.prometheus.allowed_hosts"), "{}", answer.body);
    }
    assert_eq!(ask_for("127.0.0.1:9464", address, "GET", "/metrics").await.status, 200);
    running.stop().await.unwrap();
}
