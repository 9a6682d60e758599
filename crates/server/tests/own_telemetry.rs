//! Our own telemetry: one server exports to another by the Rust SDK, which is a client that is not ours too.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use rust_decimal::Decimal;
use support::{PATIENCE, Server, free_address, send_with_python};

fn wait_for(server: &Server, what: &str, mut reached: impl FnMut() -> bool) {
    let began = Instant::now();
    while !reached() {
        assert!(began.elapsed() < PATIENCE, "{what}\n{}", server.log());
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
}

#[test]
fn spans_of_ours_go_where_the_standard_variables_say() {
    for (protocol, transport) in [("grpc", "grpc"), ("http/protobuf", "http_protobuf")] {
        let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let backend = Server::start(directories[0].path());
        let address = if protocol == "grpc" { backend.grpc } else { backend.http };
        let server = Server::start_with(
            directories[1].path(),
            free_address(),
            None,
            &[
                ("OTEL_TRACES_EXPORTER", "otlp"),
                ("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://{address}")),
                ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
                ("OTEL_METRICS_EXPORTER", "none"),
                ("OTEL_LOGS_EXPORTER", "none"),
                ("OTEL_BSP_SCHEDULE_DELAY", "200"),
            ],
        );
        let sent = send_with_python(&server, "http", 1000);
        let labels = [format!("transport=\"{transport}\"")];
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        let received = || backend.metric("spantally_spans_received_total", &labels);
        // A request is a span, its commit another.
        wait_for(&server, "no span of ours came", || received() >= Decimal::TWO);
        assert!(sent.spans > 0);
        // The exports themselves make none: what has come stays what it is.
        std::thread::sleep(std::time::Duration::from_millis(1500));
        let settled = received();
        std::thread::sleep(std::time::Duration::from_millis(1500));
        assert_eq!(received(), settled, "exports are about exports");
    }
}

/// A backend that takes metrics and logs: it answers 200 to everything and keeps what was posted.
#[test]
fn metrics_and_logs_of_ours_are_pushed() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (posted, posts) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let posted = posted.clone();
            std::thread::spawn(move || serve(stream.unwrap(), &posted));
        }
    });
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start_with(
        directory.path(),
        free_address(),
        None,
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://{address}")),
            ("OTEL_METRIC_EXPORT_INTERVAL", "500"),
            ("OTEL_BLRP_SCHEDULE_DELAY", "200"),
            ("OTEL_SERVICE_NAME", "our-spantally"),
        ],
    );
    let (mut metrics, mut logs) = (false, false);
    wait_for(&server, "metrics or logs did not come", || {
        while let Ok((path, body)) = posts.try_recv() {
            let says = |word: &str| body.windows(word.len()).any(|at| at == word.as_bytes());
            assert!(says("our-spantally"), "the resource says who we are");
            metrics |= path == "/v1/metrics" && says("spantally_limit_used") && says("commit_queue_spans");
            logs |= path == "/v1/logs" && says("the state of the last run is taken back");
        }
        metrics && logs
    });
}

/// HTTP/1.1 with `content-length`, one request after the other.
fn serve(mut stream: TcpStream, posted: &std::sync::mpsc::Sender<(String, Vec<u8>)>) {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            if stream.read_exact(&mut byte).is_err() {
                return;
            }
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let mut body = vec![0; length.trim().parse().unwrap()];
        stream.read_exact(&mut body).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
        let path = head.split(' ').nth(1).unwrap().to_owned();
        // The test may be over.
        if posted.send((path, body)).is_err() {
            return;
        }
    }
}
