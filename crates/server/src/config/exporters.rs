//! The sections under `exporters` that forward spans. Their names are the user's, so they have no `--set`.

use std::net::IpAddr;
use std::time::Duration;

use hyper::Uri;
use serde_saphyr::{Location, Spanned};

use super::error::ConfigError;
use super::file;
use super::leaf::Resolver;
use super::receivers::RELOAD_INTERVAL;
use super::remote::DestinationUrl;
use super::settings::Receivers;
use super::text::{Endpoint, FilePath, FromText, HeaderText, Millis, Whole};
use super::wire::{ClientTls, Compression, Destination, HoldSpans, Protocol, Queue, Retry, Secret};

/// Most destinations: each has a queue, a thread and a connection.
const MAX_DESTINATIONS: usize = 16;
/// Where OTLP/HTTP takes traces, under the endpoint's path.
const TRACES_PATH: &str = "/v1/traces";

/// Whether a URL leads to a port of these receivers: what is sent there comes back.
pub(crate) fn leads_back(url: &Uri, receivers: &Receivers) -> bool {
    let grpc = receivers.grpc.iter().map(|grpc| &grpc.endpoint);
    let mut ours = grpc.chain(receivers.http.iter().map(|http| &http.endpoint));
    ours.any(|endpoint| is_same(url, endpoint))
}

/// The same port, on this machine.
fn is_same(url: &Uri, endpoint: &Endpoint) -> bool {
    let default = if url.scheme_str() == Some("http") { 80 } else { 443 };
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
    url.port_u16().unwrap_or(default) == endpoint.port && is_same_host(host, &endpoint.host)
}

/// Whether two names or addresses are one. Two addresses are when they are equal, unless one is that of
/// every address; of `localhost` nobody knows which one it is. A dot at the end only says that a name is
/// whole.
fn is_same_host(one: &str, other: &str) -> bool {
    let [one, other] = [one, other].map(|host| host.strip_suffix('.').unwrap_or(host));
    match (address(one), address(other)) {
        (Some(one), Some(other)) if !one.is_unspecified() && !other.is_unspecified() => one == other,
        _ => one.eq_ignore_ascii_case(other) || is_here(one) && is_here(other),
    }
}

/// Whether a name or address is this machine whichever it is.
fn is_here(host: &str) -> bool {
    let is_ours = |address: IpAddr| address.is_loopback() || address.is_unspecified();
    host.eq_ignore_ascii_case("localhost") || address(host).is_some_and(is_ours)
}

/// An address as the system reads it, which also takes one to four numbers, in octal after `0` and
/// hexadecimal after `0x`, of which the last fills the bytes that are left: `127.1` is 127.0.0.1.
fn address(host: &str) -> Option<IpAddr> {
    let number = |part: &str| match part.strip_prefix("0x").or_else(|| part.strip_prefix("0X")) {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None if part.starts_with('0') => u32::from_str_radix(part, 8).ok(),
        None => part.parse().ok(),
    };
    let of_numbers = || {
        let numbers = host.split('.').map(number).collect::<Option<Vec<u32>>>()?;
        let (&last, bytes) = numbers.split_last().filter(|(_, bytes)| bytes.len() < 4)?;
        let room = 1_u64 << (32 - 8 * bytes.len());
        let is_one = u64::from(last) < room && bytes.iter().all(|&byte| byte < 256);
        let shifted = bytes.iter().zip([24, 16, 8]).map(|(byte, places)| byte << places);
        is_one.then(|| IpAddr::from((last + shifted.sum::<u32>()).to_be_bytes()))
    };
    host.parse().ok().or_else(of_numbers).map(|address| address.to_canonical())
}

