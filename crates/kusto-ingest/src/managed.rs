//! Managed streaming: streams what can be streamed, and queues what cannot, what is too
//! large, and what the engine does not take in time. The source keeps its id on every
//! attempt and in the queue, and the handle says which way it went and why.

mod memory;
mod policy;

use crate::call::{Call, Ingest, IngestClient, bounded};
use crate::options::{IngestOptions, Shared};
use crate::queued::QueuedIngestClient;
use crate::source::{Content, Reading, Source};
use crate::streaming::{self, Payload, Request};
use crate::tracking::{FallbackReason, IngestionHandle, Route};
use crate::{Error, IngestionProperties, KustoClient, Progress, Transport};
use futures_util::future::BoxFuture;
use kusto_client::random_fraction;
use kusto_types::{Compression, DataFormat};
use std::sync::Arc;
use tokio::time::Instant;

use memory::Memory;
pub use policy::{DefaultManagedStreamingPolicy, ManagedStreamingPolicy, Reaction, StreamingFailure};

/// Streams or queues, as source, table and engine allow. Cheap to clone; clones share
/// what is remembered of tables.
///
/// ```no_run
/// # async fn run(cluster: kusto_ingest::KustoClient) -> Result<(), kusto_ingest::Error> {
/// use kusto_ingest::{IngestionProperties, ManagedStreamingIngestClient, Route, Source};
/// let client = ManagedStreamingIngestClient::new(&cluster);
/// let target = IngestionProperties::new("db", "Readings")?.tracked();
/// let handle = client.ingest(Source::file("readings.json"), &target).await?;
/// if let Some(Route::Queued { because, .. }) = handle.route() {
///     println!("queued: {because:?}; {:?}", handle.ingested().await);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ManagedStreamingIngestClient {
    shared: Arc<Shared>,
    queued: QueuedIngestClient,
    policy: Arc<dyn ManagedStreamingPolicy>,
    memory: Arc<Memory>,
}

impl std::fmt::Debug for ManagedStreamingIngestClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ManagedStreamingIngestClient")
            .field("engine", self.shared.engine.endpoint())
            .finish_non_exhaustive()
    }
}

/// What is known of a source before it is sent.
enum Prepared {
    Stream { payload: Payload, format: DataFormat, admitted: Option<crate::budget::Admitted> },
    Queue { because: FallbackReason, source: Source },
}

impl ManagedStreamingIngestClient {
    /// A client for a cluster; both of its endpoints are derived from one URL.
    pub fn new(cluster: &KustoClient) -> Self {
        Self::with_options(cluster, IngestOptions::default())
    }

    /// A client with other settings.
    pub fn with_options(cluster: &KustoClient, options: IngestOptions) -> Self {
        let shared = Shared::new(cluster, options);
        Self {
            queued: QueuedIngestClient::of(shared.clone()),
            shared,
            policy: Arc::new(DefaultManagedStreamingPolicy::default()),
            memory: Arc::default(),
        }
    }

    /// The same client with another policy.
    #[must_use]
    pub fn with_policy(mut self, policy: impl ManagedStreamingPolicy + 'static) -> Self {
        self.policy = Arc::new(policy);
        self
    }

