//! The server as one value: built with its addresses bound, then run until it is told to stop.
//!
//! **Building** finds every mistake that a person can make: provider files, addresses, the data directory. It
//! leaves nothing running but the listeners, so a test binds port 0 and asks for the [`Addresses`].
//!
//! **Running** takes the last process's state back (the admin server already answers 503 on `/readyz`),
//! starts the commit and the core, and opens the receivers.
//!
//! **Stopping** goes the way of the data, so that nothing that was taken is left behind: receivers answer
//! what is under way and take no more, the commit empties its queue, the core makes its last checkpoint while
//! forwarding sends what it can for a few seconds more, the admin server goes last.
//!
//! Next in the flow: [`crate::receivers`].

use std::sync::Arc;

use spantally_store::{DataDir, JournalSync, Ledger, SqliteJournal, StoreError, check_pair};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::admin::{Admin, Hosts, Readiness, Sources};
pub use crate::build_error::BuildError;
use crate::clock;
use crate::config::{Config, Settings};
use crate::connections::Versions;
use crate::core::{CoreHandle, Reader};
use crate::export::Format;
use crate::forward::{Forwarder, Sending};
use crate::intake::Intake;
pub use crate::listen::Addresses;
use crate::listen::{OpenPort, bind, warn_if_open};
use crate::open_files;
pub use crate::pipeline::new_core;
use crate::pipeline::{After, Pipeline};
use crate::provider_files::ProviderFiles;
use crate::receivers::{self, Entry, Tenants, UnderWay};
use crate::reconciliation::Reconciliation;
use crate::rules::Reloader;
pub use crate::run_error::RunError;
use crate::setup::Setup;
use crate::tls::Certificates;

/// A server whose addresses are bound and whose files are open.
#[derive(Debug)]
pub struct App {
    settings: Settings,
    providers: ProviderFiles,
    grpc: Option<OpenPort>,
    http: Option<OpenPort>,
    admin: OpenPort,
    certificates: Certificates,
    tenants: Tenants,
    store: Store,
    forwarder: Arc<Forwarder>,
}

#[derive(Debug)]
struct Store {
    directory: DataDir,
    journal: SqliteJournal,
    syncer: Option<JournalSync>,
    ledger: Ledger,
}

impl Store {
    fn open(settings: &Settings) -> Result<Self, StoreError> {
        let directory = DataDir::open(&settings.storage.directory)?;
        check_pair(&directory)?;
        let ledger = Ledger::open(&directory)?;
        let options = settings.storage.journal();
        let journal = SqliteJournal::open(&directory, (ledger.applied(), ledger.done()), options)?;
        let syncer = journal.syncer()?;
        Ok(Self { directory, journal, syncer, ledger })
    }
}

impl App {
    /// Loads the provider files, binds every address, opens the data directory.
    pub async fn build(config: &Config) -> Result<Self, BuildError> {
        let mut settings = config.settings.clone();
        open_files::raise(&mut settings);
        let setup = Setup::of(config)?;
        for unknown in &setup.unknown_names {
            tracing::warn!("{unknown}");
        }
        let certificates = setup.certificates();
        let (mut grpc, mut http) = (None, None);
        if let Some(receiver) = &settings.receivers.grpc {
            let key = "receivers.otlp.protocols.grpc.endpoint";
            grpc = Some(bind(config, key, &receiver.endpoint).await?.with_tls(setup.grpc_tls));
        }
        if let Some(receiver) = &settings.receivers.http {
            let key = "receivers.otlp.protocols.http.endpoint";
            http = Some(bind(config, key, &receiver.endpoint).await?.with_tls(setup.http_tls));
        }
        let admin = bind(config, "exporters.prometheus.endpoint", &settings.admin.endpoint).await?;
        let admin = admin.with_tls(setup.admin_tls);
        let store = blocking({
            let settings = settings.clone();
            move || {
                let store = Store::open(&settings)?;
                let forwarder = Forwarder::open(&settings.forward, setup.clients, store.directory.path())?;
                Ok::<_, BuildError>((store, forwarder))
            }
        });
        let (store, forwarder) = store.await?;
        let forwarder = Arc::new(forwarder);
        let Setup { providers, tenants, .. } = setup;
        Ok(Self { settings, providers, grpc, http, admin, certificates, tenants, store, forwarder })
    }

    /// Where it listens.
    pub fn addresses(&self) -> Addresses {
        Addresses {
            grpc: self.grpc.as_ref().map(|port| port.address),
            http: self.http.as_ref().map(|port| port.address),
            admin: self.admin.address,
        }
    }

