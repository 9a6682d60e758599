//! Which signals are exported, where to, and by which protocol: the standard variables, with one difference.
//!
//! The SDK's default is to export to this machine's port 4317 or 4318, which is where Spantally itself
//! listens. So a signal is exported only if an endpoint is given (`OTEL_EXPORTER_OTLP_ENDPOINT`, or the
//! signal's own), or `OTEL_TRACES_EXPORTER=otlp` and so on; and never to a port of ours, for each export
//! would then make spans for the next.
//!
//! - `OTEL_SDK_DISABLED=true`: nothing is exported.
//! - `OTEL_{TRACES,METRICS,LOGS}_EXPORTER`: `otlp` or `none`.
//! - `OTEL_EXPORTER_OTLP_[SIGNAL_]{ENDPOINT,PROTOCOL,HEADERS,TIMEOUT,COMPRESSION}`: as specified; the
//!   protocols are `grpc` and `http/protobuf`.
//! - `OTEL_EXPORTER_OTLP_CERTIFICATE`: authorities of the server's certificate, for `http/protobuf`.
//! - `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`: the resource; the name is `spantally` by default,
//!   and `service.instance.id` a random one for each process.
//! - `OTEL_METRIC_EXPORT_INTERVAL`: as specified. Sums are cumulative whatever is preferred: a page is pushed
//!   in parts, and the SDK takes differences between one export and the next.
//! - `OTEL_TRACES_SAMPLER`, `OTEL_BSP_*`, `OTEL_BLRP_*`: read by the SDK.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use bytes::Bytes;
use hyper::Uri;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_otlp::{
    ExporterBuildError, LogExporter, MetricExporter, Protocol, SpanExporter, WithExportConfig, WithHttpConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::{SdkLogger, SdkLoggerProvider};
use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};

use super::metrics::Pushing;
use super::transport::Transport;
use crate::config::{Receivers, Settings, leads_back};

/// Which of several servers, and of several runs of one.
const INSTANCE_ID: &str = "service.instance.id";

/// How long a stopping server waits for its last exports.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// Looks a variable up.
type Environment<'e> = &'e dyn Fn(&str) -> Option<String>;

/// A signal.
#[derive(Clone, Copy)]
struct Signal {
    /// In the names of variables.
    name: &'static str,
    /// The path of OTLP/HTTP.
    path: &'static str,
}

const TRACES: Signal = Signal { name: "TRACES", path: "/v1/traces" };
const METRICS: Signal = Signal { name: "METRICS", path: "/v1/metrics" };
const LOGS: Signal = Signal { name: "LOGS", path: "/v1/logs" };

/// Where a signal goes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Target {
    url: String,
    protocol: Protocol,
}

impl Signal {
    /// Where it goes; none if it is not exported.
    ///
    /// # Errors
    /// What is wrong with the variables, for the log.
    fn target(self, environment: Environment<'_>, ours: &Receivers) -> Result<Option<Target>, String> {
        let Self { name, path } = self;
        let own = |rest: &str| environment(&format!("OTEL_EXPORTER_OTLP_{name}_{rest}"));
        let exporter = environment(&format!("OTEL_{name}_EXPORTER"));
        let base = environment("OTEL_EXPORTER_OTLP_ENDPOINT");
        let is_on = match exporter.as_deref() {
            Some("none") => false,
            Some("otlp") => true,
            Some(other) => return Err(format!("OTEL_{name}_EXPORTER={other}: expected `otlp` or `none`")),
            None => own("ENDPOINT").is_some() || base.is_some(),
        };
        if !is_on {
            return Ok(None);
        }
        let given = own("PROTOCOL").or_else(|| environment("OTEL_EXPORTER_OTLP_PROTOCOL"));
        let (protocol, default) = match given.as_deref() {
            Some("grpc") => (Protocol::Grpc, "http://localhost:4317"),
            None | Some("http/protobuf") => (Protocol::HttpBinary, "http://localhost:4318"),
            Some(other) => {
                let expected = "expected `grpc` or `http/protobuf`";
                return Err(format!(
                    "OTEL_EXPORTER_OTLP_PROTOCOL={other}: {expected}; {name} are not exported"
                ));
            }
        };
        let of_base = |base: &str| match protocol {
            Protocol::Grpc => base.to_owned(),
            _ => format!("{}{path}", base.trim_end_matches('/')),
        };
        // Not shown when it is wrong: it may have a password.
        let url = own("ENDPOINT").unwrap_or_else(|| of_base(base.as_deref().unwrap_or(default)));
        let Ok(parsed) = url.parse::<Uri>() else {
            return Err(format!("the endpoint of {name} is no URL; {name} are not exported"));
        };
        if leads_back(&parsed, ours) {
            let why = "is a port of this server, and each export would make spans for the next";
            return Err(format!("the endpoint of {name} {why}; {name} are not exported"));
        }
        Ok(Some(Target { url, protocol }))
    }
}

