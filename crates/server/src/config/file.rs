//! The configuration file as written: names and nesting, no meaning.
//!
//! Every leaf is text with its place. YAML types are not asked for, because a leaf may be `${env:NAME}`; what
//! the text must be is decided by [`super::resolve`]. A key that is not here is an error.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_saphyr::Spanned;

/// A single value.
pub(super) type Leaf = Option<Spanned<String>>;
/// A list of values.
pub(super) type List = Option<Spanned<Vec<Spanned<String>>>>;

/// Declares sections: structs of which every field may be absent and no other key may be present.
macro_rules! sections {
    ($($name:ident { $($(#[$attr:meta])* $field:ident: $type:ty),+ $(,)? })+) => {$(
        #[derive(Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        #[allow(clippy::struct_field_names, reason = "the names are those of the file")]
        pub(super) struct $name { $($(#[$attr])* pub(super) $field: $type),+ }
    )+};
}

sections! {
    File {
        receivers: Option<Receivers>,
        processors: Option<Processors>,
        exporters: Option<Exporters>,
        storage: Option<Storage>,
        providers: Option<Providers>,
        budgets: Option<Vec<Spanned<Budget>>>,
        prepaid: Option<Vec<Spanned<Account>>>,
        invoices: Option<Vec<Spanned<Invoice>>>,
        service: Option<Service>,
    }
    Receivers { otlp: Option<Otlp> }
    Otlp { protocols: Option<Spanned<Protocols>>, auth: Option<Auth>, limits: Option<OtlpLimits> }
    OtlpLimits { max_connections: Leaf, max_inflight_bytes: Leaf }
    // As in the Collector, `grpc:` with nothing after it switches the protocol on with its defaults.
    Protocols {
        #[serde(deserialize_with = "mentioned")]
        grpc: Option<Grpc>,
        #[serde(deserialize_with = "mentioned")]
        http: Option<Http>,
    }
    Grpc {
        endpoint: Leaf,
        max_recv_msg_size_mib: Leaf,
        max_concurrent_streams: Leaf,
        keepalive: Option<Keepalive>,
        tls: Option<ServerTls>,
    }
    Keepalive { server_parameters: Option<ServerParameters> }
    ServerParameters {
        max_connection_idle: Leaf,
        max_connection_age: Leaf,
        max_connection_age_grace: Leaf,
        time: Leaf,
        timeout: Leaf,
    }
    Http {
        endpoint: Leaf,
        max_request_body_size: Leaf,
        traces_url_path: Leaf,
        read_header_timeout: Leaf,
        cors: Option<Cors>,
        tls: Option<ServerTls>,
    }
    Cors { allowed_origins: List, allowed_headers: List, exposed_headers: List, max_age: Leaf }
    ServerTls {
        cert_file: Leaf,
        key_file: Leaf,
        client_ca_file: Leaf,
        min_version: Leaf,
        reload_interval: Leaf,
    }
    Auth {
        tenant_header: Leaf,
        max_tenants: Leaf,
        rate_limit_bytes: Leaf,
        burst_size_bytes: Leaf,
        max_inflight_bytes: Leaf,
        tenants: Option<Spanned<Vec<Tenant>>>,
    }
    Tenant {
        name: Leaf,
        token: Leaf,
        token_file: Leaf,
        rate_limit_bytes: Leaf,
        burst_size_bytes: Leaf,
        max_inflight_bytes: Leaf,
    }
    Processors { spantally: Option<Spantally> }
    Spantally {
        settle_delay: Leaf,
        idle_timeout: Leaf,
        absolute_timeout: Leaf,
        duplicate_window: Leaf,
        retention: Leaf,
        rematch: Leaf,
        ambiguous_probability: Leaf,
        labels: List,
        correlation: Option<Correlation>,
        limits: Option<Limits>,
    }
    Correlation {
        job_attributes: List,
        session_attributes: List,
        task_attributes: List,
        status_attributes: List,
        requests_only: Leaf,
        webhooks: Option<Spanned<Vec<Webhook>>>,
    }
    Webhook { provider: Leaf, path: Leaf }
    Limits {
        max_spans: Leaf,
        max_open_jobs: Leaf,
        max_trace_tasks: Leaf,
        max_task_spans: Leaf,
        max_idle_frames: Leaf,
        max_assignment: Leaf,
    }
    Prometheus {
        endpoint: Leaf,
        allowed_hosts: List,
        max_label_sets: Leaf,
        native_histograms: Leaf,
        new_series_at_zero: Leaf,
        tls: Option<ServerTls>,
    }
    OtlpExporter {
        endpoint: Leaf,
        traces_endpoint: Leaf,
        spans: Leaf,
        job_spans: Leaf,
        job_attributes: Option<JobAttributes>,
        headers: Option<Headers>,
        compression: Leaf,
        timeout: Leaf,
        tls: Option<ClientTls>,
        sending_queue: Option<SendingQueue>,
        retry_on_failure: Option<RetryOnFailure>,
    }
    ClientTls {
        insecure: Leaf,
        ca_file: Leaf,
        cert_file: Leaf,
        key_file: Leaf,
        server_name_override: Leaf,
        min_version: Leaf,
        reload_interval: Leaf,
    }
    JobAttributes { enabled: Leaf, wait_duration: Leaf, max_size: Leaf }
    SendingQueue { queue_size: Leaf, batch: Option<QueueBatch> }
    QueueBatch { flush_timeout: Leaf, max_size: Leaf }
    RetryOnFailure {
        enabled: Leaf,
        initial_interval: Leaf,
        max_interval: Leaf,
        max_elapsed_time: Leaf,
    }
    Storage {
        directory: Leaf,
        ledger: Option<StoredLedger>,
        journal: Option<StoredJournal>,
        durability: Leaf,
        sync_interval: Leaf,
    }
    StoredLedger { max_age: Leaf, max_size: Leaf }
    StoredJournal { max_size: Leaf }
    Providers { directory: Leaf, reload_interval: Leaf }
    Budget {
        name: Leaf,
        limit: Leaf,
        currency: Leaf,
        unit: Leaf,
        period: Leaf,
        time_zone: Leaf,
        scope: Option<BTreeMap<String, Spanned<String>>>,
    }
    Account {
        name: Leaf,
        currency: Leaf,
        unit: Leaf,
        balance: Leaf,
        as_of: Leaf,
        expires: Leaf,
        top_ups: Option<Vec<Spanned<TopUp>>>,
        scope: Option<BTreeMap<String, Spanned<String>>>,
    }
    TopUp { amount: Leaf, at: Leaf, expires: Leaf }
    Invoice { provider: Leaf, period: Leaf, time_zone: Leaf, amount: Leaf, currency: Leaf }
    Service { telemetry: Option<Telemetry> }
    Telemetry { logs: Option<Logs> }
    Logs { level: Leaf, encoding: Leaf }
}

/// A key that counts as given even when nothing follows it.
fn mentioned<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::<T>::deserialize(deserializer).map(|section| Some(section.unwrap_or_default()))
}

/// The section of exporters: one page of metrics, and destinations that the user names (`otlp/tempo`).
#[derive(Debug, Default)]
pub(super) struct Exporters {
    pub(super) prometheus: Option<Prometheus>,
    /// By name, in the order of the file.
    pub(super) otlp: Vec<(Spanned<String>, OtlpExporter)>,
}

/// Kinds of destinations: the Collector's names, old and new.
const OTLP_KINDS: [&str; 4] = ["otlp", "otlp_grpc", "otlphttp", "otlp_http"];

impl<'de> Deserialize<'de> for Exporters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ExportersVisitor)
    }
}

struct ExportersVisitor;

impl<'de> Visitor<'de> for ExportersVisitor {
    type Value = Exporters;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a section of exporters")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Exporters, A::Error> {
        let mut exporters = Exporters::default();
        while let Some(spanned) = map.next_key::<Spanned<String>>()? {
            let key = &spanned.value;
            let (kind, name) = key.split_once('/').unwrap_or((key, "-"));
            let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
            if key == "prometheus" {
                exporters.prometheus = map.next_value()?;
            } else if OTLP_KINDS.contains(&kind) && !name.is_empty() && name.bytes().all(is_name) {
                let exporter = map.next_value::<Option<OtlpExporter>>()?.unwrap_or_default();
                exporters.otlp.push((spanned, exporter));
            } else {
                return Err(A::Error::unknown_field(key, &["prometheus", "otlp", "otlphttp"]));
            }
        }
        Ok(exporters)
    }
}

/// Headers by name, each name with its place.
#[derive(Debug)]
pub(super) struct Headers(pub(super) Vec<(Spanned<String>, Spanned<String>)>);

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeadersVisitor)
    }
}

struct HeadersVisitor;

impl<'de> Visitor<'de> for HeadersVisitor {
    type Value = Headers;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("headers and their values")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Headers, A::Error> {
        let mut headers = Vec::new();
        while let Some(header) = map.next_entry()? {
            headers.push(header);
        }
        Ok(Headers(headers))
    }
}
