//! Clients that mean harm, or do not know better, on bare sockets: each is stopped at a bound, and others are
//! served meanwhile.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::grpc::{connect, export};
use super::raw::{PROTOBUF, good, post, raw, send};
use crate::receivers::testing::Server;
use crate::receivers::{Connections, GrpcSettings, HttpSettings};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const END_HEADERS: u8 = 4;
const REFUSED_STREAM: u32 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;

/// An HTTP/2 frame.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = (payload.len() as u32).to_be_bytes();
    [&len[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The head of an export, of which the body is still to come.
fn head(stream: u32) -> Vec<u8> {
    let path = b"/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    let kind = b"application/grpc";
    // :method POST and :scheme http are in HPACK's table, :path and content-type are names in it.
    let fields =
        [&[0x83, 0x86, 0x04, path.len() as u8][..], path, &[0x0f, 0x10, kind.len() as u8], kind].concat();
    frame(HEADERS, END_HEADERS, stream, &fields)
}

async fn open(to: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, b"")].concat()).await.unwrap();
    stream
}

/// Reads frames until one is of a kind, and returns its payload; none when the connection ends before.
async fn until(stream: &mut TcpStream, wanted: u8) -> Option<Vec<u8>> {
    let reading = async {
        loop {
            let mut head = [0; 9];
            stream.read_exact(&mut head).await.ok()?;
            let len = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; len as usize];
            stream.read_exact(&mut payload).await.ok()?;
            if head[3] == wanted {
                return Some(payload);
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), reading).await.unwrap()
}

fn error_code(payload: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(payload[at..at + 4].try_into().unwrap())
}

/// That the server is none the worse.
async fn assert_serves(server: &Server) {
    export(&mut connect(server).await, &good()).await.unwrap();
    assert_eq!(send(server.http, &post(PROTOBUF, &good())).await.code, 200);
    assert_eq!(server.intake.inflight().used_bytes(), 0);
}

async fn with(connections: Connections) -> Server {
    let grpc = GrpcSettings { connections: connections.clone(), ..GrpcSettings::default() };
    let http = HttpSettings { connections, ..HttpSettings::default() };
    Server::start_with(grpc, http, 1 << 20).await
}

#[tokio::test]
async fn a_flood_of_resets_ends_its_connection() {
    let server = Server::start().await;
    for to in [server.grpc, server.http] {
        let mut stream = open(to).await;
        let cancel = 8_u32.to_be_bytes();
        let flood = (0..2000_u32).flat_map(|number| {
            let id = 2 * number + 1;
            [head(id), frame(RST_STREAM, 0, id, &cancel)].concat()
        });
        let (mut reader, mut writer) = stream.split();
        let flood: Vec<u8> = flood.collect();
        // The server may close before it has read all of it.
        let (_, goaway) = tokio::join!(writer.write_all(&flood), async {
            let mut all = Vec::new();
            let read = tokio::time::timeout(Duration::from_secs(10), reader.read_to_end(&mut all)).await;
            // A reset of the socket is an end too.
            assert!(read.is_ok(), "the connection is still open");
            all
        });
        let calm = ENHANCE_YOUR_CALM.to_be_bytes();
        let is_goaway = |at: usize| goaway[at + 3] == GOAWAY && goaway[at + 13..at + 17] == calm;
        assert!((0..goaway.len().saturating_sub(17)).any(is_goaway), "{goaway:?}");
        assert_serves(&server).await;
    }
    assert!(server.intake.stats().connections_failed.load(Ordering::Relaxed) >= 2);
}

#[tokio::test]
async fn a_flood_of_pings_that_reads_no_answer_holds_up_nobody_else() {
    let server = Server::start().await;
    let mut stream = open(server.grpc).await;
    let pings = frame(PING, 0, 0, &[0; 8]).repeat(1000);
    let mut sent = 0;
    while sent < 20_000 {
        // Once its answers are not read, the server does not read its pings either.
        match tokio::time::timeout(Duration::from_millis(300), stream.write_all(&pings)).await {
            Ok(Ok(())) => sent += 1,
            Ok(Err(_)) | Err(_) => break,
        }
    }
    assert!(sent < 20_000, "340 MB of pings were taken without an answer being read");
    assert_serves(&server).await;
}

#[tokio::test]
async fn more_streams_than_allowed_are_refused_one_by_one() {
    let server = with(Connections { max_concurrent_streams: 4, ..Connections::default() }).await;
    let mut stream = open(server.grpc).await;
    let heads: Vec<u8> = (0..5).flat_map(|number| head(2 * number + 1)).collect();
    // The limit holds from the moment that the client has acknowledged the settings.
    until(&mut stream, SETTINGS).await.unwrap();
    stream.write_all(&[frame(SETTINGS, 1, 0, b""), heads].concat()).await.unwrap();
    let refused = until(&mut stream, RST_STREAM).await.unwrap();
    assert_eq!(error_code(&refused, 0), REFUSED_STREAM);
    // One of the others goes on.
    let message = [&[0][..], &(good().len() as u32).to_be_bytes(), &good()].concat();
    stream.write_all(&frame(DATA, 1, 1, &message)).await.unwrap();
    assert!(until(&mut stream, HEADERS).await.is_some());
    server.expect_committed((2, 2));
}

