//! Settings of what goes over the network besides the receivers' own: TLS, who may send, where spans are
//! forwarded.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use rustls::pki_types::ServerName;

/// A secret from the configuration; it is never written to a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The oldest version of TLS that is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2.
    #[default]
    V1_2,
    /// TLS 1.3.
    V1_3,
}

impl TlsVersion {
    /// Every value.
    pub const ALL: [Self; 2] = [Self::V1_2, Self::V1_3];

    /// The word in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1_2 => "1.2",
            Self::V1_3 => "1.3",
        }
    }
}

/// TLS of a port of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTlsFiles {
    /// PEM: the server's certificate, then those between it and the authority.
    pub cert_file: PathBuf,
    /// PEM: its private key.
    pub key_file: PathBuf,
    /// PEM: authorities of the clients' certificates. With it, clients without one are refused.
    pub client_ca_file: Option<PathBuf>,
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
    /// How often the files are looked at; none is once, at start.
    pub reload_interval: Option<Duration>,
}

/// TLS towards a destination.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientTls {
    /// No TLS at all. By default a destination has TLS unless its URL says `http`.
    pub insecure: bool,
    /// PEM: authorities that the server's certificate is checked against instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// PEM: our certificate, for servers that ask for one; with `key_file`.
    pub cert_file: Option<PathBuf>,
    /// PEM: its private key.
    pub key_file: Option<PathBuf>,
    /// The name that the server's certificate is checked for instead of the endpoint's.
    pub server_name_override: Option<ServerName<'static>>,
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
    /// How often the files are looked at; none is never again.
    pub reload_interval: Option<Duration>,
}

/// What pages of other origins may do with the HTTP receiver.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cors {
    /// Origins, `https://*.example.com` and `*` among them. None: browsers are refused.
    pub allowed_origins: Vec<String>,
    /// Request headers besides those that browsers always allow and `content-type`.
    pub allowed_headers: Vec<String>,
    /// Response headers that a page may read.
    pub exposed_headers: Vec<String>,
    /// How long a browser may remember the answer; zero is its own default.
    pub max_age: Duration,
}

/// Who may send, and how much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    /// The header that names the tenant (`X-Scope-OrgID`).
    pub tenant_header: Option<String>,
    /// Most tenants that the header may bring besides the listed ones.
    pub max_tenants: usize,
    /// Limits of tenants that are not listed.
    pub limits: TenantLimits,
    /// Tenants by name.
    pub tenants: Vec<Tenant>,
}

impl Default for Auth {
    fn default() -> Self {
        Self { tenant_header: None, max_tenants: 1000, limits: TenantLimits::default(), tenants: Vec::new() }
    }
}

impl Auth {
    /// Whether a request needs a token.
    pub(crate) fn has_tokens(&self) -> bool {
        self.tenants.iter().any(Tenant::has_token)
    }

    /// Whether nobody can send without a token.
    pub(crate) fn asks_everyone(&self) -> bool {
        self.has_tokens() && self.tenants.iter().all(Tenant::has_token)
    }
}

/// One tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// Its name: the value of the label `tenant`.
    pub name: String,
    /// Its bearer token.
    pub token: Option<Secret>,
    /// The file that holds its bearer token.
    pub token_file: Option<PathBuf>,
    /// Its limits.
    pub limits: TenantLimits,
}

impl Tenant {
    /// The key of its token file, by which its place is known.
    pub(crate) fn token_file_key(&self) -> String {
        format!("receivers.otlp.auth.tenants.{}.token_file", self.name)
    }

    /// Whether it sends with a token.
    pub(crate) fn has_token(&self) -> bool {
        self.token.is_some() || self.token_file.is_some()
    }
}

/// What one tenant may use. Zero is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TenantLimits {
    /// Bytes of requests a second, inflated, over time.
    pub rate_limit_bytes: u64,
    /// Bytes that it may send at once beyond the rate.
    pub burst_size_bytes: u64,
    /// Bytes of its requests in memory at a time.
    pub max_inflight_bytes: u64,
}

/// How a destination is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// OTLP/gRPC.
    Grpc,
    /// OTLP/HTTP with protobuf.
    Http,
}

/// How requests to a destination are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip, which every OTLP server takes.
    #[default]
    Gzip,
    /// Zstandard, which most Collectors take.
    Zstd,
}

impl Compression {
    /// Every value.
    pub const ALL: [Self; 3] = [Self::None, Self::Gzip, Self::Zstd];

    /// The word in the file and in headers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

/// Where received spans are sent on to (`exporters.otlp`, `exporters.otlphttp`, each also with `/name`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The key in the file: `otlp/tempo`.
    pub name: String,
    /// How it is spoken to.
    pub protocol: Protocol,
    /// `http` or `https`, host and port, and for HTTP the path that takes traces.
    pub url: hyper::Uri,
    /// Whether it gets the spans that come in.
    pub spans: bool,
    /// Whether it gets a span for each job that settles.
    pub job_spans: bool,
    /// Whether recognised spans wait for their job, to have it on them.
    pub hold: HoldSpans,
    /// Headers of every request.
    pub headers: Vec<(String, Secret)>,
    /// How requests are compressed.
    pub compression: Compression,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// TLS.
    pub tls: ClientTls,
    /// The queue before it.
    pub queue: Queue,
    /// What happens when it does not take a request.
    pub retry: Retry,
}

/// Spans that wait for their job (`job_attributes`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldSpans {
    /// Whether they do.
    pub enabled: bool,
    /// How long a span waits at most; then it goes without.
    pub wait_duration: Duration,
    /// Most memory that they may take; past it the oldest go without.
    pub max_bytes: u64,
}

impl Default for HoldSpans {
    fn default() -> Self {
        Self { enabled: false, wait_duration: Duration::from_mins(5), max_bytes: 64 << 20 }
    }
}

/// The queue of a destination, on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Most bytes that wait; what comes then is counted and not forwarded.
    pub max_bytes: u64,
    /// A request to the destination holds at most about this much, before compression.
    pub batch_max_bytes: usize,
    /// How long spans wait for company.
    pub flush_timeout: Duration,
}

impl Default for Queue {
    fn default() -> Self {
        Self { max_bytes: 1 << 30, batch_max_bytes: 4 << 20, flush_timeout: Duration::from_millis(200) }
    }
}

/// When a request is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Whether it is at all.
    pub enabled: bool,
    /// Wait after the first failure; each further one waits 1.5 times as long, more or less by chance.
    pub initial_interval: Duration,
    /// Longest wait.
    pub max_interval: Duration,
    /// A request that fails for this long is given up and counted; none is never.
    pub max_elapsed_time: Option<Duration>,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            enabled: true,
            initial_interval: Duration::from_secs(5),
            max_interval: Duration::from_secs(30),
            max_elapsed_time: None,
        }
    }
}
