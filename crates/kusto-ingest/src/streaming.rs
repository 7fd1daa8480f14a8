//! Streaming ingestion: the source is the body of one request to the engine, and its
//! rows are in the table when that is answered.

use crate::call::{Call, Ingest, IngestClient, bounded};
use crate::mapping::Mapping;
use crate::options::{IngestOptions, Shared};
use crate::source::open::{Inspected, Opened};
use crate::source::{Content, Source};
use crate::tracking::{IngestionHandle, Method, Outcome, SourceOutcome, Standing};
use crate::{Error, ErrorKind, IngestionProperties, KustoClient, SecretUrl, Transport};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use kusto_client::{Resend, ServiceRequest, escape_segment, random_fraction};
use kusto_types::{Compression, DataFormat, SourceId};
use std::sync::Arc;
use std::time::Duration;

/// Most encoded bytes of a request: what the service takes in one body.
pub const MAX_STREAMED: usize = 10 * 1024 * 1024;
/// How long the engine may take over a request.
const LIMIT: Duration = Duration::from_secs(600);

/// The body of a streaming request.
#[derive(Debug, Clone)]
pub(crate) enum Payload {
    /// Bytes, gzipped or not.
    Encoded { bytes: Bytes, gzip: bool },
    /// A blob that the engine reads.
    Uri(SecretUrl),
}

/// Everything that one request needs.
pub(crate) struct Request<'r> {
    pub(crate) engine: &'r KustoClient,
    pub(crate) id: SourceId,
    pub(crate) properties: &'r IngestionProperties,
    pub(crate) format: DataFormat,
    pub(crate) payload: Payload,
    pub(crate) activity: &'static str,
}

impl Request<'_> {
    /// Sends the request, once.
    pub(crate) async fn send(&self, attempt: u32) -> Result<(), Error> {
        let mut path = format!(
            "/v1/rest/ingest/{}/{}?streamFormat={}",
            escape_segment(self.properties.database.as_str()),
            escape_segment(self.properties.table.as_str()),
            self.format.wire_name()
        );
        if let Some(Mapping::Reference(name)) = &self.properties.mapping {
            path.push_str(&format!("&mappingName={}", escape_segment(name.as_str())));
        }
        let (body, content, gzip) = match &self.payload {
            Payload::Encoded { bytes, gzip } => (bytes.clone(), "application/octet-stream", *gzip),
            Payload::Uri(url) => {
                path.push_str("&sourceKind=uri");
                let body = serde_json::json!({ "sourceUri": url.with_secrets() }).to_string();
                (Bytes::from(body), "application/json", false)
            }
        };
        let mut headers = vec![("content-type", content.to_owned())];
        if gzip {
            headers.push(("content-encoding", "gzip".to_owned()));
        }
        let request = ServiceRequest {
            method: http::Method::POST,
            path,
            activity: self.activity,
            source: Some((self.id, attempt)),
            headers,
            body,
            limit: LIMIT,
            resend: Resend::Never,
        };
        self.engine.send(&request).await.map(|_| ())
    }
}

/// Refuses what streaming has no way to carry.
pub(crate) fn check(properties: &IngestionProperties, inspected: Inspected) -> Result<(), Error> {
    let wrong = |problem: String| Err(Error::new(ErrorKind::Usage, problem));
    properties.check(inspected.format)?;
    let options = properties.unstreamable();
    if !options.is_empty() {
        return wrong(format!("streaming ingestion cannot carry {}; queue the source", options.join(", ")));
    }
    if !inspected.format.is_streamable() {
        return wrong(format!("format {} cannot be streamed; queue the source", inspected.format));
    }
    if inspected.compression == Compression::Zip {
        return wrong("a zip archive cannot be streamed; queue the source".to_owned());
    }
    Ok(())
}

/// The body of an open source when it is at most `limit` bytes as it is sent.
pub(crate) async fn encode(
    opened: Opened,
    inspected: Inspected,
    limit: usize,
) -> Result<Option<Payload>, Error> {
    let gzip = inspected.gains_by_gzip();
    let encoded = opened.encode_within(gzip, limit).await?;
    Ok(encoded.map(|bytes| Payload::Encoded {
        bytes: bytes.into(),
        gzip: gzip || inspected.compression == Compression::Gzip,
    }))
}

/// Bytes that encoding a source may hold.
pub(crate) fn weight(size: Option<u64>, limit: usize) -> usize {
    let known = size.and_then(|size| usize::try_from(size).ok()).unwrap_or(usize::MAX);
    // A growing buffer is copied when it doubles.
    known.saturating_mul(2).min(limit * 2) + 640 * 1024
}