/// How long one export may take where nothing is said, as specified.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

impl Signal {
    /// How long one export may take: `OTEL_EXPORTER_OTLP_[SIGNAL_]TIMEOUT`, in milliseconds.
    fn timeout(self, environment: Environment<'_>) -> Duration {
        let given = environment(&format!("OTEL_EXPORTER_OTLP_{}_TIMEOUT", self.name))
            .or_else(|| environment("OTEL_EXPORTER_OTLP_TIMEOUT"));
        let millis = given.and_then(|text| text.trim().parse().ok());
        millis.map_or(DEFAULT_TIMEOUT, Duration::from_millis)
    }
}

/// Between two pushes of metrics where nothing is said, as specified.
const DEFAULT_INTERVAL: Duration = Duration::from_mins(1);

/// Between two pushes of metrics: `OTEL_METRIC_EXPORT_INTERVAL`, in milliseconds.
fn interval(environment: Environment<'_>) -> Duration {
    let millis = environment("OTEL_METRIC_EXPORT_INTERVAL").and_then(|text| text.trim().parse().ok());
    millis.filter(|millis| *millis > 0).map_or(DEFAULT_INTERVAL, Duration::from_millis)
}

/// Builds an exporter of a signal; returns the error of what cannot be built.
macro_rules! exporter {
    ($builder:expr, $signal:expr, $target:expr, $environment:expr) => {
        match $target.protocol {
            Protocol::Grpc => $builder.with_tonic().with_endpoint($target.url).build()?,
            _ => {
                let transport = Transport::new($environment, $signal.timeout($environment))?;
                let http = $builder.with_http().with_http_client(transport);
                http.with_endpoint($target.url).build()?
            }
        }
    };
}

/// The exporters of this process.
#[derive(Debug, Default)]
pub struct Exporters {
    spans: Option<SdkTracerProvider>,
    logs: Option<SdkLoggerProvider>,
    /// With the time between two pushes.
    metrics: Option<(MetricExporter, Resource, Duration)>,
    pushing: Option<Pushing>,
}

impl Exporters {
    /// Those that the environment asks for, and what is wrong with it.
    pub(super) fn new(settings: &Settings, environment: Environment<'_>) -> (Self, Vec<String>) {
        if environment("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return (Self::default(), Vec::new());
        }
        let mut problems = Vec::new();
        let mut target = |signal: Signal| {
            signal.target(environment, &settings.receivers).unwrap_or_else(|problem| {
                problems.push(problem);
                None
            })
        };
        let [spans, logs, metrics] = [target(TRACES), target(LOGS), target(METRICS)];
        let resource = resource(environment);
        let mut exporters = Self::default();
        let build = || -> Result<(), ExporterBuildError> {
            if let Some(target) = spans {
                let provider = SdkTracerProvider::builder().with_batch_exporter(exporter!(
                    SpanExporter::builder(),
                    TRACES,
                    target,
                    environment
                ));
                exporters.spans = Some(provider.with_resource(resource.clone()).build());
            }
            if let Some(target) = logs {
                let provider = SdkLoggerProvider::builder().with_batch_exporter(exporter!(
                    LogExporter::builder(),
                    LOGS,
                    target,
                    environment
                ));
                exporters.logs = Some(provider.with_resource(resource.clone()).build());
            }
            if let Some(target) = metrics {
                let builder = MetricExporter::builder().with_temporality(Temporality::Cumulative);
                let exporter = exporter!(builder, METRICS, target, environment);
                exporters.metrics = Some((exporter, resource.clone(), interval(environment)));
            }
            Ok(())
        };
        if let Err(error) = build() {
            problems.push(format!("our own telemetry is not exported: {error}"));
        }
        (exporters, problems)
    }

