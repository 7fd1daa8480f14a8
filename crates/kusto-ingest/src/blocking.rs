//! The clients for programs without an async runtime: each call waits on the thread that
//! makes it.
//!
//! ```no_run
//! # fn run() -> Result<(), kusto_ingest::Error> {
//! use kusto_ingest::blocking::Blocking;
//! use kusto_ingest::{IngestionProperties, KustoClient, QueuedIngestClient, Source};
//! let cluster = KustoClient::from_connection_string("http://localhost:8080")?;
//! let client = Blocking::new(QueuedIngestClient::new(&cluster))?;
//! let target = IngestionProperties::new("NetDefaultDB", "Flights")?.tracked();
//! let handle = client.ingest(Source::file("flights.csv"), &target)?;
//! println!("{:?}", handle.ingested());
//! # Ok(())
//! # }
//! ```

use crate::{Error, ErrorKind, Ingest, IngestClient, IngestionHandle, IngestionProperties, Outcome, Source};
use crate::{Progress, SourceOutcome};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

/// Any client, with calls that wait. It owns a runtime with two threads.
#[derive(Debug)]
pub struct Blocking<C> {
    client: C,
    runtime: Arc<Runtime>,
}

/// A handle whose questions wait.
#[derive(Debug, Clone)]
pub struct BlockingHandle {
    handle: IngestionHandle,
    runtime: Arc<Runtime>,
}

impl<C: IngestClient> Blocking<C> {
    /// Wraps a client.
    ///
    /// # Errors
    /// When no threads can be started.
    pub fn new(client: C) -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .thread_name("kusto-ingest")
            .build()
            .map_err(|error| {
                Error::new(ErrorKind::Usage, "the client's threads cannot be started").caused_by(error)
            })?;
        Ok(Self { client, runtime: Arc::new(runtime) })
    }

    /// The client inside.
    pub fn client(&self) -> &C {
        &self.client
    }

    /// Ingests a source; returns once it is *accepted*. Must not be called on a thread of
    /// an async runtime.
    pub fn ingest(
        &self,
        source: impl Into<Source>,
        properties: &IngestionProperties,
    ) -> Result<BlockingHandle, Error> {
        self.run(Ingest::new(&self.client, source, properties))
    }

    /// Ingests a source, counts into `progress`, and gives up after `limit`.
    pub fn ingest_within(
        &self,
        source: impl Into<Source>,
        properties: &IngestionProperties,
        progress: &Progress,
        limit: Duration,
    ) -> Result<BlockingHandle, Error> {
        self.run(Ingest::new(&self.client, source, properties).with_progress(progress).within(limit))
    }

    fn run(&self, ingest: Ingest<'_>) -> Result<BlockingHandle, Error> {
        let handle = self.runtime.block_on(ingest.into_future())?;
        Ok(BlockingHandle { handle, runtime: self.runtime.clone() })
    }

    /// Takes up a handle that was written down.
    pub fn resume(&self, handle: &str) -> Result<BlockingHandle, Error> {
        Ok(BlockingHandle { handle: self.client.resume(handle)?, runtime: self.runtime.clone() })
    }
}

impl BlockingHandle {
    /// The async handle inside.
    pub fn handle(&self) -> &IngestionHandle {
        &self.handle
    }

    /// Waits until the service has decided.
    pub fn ingested(&self) -> Outcome {
        self.runtime.block_on(self.handle.ingested())
    }

    /// Waits until the service has decided, at most so long.
    pub fn ingested_within(&self, limit: Duration) -> Outcome {
        self.runtime.block_on(self.handle.ingested_within(limit))
    }

    /// What is known now of each source.
    pub fn details(&self) -> Result<Vec<SourceOutcome>, Error> {
        self.runtime.block_on(self.handle.details())
    }
}
