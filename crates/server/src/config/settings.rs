//! What the server runs on: every value parsed, every default filled in.
//!
//! `config/spantally.yaml` shows every field in the file's own words with the reason for its default; a test
//! holds the two together.

use std::path::PathBuf;
use std::time::Duration;

use rust_decimal::Decimal;
use spantally_providers::CorrelationConfig;
use spantally_store::{Durability, JournalOptions};

use super::text::Endpoint;
use super::wire::{Auth, Cors, Destination, ServerTlsFiles};
use crate::budgets::{AccountDefinition, BudgetDefinition};
use crate::commit::CommitOptions;
use crate::core::LedgerRetention;
use crate::invoice::Invoice;

/// The resolved configuration. Its default is the server without a file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// Where spans come in.
    pub receivers: Receivers,
    /// How calls become jobs.
    pub stitching: spantally_stitch::Settings,
    /// What pricing must be told.
    pub pricing: Pricing,
    /// What the configuration adds to recognition: extra labels, names of attributes, paths of webhooks.
    pub correlation: CorrelationConfig,
    /// The page of metrics.
    pub prometheus: PrometheusExporter,
    /// The server of metrics, health and the API.
    pub admin: AdminServer,
    /// The data directory.
    pub storage: Storage,
    /// Provider files beside the built-in ones.
    pub providers: ProviderFiles,
    /// Limits for what is spent.
    pub budgets: Vec<BudgetDefinition>,
    /// Prepaid balances.
    pub prepaid: Vec<AccountDefinition>,
    /// What providers' invoices say.
    pub invoices: Vec<Invoice>,
    /// Where received spans are sent on to.
    pub forward: Vec<Destination>,
    /// Our own log.
    pub logs: Logs,
}

/// Where spans come in. A receiver that is none does not listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receivers {
    /// OTLP/gRPC.
    pub grpc: Option<GrpcReceiver>,
    /// OTLP/HTTP, protobuf and JSON.
    pub http: Option<HttpReceiver>,
    /// Who may send, and how much.
    pub auth: Auth,
    /// Most request bytes in memory at once, over all connections.
    pub max_inflight_bytes: u64,
}

impl Receivers {
    /// Most connections at a time, of each port.
    pub fn max_connections(&self) -> usize {
        let grpc = self.grpc.as_ref().map(|grpc| grpc.max_connections);
        grpc.or(self.http.as_ref().map(|http| http.max_connections)).unwrap_or(MAX_CONNECTIONS)
    }
}

impl Default for Receivers {
    fn default() -> Self {
        Self {
            grpc: Some(GrpcReceiver::default()),
            http: Some(HttpReceiver::default()),
            auth: Auth::default(),
            max_inflight_bytes: 256 << 20,
        }
    }
}

/// An exporter has one connection or two, a Collector a few.
const MAX_CONNECTIONS: usize = 1024;

/// OTLP/gRPC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrpcReceiver {
    /// Where to listen.
    pub endpoint: Endpoint,
    /// Largest request, before and after decompression.
    pub max_message_bytes: usize,
    /// Most connections at a time.
    pub max_connections: usize,
    /// Most requests under way on one connection.
    pub max_concurrent_streams: u32,
    /// A connection without a request for this long is closed in order.
    pub max_connection_idle: Option<Duration>,
    /// Connections older than this are closed in order, so that clients behind a balancer spread again.
    pub max_connection_age: Option<Duration>,
    /// How long requests may go on after their connection was told to end.
    pub max_connection_age_grace: Duration,
    /// A connection without traffic is pinged after this long.
    pub keepalive_time: Duration,
    /// A connection that does not answer a ping within this is closed.
    pub keepalive_timeout: Duration,
    /// TLS, if it is on.
    pub tls: Option<ServerTlsFiles>,
}

impl Default for GrpcReceiver {
    fn default() -> Self {
        Self {
            endpoint: Endpoint::loopback(4317),
            max_message_bytes: 64 << 20,
            max_connections: MAX_CONNECTIONS,
            max_concurrent_streams: 256,
            max_connection_idle: Some(Duration::from_mins(10)),
            max_connection_age: None,
            max_connection_age_grace: Duration::from_secs(30),
            keepalive_time: Duration::from_mins(1),
            keepalive_timeout: Duration::from_secs(20),
            tls: None,
        }
    }
}

/// OTLP/HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpReceiver {
    /// Where to listen.
    pub endpoint: Endpoint,
    /// Largest request body, before and after decompression.
    pub max_body_bytes: usize,
    /// Most connections at a time.
    pub max_connections: usize,
    /// The path of trace requests.
    pub traces_url_path: String,
    /// A connection that brings no request headers within this is closed, also between requests.
    pub read_header_timeout: Duration,
    /// What pages of other origins may do.
    pub cors: Cors,
    /// TLS, if it is on.
    pub tls: Option<ServerTlsFiles>,
}

