//! From the file as written to the settings: one line per key.
//!
//! [`Resolver::read`] is the whole of each: take the text of `--set`, else of the file; expand `${env:NAME}`;
//! read it by its type; remember where it came from. Because every key passes there under its full name, the
//! list of known keys, `--set` and "where was this written" need no tables of their own.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde_saphyr::Spanned;
use spantally_providers::{CorrelationConfig, WebhookPath};

use super::error::{ConfigError, Source};
use super::file::File;
use super::host_name::HostName;
use super::leaf::Resolver;
use super::receivers::ADMIN_TLS;
use super::settings::Settings;
use super::text::{AttributeName, Endpoint, Millis, Probability, UrlPath, Whole};
use super::{Config, file};

/// Most attributes of one kind: each is looked up in every span.
const MAX_ATTRIBUTES: usize = 32;

/// Most names of the admin port.
const MAX_HOSTS: usize = 64;

/// Checks a file and the pairs of `--set`, and fills in the defaults.
pub(super) fn resolve(
    source: &Source,
    set: &[String],
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Config, ConfigError> {
    // An empty document is no document to the parser.
    let file = if source.text.trim().is_empty() {
        File::default()
    } else {
        serde_saphyr::from_str::<Option<File>>(&source.text)
            .map_err(|error| ConfigError::yaml(source, &error))?
            .unwrap_or_default()
    };
    let mut resolver = Resolver::new(source, environment, parse_set(set)?);
    let settings = resolver.settings(file)?;
    match resolver.set.keys().find(|key| !resolver.known.contains(&key.as_str())) {
        Some(key) => Err(ConfigError::unknown_set_key(key)),
        None => {
            Ok(Config { settings, places: resolver.places.into_inner(), named: resolver.named.into_inner() })
        }
    }
}

/// Every key, by its full name, in the order of the file.
pub(super) fn known_keys() -> Vec<&'static str> {
    let source = Source::none();
    let mut resolver = Resolver::new(&source, &|_| None, BTreeMap::new());
    let visited = resolver.settings(File::default());
    debug_assert!(visited.is_ok(), "an empty file is valid");
    resolver.known
}

/// Splits `key=value` pairs; of a key given twice the last one holds.
fn parse_set(set: &[String]) -> Result<BTreeMap<String, String>, ConfigError> {
    set.iter()
        .map(|pair| match pair.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok((key.trim().to_owned(), value.trim().to_owned())),
            _ => Err(ConfigError::plain(
                format!("--set {pair}: expected key=value"),
                Some("for example --set exporters.prometheus.endpoint=127.0.0.1:9465".to_owned()),
            )),
        })
        .collect()
}