impl Resolver<'_> {
    pub(super) fn destinations(
        &self,
        written: &[(Spanned<String>, file::OtlpExporter)],
        receivers: &Receivers,
    ) -> Result<Vec<Destination>, ConfigError> {
        if let Some((extra, _)) = written.get(MAX_DESTINATIONS) {
            let message =
                format!("exporters: {} destinations, expected at most {MAX_DESTINATIONS}", written.len());
            let help = "send to a Collector that fans out".to_owned();
            return Err(self.source.error(extra.referenced, &message, "one too many", Some(help)));
        }
        written.iter().map(|(name, exporter)| self.destination(name, exporter, receivers)).collect()
    }

    /// A leaf of a destination, if it is given.
    fn leaf<T: FromText>(&self, name: &str, key: &str, leaf: &file::Leaf) -> Result<Option<T>, ConfigError> {
        let read = |leaf: &Spanned<String>| {
            let key = format!("exporters.{name}.{key}");
            self.remember(&key, leaf.referenced);
            self.parse_leaf(&key, &leaf.value, leaf.referenced)
        };
        leaf.as_ref().map(read).transpose()
    }

    fn destination(
        &self,
        key: &Spanned<String>,
        written: &file::OtlpExporter,
        receivers: &Receivers,
    ) -> Result<Destination, ConfigError> {
        let name = key.value.as_str();
        let kind = name.split('/').next().unwrap_or(name);
        let protocol = if kind.contains("http") { Protocol::Http } else { Protocol::Grpc };
        let tls = self.client_tls(name, written.tls.as_ref())?;
        let url = self.url(key, written, (protocol, tls.insecure), receivers)?;
        let spans = self.leaf(name, "spans", &written.spans)?.unwrap_or(true);
        let job_spans = self.leaf(name, "job_spans", &written.job_spans)?.unwrap_or(false);
        if !spans && !job_spans {
            let message = format!("exporters.{name}: `spans` and `job_spans` are both false");
            let help = "one of them is what it is to get; or leave the exporter out".to_owned();
            return Err(self.error_at(&written.spans, key, &message, "this one, too", help));
        }
        let hold = self.hold(name, written.job_attributes.as_ref())?;
        if hold.enabled && !spans {
            let message = format!("exporters.{name}.job_attributes: there are no spans to put them on");
            let help = "they are put on the spans that come in: leave `spans` true".to_owned();
            return Err(self.error_at(&written.spans, key, &message, "none by this", help));
        }
        let default_timeout = Duration::from_secs(if protocol == Protocol::Http { 30 } else { 5 });
        let timeout = self.leaf::<Millis>(name, "timeout", &written.timeout)?;
        Ok(Destination {
            name: name.to_owned(),
            protocol,
            url,
            spans,
            job_spans,
            hold,
            headers: self.headers(name, written.headers.as_ref())?,
            compression: self
                .leaf::<Compression>(name, "compression", &written.compression)?
                .unwrap_or_default(),
            timeout: timeout.map_or(default_timeout, |timeout| Duration::from_millis(timeout.0)),
            tls,
            queue: self.queue(name, written.sending_queue.as_ref())?,
            retry: self.retry(name, written.retry_on_failure.as_ref())?,
        })
    }

    /// What is wrong with a destination: at one of its leaves, or where there is none at its name.
    fn error_at(
        &self,
        leaf: &file::Leaf,
        key: &Spanned<String>,
        message: &str,
        label: &str,
        help: String,
    ) -> ConfigError {
        let at = leaf.as_ref().unwrap_or(key).referenced;
        self.source.error(at, message, label, Some(help))
    }

    fn headers(
        &self,
        name: &str,
        written: Option<&file::Headers>,
    ) -> Result<Vec<(String, Secret)>, ConfigError> {
        let mut headers = Vec::new();
        for (header, value) in written.iter().flat_map(|headers| &headers.0) {
            let key = format!("exporters.{name}.headers");
            let at = header.referenced;
            let header = self.parse_leaf::<HeaderText>(&key, &header.value, at)?.0.ok_or_else(|| {
                let help = format!("expected {}", HeaderText::expected());
                self.source.error(at, &format!("{key}: a header without a name"), "here", Some(help))
            })?;
            let key = format!("{key}.{header}");
            headers.push((header, self.parse_leaf::<Secret>(&key, &value.value, value.referenced)?));
        }
        Ok(headers)
    }

    /// Where it sends to, which is not to us.
    fn url(
        &self,
        exporter: &Spanned<String>,
        written: &file::OtlpExporter,
        (protocol, insecure): (Protocol, bool),
        receivers: &Receivers,
    ) -> Result<Uri, ConfigError> {
        let name = exporter.value.as_str();
        let (key, leaf) = match (protocol, &written.traces_endpoint) {
            (Protocol::Http, Some(_)) => ("traces_endpoint", &written.traces_endpoint),
            _ => ("endpoint", &written.endpoint),
        };
        let Some(endpoint) = self.leaf::<DestinationUrl>(name, key, leaf)? else {
            let message = format!("exporters.{name}.endpoint is missing");
            let help = "for example `endpoint: tempo.example.com:4317`, or a URL".to_owned();
            return Err(self.source.error(exporter.referenced, &message, "not in this one", Some(help)));
        };
        let suffix = if protocol == Protocol::Http && key == "endpoint" { TRACES_PATH } else { "" };
        let wrong = |what: &str, help: Option<&str>| {
            let at = leaf.as_ref().map_or(Location::UNKNOWN, |leaf| leaf.referenced);
            let message = format!("exporters.{name}.{key}: {what}");
            Err(self.source.error(at, &message, "this", help.map(ToOwned::to_owned)))
        };
        let Some(url) = endpoint.url(insecure, suffix) else { return wrong("no URL", None) };
        if leads_back(&url, receivers) {
            let help =
                "what is forwarded would come back and be forwarded again, for ever: name another server";
            return wrong("a port that Spantally itself listens on", Some(help));
        }
        Ok(url)
    }

    fn client_tls(&self, name: &str, written: Option<&file::ClientTls>) -> Result<ClientTls, ConfigError> {
        let Some(written) = written else { return Ok(ClientTls::default()) };
        let file = |key: &str, leaf: &file::Leaf| {
            Ok::<_, ConfigError>(self.leaf::<FilePath>(name, key, leaf)?.map(|path| path.0))
        };
        let tls = ClientTls {
            insecure: self.leaf(name, "tls.insecure", &written.insecure)?.unwrap_or_default(),
            ca_file: file("tls.ca_file", &written.ca_file)?,
            cert_file: file("tls.cert_file", &written.cert_file)?,
            key_file: file("tls.key_file", &written.key_file)?,
            server_name_override: self.leaf(
                name,
                "tls.server_name_override",
                &written.server_name_override,
            )?,
            min_version: self.leaf(name, "tls.min_version", &written.min_version)?.unwrap_or_default(),
            reload_interval: self
                .leaf::<Duration>(name, "tls.reload_interval", &written.reload_interval)?
                .map_or(Some(RELOAD_INTERVAL), |interval| (!interval.is_zero()).then_some(interval)),
        };
        if tls.cert_file.is_some() != tls.key_file.is_some() {
            let message = format!("exporters.{name}.tls: cert_file and key_file are needed both");
            let given = written.cert_file.as_ref().or(written.key_file.as_ref());
            let at = given.map_or(Location::UNKNOWN, |leaf| leaf.referenced);
            let help = "give the two files, or neither".to_owned();
            return Err(self.source.error(at, &message, "without the other", Some(help)));
        }
        Ok(tls)
    }

    fn hold(&self, name: &str, written: Option<&file::JobAttributes>) -> Result<HoldSpans, ConfigError> {
        let (mut hold, Some(written)) = (HoldSpans::default(), written) else {
            return Ok(HoldSpans::default());
        };
        let key = |key: &str| format!("job_attributes.{key}");
        if let Some(enabled) = self.leaf(name, &key("enabled"), &written.enabled)? {
            hold.enabled = enabled;
        }
        if let Some(wait) = self.leaf::<Millis>(name, &key("wait_duration"), &written.wait_duration)? {
            hold.wait_duration = Duration::from_millis(wait.0);
        }
        let max_size =
            self.leaf::<Whole<1_048_576, { 1 << 36 }>>(name, &key("max_size"), &written.max_size)?;
        if let Some(bytes) = max_size {
            hold.max_bytes = bytes.0;
        }
        Ok(hold)
    }

    fn queue(&self, name: &str, written: Option<&file::SendingQueue>) -> Result<Queue, ConfigError> {
        let (mut queue, Some(written)) = (Queue::default(), written) else { return Ok(Queue::default()) };
        if let Some(bytes) =
            self.leaf::<Whole<1_048_576, { 1 << 40 }>>(name, "sending_queue.queue_size", &written.queue_size)?
        {
            queue.max_bytes = bytes.0;
        }
        let Some(batch) = &written.batch else { return Ok(queue) };
        if let Some(bytes) =
            self.leaf::<Whole<1024, 67_108_864>>(name, "sending_queue.batch.max_size", &batch.max_size)?
        {
            queue.batch_max_bytes = bytes.0 as usize;
        }
        let key = "sending_queue.batch.flush_timeout";
        if let Some(timeout) = self.leaf::<Duration>(name, key, &batch.flush_timeout)? {
            queue.flush_timeout = timeout;
        }
        Ok(queue)
    }

    fn retry(&self, name: &str, written: Option<&file::RetryOnFailure>) -> Result<Retry, ConfigError> {
        let (mut retry, Some(written)) = (Retry::default(), written) else { return Ok(Retry::default()) };
        if let Some(enabled) = self.leaf(name, "retry_on_failure.enabled", &written.enabled)? {
            retry.enabled = enabled;
        }
        for (key, leaf, value) in [
            ("retry_on_failure.initial_interval", &written.initial_interval, &mut retry.initial_interval),
            ("retry_on_failure.max_interval", &written.max_interval, &mut retry.max_interval),
        ] {
            if let Some(time) = self.leaf::<Millis>(name, key, leaf)? {
                *value = Duration::from_millis(time.0);
            }
        }
        let key = "retry_on_failure.max_elapsed_time";
        if let Some(time) = self.leaf::<Duration>(name, key, &written.max_elapsed_time)? {
            retry.max_elapsed_time = (!time.is_zero()).then_some(time);
        }
        Ok(retry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_leads_back_if_host_and_port_are_ours() {
        let receivers = Receivers::default();
        for (url, leads) in [
            ("http://localhost:4317", true),
            ("https://127.0.0.1:4318/v1/traces", true),
            ("http://[::1]:4318", false),
            ("http://127.0.0.2:4317", false),
            ("http://[::ffff:127.0.0.1]:4317", true),
            ("http://[::]:4317", true),
            ("http://0.0.0.0:4317", true),
            ("http://localhost.:4317", true),
            ("http://127.1:4317", true),
            ("http://0:4317", true),
            ("http://2130706433:4317", true),
            ("http://0x7f000001:4317", true),
            ("http://0177.0.0.1:4317", true),
            ("http://127.256.1:4317", false),
            ("http://127.0.0.1.1:4317", false),
            ("http://0x7f000002:4317", false),
            ("http://localhost:14317", false),
            ("http://localhost", false),
            ("http://tempo:4317", false),
            ("http://10.0.0.7:4317", false),
        ] {
            assert_eq!(leads_back(&url.parse().unwrap(), &receivers), leads, "{url}");
        }
    }

    #[test]
    fn a_port_of_one_address_is_not_that_of_another() {
        let at = |host: &str, url: &str| {
            let endpoint = Endpoint { host: host.to_owned(), port: 80 };
            is_same(&url.parse().unwrap(), &endpoint)
        };
        assert!(at("spantally", "http://Spantally/v1/traces"));
        assert!(!at("10.0.0.7", "http://127.0.0.1:80"), "we do not listen there");
        assert!(at("0.0.0.0", "http://127.0.0.2") && at("::", "http://127.0.0.1"), "we listen everywhere");
        assert!(at("localhost", "http://[::1]") && at("localhost", "http://127.0.0.1"), "it may be either");
    }
}