    pub(super) fn tracer(&self) -> Option<SdkTracer> {
        self.spans.as_ref().map(|provider| provider.tracer("spantally"))
    }

    pub(super) fn log_bridge(&self) -> Option<OpenTelemetryTracingBridge<SdkLoggerProvider, SdkLogger>> {
        self.logs.as_ref().map(OpenTelemetryTracingBridge::new)
    }

    /// Begins to export the metrics of a server, if they are to be.
    /// `page` writes them as Prometheus text.
    pub(crate) fn export_metrics(&mut self, page: impl Fn() -> Bytes + Send + Sync + 'static) {
        if let Some((exporter, resource, interval)) = self.metrics.take() {
            self.pushing = Some(Pushing::start(exporter, resource, interval, Box::new(page)));
        }
    }

    /// Sends what is left, for a few seconds at most.
    pub async fn shutdown(self) {
        let shutdown = tokio::task::spawn_blocking(move || {
            let spans = self.spans.map(|spans| spans.shutdown_with_timeout(SHUTDOWN_TIMEOUT));
            let metrics = self.pushing.map(|pushing| pushing.shutdown(SHUTDOWN_TIMEOUT));
            let logs = self.logs.map(|logs| logs.shutdown_with_timeout(SHUTDOWN_TIMEOUT));
            [spans, metrics, logs].into_iter().flatten().filter_map(Result::err).count()
        });
        let failed = tokio::time::timeout(3 * SHUTDOWN_TIMEOUT, shutdown).await;
        if !matches!(failed, Ok(Ok(0))) {
            tracing::warn!("the last of our own telemetry could not be exported");
        }
    }
}

