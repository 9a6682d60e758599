//! Configuration: YAML in the OpenTelemetry Collector's shape, checked before anything starts.
//!
//! Two sets of types, and only the second leaves this module. [`file`] is the file as written: every leaf is
//! text with its place, so that nothing is lost before it is judged. [`settings`] is what the server runs on:
//! every value parsed, every default filled in. [`resolve`] goes from the first to the second; on the way it
//! reads each leaf ([`leaf`]): applies `--set`, expands `${env:NAME}` ([`env`](mod@env)), parses by type
//! ([`text`]). What is wrong is a [`ConfigError`] that shows the line, with secrets masked
//! ([`mask`]).
//!
//! Next in the flow: [`crate::app`] builds the server from a [`Config`].

mod budgets;
mod env;
mod error;
mod exporters;
mod file;
mod host_name;
mod invoices;
mod labels;
mod leaf;
mod mask;
mod named;
mod origin;
mod receivers;
mod remote;
mod resolve;
pub(crate) mod settings;
mod text;
mod wire;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

pub use error::ConfigError;
pub(crate) use error::nearest;
pub(crate) use exporters::leads_back;
pub(crate) use invoices::Days;
pub use settings::{
    AdminServer, GrpcReceiver, HttpReceiver, LogEncoding, LogLevel, Logs, Pricing, PrometheusExporter,
    ProviderFiles, Receivers, Settings, Storage,
};
pub use text::Endpoint;
pub(crate) use text::is_tenant_name;
pub use wire::{
    Auth, ClientTls, Compression, Cors, Destination, HoldSpans, Protocol, Queue, Retry, Secret,
    ServerTlsFiles, Tenant, TenantLimits, TlsVersion,
};

use error::Source;
use named::Named;
pub(crate) use named::Unknown;
use spantally_price::Cards;

/// A checked configuration: the values, and where each of them was written.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The values.
    pub settings: Settings,
    places: BTreeMap<String, Place>,
    named: Vec<Named>,
}

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nowhere: it is the default.
    Default,
    /// In a configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: u64,
        /// Column, from 1.
        column: u64,
    },
    /// On the command line, by `--set`.
    CommandLine,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("the default"),
            Self::File { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            Self::CommandLine => f.write_str("--set on the command line"),
        }
    }
}

impl Config {
    /// Reads a file, if one is given, then the `key=value` pairs of `--set`, which win.
    pub fn load(path: Option<&Path>, set: &[String]) -> Result<Self, ConfigError> {
        let environment = |name: &str| std::env::var(name).ok();
        match path {
            None => resolve::resolve(&Source::none(), set, &environment),
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|error| ConfigError::read(path, &error))?;
                resolve::resolve(&Source::file(path, text), set, &environment)
            }
        }
    }

    /// Whether nobody has written a value for a key.
    pub(crate) fn is_default(&self, key: &str) -> bool {
        !self.places.contains_key(key)
    }

    /// Where the value of a key was written, for messages about it.
    pub fn place(&self, key: &str) -> Place {
        self.places.get(key).cloned().unwrap_or(Place::Default)
    }

    /// Names of providers, units and currencies in the lists that these cards do not have.
    pub(crate) fn unknown_names(&self, cards: &Cards) -> Vec<Unknown> {
        named::unknown(&self.named, cards)
    }
}