#[tokio::test]
async fn many_calls_at_once_on_one_connection_are_all_answered() {
    let server = Server::start().await;
    let channel = connect(&server).await;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let mut channel = channel.clone();
        calls
            .spawn(async move { export(&mut channel, &good()).await.map(drop).map_err(|refused| refused.0) });
    }
    for answer in calls.join_all().await {
        answer.unwrap();
    }
    server.expect_committed((400, 400));
}

/// Room is for bytes that come: of 20 connections to each port, and of 256 calls on each of those by gRPC.
#[tokio::test]
async fn lengths_that_are_announced_and_never_sent_keep_nobody_out() {
    let server = Server::start_with(GrpcSettings::default(), HttpSettings::default(), 16 << 20).await;
    let announced = format!(
        "POST /v1/traces HTTP/1.1\r\nHost: h\r\n{PROTOBUF}Content-Length: {}\r\n\r\nten bytes.",
        64 << 20
    );
    let message = [&[0][..], &(64_u32 << 20).to_be_bytes()].concat();
    let call = |number: u32| [head(2 * number + 1), frame(DATA, 0, 2 * number + 1, &message)].concat();
    let calls: Vec<u8> = (0..256).flat_map(call).collect();
    let mut held = Vec::new();
    for _ in 0..20 {
        held.push(TcpStream::connect(server.http).await.unwrap());
        held.last_mut().unwrap().write_all(announced.as_bytes()).await.unwrap();
        held.push(open(server.grpc).await);
        held.last_mut().unwrap().write_all(&calls).await.unwrap();
    }
    // The five bytes before each message have come, and of each body by HTTP ten: for those as much again.
    let expected = 20 * 256 * 5 + 20 * (10 + 10);
    while server.intake.inflight().used_bytes() < expected {
        tokio::task::yield_now().await;
    }
    assert_eq!(server.intake.inflight().used_bytes(), expected);
    export(&mut connect(&server).await, &good()).await.unwrap();
    assert_eq!(send(server.http, &post(PROTOBUF, &good())).await.code, 200);
    let large = post(PROTOBUF, &vec![0; 5 << 20]);
    assert_eq!(send(server.http, &large).await.code, 400, "it is read to its end");
    drop(held);
    while server.intake.inflight().used_bytes() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn heads_without_end_are_refused() {
    let server = Server::start().await;
    let long = format!("X: {}\r\n", "y".repeat(300_000));
    assert_eq!(send(server.http, &raw("POST /v1/traces", &long, b"")).await.code, 431);
    let many = "X: y\r\n".repeat(500);
    assert_eq!(send(server.http, &raw("POST /v1/traces", &many, b"")).await.code, 431);
    assert_serves(&server).await;
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_and_idle_ones_make_room() {
    let idle = Some(Duration::from_millis(300));
    let server =
        with(Connections { max_connections: 1, max_connection_idle: idle, ..Connections::default() }).await;
    let mut first = TcpStream::connect(server.http).await.unwrap();
    let keep_alive = String::from_utf8_lossy(&post(PROTOBUF, b"")).replace("Connection: close\r\n", "");
    first.write_all(keep_alive.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    first.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    // It stays open and unused, and the second is served all the same, a little later.
    let body = post(PROTOBUF, &good());
    let second = send(server.http, &body);
    let second = tokio::time::timeout(Duration::from_secs(5), second).await.unwrap();
    assert_eq!(second.code, 200);
    let mut rest = Vec::new();
    first.read_to_end(&mut rest).await.unwrap();
}

#[tokio::test]
async fn a_connection_of_age_ends_in_order() {
    let connections = Connections {
        max_connection_age: Some(Duration::from_millis(200)),
        max_connection_age_grace: Duration::from_millis(300),
        ..Connections::default()
    };
    let server = with(connections).await;
    let mut polite = open(server.grpc).await;
    let goaway = until(&mut polite, GOAWAY).await.unwrap();
    assert_eq!(error_code(&goaway, 4), 0, "told, not thrown out");
    // One that does not end its request is cut off after the grace.
    let mut rude = open(server.grpc).await;
    rude.write_all(&head(1)).await.unwrap();
    assert!(until(&mut rude, 0xff).await.is_none());
    // A tonic channel connects anew by itself.
    let mut channel = connect(&server).await;
    for _ in 0..4 {
        export(&mut channel, &good()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
}

#[tokio::test]
async fn a_client_that_answers_no_ping_is_gone() {
    let connections = Connections {
        keepalive_time: Duration::from_millis(100),
        keepalive_timeout: Duration::from_millis(200),
        ..Connections::default()
    };
    let server = with(connections).await;
    let mut stream = open(server.grpc).await;
    stream.write_all(&[frame(SETTINGS, 1, 0, b""), head(1)].concat()).await.unwrap();
    assert!(until(&mut stream, PING).await.is_some());
    assert!(until(&mut stream, 0xff).await.is_none(), "it ends");
    assert_serves(&server).await;
}