impl Default for HttpReceiver {
    fn default() -> Self {
        Self {
            endpoint: Endpoint::loopback(4318),
            max_body_bytes: 64 << 20,
            max_connections: MAX_CONNECTIONS,
            traces_url_path: "/v1/traces".to_owned(),
            read_header_timeout: Duration::from_mins(1),
            cors: Cors::default(),
            tls: None,
        }
    }
}

/// What pricing must be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pricing {
    /// How likely an ambiguous submit without a task made one and bills: its expected cost is this share of
    /// the full cost.
    pub ambiguous_probability: Decimal,
}

impl Default for Pricing {
    fn default() -> Self {
        Self { ambiguous_probability: Decimal::new(5, 1) }
    }
}

/// The page of metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrometheusExporter {
    /// Most distinct sets of the common labels; further ones are counted in one overflow set, so that sums
    /// stay exact.
    pub max_label_sets: usize,
    /// Whether protobuf pages have native histograms beside the classic ones.
    pub native_histograms: bool,
    /// How long Prometheus sees a new series at zero, from the first page that has it on; 0 is not at all.
    pub new_series_at_zero: Duration,
}

impl Default for PrometheusExporter {
    fn default() -> Self {
        Self { max_label_sets: 2000, native_histograms: false, new_series_at_zero: Duration::from_mins(1) }
    }
}

/// The server of metrics, health and the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminServer {
    /// Where to listen (`exporters.prometheus.endpoint`).
    pub endpoint: Endpoint,
    /// Names that requests may be for besides addresses and `localhost`; none is any where the port is not of
    /// loopback.
    pub allowed_hosts: Vec<String>,
    /// TLS, if it is on.
    pub tls: Option<ServerTlsFiles>,
}

impl Default for AdminServer {
    fn default() -> Self {
        Self { endpoint: Endpoint::loopback(9464), allowed_hosts: Vec::new(), tls: None }
    }
}

/// The data directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    /// Holds the journal and the ledger; made if absent.
    pub directory: PathBuf,
    /// How much the ledger keeps.
    pub ledger: LedgerRetention,
    /// Size in bytes that the journal may have.
    pub journal_max_bytes: u64,
    /// What an acknowledgement promises.
    pub durability: Durability,
    /// How often a relaxed journal is synced.
    pub sync_interval: Duration,
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            directory: "spantally-data".into(),
            ledger: LedgerRetention::default(),
            journal_max_bytes: 8 << 30,
            durability: Durability::Strict,
            sync_interval: Duration::from_millis(200),
        }
    }
}

impl Storage {
    /// The journal, as it is to be opened.
    pub fn journal(&self) -> JournalOptions {
        let primed_bytes = JournalOptions::default().primed_bytes.min(self.journal_max_bytes);
        JournalOptions { primed_bytes, max_bytes: self.journal_max_bytes, durability: self.durability }
    }

    /// The commit before it.
    pub fn commit(&self) -> CommitOptions {
        let sync_interval_ms = self.sync_interval.as_millis() as u64;
        CommitOptions { sync_interval_ms, ..CommitOptions::default() }
    }
}

/// Provider files beside the built-in ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderFiles {
    /// Directory of `*.yaml` files; one of a built-in provider replaces its file.
    pub directory: Option<PathBuf>,
    /// How often the directory is looked at for changes; none: only at SIGHUP.
    pub reload_interval: Option<Duration>,
}

impl Default for ProviderFiles {
    fn default() -> Self {
        Self { directory: None, reload_interval: Some(Duration::from_secs(10)) }
    }
}

/// Our own log, on standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Logs {
    /// The least severe level that is written.
    pub level: LogLevel,
    /// How a line looks.
    pub encoding: LogEncoding,
}

/// The least severe level that is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogLevel {
    /// Only what stops something from working.
    Error,
    /// Also what someone should look at.
    Warn,
    /// Also what the server does, a few lines an hour.
    #[default]
    Info,
    /// Also each request.
    Debug,
}

impl LogLevel {
    /// Every value.
    pub const ALL: [Self; 4] = [Self::Error, Self::Warn, Self::Info, Self::Debug];

    /// The word in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogEncoding {
    /// For people.
    #[default]
    Console,
    /// One JSON object a line.
    Json,
}

impl LogEncoding {
    /// Every value.
    pub const ALL: [Self; 2] = [Self::Console, Self::Json];

    /// The word in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Console => "console",
            Self::Json => "json",
        }
    }
}