    /// Ingests a source. Awaiting it returns once the source is in the table or accepted
    /// by the queue; [`IngestionHandle::route`] says which.
    pub fn ingest(&self, source: impl Into<Source>, properties: &IngestionProperties) -> Ingest<'_> {
        Ingest::new(self, source, properties)
    }

    /// What keeps this source from being streamed, whatever the engine would say.
    fn obstacle(&self, source: &Source, properties: &IngestionProperties) -> Option<FallbackReason> {
        let options: Vec<String> = properties.unstreamable().into_iter().map(str::to_owned).collect();
        if !options.is_empty() {
            return Some(FallbackReason::RequestPreventsStreaming { options });
        }
        if matches!(&source.content, Content::WrittenOnce(_)) && source.raw_size.is_none() {
            return Some(FallbackReason::UnknownSize);
        }
        if matches!(&source.content, Content::Blobs(blobs) if blobs.len() > 1) {
            let options = vec!["several blobs as one operation".to_owned()];
            return Some(FallbackReason::RequestPreventsStreaming { options });
        }
        let remembered = self.memory.of(properties, Instant::now())?;
        Some(FallbackReason::Remembered { state: remembered })
    }

    /// Finds out whether a source is to be streamed, and reads it when it is.
    async fn prepare(&self, source: Source, properties: &IngestionProperties) -> Result<Prepared, Error> {
        if let Some(because) = self.obstacle(&source, properties) {
            return Ok(Prepared::Queue { because, source });
        }
        let queue = |because, source| Ok(Prepared::Queue { because, source });
        if let Content::Blobs(_) = &source.content {
            let (payload, inspected) = streaming::by_uri(&source, properties)?;
            properties.check(inspected.format)?;
            let largest = self.policy.largest(inspected.format) as u64;
            if source.blob_size().is_some_and(|size| size > largest) {
                return queue(FallbackReason::TooLarge, source);
            }
            if !inspected.format.is_streamable() || inspected.compression == Compression::Zip {
                return queue(FallbackReason::Format, source);
            }
            return Ok(Prepared::Stream { payload, format: inspected.format, admitted: None });
        }
        let size = source.size()?;
        let most = self.policy.largest(DataFormat::Csv).max(64 * 1024);
        let admitted = self.shared.budget.admit_bytes(streaming::weight(size, most)).await?;
        let opened = source.open_at(0).await?;
        let inspected = source.inspect(&opened, properties.format)?;
        properties.check(inspected.format)?;
        let largest = self.policy.largest(inspected.format);
        let cannot = !inspected.format.is_streamable() || inspected.compression == Compression::Zip;
        // What is far over the limit cannot be gzipped below it.
        let hopeless = size.is_some_and(|size| size > largest as u64 * 64)
            || (size.is_some_and(|size| size > largest as u64) && !inspected.gains_by_gzip());
        if source.reading() == Reading::Again {
            if cannot {
                return queue(FallbackReason::Format, source);
            }
            if hopeless {
                return queue(FallbackReason::TooLarge, source);
            }
            return Ok(match streaming::encode(opened, inspected, largest).await? {
                Some(payload) => {
                    Prepared::Stream { payload, format: inspected.format, admitted: Some(admitted) }
                }
                None => Prepared::Queue { because: FallbackReason::TooLarge, source },
            });
        }
        // A stream that is read once: what was read of it goes in front of the rest.
        if cannot {
            return queue(FallbackReason::Format, source.reopened(opened, inspected));
        }
        match opened.read_within(largest).await? {
            Err(rest) => queue(FallbackReason::TooLarge, source.reopened(rest, inspected)),
            Ok(bytes) => {
                let whole = Source::bytes(bytes).open_at(0).await?;
                let payload = streaming::encode(whole, inspected, largest.saturating_mul(2)).await?;
                match payload {
                    Some(payload) => {
                        Ok(Prepared::Stream { payload, format: inspected.format, admitted: Some(admitted) })
                    }
                    None => Err(Error::new(crate::ErrorKind::Source, "the stream cannot be encoded")),
                }
            }
        }
    }

    async fn run(&self, call: Call, transport: Transport) -> Result<IngestionHandle, Error> {
        let Call { source, properties, progress, .. } = call;
        let id = source.id;
        let kept = source.reusable();
        match self.prepare(source, &properties).await? {
            Prepared::Queue { because, source } => {
                self.queue(
                    source.with_id(id),
                    properties,
                    progress,
                    transport,
                    Route::Queued { because, attempts: 0 },
                )
                .await
            }
            Prepared::Stream { payload, format, admitted } => {
                let engine = self.shared.engine.over(&transport);
                let request = Request {
                    engine: &engine,
                    id,
                    properties: &properties,
                    format,
                    payload,
                    activity: "executeManagedStreamingIngest",
                };
                let because = match self.stream(&request).await? {
                    Ok(attempt) => {
                        progress.accepted(id);
                        let handle = streaming::streamed(&self.shared, id, progress);
                        return Ok(handle.with_route(Route::Streamed { attempt }));
                    }
                    Err(because) => because,
                };
                // The encoded bytes are the source now, unless it can be read again.
                let source = match (kept, request.payload) {
                    (Some(source), _) => source,
                    (None, Payload::Encoded { bytes, .. }) => Source::bytes(bytes),
                    (None, Payload::Uri(url)) => Source::blob(url),
                };
                let source = source.with_id(id).with_format(format);
                drop(admitted);
                self.queue(source, properties, progress, transport, because).await
            }
        }
    }

    /// Streams until it is done or given up: the attempt, or the route to the queue.
    async fn stream(&self, request: &Request<'_>) -> Result<Result<u32, Route>, Error> {
        let mut attempt = 1;
        loop {
            let begun = Instant::now();
            let error = match request.send(attempt).await {
                Ok(()) => {
                    self.policy.streamed(begun.elapsed());
                    return Ok(Ok(attempt));
                }
                Err(error) => error,
            };
            let failure = StreamingFailure::of(&error);
            self.policy.failed(failure, attempt);
            match self.policy.react(failure, attempt, error.retry_after(), random_fraction()) {
                Reaction::Retry(pause) => {
                    tracing::debug!(attempt, ?pause, %error, "streaming the source again");
                    tokio::time::sleep(pause).await;
                    attempt += 1;
                }
                Reaction::Queue { remember } => {
                    tracing::info!(attempt, %error, ?failure, "the source is queued instead");
                    let because = failure.reason(&error);
                    if let Some(time) = remember {
                        self.memory.note(request.properties, failure, Instant::now() + time);
                    }
                    return Ok(Err(Route::Queued { because, attempts: attempt }));
                }
                Reaction::Fail => return Err(error.with_attempts(attempt)),
            }
        }
    }

    async fn queue(
        &self,
        source: Source,
        properties: IngestionProperties,
        progress: Progress,
        transport: Transport,
        route: Route,
    ) -> Result<IngestionHandle, Error> {
        let call = Call { source, properties, progress, limit: None };
        Ok(self.queued.run(call, transport).await?.with_route(route))
    }
}

impl IngestClient for ManagedStreamingIngestClient {
    fn carry_out(&self, call: Call) -> BoxFuture<'_, Result<IngestionHandle, Error>> {
        Box::pin(bounded("managed", self.shared.engine.transport(), call, |call, transport| {
            self.run(call, transport)
        }))
    }

    fn resume(&self, handle: &str) -> Result<IngestionHandle, Error> {
        self.queued.resume(handle)
    }
}
