//! Starts a service and stops it in order: no new requests, loads finished, reports
//! delivered.

use crate::external::Account;
use crate::ingest::{
    accept, janitor, load, merge, seal,
    work::{AccountQueues, EmbeddedQueues, WorkSource},
};
use crate::sas::Signer;
use crate::state::State;
use crate::store::Store;
use crate::tls::Authority;
use crate::{ServiceConfig, ServiceError};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A service that runs until [`RunningService::stop`].
pub struct RunningService {
    address: SocketAddr,
    certificate: PathBuf,
    stop: CancellationToken,
    server: JoinHandle<()>,
    tasks: TaskTracker,
}

impl RunningService {
    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The certificate, in PEM, of the authority that clients trust to use https.
    pub fn certificate_authority(&self) -> &Path {
        &self.certificate
    }

    /// The cluster URL over https; the client must trust
    /// [`certificate_authority`](Self::certificate_authority).
    pub fn https_url(&self) -> String {
        self.url().replacen("http://", "https://", 1)
    }

    /// The cluster URL for clients on this machine.
    pub fn url(&self) -> String {
        let host = if self.address.ip().is_unspecified() {
            "localhost".to_owned()
        } else {
            self.address.ip().to_string()
        };
        let host = if self.address.is_ipv6() && !self.address.ip().is_unspecified() {
            format!("[{host}]")
        } else {
            host
        };
        format!("http://{host}:{}", self.address.port())
    }

    /// Stops it: open requests and the load under way end first. Open batches stay in
    /// the store and go on with the next start.
    pub async fn stop(self) {
        self.stop.cancel();
        // First the door, so that no request finds the rest gone.
        if let Err(error) = self.server.await {
            tracing::error!(%error, "the listener failed");
        }
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Starts a service on a listener; it is ready when this returns.
pub async fn start(config: ServiceConfig, listener: TcpListener) -> Result<RunningService, ServiceError> {
    let root = config.data_dir.clone();
    let store = tokio::task::spawn_blocking(move || Store::open(&root)).await??;
    let signer = Signer::new(store.secret_key()?);
    // A process may install its own provider first; then this one is not needed.
    let _installed = kusto_client::install_crypto_provider();
    let http = reqwest::Client::builder()
        .connect_timeout(std::time::Duration::from_secs(10))
        .read_timeout(std::time::Duration::from_secs(60))
        .redirect(config.source_hosts.redirects())
        .build()
        .map_err(|error| ServiceError::BadRequest(format!("the HTTP client cannot be made: {error}")))?;
    let (data_dir, names) = (config.data_dir.clone(), config.host_names.clone());
    let authority = Arc::new(tokio::task::spawn_blocking(move || Authority::open(&data_dir, &names)).await??);
    let certificate = crate::tls::certificate_file(&config.data_dir);
    let certificate = std::path::absolute(&certificate).unwrap_or(certificate);
    let account = match config.storage.clone() {
        Some(account) => Some(Arc::new(Account::open(account, http.clone()).await?)),
        None => None,
    };
    let work: Box<dyn WorkSource> = match &account {
        Some(account) => Box::new(AccountQueues(account.clone())),
        None => Box::new(EmbeddedQueues),
    };
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let capacity_total = config.ingestion_capacity.unwrap_or_else(|| (cores * 3 / 4).max(4));
    let tasks = TaskTracker::new();
    let state = Arc::new(State {
        streaming: tokio::sync::Semaphore::new(6 * cores),
        capacity: Arc::new(tokio::sync::Semaphore::new(capacity_total)),
        capacity_total,
        background: tasks.clone(),
        account,
        store: Arc::new(store),
        signer,
        arrivals: Notify::new(),
        sealed: Notify::new(),
        outcomes: Notify::new(),
        issuers: crate::access::Issuers::new(config.access.issuers().to_vec(), http.clone()),
        requests: crate::requests::Requests::default(),
        room: crate::room::Room::new(config.data_dir.clone(), config.min_free),
        running: crate::running::Running::default(),
        duplicates: crate::ingest::duplicate::Duplicates::default(),
        streaming_log: crate::streaming_log::StreamingRecords::default(),
        flushes: Mutex::new(Vec::new()),
        config,
        http,
    });
    let address = listener.local_addr().map_err(ServiceError::file(std::path::Path::new("listener")))?;
    let stop = CancellationToken::new();
    tasks.spawn(accept::run(state.clone(), work, stop.clone()));
    tasks.spawn(load::run(state.clone(), stop.clone()));
    tasks.spawn(janitor::report(state.clone(), stop.clone()));
    tasks.spawn(janitor::clean(state.clone(), stop.clone()));
    tasks.spawn(merge::run(state.clone(), stop.clone()));
    tasks.spawn(seal::run(state.clone(), stop.clone()));
    let server = tokio::spawn(crate::listen::serve(listener, authority, state, stop.clone()));
    Ok(RunningService { address, certificate, stop, server, tasks })
}
