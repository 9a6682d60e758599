//! What connections to a destination are made with, and its renewal when the files of its TLS change.
//!
//! A request that is under way ends on the connection that it began on. The next one finds an HTTP client
//! without connections: it makes one with our new certificate and checks it by the new authorities, while a
//! connection that is kept open for days would go on with the old ones. Files that cannot be used leave in
//! use what was read before.

use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http_body_util::Full;
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::{ForwardError, KEEPALIVE};
use crate::config::{Destination, Protocol};
use crate::tls::{ClientFiles, ClientSide, ClientTlsError, Ends, Renewed, Standing, look_again};

/// An HTTP client with its connections.
type Http = HttpClient<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// What connections to one destination are made with.
#[derive(Debug)]
pub(super) struct Connecting {
    settings: Destination,
    current: ArcSwap<Http>,
    loaded: Mutex<ClientFiles>,
    standing: Mutex<Standing>,
}

impl Connecting {
    /// Reads the files that the settings name.
    ///
    /// # Errors
    /// One cannot be used, or the system has no authorities.
    pub(super) fn new(settings: &Destination) -> Result<Self, ForwardError> {
        let of = |error| match error {
            ClientTlsError::File(source) => ForwardError::Tls { name: settings.name.clone(), source },
            ClientTlsError::Trust(problem) => ForwardError::Trust { name: settings.name.clone(), problem },
        };
        let files = ClientFiles::read(&settings.tls).map_err(|error| of(error.into()))?;
        let (http, ends) = http(settings, &files).map_err(of)?;
        Ok(Self {
            settings: settings.clone(),
            current: ArcSwap::from_pointee(http),
            loaded: Mutex::new(files),
            standing: Mutex::new(Standing::new(ends)),
        })
    }

    /// The client of the moment.
    pub(super) fn http(&self) -> Arc<Http> {
        self.current.load_full()
    }

    /// The destination has TLS, with files of its own.
    pub(super) fn has_files(&self) -> bool {
        let tls = &self.settings.tls;
        is_tls(&self.settings) && (tls.ca_file.is_some() || tls.cert_file.is_some())
    }

    /// Looks at the files as often as the settings say, until `stop` is true.
    pub(super) async fn watch(self: Arc<Self>, stop: watch::Receiver<bool>) {
        let Some(interval) = self.settings.tls.reload_interval.filter(|_| self.has_files()) else { return };
        let name = self.settings.name.clone();
        look_again(interval, stop, &name, move || self.reload()).await;
    }

    /// Reads the files again, and whether they had changed.
    ///
    /// # Errors
    /// They cannot be used; what was read before stays in use.
    fn reload(&self) -> Result<bool, ClientTlsError> {
        let looked = self.read_again();
        self.standing.lock().note(looked)
    }

    /// Takes the files if they have changed, and says when they end.
    fn read_again(&self) -> Result<Option<Ends>, ClientTlsError> {
        let files = ClientFiles::read(&self.settings.tls)?;
        let mut loaded = self.loaded.lock();
        if *loaded == files {
            return Ok(None);
        }
        let (http, ends) = http(&self.settings, &files)?;
        self.current.store(Arc::new(http));
        *loaded = files;
        Ok(Some(ends))
    }
}

impl Renewed for Connecting {
    fn standing(&self) -> Standing {
        self.standing.lock().clone()
    }
}

/// Whether connections are made with TLS: where the URL says `https`.
fn is_tls(settings: &Destination) -> bool {
    settings.url.scheme_str() == Some("https")
}

/// A client without connections; and when the files for its TLS end.
fn http(settings: &Destination, files: &ClientFiles) -> Result<(Http, Ends), ClientTlsError> {
    let (tls, is_tls) = (&settings.tls, is_tls(settings));
    let ClientSide { config, ends } = files.client_side(tls, is_tls)?;
    let builder = HttpsConnectorBuilder::new().with_tls_config(config).https_or_http();
    let builder = match &tls.server_name_override {
        Some(name) => builder.with_server_name_resolver(FixedServerNameResolver::new(name.clone())),
        None => builder,
    };
    let connector = match settings.protocol {
        Protocol::Grpc => builder.enable_http2().build(),
        Protocol::Http => builder.enable_http1().enable_http2().build(),
    };
    let http = HttpClient::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .timer(TokioTimer::new())
        .http2_only(settings.protocol == Protocol::Grpc)
        .http2_keep_alive_interval(KEEPALIVE)
        .http2_keep_alive_timeout(KEEPALIVE)
        .build(connector);
    Ok((http, if is_tls { ends } else { Ends::new() }))
}
