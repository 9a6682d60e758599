//! Clients that send again what was not acknowledged, and now and then what was.

use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message as _;
use spantally_tests::oracle::Random;
use tonic::codegen::http::uri::PathAndQuery;

use crate::process::Process;
use crate::traffic::{Job, Sent, request};

/// Clients; every second one speaks gRPC.
const CLIENTS: usize = 4;
/// A client that cannot deliver in so many tries, some minutes, has found a server that does not come back.
/// Tries, not time: the whole machine may stand still for a while.
const MAX_TRIES: u32 = 3000;

/// The running clients.
pub(crate) struct Clients {
    threads: Vec<JoinHandle<Sent>>,
    stop: Arc<AtomicBool>,
    /// Jobs that are acknowledged so far.
    pub(crate) sent: Arc<AtomicU64>,
}

impl Clients {
    pub(crate) fn start(process: &Process, seed: u64) -> Self {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (late, whole) = (process.profile.late_after, !process.profile.late);
        let threads = (0..CLIENTS).map(|number| {
            let transport = match number % 2 {
                0 => Transport::Http(process.http),
                _ => Transport::grpc(process.grpc),
            };
            let random = Random::new(seed.wrapping_mul(1000) + number as u64);
            let client = Client {
                number,
                transport,
                random,
                sent: Sent::default(),
                due: VecDeque::new(),
                late,
                whole,
            };
            let (stop, sent) = (Arc::clone(&stop), Arc::clone(&sent));
            std::thread::spawn(move || client.run(&stop, &sent))
        });
        Self { threads: threads.collect(), stop, sent }
    }

    /// Lets them finish what they began; the server must be up.
    pub(crate) fn finish(self) -> Sent {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Sent::default();
        for thread in self.threads {
            let Sent { mut jobs, spans, late_spans, requests, acknowledged_spans, resent } =
                thread.join().unwrap();
            all.jobs.append(&mut jobs);
            all.spans += spans;
            all.late_spans += late_spans;
            all.requests += requests;
            all.acknowledged_spans += acknowledged_spans;
            all.resent += resent;
        }
        all
    }
}

struct Client {
    number: usize,
    transport: Transport,
    random: Random,
    sent: Sent,
    /// Late spans, and when they are to come.
    due: VecDeque<(Instant, Job)>,
    /// Late evidence comes this long after the rest of its job was acknowledged.
    late: Duration,
    /// Jobs are sent in one part each: where they are forgotten after seconds, a part that had to be sent
    /// again and again would come late.
    whole: bool,
}

impl Client {
    fn run(mut self, stop: &AtomicBool, sent: &AtomicU64) -> Sent {
        while !stop.load(Ordering::Relaxed) {
            self.group(sent);
            let now = Instant::now();
            while self.due.front().is_some_and(|(due, _)| *due <= now) {
                self.send_late();
            }
            std::thread::sleep(Duration::from_millis(60 + self.random.below(200)));
        }
        while let Some((due, _)) = self.due.front() {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            self.send_late();
        }
        self.sent
    }

    /// Some jobs at once: first the first parts of all, then the second ones.
    fn group(&mut self, sent: &AtomicU64) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
        let count = 1 + self.random.below(5);
        let mut jobs: Vec<Job> = (0..count).map(|_| Job::draw(&mut self.random, now)).collect();
        for job in jobs.iter_mut().filter(|_| self.whole) {
            job.parts = vec![job.parts.concat()];
        }
        for part in 0..3 {
            let spans: Vec<_> =
                jobs.iter_mut().filter_map(|job| job.parts.get_mut(part)).flat_map(std::mem::take).collect();
            if !spans.is_empty() {
                self.deliver(spans);
            }
        }
        for job in jobs {
            sent.fetch_add(1, Ordering::Relaxed);
            self.sent.jobs.insert(job.task.clone(), job.kind);
            if !job.late.is_empty() {
                self.due.push_back((Instant::now() + self.late, job));
            }
        }
    }

    fn send_late(&mut self) {
        if let Some((_, job)) = self.due.pop_front() {
            self.sent.late_spans += job.late.len() as u64;
            self.deliver(job.late);
        }
    }

    /// Until it is acknowledged, and in one case of sixteen once more: the answer may have been lost.
    fn deliver(&mut self, spans: Vec<opentelemetry_proto::tonic::trace::v1::Span>) {
        let count = spans.len() as u64;
        let request = request(self.number, spans);
        let mut tries = 0;
        while !self.transport.send(&request) {
            tries += 1;
            assert!(tries < MAX_TRIES, "nothing is taken any more");
            std::thread::sleep(Duration::from_millis(20 + self.random.below(120)));
        }
        self.sent.spans += count;
        self.sent.requests += 1;
        self.sent.acknowledged_spans += count;
        if self.random.below(16) == 0 && self.transport.send(&request) {
            tries += 1;
            self.sent.acknowledged_spans += count;
        }
        self.sent.resent += u64::from(tries > 0);
    }
}

enum Transport {
    Http(SocketAddr),
    Grpc(tokio::runtime::Runtime, tonic::transport::Channel),
}

impl Transport {
    fn grpc(address: SocketAddr) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{address}")).unwrap();
        let endpoint = endpoint.timeout(Duration::from_secs(20)).connect_timeout(Duration::from_secs(5));
        let channel = runtime.block_on(async { endpoint.connect_lazy() });
        Self::Grpc(runtime, channel)
    }

    /// Whether it was acknowledged. A connection that is cut says nothing, so it was not.
    fn send(&mut self, request: &ExportTraceServiceRequest) -> bool {
        match self {
            Self::Http(address) => post(*address, &request.encode_to_vec()).unwrap_or(false),
            Self::Grpc(runtime, channel) => runtime.block_on(export(channel.clone(), request.clone())),
        }
    }
}

fn post(address: SocketAddr, body: &[u8]) -> Option<bool> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/x-protobuf\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body].concat()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.split(' ').nth(1)?;
    assert!(["200", "503"].contains(&status), "a good request was answered with {answer}");
    Some(status == "200")
}

async fn export(channel: tonic::transport::Channel, request: ExportTraceServiceRequest) -> bool {
    let mut client = tonic::client::Grpc::new(channel);
    if client.ready().await.is_err() {
        return false;
    }
    let path = PathAndQuery::from_static("/opentelemetry.proto.collector.trace.v1.TraceService/Export");
    let codec = tonic_prost::ProstCodec::<ExportTraceServiceRequest, ExportTraceServiceResponse>::default();
    client.unary(tonic::Request::new(request), path, codec).await.is_ok()
}
