//! HTTP/1.1 over bare sockets: nothing but the bytes that a test gives is sent.

use std::io::Write;
use std::net::SocketAddr;

use prost::Message;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::google_rpc::Status;
use crate::receivers::testing::{call_span, request};

pub(super) const PROTOBUF: &str = "Content-Type: application/x-protobuf\r\n";
pub(super) const JSON: &str = "Content-Type: application/json\r\n";

pub(super) struct Answer {
    pub(super) code: u16,
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub(super) fn status(&self) -> Status {
        Status::decode(&*self.body).unwrap()
    }
}

/// Sends bytes and reads the answer until the server closes.
pub(super) async fn send(to: SocketAddr, bytes: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    read(&mut stream).await
}

pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Answer {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let split = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(answer[..split].to_vec()).unwrap();
    let code = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { code, head, body: answer[split + 4..].to_vec() }
}

pub(super) fn post(headers: &str, body: &[u8]) -> Vec<u8> {
    raw("POST /v1/traces", headers, body)
}

pub(super) fn raw(line: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let len = body.len();
    let head = format!(
        "{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}Content-Length: {len}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

pub(super) fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn good() -> Vec<u8> {
    request("clips", vec![call_span(1), call_span(2)]).encode_to_vec()
}
