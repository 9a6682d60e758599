//! What a server is made of besides its sockets and its data directory: all that the configuration names
//! files for. `check` makes it and throws it away, so that what it calls good is what `serve` takes.

use std::sync::Arc;

use miette::Diagnostic;

use crate::build_error::BuildError;
use crate::config::{Config, ServerTlsFiles, Unknown};
use crate::consistency;
use crate::forward::{self, Client, ForwardError};
use crate::provider_files::ProviderFiles;
use crate::receivers::Tenants;
use crate::setting_error::SettingError;
use crate::tls::{Certificates, ServerTls};

/// Protocols offered by ALPN.
const GRPC_PROTOCOLS: &[&[u8]] = &[b"h2"];
const HTTP_PROTOCOLS: &[&[u8]] = &[b"h2", b"http/1.1"];

/// Nothing of it listens or writes.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) providers: ProviderFiles,
    pub(crate) tenants: Tenants,
    pub(crate) grpc_tls: Option<Arc<ServerTls>>,
    pub(crate) http_tls: Option<Arc<ServerTls>>,
    pub(crate) admin_tls: Option<Arc<ServerTls>>,
    /// One for each destination.
    pub(crate) clients: Vec<Client>,
    /// Names that the configuration counts by and no provider file has: to be told, not refused, for a file
    /// may come.
    pub(crate) unknown_names: Vec<Unknown>,
}

impl Setup {
    /// Reads every file that the configuration names.
    ///
    /// # Errors
    /// One cannot be read, or is not what it should be; or values do not go together.
    pub(crate) fn of(config: &Config) -> Result<Self, BuildError> {
        consistency::check(config)?;
        let settings = &config.settings;
        let directory = settings.providers.directory.as_deref();
        let providers = ProviderFiles::load(directory, &settings.correlation)?;
        let tenants = Tenants::new(&settings.receivers.auth).map_err(|error| {
            SettingError::new(config, error.key(), &error, error.help().map(|help| help.to_string()))
        })?;
        let tls = |section: &str, files: Option<&ServerTlsFiles>, protocols| {
            let loaded = files.map(|files| ServerTls::load(files.clone(), protocols)).transpose();
            loaded.map_err(|error| {
                let key = format!("{section}.{}", error.key());
                let help = error.help().map(|help| help.to_string());
                SettingError::new(config, &key, &format_args!("{section}.{error}"), help)
            })
        };
        let receivers = &settings.receivers;
        let grpc_files = receivers.grpc.as_ref().and_then(|grpc| grpc.tls.as_ref());
        let http_files = receivers.http.as_ref().and_then(|http| http.tls.as_ref());
        Ok(Self {
            unknown_names: config.unknown_names(&providers.cards(&settings.pricing)),
            providers,
            tenants,
            grpc_tls: tls("receivers.otlp.protocols.grpc", grpc_files, GRPC_PROTOCOLS)?,
            http_tls: tls("receivers.otlp.protocols.http", http_files, HTTP_PROTOCOLS)?,
            admin_tls: tls("exporters.prometheus", settings.admin.tls.as_ref(), HTTP_PROTOCOLS)?,
            clients: forward::clients(&settings.forward).map_err(|error| of_destination(config, &error))?,
        })
    }

    /// The certificates of all ports, and towards all destinations.
    pub(crate) fn certificates(&self) -> Certificates {
        let ports = Certificates::of([
            ("grpc", self.grpc_tls.as_ref()),
            ("http", self.http_tls.as_ref()),
            ("admin", self.admin_tls.as_ref()),
        ]);
        ports.towards(self.clients.iter().filter_map(Client::certificates))
    }
}