impl Resolver<'_> {
    /// Visits every key once, in the order of the file.
    fn settings(&mut self, file: File) -> Result<Settings, ConfigError> {
        let mut settings = Settings::default();
        let otlp = file.receivers.and_then(|section| section.otlp);
        self.receivers(otlp, &mut settings)?;
        let processor = file.processors.and_then(|section| section.spantally);
        self.processor(processor.unwrap_or_default(), &mut settings)?;
        let exporters = file.exporters.unwrap_or_default();
        self.exporter(&exporters.prometheus.unwrap_or_default(), &mut settings)?;
        settings.forward = self.destinations(&exporters.otlp, &settings.receivers)?;
        self.directories(
            &file.storage.unwrap_or_default(),
            &file.providers.unwrap_or_default(),
            &mut settings,
        )?;
        self.budgets(file.budgets, file.prepaid, &mut settings)?;
        self.invoices(file.invoices, &mut settings)?;
        let telemetry = file.service.and_then(|section| section.telemetry);
        self.logs(&telemetry.and_then(|section| section.logs).unwrap_or_default(), &mut settings)?;
        Ok(settings)
    }

    fn processor(&mut self, written: file::Spantally, settings: &mut Settings) -> Result<(), ConfigError> {
        let limits = written.limits.unwrap_or_default();
        let stitching = &mut settings.stitching;
        for (key, leaf, value) in [
            ("processors.spantally.settle_delay", &written.settle_delay, &mut stitching.settle_delay_ms),
            ("processors.spantally.idle_timeout", &written.idle_timeout, &mut stitching.idle_timeout_ms),
            (
                "processors.spantally.absolute_timeout",
                &written.absolute_timeout,
                &mut stitching.absolute_timeout_ms,
            ),
            (
                "processors.spantally.duplicate_window",
                &written.duplicate_window,
                &mut stitching.duplicate_window_ms,
            ),
            ("processors.spantally.retention", &written.retention, &mut stitching.retention_ms),
            ("processors.spantally.rematch", &written.rematch, &mut stitching.rematch_ms),
        ] {
            self.read(key, leaf, |v: Millis| *value = v.0)?;
        }
        self.read(
            "processors.spantally.ambiguous_probability",
            &written.ambiguous_probability,
            |v: Probability| settings.pricing.ambiguous_probability = v.0,
        )?;
        self.labels(&written.labels, &mut settings.correlation.labels)?;
        self.correlation(&written.correlation.unwrap_or_default(), &mut settings.correlation)?;
        for (key, leaf, limit) in [
            ("processors.spantally.limits.max_spans", &limits.max_spans, &mut stitching.max_spans),
            (
                "processors.spantally.limits.max_open_jobs",
                &limits.max_open_jobs,
                &mut stitching.max_open_jobs,
            ),
            (
                "processors.spantally.limits.max_trace_tasks",
                &limits.max_trace_tasks,
                &mut stitching.max_trace_tasks,
            ),
            (
                "processors.spantally.limits.max_task_spans",
                &limits.max_task_spans,
                &mut stitching.max_task_spans,
            ),
            (
                "processors.spantally.limits.max_idle_frames",
                &limits.max_idle_frames,
                &mut stitching.max_idle_frames,
            ),
        ] {
            self.read(key, leaf, |v: Whole<100, 1_000_000_000>| *limit = v.0 as usize)?;
        }
        self.read(
            "processors.spantally.limits.max_assignment",
            &limits.max_assignment,
            |v: Whole<2, 1_000>| {
                stitching.max_assignment = v.0 as usize;
            },
        )
    }

    fn correlation(
        &mut self,
        written: &file::Correlation,
        correlation: &mut CorrelationConfig,
    ) -> Result<(), ConfigError> {
        for (key, list, names) in [
            (
                "processors.spantally.correlation.job_attributes",
                &written.job_attributes,
                &mut correlation.job_attributes,
            ),
            (
                "processors.spantally.correlation.session_attributes",
                &written.session_attributes,
                &mut correlation.session_attributes,
            ),
            (
                "processors.spantally.correlation.task_attributes",
                &written.task_attributes,
                &mut correlation.task_attributes,
            ),
            (
                "processors.spantally.correlation.status_attributes",
                &written.status_attributes,
                &mut correlation.status_attributes,
            ),
        ] {
            self.read_list(key, list, MAX_ATTRIBUTES, names)?;
        }
        self.read("processors.spantally.correlation.requests_only", &written.requests_only, |v: bool| {
            correlation.requests_only = v;
        })?;
        self.webhooks(written.webhooks.as_ref(), &mut correlation.webhooks)
    }

    /// The one list of sections; it has no form for `--set`.
    fn webhooks(
        &self,
        written: Option<&Spanned<Vec<file::Webhook>>>,
        webhooks: &mut Vec<WebhookPath>,
    ) -> Result<(), ConfigError> {
        let Some(written) = written else { return Ok(()) };
        for webhook in &written.value {
            let (Some(provider), Some(path)) = (&webhook.provider, &webhook.path) else {
                let message = "processors.spantally.correlation.webhooks: each needs `provider` and `path`";
                let help = "for example `{provider: fal, path: /hooks/{task}}`".to_owned();
                return Err(self.source.error(
                    written.referenced,
                    message,
                    "not in all of these",
                    Some(help),
                ));
            };
            webhooks.push(WebhookPath {
                provider: self
                    .parse_leaf::<AttributeName>("webhooks.provider", &provider.value, provider.referenced)?
                    .0,
                path: self.parse_leaf::<UrlPath>("webhooks.path", &path.value, path.referenced)?.0,
            });
        }
        Ok(())
    }

    fn exporter(&mut self, written: &file::Prometheus, settings: &mut Settings) -> Result<(), ConfigError> {
        self.read("exporters.prometheus.endpoint", &written.endpoint, |v: Endpoint| {
            settings.admin.endpoint = v;
        })?;
        self.read_list_of::<HostName>(
            "exporters.prometheus.allowed_hosts",
            &written.allowed_hosts,
            MAX_HOSTS,
            &mut settings.admin.allowed_hosts,
        )?;
        self.read(
            "exporters.prometheus.max_label_sets",
            &written.max_label_sets,
            |v: Whole<10, 1_000_000>| {
                settings.prometheus.max_label_sets = v.0 as usize;
            },
        )?;
        self.read("exporters.prometheus.native_histograms", &written.native_histograms, |v: bool| {
            settings.prometheus.native_histograms = v;
        })?;
        self.read("exporters.prometheus.new_series_at_zero", &written.new_series_at_zero, |v: Duration| {
            settings.prometheus.new_series_at_zero = v;
        })?;
        settings.admin.tls =
            self.server_tls(&ADMIN_TLS, written.tls.as_ref().unwrap_or(&file::ServerTls::default()))?;
        Ok(())
    }

    fn directories(
        &mut self,
        storage: &file::Storage,
        providers: &file::Providers,
        settings: &mut Settings,
    ) -> Result<(), ConfigError> {
        self.read("storage.directory", &storage.directory, |v: PathBuf| settings.storage.directory = v)?;
        let none = file::StoredLedger::default();
        let written = storage.ledger.as_ref().unwrap_or(&none);
        self.read("storage.ledger.max_age", &written.max_age, |v: Duration| {
            settings.storage.ledger.max_age = (!v.is_zero()).then_some(v);
        })?;
        self.read("storage.ledger.max_size", &written.max_size, |v: Whole<0, { u64::MAX }>| {
            settings.storage.ledger.max_bytes = (v.0 > 0).then_some(v.0);
        })?;
        let journal = storage.journal.as_ref().and_then(|journal| journal.max_size.clone());
        self.read("storage.journal.max_size", &journal, |v: Whole<{ 1 << 20 }, { 1 << 44 }>| {
            settings.storage.journal_max_bytes = v.0;
        })?;
        self.read("storage.durability", &storage.durability, |v| settings.storage.durability = v)?;
        self.read("storage.sync_interval", &storage.sync_interval, |v: Millis| {
            settings.storage.sync_interval = Duration::from_millis(v.0);
        })?;
        self.read("providers.directory", &providers.directory, |v: PathBuf| {
            settings.providers.directory = Some(v);
        })?;
        self.read("providers.reload_interval", &providers.reload_interval, |v: Duration| {
            settings.providers.reload_interval = (!v.is_zero()).then_some(v);
        })
    }

    fn logs(&mut self, written: &file::Logs, settings: &mut Settings) -> Result<(), ConfigError> {
        self.read("service.telemetry.logs.level", &written.level, |v| settings.logs.level = v)?;
        self.read("service.telemetry.logs.encoding", &written.encoding, |v| settings.logs.encoding = v)
    }
}