    /// Starts to answer: first the admin server, then the receivers, once the last process's state is taken
    /// back.
    pub async fn start(self) -> Result<Running, RunError> {
        let addresses = self.addresses();
        let (readiness, readiness_seen) = watch::channel(Readiness::Starting);
        let (stop_admin, admin_stops) = watch::channel(false);
        let (stop_receivers, receivers_stop) = watch::channel(false);
        let (stop_sending, sending_stops) = watch::channel(false);
        let Store { directory, journal, syncer, ledger } = self.store;
        let commit = self.settings.storage.commit();
        warn_if_open(&addresses, &self.settings);
        let hosts = Hosts::new(addresses.admin.ip(), &self.settings.admin.allowed_hosts);
        let admin = Admin::new(readiness_seen, directory.path().to_owned(), addresses.named(), hosts);
        let port = self.admin.port(Versions::Both, &admin_stops);
        let admin_task = tokio::spawn(Arc::clone(&admin).serve(port, admin_stops));

        let mut core = new_core(&self.settings, &self.providers, clock::now());
        let reconciliation = Reconciliation::new(self.settings.invoices.clone(), directory.path());
        core.set_invoiced(reconciliation.invoiced());
        let spares = core.spares();
        let listener = self.forwarder.listener();
        let after = After { listener, retention: self.settings.storage.ledger, syncer };
        let start = move || Pipeline::start(core, ledger, Box::new(journal), commit, after);
        let pipeline = blocking(start).await?;
        let recogniser = Arc::clone(&self.providers.recogniser);
        let intake = Arc::new(
            Intake::new(recogniser, pipeline.committer.handle(), self.settings.receivers.max_inflight_bytes)
                .with_spares(spares, self.settings.receivers.max_connections()),
        );
        let entry = Arc::new(Entry {
            intake,
            tenants: self.tenants,
            forwarder: self.forwarder,
            under_way: UnderWay::default(),
        });
        let sending = entry.forwarder.start(&sending_stops);
        let core = pipeline.core.handle();
        let reloader =
            Reloader::new(&self.settings, &self.providers, Arc::clone(&entry.intake), core.clone());
        tokio::spawn(Arc::clone(&reloader).watch(receivers_stop.clone()));
        let sources = Sources {
            core: core.clone(),
            entry: Arc::clone(&entry),
            reloader,
            reconciliation: Arc::clone(&reconciliation),
            certificates: self.certificates,
        };
        tokio::spawn(reconciliation.keep(receivers_stop.clone()));
        admin.answer_from(sources.clone());
        let receivers = serve_otlp((self.grpc, self.http), &self.settings, &entry, &receivers_stop);
        readiness.send_replace(Readiness::Ready);
        for (name, address) in addresses.named() {
            tracing::info!(%address, "{name}");
        }
        Ok(Running {
            addresses,
            core,
            sources,
            readiness,
            stop_receivers,
            receivers,
            pipeline,
            stop_sending,
            sending,
            stop_admin,
            admin_task,
            _directory: directory,
        })
    }
}

/// Serves OTLP on the ports that are on, gRPC and HTTP.
fn serve_otlp(
    (grpc, http): (Option<OpenPort>, Option<OpenPort>),
    settings: &Settings,
    entry: &Arc<Entry>,
    stop: &watch::Receiver<bool>,
) -> JoinSet<std::io::Result<()>> {
    let mut receivers = JoinSet::new();
    if let (Some(bound), Some(settings)) = (grpc, &settings.receivers.grpc) {
        let port = bound.port(Versions::Http2, stop);
        receivers.spawn(receivers::grpc::serve(port, settings.into(), Arc::clone(entry), stop.clone()));
    }
    if let (Some(bound), Some(settings)) = (http, &settings.receivers.http) {
        let port = bound.port(Versions::Both, stop);
        receivers.spawn(receivers::http::serve(port, settings.into(), Arc::clone(entry), stop.clone()));
    }
    receivers
}

/// Does what takes time or waits for the disk away from the threads that serve connections.
async fn blocking<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> R {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Blocking work is never cancelled; only the end of the whole runtime, and of this task with it,
            // drops it.
            Err(_) => std::future::pending().await,
        },
    }
}

/// A server that answers.
#[derive(Debug)]
pub struct Running {
    /// Where it listens.
    pub addresses: Addresses,
    /// Asks the core.
    pub core: CoreHandle,
    pub(crate) sources: Sources,
    readiness: watch::Sender<Readiness>,
    stop_receivers: watch::Sender<bool>,
    receivers: JoinSet<std::io::Result<()>>,
    pipeline: Pipeline,
    stop_sending: watch::Sender<bool>,
    sending: Sending,
    stop_admin: watch::Sender<bool>,
    admin_task: tokio::task::JoinHandle<()>,
    /// Keeps other processes out of the data directory.
    _directory: DataDir,
}

impl Running {
    /// Reads the provider files again.
    pub(crate) fn reloader(&self) -> Arc<Reloader> {
        Arc::clone(&self.sources.reloader)
    }

    /// A writer of the page of metrics as it then stands, in Prometheus text.
    pub(crate) fn metrics_page(&self) -> impl Fn() -> bytes::Bytes + Send + Sync + use<> {
        let sources = self.sources.clone();
        move || sources.metrics_page(Format::Text, Reader::Other).to_vec().into()
    }

    /// Stops in the order of the data: everything that was acknowledged is in the ledger when this returns.
    ///
    /// # Errors
    /// A thread had panicked; or the ledger could not be written: then what was acknowledged is in the
    /// journal alone, from which the next start takes it.
    pub async fn stop(mut self) -> Result<(), RunError> {
        self.readiness.send_replace(Readiness::Draining);
        self.stop_receivers.send_replace(true);
        while let Some(ended) = self.receivers.join_next().await {
            if let Err(error) = ended.map_err(std::io::Error::other).flatten() {
                tracing::warn!(%error, "a receiver ended badly");
            }
        }
        // Of senders that are gone, or were cut off.
        self.sources.entry.under_way.ended().await;
        self.stop_sending.send_replace(true);
        let (stopped, ()) = tokio::join!(blocking(move || self.pipeline.stop()), self.sending.ended());
        self.stop_admin.send_replace(true);
        drop(self.admin_task.await);
        stopped
    }
}
