//! The configuration file as written: names and nesting, no meaning.
//!
//! Every leaf is text with its place. YAML types are not asked for, because a leaf may be `${env:NAME}`; what
//! the text must be is decided by [`super::resolve`]. A key that is not here is an error.

use std::collections::BTreeMap;

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
        service: Option<Service>,
    }
    Receivers { otlp: Option<Otlp> }
    Otlp { protocols: Option<Protocols> }
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
    }
    Keepalive { server_parameters: Option<ServerParameters> }
    ServerParameters { max_connection_age: Leaf, time: Leaf, timeout: Leaf }
    Http {
        endpoint: Leaf,
        max_request_body_size: Leaf,
        traces_url_path: Leaf,
        read_header_timeout: Leaf,
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
        webhooks: Option<Spanned<Vec<Webhook>>>,
    }
    Webhook { provider: Leaf, path: Leaf }
    Limits { max_spans: Leaf, max_idle_frames: Leaf, max_assignment: Leaf }
    Exporters { prometheus: Option<Prometheus> }
    Prometheus { endpoint: Leaf, max_label_sets: Leaf }
    Storage { directory: Leaf }
    Providers { directory: Leaf }
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
