//! The sections under `receivers`: ports, TLS, CORS, tenants.

use std::time::Duration;

use serde_saphyr::Location;

use super::error::ConfigError;
use super::file;
use super::leaf::Resolver;
use super::origin::Origin;
use super::settings::{GrpcReceiver, HttpReceiver, Receivers, Settings};
use super::text::{Endpoint, FilePath, HeaderText, Millis, TenantName, UrlPath, Whole};
use super::wire::{Auth, Cors, Secret, ServerTlsFiles, Tenant, TenantLimits, TlsVersion};

/// Most names in a list of CORS.
const MAX_CORS: usize = 64;
/// Most listed tenants: each token is compared with each request's.
const MAX_TENANTS: usize = 256;

/// The keys of a server's `tls` section.
type TlsKeys = [&'static str; 5];

const GRPC_TLS: TlsKeys = [
    "receivers.otlp.protocols.grpc.tls.cert_file",
    "receivers.otlp.protocols.grpc.tls.key_file",
    "receivers.otlp.protocols.grpc.tls.client_ca_file",
    "receivers.otlp.protocols.grpc.tls.min_version",
    "receivers.otlp.protocols.grpc.tls.reload_interval",
];
const HTTP_TLS: TlsKeys = [
    "receivers.otlp.protocols.http.tls.cert_file",
    "receivers.otlp.protocols.http.tls.key_file",
    "receivers.otlp.protocols.http.tls.client_ca_file",
    "receivers.otlp.protocols.http.tls.min_version",
    "receivers.otlp.protocols.http.tls.reload_interval",
];
pub(super) const ADMIN_TLS: TlsKeys = [
    "exporters.prometheus.tls.cert_file",
    "exporters.prometheus.tls.key_file",
    "exporters.prometheus.tls.client_ca_file",
    "exporters.prometheus.tls.min_version",
    "exporters.prometheus.tls.reload_interval",
];

/// How often certificates are looked at unless told otherwise: renewed ones are in use within a minute.
pub(super) const RELOAD_INTERVAL: Duration = Duration::from_mins(1);

impl Resolver<'_> {
    pub(super) fn receivers(
        &mut self,
        otlp: Option<file::Otlp>,
        settings: &mut Settings,
    ) -> Result<(), ConfigError> {
        let otlp = otlp.unwrap_or_default();
        let limits = otlp.limits.unwrap_or_default();
        // Without a list of protocols both listen; with one, those in it.
        let list = otlp.protocols.as_ref().map(|list| list.referenced);
        let both =
            || file::Protocols { grpc: Some(file::Grpc::default()), http: Some(file::Http::default()) };
        let protocols = otlp.protocols.map_or_else(both, |list| list.value);
        let (grpc_given, http_given) = (protocols.grpc.is_some(), protocols.http.is_some());
        let mut grpc = GrpcReceiver::default();
        self.grpc(protocols.grpc.unwrap_or_default(), &mut grpc)?;
        let mut http = HttpReceiver::default();
        self.http(protocols.http.unwrap_or_default(), &mut http)?;
        let mut max_inflight_bytes = Receivers::default().max_inflight_bytes;
        self.read(
            "receivers.otlp.limits.max_connections",
            &limits.max_connections,
            |v: Whole<1, 1_000_000>| {
                (grpc.max_connections, http.max_connections) = (v.0 as usize, v.0 as usize);
            },
        )?;
        self.read(
            "receivers.otlp.limits.max_inflight_bytes",
            &limits.max_inflight_bytes,
            |v: Whole<1024, { 1 << 40 }>| max_inflight_bytes = v.0,
        )?;
        let set_has = |prefix: &str| self.set.keys().any(|key| key.starts_with(prefix));
        let grpc_is_on = grpc_given || set_has("receivers.otlp.protocols.grpc.");
        let http_is_on = http_given || set_has("receivers.otlp.protocols.http.");
        if let Some(at) = list.filter(|_| !grpc_is_on && !http_is_on) {
            let message = "receivers.otlp.protocols: no protocol is listed, so no spans could come in";
            let help = "list `grpc:`, `http:` or both; without `protocols` both listen".to_owned();
            return Err(self.source.error(at, message, "neither `grpc` nor `http`", Some(help)));
        }
        settings.receivers = Receivers {
            grpc: grpc_is_on.then_some(grpc),
            http: http_is_on.then_some(http),
            auth: self.auth(&otlp.auth.unwrap_or_default())?,
            max_inflight_bytes,
        };
        Ok(())
    }

    fn grpc(&mut self, written: file::Grpc, grpc: &mut GrpcReceiver) -> Result<(), ConfigError> {
        let keepalive = written.keepalive.and_then(|section| section.server_parameters).unwrap_or_default();
        self.read("receivers.otlp.protocols.grpc.endpoint", &written.endpoint, |v: Endpoint| {
            grpc.endpoint = v;
        })?;
        self.read(
            "receivers.otlp.protocols.grpc.max_recv_msg_size_mib",
            &written.max_recv_msg_size_mib,
            |v: Whole<1, 1024>| grpc.max_message_bytes = (v.0 as usize) << 20,
        )?;
        self.read(
            "receivers.otlp.protocols.grpc.max_concurrent_streams",
            &written.max_concurrent_streams,
            |v: Whole<1, 65_535>| grpc.max_concurrent_streams = v.0 as u32,
        )?;
        for (key, leaf, age) in [
            (
                "receivers.otlp.protocols.grpc.keepalive.server_parameters.max_connection_idle",
                &keepalive.max_connection_idle,
                &mut grpc.max_connection_idle,
            ),
            (
                "receivers.otlp.protocols.grpc.keepalive.server_parameters.max_connection_age",
                &keepalive.max_connection_age,
                &mut grpc.max_connection_age,
            ),
        ] {
            self.read(key, leaf, |v: Duration| *age = (!v.is_zero()).then_some(v))?;
        }
        for (key, leaf, time) in [
            (
                "receivers.otlp.protocols.grpc.keepalive.server_parameters.max_connection_age_grace",
                &keepalive.max_connection_age_grace,
                &mut grpc.max_connection_age_grace,
            ),
            (
                "receivers.otlp.protocols.grpc.keepalive.server_parameters.time",
                &keepalive.time,
                &mut grpc.keepalive_time,
            ),
            (
                "receivers.otlp.protocols.grpc.keepalive.server_parameters.timeout",
                &keepalive.timeout,
                &mut grpc.keepalive_timeout,
            ),
        ] {
            self.read(key, leaf, |v: Millis| *time = Duration::from_millis(v.0))?;
        }
        grpc.tls = self.server_tls(&GRPC_TLS, &written.tls.unwrap_or_default())?;
        Ok(())
    }

    fn http(&mut self, written: file::Http, http: &mut HttpReceiver) -> Result<(), ConfigError> {
        self.read("receivers.otlp.protocols.http.endpoint", &written.endpoint, |v: Endpoint| {
            http.endpoint = v;
        })?;
        self.read(
            "receivers.otlp.protocols.http.max_request_body_size",
            &written.max_request_body_size,
            |v: Whole<1024, 1_073_741_824>| http.max_body_bytes = v.0 as usize,
        )?;
        self.read(
            "receivers.otlp.protocols.http.traces_url_path",
            &written.traces_url_path,
            |v: UrlPath| {
                http.traces_url_path = v.0;
            },
        )?;
        self.read(
            "receivers.otlp.protocols.http.read_header_timeout",
            &written.read_header_timeout,
            |v: Millis| http.read_header_timeout = Duration::from_millis(v.0),
        )?;
        self.cors(&written.cors.unwrap_or_default(), &mut http.cors)?;
        http.tls = self.server_tls(&HTTP_TLS, &written.tls.unwrap_or_default())?;
        Ok(())
    }

    fn cors(&mut self, written: &file::Cors, cors: &mut Cors) -> Result<(), ConfigError> {
        self.read_list_of::<Origin>(
            "receivers.otlp.protocols.http.cors.allowed_origins",
            &written.allowed_origins,
            MAX_CORS,
            &mut cors.allowed_origins,
        )?;
        for (key, list, names) in [
            (
                "receivers.otlp.protocols.http.cors.allowed_headers",
                &written.allowed_headers,
                &mut cors.allowed_headers,
            ),
            (
                "receivers.otlp.protocols.http.cors.exposed_headers",
                &written.exposed_headers,
                &mut cors.exposed_headers,
            ),
        ] {
            self.read_list(key, list, MAX_CORS, names)?;
        }
        self.read("receivers.otlp.protocols.http.cors.max_age", &written.max_age, |v: Whole<0, 86_400>| {
            cors.max_age = Duration::from_secs(v.0);
        })
    }

    /// A `tls` section: none when it names no certificate.
    pub(super) fn server_tls(
        &mut self,
        keys: &TlsKeys,
        written: &file::ServerTls,
    ) -> Result<Option<ServerTlsFiles>, ConfigError> {
        let (mut cert_file, mut key_file, mut client_ca_file) = (None, None, None);
        let (mut min_version, mut reload_interval) = (TlsVersion::default(), Some(RELOAD_INTERVAL));
        for (key, leaf, file) in [
            (keys[0], &written.cert_file, &mut cert_file),
            (keys[1], &written.key_file, &mut key_file),
            (keys[2], &written.client_ca_file, &mut client_ca_file),
        ] {
            self.read(key, leaf, |v: FilePath| *file = Some(v.0))?;
        }
        self.read(keys[3], &written.min_version, |v| min_version = v)?;
        self.read(keys[4], &written.reload_interval, |v: Duration| {
            reload_interval = (!v.is_zero()).then_some(v);
        })?;
        match (cert_file, key_file) {
            (Some(cert_file), Some(key_file)) => {
                Ok(Some(ServerTlsFiles { cert_file, key_file, client_ca_file, min_version, reload_interval }))
            }
            (None, None) if client_ca_file.is_none() => Ok(None),
            _ => {
                let message = format!("{} and {} are needed both", keys[0], keys[1]);
                let files = [&written.cert_file, &written.key_file, &written.client_ca_file];
                let by_set = |key: &&&str| self.set.contains_key(**key);
                let given = files.into_iter().find_map(Option::as_ref).map(|leaf| leaf.referenced);
                let key = keys[..files.len()].iter().find(by_set).unwrap_or(&keys[0]);
                let help = "give the two files, or leave the section `tls` out";
                Err(self.error_of(key, given, &message, "without what belongs to it", Some(help)))
            }
        }
    }

    fn auth(&mut self, written: &file::Auth) -> Result<Auth, ConfigError> {
        let mut auth = Auth::default();
        self.read("receivers.otlp.auth.tenant_header", &written.tenant_header, |v: HeaderText| {
            auth.tenant_header = v.0;
        })?;
        self.read("receivers.otlp.auth.max_tenants", &written.max_tenants, |v: Whole<1, 100_000>| {
            auth.max_tenants = v.0 as usize;
        })?;
        let limits = &mut auth.limits;
        for (key, leaf, value) in [
            ("receivers.otlp.auth.rate_limit_bytes", &written.rate_limit_bytes, &mut limits.rate_limit_bytes),
            ("receivers.otlp.auth.burst_size_bytes", &written.burst_size_bytes, &mut limits.burst_size_bytes),
            (
                "receivers.otlp.auth.max_inflight_bytes",
                &written.max_inflight_bytes,
                &mut limits.max_inflight_bytes,
            ),
        ] {
            self.read(key, leaf, |v: Whole<0, { u64::MAX >> 1 }>| *value = v.0)?;
        }
        let Some(tenants) = &written.tenants else { return Ok(auth) };
        if tenants.value.len() > MAX_TENANTS {
            let message = format!("more than {MAX_TENANTS} tenants");
            return Err(self.tenant_error(tenants.referenced, &message, "in this list"));
        }
        for written in &tenants.value {
            let tenant = self.tenant(written, auth.limits, tenants.referenced)?;
            let at = written.name.as_ref().map_or(tenants.referenced, |name| name.referenced);
            self.check_tenant(&tenant, &auth, at)?;
            auth.tenants.push(tenant);
        }
        Ok(auth)
    }

    /// A tenant beside those before it.
    fn check_tenant(&self, tenant: &Tenant, auth: &Auth, at: Location) -> Result<(), ConfigError> {
        if auth.tenants.iter().any(|other| other.name == tenant.name) {
            let message = format!("the tenant `{}` is listed twice", tenant.name);
            return Err(self.tenant_error(at, &message, "listed before"));
        }
        let same_token = |other: &&Tenant| tenant.token.is_some() && other.token == tenant.token;
        if let Some(other) = auth.tenants.iter().find(same_token) {
            let message = format!("the tenants `{}` and `{}` have the same token", other.name, tenant.name);
            return Err(self.tenant_error(at, &message, "the second of them"));
        }
        if !tenant.has_token() && auth.tenant_header.is_none() {
            let message = format!(
                "the tenant `{}` has no token, and there is no `tenant_header`: no request could be its own",
                tenant.name
            );
            return Err(self.tenant_error(at, &message, "this tenant"));
        }
        Ok(())
    }

    /// An element of the list of tenants; it has no form for `--set`.
    fn tenant(
        &self,
        written: &file::Tenant,
        limits: TenantLimits,
        list: Location,
    ) -> Result<Tenant, ConfigError> {
        let Some(name) = &written.name else {
            return Err(self.tenant_error(list, "a tenant has no `name`", "in this list"));
        };
        let at = name.referenced;
        let name: TenantName = self.parse_leaf("tenants.name", &name.value, at)?;
        let mut tenant = Tenant { name: name.0, token: None, token_file: None, limits };
        if let Some(leaf) = &written.token {
            tenant.token = Some(self.parse_leaf::<Secret>("tenants.token", &leaf.value, leaf.referenced)?);
        }
        if let Some(leaf) = &written.token_file {
            let file = self.parse_leaf::<FilePath>("tenants.token_file", &leaf.value, leaf.referenced)?;
            tenant.token_file = Some(file.0);
            self.remember(&tenant.token_file_key(), leaf.referenced);
        }
        if tenant.token.is_some() && tenant.token_file.is_some() {
            let message = format!("the tenant `{}` has `token` and `token_file`", tenant.name);
            return Err(self.tenant_error(at, &message, "this tenant"));
        }
        let limits = &mut tenant.limits;
        for (leaf, value) in [
            (&written.rate_limit_bytes, &mut limits.rate_limit_bytes),
            (&written.burst_size_bytes, &mut limits.burst_size_bytes),
            (&written.max_inflight_bytes, &mut limits.max_inflight_bytes),
        ] {
            if let Some(leaf) = leaf {
                let bytes = self.parse_leaf::<Whole<0, { u64::MAX >> 1 }>>(
                    "tenants: a limit in bytes",
                    &leaf.value,
                    leaf.referenced,
                )?;
                *value = bytes.0;
            }
        }
        Ok(tenant)
    }

    fn tenant_error(&self, at: Location, message: &str, label: &str) -> ConfigError {
        let help = "for example `{name: clips, token: \"${env:CLIPS_TOKEN}\"}`".to_owned();
        self.source.error(at, &format!("receivers.otlp.auth.tenants: {message}"), label, Some(help))
    }
}
