//! Direct ingestion: each source becomes a command that the engine runs at once. The
//! service gives no retry and no queue here, so the client does what users are told to
//! do themselves: it keeps within the engine's capacity and tries again what may be
//! tried again.

mod capacity;
mod command;

use crate::call::{Call, Ingest, IngestClient, bounded};
use crate::options::{IngestOptions, Shared};
use crate::queued::QueuedIngestClient;
use crate::source::{Content, Source};
use crate::tracking::{IngestionHandle, Key, Method, Outcome, SourceOutcome, Standing};
use crate::{Error, ErrorKind, IngestionProperties, KustoClient, Progress, Transport};
use capacity::Capacity;
pub use command::QueryIngestion;
use futures_util::future::BoxFuture;
use kusto_client::random_fraction;
use kusto_types::{Compression, DataFormat, SourceId};
use kusto_wire::{DataSetV1, ResultTable};
use std::sync::Arc;

/// Text sources up to so many bytes go into the command itself.
const INLINE: u64 = 1024 * 1024;

/// Whether a command is waited for by its request or by asking for its operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Execution {
    /// The answer to the request is the outcome.
    #[default]
    Wait,
    /// `async`: the request is answered with an operation id, which is polled. For loads
    /// that take longer than a request may (10 minutes). Data inside a command is always
    /// waited for.
    Async,
}

/// Ingests by commands on the engine. Cheap to clone; clones share the engine's capacity.
///
/// ```no_run
/// # async fn run(cluster: kusto_ingest::KustoClient) -> Result<(), kusto_ingest::Error> {
/// use kusto_ingest::{DirectIngestClient, Execution, IngestionProperties, QueryIngestion, Source};
/// let client = DirectIngestClient::new(&cluster);
/// let target = IngestionProperties::new("db", "Readings")?;
/// client.ingest(Source::blob("https://example.com/rows.csv"), &target).await?; // in the table
/// let slow = client.with_execution(Execution::Async);
/// let query = QueryIngestion::set_or_append("Raw | where Value > 0");
/// let outcome = slow.ingest_from_query(&query, &target).await?.ingested().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct DirectIngestClient {
    shared: Arc<Shared>,
    uploads: QueuedIngestClient,
    capacity: Arc<Capacity>,
    execution: Execution,
}

impl std::fmt::Debug for DirectIngestClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DirectIngestClient")
            .field("engine", self.shared.engine.endpoint())
            .field("execution", &self.execution)
            .finish_non_exhaustive()
    }
}

impl DirectIngestClient {
    /// A client for a cluster; the engine endpoint is derived from its URL.
    pub fn new(cluster: &KustoClient) -> Self {
        Self::with_options(cluster, IngestOptions::default())
    }

    /// A client with other settings.
    pub fn with_options(cluster: &KustoClient, options: IngestOptions) -> Self {
        let shared = Shared::new(cluster, options);
        Self {
            uploads: QueuedIngestClient::of(shared.clone()),
            shared,
            capacity: Arc::default(),
            execution: Execution::Wait,
        }
    }

    /// The same client with commands that are waited for in this way.
    #[must_use]
    pub fn with_execution(mut self, execution: Execution) -> Self {
        self.execution = execution;
        self
    }