/// Who we are. What the environment says wins, and there `OTEL_SERVICE_NAME`, which the SDK alone would let
/// a `service.name` of `OTEL_RESOURCE_ATTRIBUTES` replace.
///
/// Two servers, or two runs of one, are two instances: sums that begin anew would else be one series.
fn resource(environment: Environment<'_>) -> Resource {
    let attributes = environment("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
    let is_attribute = |name: &str| {
        attributes.split(',').any(|pair| pair.split('=').next().is_some_and(|key| key.trim() == name))
    };
    let default = (!is_attribute("service.name")).then(|| "spantally".to_owned());
    let builder = match environment("OTEL_SERVICE_NAME").or(default) {
        Some(name) => Resource::builder().with_service_name(name),
        None => Resource::builder(),
    };
    let instance = (!is_attribute(INSTANCE_ID)).then(|| KeyValue::new(INSTANCE_ID, random_uuid()));
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    builder.with_attributes(instance.into_iter().chain([version])).build()
}

/// A random UUID (version 4) in its text form.
fn random_uuid() -> String {
    let random = || u128::from(RandomState::new().build_hasher().finish());
    let bits = random() << 64 | random();
    let version = bits & !(0xf << 76) | 0x4 << 76;
    let digits = format!("{:032x}", version & !(0b11 << 62) | 0b10 << 62);
    [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| &digits[part]).join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(signal: Signal, variables: &[(&str, &str)]) -> Result<Option<Target>, String> {
        let environment = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        signal.target(&environment, &Receivers::default())
    }

    #[test]
    fn a_signal_goes_where_the_standard_variables_say() {
        let to = |url: &str, protocol| Ok(Some(Target { url: url.to_owned(), protocol }));
        let base = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318/");
        assert_eq!(target(TRACES, &[]), Ok(None), "nothing is exported unless asked for");
        assert_eq!(target(TRACES, &[base]), to("http://c:4318/v1/traces", Protocol::HttpBinary));
        assert_eq!(target(LOGS, &[base]), to("http://c:4318/v1/logs", Protocol::HttpBinary));
        assert_eq!(target(METRICS, &[base, ("OTEL_METRICS_EXPORTER", "none")]), Ok(None));
        let grpc = ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
        assert_eq!(target(TRACES, &[base, grpc]), to("http://c:4318/", Protocol::Grpc));
        let own = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://t/x");
        assert_eq!(target(TRACES, &[base, own]), to("https://t/x", Protocol::HttpBinary));
        for (name, value, said) in [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "http/protobuf"),
            ("OTEL_TRACES_EXPORTER", "zipkin", "expected `otlp`"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://me:hush@a b", "no URL"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://me:hush@localhost:4318", "port of this server"),
        ] {
            let error = target(TRACES, &[base, (name, value)]).unwrap_err();
            assert!(error.contains(said) && !error.contains("hush"), "{error}");
        }
    }

    #[test]
    fn nothing_is_exported_to_ourselves() {
        for url in ["http://localhost:4318", "http://127.0.0.1:4317", "http://[::]:4318"] {
            let error = target(TRACES, &[("OTEL_EXPORTER_OTLP_ENDPOINT", url)]).unwrap_err();
            assert!(error.contains("port of this server"), "{error}");
        }
        assert!(
            target(TRACES, &[("OTEL_TRACES_EXPORTER", "otlp")]).is_err(),
            "the SDK's default is a port of ours"
        );
        for url in ["http://localhost:14318", "http://[::1]:4318"] {
            let elsewhere = target(TRACES, &[("OTEL_EXPORTER_OTLP_ENDPOINT", url)]);
            assert!(elsewhere.unwrap().is_some(), "{url}");
        }
    }

    #[test]
    fn the_name_of_the_service_wins_over_an_attribute_of_that_name() {
        let named = |variables: &[(&str, &str)]| {
            let environment = |name: &str| {
                variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            };
            resource(&environment).get(&"service.name".into()).unwrap().to_string()
        };
        let attribute = ("OTEL_RESOURCE_ATTRIBUTES", "a=b, service.name=attribute");
        assert_eq!(named(&[]), "spantally");
        assert_eq!(named(&[("OTEL_RESOURCE_ATTRIBUTES", "my.service.name=x")]), "spantally");
        assert_eq!(named(&[("OTEL_SERVICE_NAME", "name"), attribute]), "name");
        assert_ne!(named(&[attribute]), "spantally", "left to the SDK, which reads the attribute itself");
    }

    #[test]
    fn an_instance_has_an_id_of_its_own_unless_it_is_given_one() {
        let id = |attributes: &str| {
            let environment =
                |name: &str| (name == "OTEL_RESOURCE_ATTRIBUTES").then(|| attributes.to_owned());
            resource(&environment).get(&INSTANCE_ID.into()).map(|id| id.to_string())
        };
        let (one, other) = (id("a=b").unwrap(), id("my.service.instance.id=x").unwrap());
        assert_ne!(one, other);
        let groups: Vec<_> = one.split('-').map(str::len).collect();
        assert_eq!(groups, [8, 4, 4, 4, 12], "{one}");
        assert_eq!(one.as_bytes()[14], b'4', "{one} is of version 4");
        assert!(matches!(one.as_bytes()[19], b'8' | b'9' | b'a' | b'b'), "{one}");
        assert_eq!(id("a=b, service.instance.id=mine"), None, "left to the SDK, which reads it itself");
    }

    #[test]
    fn an_export_may_take_as_long_as_the_variables_say() {
        let timeout = |variables: &[(&str, &str)]| {
            let environment = |name: &str| {
                variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            };
            (METRICS.timeout(&environment).as_millis(), interval(&environment).as_millis())
        };
        let all = ("OTEL_EXPORTER_OTLP_TIMEOUT", "250");
        assert_eq!(timeout(&[]), (10_000, 60_000));
        assert_eq!(timeout(&[all, ("OTEL_METRIC_EXPORT_INTERVAL", "500")]), (250, 500));
        assert_eq!(timeout(&[all, ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "70")]).0, 70);
        let wrong = [("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"), ("OTEL_METRIC_EXPORT_INTERVAL", "0")];
        assert_eq!(timeout(&wrong), (10_000, 60_000));
    }
}
