//! Clients that send again what was not acknowledged, and now and then what was.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use spantally_stitch::UnixNanos;
use spantally_tests::oracle::Random;
use tonic::codegen::http::uri::PathAndQuery;

use crate::process::Process;
use crate::sent::{Delivery, Part, Sent, SentJob, Told};
use crate::traffic::{Job, request};

/// Clients; every second one speaks gRPC.
const CLIENTS: usize = 4;
/// A client that cannot deliver in so many tries, some minutes, has found a server that does not come back.
/// Tries, not time: the whole machine may stand still for a while.
const MAX_TRIES: u32 = 3000;

/// The running clients.
pub(crate) struct Clients {
    threads: Vec<JoinHandle<Sent>>,
    stop: Arc<AtomicBool>,
    /// Jobs that were begun so far.
    pub(crate) sent: Arc<AtomicU64>,
}

impl Clients {
    pub(crate) fn start(process: &Process, seed: u64) -> Self {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let threads = (0..CLIENTS).map(|number| {
            let transport = match number % 2 {
                0 => Transport::Http(process.http),
                _ => Transport::grpc(process.grpc),
            };
            let client = Client {
                number,
                transport,
                random: Random::new(seed.wrapping_mul(1000) + number as u64),
                sent: Sent::default(),
                due: BTreeMap::new(),
                late: process.profile.late_after,
                lives: Arc::clone(&process.lives),
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
            all.add(thread.join().unwrap());
        }
        all
    }
}

struct Client {
    number: usize,
    transport: Transport,
    random: Random,
    sent: Sent,
    /// Jobs of which more is to come, by when that is; the number tells two of one moment apart.
    due: BTreeMap<(Instant, u64), Job>,
    /// Late evidence comes this long after the rest of its job was acknowledged.
    late: Duration,
    /// How often the server was started.
    lives: Arc<AtomicU64>,
}

fn now() -> UnixNanos {
    UnixNanos(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64)
}

impl Client {
    fn run(mut self, stop: &AtomicBool, sent: &AtomicU64) -> Sent {
        while !stop.load(Ordering::Relaxed) {
            let count = 1 + self.random.below(5);
            let jobs = (0..count).map(|_| self.draw()).collect();
            sent.fetch_add(count, Ordering::Relaxed);
            self.begin(jobs);
            self.go_on();
            std::thread::sleep(Duration::from_millis(60 + self.random.below(200)));
        }
        // At the end, when no other task waits for a submit that might be taken for its own.
        let last = Job::with_late_submit(&mut self.random, now().0, self.late);
        self.begin(vec![last]);
        while !self.due.is_empty() {
            // Something settles in every turn, so that the ledger has the moments of all.
            let job = self.draw();
            if job.parts.iter().all(|(pause, _)| pause.is_zero()) {
                self.begin(vec![job]);
            }
            self.go_on();
            std::thread::sleep(Duration::from_millis(250));
        }
        self.sent
    }

    fn draw(&mut self) -> Job {
        Job::draw(&mut self.random, now().0, self.late)
    }

    fn begin(&mut self, jobs: Vec<Job>) {
        for job in &jobs {
            let begun = SentJob { kind: job.kind, trace: job.trace.clone(), parts: Vec::new() };
            self.sent.jobs.insert(job.task.clone(), begun);
        }
        self.send(jobs);
    }

    /// Sends what is due.
    fn go_on(&mut self) {
        while let Some(((due, _), job)) = self.due.pop_first() {
            if due > Instant::now() {
                self.later(due, job);
                return;
            }
            self.send(vec![job]);
        }
    }

    fn later(&mut self, due: Instant, job: Job) {
        let number = self.random.draw();
        self.due.insert((due, number), job);
    }

    /// The next part of some jobs at once; then that of those that do not wait with it.
    fn send(&mut self, mut jobs: Vec<Job>) {
        while !jobs.is_empty() {
            let parts: Vec<Vec<Span>> =
                jobs.iter_mut().filter_map(|job| Some(job.parts.pop_front()?.1)).collect();
            let told: Vec<Vec<Told>> = parts.iter().map(|part| part.iter().map(Told::of).collect()).collect();
            let delivery = self.deliver(parts.concat());
            for (job, told) in jobs.iter().zip(told) {
                let known = self.sent.jobs.get_mut(&job.task).unwrap();
                known.parts.push(Part { told, delivery });
            }
            for job in std::mem::take(&mut jobs) {
                match job.parts.front() {
                    Some((Duration::ZERO, _)) => jobs.push(job),
                    Some(&(pause, _)) => self.later(Instant::now() + pause, job),
                    None => {}
                }
            }
        }
    }

    /// Until it is acknowledged, and in one case of sixteen once more: the answer may have been lost.
    fn deliver(&mut self, spans: Vec<Span>) -> Delivery {
        let count = spans.len() as u64;
        let request = request(self.number, spans);
        let life = self.lives.load(Ordering::Relaxed);
        let (from, mut tries) = (now(), 1);
        while !self.transport.send(&request) {
            tries += 1;
            assert!(tries < MAX_TRIES, "nothing is taken any more");
            std::thread::sleep(Duration::from_millis(20 + self.random.below(120)));
        }
        let (until, lives) = (now(), [life, self.lives.load(Ordering::Relaxed)]);
        self.sent.requests += 1;
        self.sent.acknowledged_spans += count;
        if self.random.below(16) == 0 {
            tries += 1;
            if self.transport.send(&request) {
                self.sent.acknowledged_spans += count;
            }
        }
        self.sent.resent += u64::from(tries > 1);
        Delivery { from, until, last: now(), tries, lives }
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