fn of_destination(config: &Config, error: &ForwardError) -> SettingError {
    let help = match error {
        ForwardError::Tls { source, .. } => source.help(),
        other => other.help(),
    };
    SettingError::new(config, &error.key(), error, help.map(|help| help.to_string()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// What is wrong with a file of that text.
    fn refused(directory: &Path, text: &str) -> String {
        let path = directory.join("spantally.yaml");
        std::fs::write(&path, text).unwrap();
        let config = Config::load(Some(&path), &[]).unwrap();
        let error = Setup::of(&config).unwrap_err();
        let help = error.help().map(|help| help.to_string());
        format!("{error}; {}", help.unwrap_or_default()).replace(&*directory.to_string_lossy(), "")
    }

    #[test]
    fn names_that_no_provider_file_has_are_told_and_not_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("spantally.yaml");
        let told = |text: &str| -> Vec<String> {
            std::fs::write(&path, text).unwrap();
            let setup = Setup::of(&Config::load(Some(&path), &[]).unwrap()).unwrap();
            let told = setup.unknown_names.iter().map(ToString::to_string);
            told.map(|text| text.replace(&*directory.path().to_string_lossy(), "")).collect()
        };
        let written = |provider: &str, currency: &str, unit: &str| {
            format!(
                "budgets:\n- {{name: a, limit: 1, currency: {currency}, scope: {{provider: {provider}}}}}\n\
                 - {{name: b, limit: 1, unit: {unit}, scope: {{tenant: nobody}}}}\n\
                 prepaid:\n- {{name: c, balance: 1, as_of: 2026-11-01, unit: {unit}, scope: {{provider: \
                 {provider}}}}}\n\
                 invoices:\n- {{provider: {provider}, period: 2026-10, amount: 1, currency: {currency}}}\n"
            )
        };
        for unit in ["credit", "task", "second", "image"] {
            assert_eq!(told(&written("runway", "USD", unit)), Vec::<String>::new(), "{unit}");
        }
        let nothing = "(until one does, nothing counts here)";
        let provider = "no provider file has the name `runwya`; did you mean `runway`?";
        let currency = "no provider file charges in the currency `UDS`";
        let unit = "no provider file bills by the unit `credits`; did you mean `credit`?";
        let wanted = [
            ("2:33: budgets.currency", currency),
            ("2:56: budgets.scope.provider", provider),
            ("3:29: budgets.unit", unit),
            ("5:50: prepaid.unit", unit),
            ("5:77: prepaid.scope.provider", provider),
            ("7:14: invoices.provider", provider),
            ("7:60: invoices.currency", currency),
        ];
        let wanted = wanted.map(|(place, problem)| format!("/spantally.yaml:{place}: {problem} {nothing}"));
        assert_eq!(told(&written("runwya", "UDS", "credits")), wanted);
        let [strange] = &told("invoices: [{provider: fal, period: 2026-10, amount: 1, currency: qqq}]")[..]
        else {
            panic!("one name")
        };
        assert!(strange.ends_with(&format!("in the currency `qqq` {nothing}")), "{strange}");
    }

    #[test]
    fn what_cannot_be_used_is_told_with_its_line() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name).display().to_string();
        std::fs::write(at("one"), "hush\n").unwrap();
        std::fs::write(at("two"), "hush\n").unwrap();
        let tenants = |list: &str| format!("receivers: {{otlp: {{auth: {{tenants: [\n{list}]}}}}}}");
        let tls =
            |files: &str| format!("receivers: {{otlp: {{protocols: {{grpc: {{tls: {{\n{files}}}}}}}}}}}");
        let exporter = |tls: &str| format!("exporters: {{otlp/a: {{endpoint: 'a:1', tls: {{\n{tls}}}}}}}");
        for (text, expected) in [
            (
                tenants("{name: a, token_file: /none}"),
                "/spantally.yaml:2:23: receivers.otlp.auth.tenants: a: token_file /none: No such file",
            ),
            (
                tenants(&format!(
                    "{{name: a, token_file: {}}},\n{{name: b, token_file: {}}}",
                    at("one"),
                    at("two")
                )),
                "/spantally.yaml:3:23: receivers.otlp.auth.tenants: b: token_file /two: the tenants `a` and `b` \
                 have the same token; give each tenant a token of its own",
            ),
            (
                tenants(&format!("{{name: a, token_file: {}}},\n{{name: b, token: hush}}", at("one"))),
                "/spantally.yaml:2:23: receivers.otlp.auth.tenants: a: token_file /one: the tenants `a` and `b` \
                 have the same token; give each tenant a token of its own",
            ),
            (
                tls(&format!("cert_file: {},\nkey_file: /none", at("one"))),
                "/spantally.yaml:3:11: receivers.otlp.protocols.grpc.tls.key_file /none: No such file",
            ),
            (
                exporter("ca_file: /none"),
                "/spantally.yaml:2:10: exporters.otlp/a.tls.ca_file /none: No such file",
            ),
            (
                exporter(&format!("ca_file: {}", at("one"))),
                "/spantally.yaml:2:10: exporters.otlp/a.tls.ca_file /one: there is no `BEGIN CERTIFICATE` in \
                 it; give a PEM",
            ),
        ] {
            let told = refused(directory.path(), &text);
            assert!(told.starts_with(expected), "{text}\n{told}");
        }
    }
}
