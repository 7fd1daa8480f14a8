//! One ingestion as a value: a source, its properties, and how long it may take.
//! Awaiting it carries it out.

use crate::{Error, IngestionHandle, IngestionProperties, Progress, Source, Transport};
use futures_util::future::BoxFuture;
use std::time::Duration;
use tokio::time::Instant;
use tracing::Instrument;

/// What a client is asked to ingest.
#[derive(Debug)]
pub struct Call {
    pub(crate) source: Source,
    pub(crate) properties: IngestionProperties,
    pub(crate) progress: Progress,
    pub(crate) limit: Option<Duration>,
}

/// A way to ingest: queued, streaming, managed streaming or direct. Each takes the same
/// sources and properties and gives the same handle.
pub trait IngestClient: Send + Sync {
    /// Carries a call out. Use `ingest`, which makes one.
    fn carry_out(&self, call: Call) -> BoxFuture<'_, Result<IngestionHandle, Error>>;

    /// Takes up a handle that [`IngestionHandle::to_json`] wrote, perhaps in another
    /// process. The client must be of the same cluster.
    fn resume(&self, handle: &str) -> Result<IngestionHandle, Error>;
}

/// An ingestion that begins when it is awaited, and ends early, leaving nothing running,
/// when its future is dropped.
#[must_use = "an ingestion does nothing until it is awaited"]
pub struct Ingest<'c> {
    client: &'c dyn IngestClient,
    call: Call,
}

impl<'c> Ingest<'c> {
    /// An ingestion by a client.
    pub fn new(
        client: &'c dyn IngestClient,
        source: impl Into<Source>,
        properties: &IngestionProperties,
    ) -> Self {
        let call = Call {
            source: source.into(),
            properties: properties.clone(),
            progress: Progress::default(),
            limit: None,
        };
        Self { client, call }
    }

    /// Counts and tells what is done.
    pub fn with_progress(mut self, progress: &Progress) -> Self {
        self.call.progress = progress.clone();
        self
    }

    /// Gives up, with an error of kind [`Deadline`](crate::ErrorKind::Deadline), when the
    /// source is not accepted in this time. Every request ends with it.
    pub fn within(mut self, limit: Duration) -> Self {
        self.call.limit = Some(limit);
        self
    }
}

impl<'c> IntoFuture for Ingest<'c> {
    type Output = Result<IngestionHandle, Error>;
    type IntoFuture = BoxFuture<'c, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        self.client.carry_out(self.call)
    }
}

/// Carries a call out in a span of its own: on a transport with its budget, until its
/// deadline; notes how it ended.
pub(crate) async fn bounded<F>(
    mode: &'static str,
    transport: &Transport,
    call: Call,
    work: impl FnOnce(Call, Transport) -> F,
) -> Result<IngestionHandle, Error>
where
    F: Future<Output = Result<IngestionHandle, Error>>,
{
    let span = tracing::info_span!(
        "ingest",
        mode,
        source = %call.source.id,
        database = %call.properties.database,
        table = %call.properties.table
    );
    let begun = Instant::now();
    let deadline = call.limit.map(|limit| begun + limit);
    let work = work(call, transport.for_call(deadline)).instrument(span);
    let result = match deadline {
        None => work.await,
        Some(deadline) => {
            tokio::time::timeout_at(deadline, work).await.unwrap_or_else(|_| Err(Error::deadline()))
        }
    };
    crate::telemetry::called(mode, begun.elapsed(), &result);
    result
}
