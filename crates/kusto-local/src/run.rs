//! Starts a service and stops it in order: no new requests, loads finished, reports
//! delivered.

use crate::external::Account;
use crate::ingest::{
    accept, janitor, load,
    work::{AccountQueues, EmbeddedQueues, WorkSource},
};
use crate::sas::Signer;
use crate::state::State;
use crate::store::Store;
use crate::{ServiceConfig, ServiceError};
use axum::Router;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A service that runs until [`RunningService::stop`].
pub struct RunningService {
    address: SocketAddr,
    stop: CancellationToken,
    server: JoinHandle<()>,
    tasks: TaskTracker,
}

impl RunningService {
    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
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
        self.tasks.close();
        self.tasks.wait().await;
        // Idle keep-alive connections would hold the server open.
        if tokio::time::timeout(std::time::Duration::from_secs(2), self.server).await.is_err() {
            tracing::debug!("connections were still open at the stop");
        }
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
        .build()
        .map_err(|error| ServiceError::BadRequest(format!("the HTTP client cannot be made: {error}")))?;
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
        config,
        signer,
        arrivals: Notify::new(),
        sealed: Notify::new(),
        outcomes: Notify::new(),
        flushes: Mutex::new(Vec::new()),
        http,
    });
    let address = listener.local_addr().map_err(ServiceError::file(std::path::Path::new("listener")))?;
    let stop = CancellationToken::new();
    tasks.spawn(accept::run(state.clone(), work, stop.clone()));
    tasks.spawn(load::run(state.clone(), stop.clone()));
    tasks.spawn(janitor::report(state.clone(), stop.clone()));
    tasks.spawn(janitor::clean(state.clone(), stop.clone()));
    let router = Router::new()
        .fallback(move |request: axum::extract::Request| crate::http::serve(state.clone(), request));
    let stopping = stop.clone();
    let server = tokio::spawn(async move {
        let served =
            axum::serve(listener, router).with_graceful_shutdown(async move { stopping.cancelled().await });
        if let Err(error) = served.await {
            tracing::error!(%error, "the listener failed");
        }
    });
    Ok(RunningService { address, stop, server, tasks })
}