/// Ingests through the engine's streaming endpoint. For small sources that must be
/// visible at once: one request is at most 10 MiB as it is sent. Cheap to clone.
///
/// ```no_run
/// # async fn run(cluster: kusto_ingest::KustoClient) -> Result<(), kusto_ingest::Error> {
/// use kusto_ingest::{IngestionProperties, Source, StreamingIngestClient};
/// let client = StreamingIngestClient::new(&cluster);
/// let target = IngestionProperties::new("db", "Readings")?;
/// client.ingest(Source::bytes("1,one\n"), &target).await?; // in the table
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct StreamingIngestClient {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for StreamingIngestClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamingIngestClient")
            .field("engine", self.shared.engine.endpoint())
            .finish_non_exhaustive()
    }
}

impl StreamingIngestClient {
    /// A client for a cluster; the engine endpoint is derived from its URL.
    pub fn new(cluster: &KustoClient) -> Self {
        Self::with_options(cluster, IngestOptions::default())
    }

    /// A client with other settings; of these, only the memory budget matters.
    pub fn with_options(cluster: &KustoClient, options: IngestOptions) -> Self {
        Self { shared: Shared::new(cluster, options) }
    }

    /// Ingests a source. Awaiting it returns once the rows are in the table. A transient
    /// failure is tried again under the same source id: the local service takes the
    /// source once, a cluster may take it twice when an answer is lost on the way.
    pub fn ingest(&self, source: impl Into<Source>, properties: &IngestionProperties) -> Ingest<'_> {
        Ingest::new(self, source, properties)
    }

    async fn run(&self, call: Call, transport: Transport) -> Result<IngestionHandle, Error> {
        let Call { source, properties, progress, .. } = call;
        let (payload, format, _admitted) = match &source.content {
            Content::Blobs(_) => {
                let (payload, inspected) = by_uri(&source, &properties)?;
                check(&properties, inspected)?;
                (payload, inspected.format, None)
            }
            _ => {
                let size = source.size()?;
                let admitted = self.shared.budget.admit_bytes(weight(size, MAX_STREAMED)).await?;
                let opened = source.open_at(0).await?;
                let inspected = source.inspect(&opened, properties.format)?;
                check(&properties, inspected)?;
                let Some(payload) = encode(opened, inspected, MAX_STREAMED).await? else {
                    return Err(Error::new(
                        ErrorKind::Usage,
                        format!(
                            "the source is over {MAX_STREAMED} bytes as it is sent, the limit of streaming ingestion; queue it, or use managed streaming, which does"
                        ),
                    ));
                };
                (payload, inspected.format, Some(admitted))
            }
        };
        if let Payload::Encoded { bytes, .. } = &payload {
            progress.add_uploaded(bytes.len());
        }
        let engine = self.shared.engine.over(&transport);
        let request = Request {
            engine: &engine,
            id: source.id,
            properties: &properties,
            format,
            payload,
            activity: "executeStreamingIngest",
        };
        let policy = transport.retry();
        let mut attempt = 1;
        while let Err(error) = request.send(attempt).await {
            match policy.pause(error.retry_class(), attempt, error.retry_after(), random_fraction()) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(error.with_attempts(attempt)),
            }
            attempt += 1;
        }
        progress.accepted(source.id);
        Ok(streamed(&self.shared, source.id, progress))
    }
}

/// The payload of a source that the engine reads.
pub(crate) fn by_uri(
    source: &Source,
    properties: &IngestionProperties,
) -> Result<(Payload, Inspected), Error> {
    let Content::Blobs(blobs) = &source.content else {
        return Err(Error::new(ErrorKind::Usage, "the source is no blob"));
    };
    let [blob] = blobs.as_slice() else {
        return Err(Error::new(ErrorKind::Usage, "one request streams one blob; ingest them one by one"));
    };
    blob.check()?;
    let format =
        properties.format.or(source.format).or_else(|| blob.named_format()).unwrap_or(DataFormat::Csv);
    let compression = source.compression.unwrap_or_else(|| blob.compression());
    Ok((Payload::Uri(blob.url.clone()), Inspected { format, compression }))
}

/// The handle of a source whose rows are in the table.
pub(crate) fn streamed(shared: &Shared, id: SourceId, progress: crate::Progress) -> IngestionHandle {
    let sources = vec![SourceOutcome { source_id: id, outcome: Some(Outcome::Succeeded) }];
    IngestionHandle::new(
        shared.engine.endpoint(),
        id,
        Method::Streaming,
        Standing::Decided { sources },
        shared.tracker.clone(),
        progress,
    )
}

impl IngestClient for StreamingIngestClient {
    fn carry_out(&self, call: Call) -> BoxFuture<'_, Result<IngestionHandle, Error>> {
        Box::pin(bounded("streaming", self.shared.engine.transport(), call, |call, transport| {
            self.run(call, transport)
        }))
    }

    fn resume(&self, handle: &str) -> Result<IngestionHandle, Error> {
        IngestionHandle::resume(handle, self.shared.engine.endpoint(), self.shared.tracker.clone())
    }
}