    /// Ingests a source. Blobs are pulled by the engine (`.ingest into`); small plain text
    /// goes into the command (`.ingest inline`); other sources are uploaded to the
    /// service's storage first.
    ///
    /// A transient refusal is tried again. An answer that is lost on the way is not, since
    /// the engine may have taken the source, unless `ingestIfNotExists` is set.
    pub fn ingest(&self, source: impl Into<Source>, properties: &IngestionProperties) -> Ingest<'_> {
        Ingest::new(self, source, properties)
    }

    /// Fills a table with the result of a query (`.set`, `.append`, `.set-or-append`,
    /// `.set-or-replace`).
    pub async fn ingest_from_query(
        &self,
        ingestion: &QueryIngestion,
        properties: &IngestionProperties,
    ) -> Result<IngestionHandle, Error> {
        properties.check(DataFormat::Csv)?;
        if properties.mapping.is_some() || properties.ignore_first_record {
            return Err(Error::new(
                ErrorKind::Usage,
                "a query's result is matched by position: mappings and ignoreFirstRecord mean nothing for it",
            ));
        }
        let text = ingestion.text(properties, self.execution);
        let id = SourceId::random();
        let transport = self.shared.engine.transport().for_call(None);
        self.run_command(&text, id, properties, self.execution, &transport, Progress::default()).await
    }

    async fn run(&self, call: Call, transport: Transport) -> Result<IngestionHandle, Error> {
        let Call { source, properties, progress, .. } = call;
        let options = properties.undirectable();
        if !options.is_empty() {
            return Err(Error::new(
                ErrorKind::Usage,
                format!("direct ingestion cannot carry {}", options.join(", ")),
            ));
        }
        let id = source.id;
        let (text, execution) = match &source.content {
            Content::Blobs(blobs) => {
                for blob in blobs {
                    blob.check()?;
                }
                let first = blobs.first().ok_or_else(|| Error::new(ErrorKind::Usage, "no blob was named"))?;
                let format = properties.format.or(source.format).or_else(|| first.named_format());
                properties.check(format.unwrap_or(DataFormat::Csv))?;
                let urls: Vec<_> = blobs.iter().map(|blob| blob.url.clone()).collect();
                (command::pull(&urls, &properties, format, true, self.execution), self.execution)
            }
            _ => match self.inline(&source, &properties).await? {
                Some(text) => (text, Execution::Wait),
                None => {
                    let (blobs, format) =
                        self.uploads.upload_only(&source, &properties, &progress, &transport).await?;
                    if properties.ignore_first_record && blobs.len() > 1 {
                        return Err(Error::new(
                            ErrorKind::Usage,
                            "a source that is split cannot leave out its header in one command; queue it",
                        ));
                    }
                    let urls: Vec<_> = blobs.into_iter().map(|blob| blob.url).collect();
                    let text = command::pull(&urls, &properties, Some(format), true, self.execution);
                    (text, self.execution)
                }
            },
        };
        self.run_command(&text, id, &properties, execution, &transport, progress).await
    }

    /// The command with the data in it, when the source is small plain text.
    async fn inline(
        &self,
        source: &Source,
        properties: &IngestionProperties,
    ) -> Result<Option<String>, Error> {
        let Some(size) = source.size()?.filter(|size| *size <= INLINE) else { return Ok(None) };
        if source.reusable().is_none() {
            return Ok(None);
        }
        let _admitted = self.shared.budget.admit_bytes(3 * size as usize + 64 * 1024).await?;
        let opened = source.open_at(0).await?;
        let inspected = source.inspect(&opened, properties.format)?;
        properties.check(inspected.format)?;
        if inspected.compression != Compression::None || !inspected.format.is_compressible() {
            return Ok(None);
        }
        let Some(bytes) = opened.encode_within(false, INLINE as usize).await? else { return Ok(None) };
        // The command is JSON text, so the data must be text too.
        let Ok(data) = String::from_utf8(bytes) else { return Ok(None) };
        Ok(Some(command::inline(&data, properties, inspected.format)))
    }

    async fn run_command(
        &self,
        text: &str,
        id: SourceId,
        properties: &IngestionProperties,
        execution: Execution,
        transport: &Transport,
        progress: Progress,
    ) -> Result<IngestionHandle, Error> {
        let database = properties.database.as_str();
        let engine = self.shared.engine.over(transport);
        // An answer that is lost may have been a success.
        let safe_to_repeat = !properties.ingest_if_not_exists.is_empty();
        let policy = transport.retry();
        let mut attempt = 1;
        let answer = loop {
            let admitted = self.capacity.admit(&engine).await?;
            let error = match engine.command_once(database, text).await {
                Ok(answer) => break answer,
                Err(error) => error,
            };
            drop(admitted);
            let refused = error.status().is_some();
            let pause = policy.pause(error.retry_class(), attempt, error.retry_after(), random_fraction());
            match pause.filter(|_| refused || safe_to_repeat) {
                Some(pause) => {
                    tracing::debug!(attempt, ?pause, %error, "running the command again");
                    tokio::time::sleep(pause).await;
                }
                None if !refused && error.kind() == ErrorKind::Unreachable => {
                    return Err(error
                        .with_attempts(attempt)
                        .about("the answer was lost, so that the rows may or may not be in the table"));
                }
                None => return Err(error.with_attempts(attempt)),
            }
            attempt += 1;
        };
        progress.accepted(id);
        let standing = standing(&answer, id, database, execution)?;
        Ok(IngestionHandle::new(
            self.shared.engine.endpoint(),
            id,
            Method::Direct,
            standing,
            self.shared.tracker.clone(),
            progress,
        ))
    }
}

/// What the answer to a command says.
fn standing(
    answer: &DataSetV1,
    id: SourceId,
    database: &str,
    execution: Execution,
) -> Result<Standing, Error> {
    let table: &ResultTable = answer
        .primary()
        .ok_or_else(|| Error::new(ErrorKind::Protocol, "the answer to the command has no table"))?;
    if execution == Execution::Async {
        let operation = table.text(0, "OperationId").ok_or_else(|| {
            Error::new(ErrorKind::Protocol, "the answer to the command has no operation id")
        })?;
        let key = Key::Command { database: database.to_owned(), id: operation, source_id: id };
        return Ok(Standing::Asked { keys: vec![key] });
    }
    let nil = uuid::Uuid::nil().to_string();
    let nothing = !table.rows.is_empty()
        && (0..table.rows.len()).all(|row| table.text(row, "ExtentId").is_some_and(|extent| extent == nil));
    let outcome = if nothing {
        Outcome::Skipped { details: "the command added no rows".to_owned() }
    } else {
        Outcome::Succeeded
    };
    Ok(Standing::Decided { sources: vec![SourceOutcome { source_id: id, outcome: Some(outcome) }] })
}

impl IngestClient for DirectIngestClient {
    fn carry_out(&self, call: Call) -> BoxFuture<'_, Result<IngestionHandle, Error>> {
        Box::pin(bounded("direct", self.shared.engine.transport(), call, |call, transport| {
            self.run(call, transport)
        }))
    }

    fn resume(&self, handle: &str) -> Result<IngestionHandle, Error> {
        IngestionHandle::resume(handle, self.shared.engine.endpoint(), self.shared.tracker.clone())
    }
}
