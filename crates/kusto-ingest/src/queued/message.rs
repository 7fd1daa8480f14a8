//! The v1 protocol: a pending row in the status table, then a message in a queue.

use super::Ready;
use crate::options::Shared;
use crate::properties::{AfterSuccess, IngestionProperties};
use crate::resources::Queues;
use crate::tracking::{Key, Standing};
use crate::{Error, ErrorKind, Transport, storage};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use kusto_types::{DataFormat, DateTime, SourceId};
use kusto_wire::{IngestionMessage, ReportMethod, StatusRow, StatusTablePointer};
use secrecy::ExposeSecret;
use std::sync::Arc;

/// Azure's limit for a queue message, in base64.
const MAX_MESSAGE: usize = 64 * 1024;
/// Messages on their way at once.
const PARALLEL: usize = 8;

/// What is asked about a source of this protocol.
pub(super) fn key(source_id: SourceId) -> Key {
    Key::Row { source_id }
}

/// Posts a message for each blob.
pub(super) async fn post(
    shared: &Shared,
    transport: &Transport,
    blobs: &[Ready],
    properties: &IngestionProperties,
    format: DataFormat,
) -> Result<Standing, Error> {
    let queues = shared.service.queues().await?;
    let messages: Vec<IngestionMessage> =
        blobs.iter().map(|blob| message(shared, &queues, blob, properties, format)).collect();
    for message in &messages {
        let size = message.encode().len();
        // A status pointer makes it longer by the table's URL.
        if size + 1024 > MAX_MESSAGE {
            return Err(Error::new(
                ErrorKind::Usage,
                format!(
                    "the queue message would have {size} bytes, {MAX_MESSAGE} are allowed; shorten the inline mapping or the tags, or refer to a mapping by name"
                ),
            ));
        }
    }
    let done = std::sync::atomic::AtomicUsize::new(0);
    stream::iter(messages)
        .map(Ok::<_, Error>)
        .try_for_each_concurrent(PARALLEL, |message| {
            let done = &done;
            async move {
                post_one(shared, transport, message).await?;
                done.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                Ok(())
            }
        })
        .await
        .map_err(|error| {
            let done = done.load(std::sync::atomic::Ordering::Relaxed);
            if blobs.len() > 1 && done > 0 {
                return error.about(format!(
                    "{done} of {} parts were accepted and the rest was not; the same source under the same id may be sent again",
                    blobs.len()
                ));
            }
            error
        })?;
    if properties.is_tracked() {
        return Ok(Standing::Asked { keys: blobs.iter().map(|blob| key(blob.id)).collect() });
    }
    Ok(Standing::Untold {
        reason: "the ingestion was not asked to report to the status table; use tracked()".to_owned(),
    })
}

fn message(
    shared: &Shared,
    queues: &Queues,
    blob: &Ready,
    properties: &IngestionProperties,
    format: DataFormat,
) -> IngestionMessage {
    let client = &shared.service.client;
    IngestionMessage {
        id: blob.id,
        blob: blob.url.clone(),
        raw_data_size: blob.raw_size,
        database: properties.database.clone(),
        table: properties.table.clone(),
        retain_blob_on_success: properties.after_success == AfterSuccess::Keep,
        flush_immediately: properties.flush_immediately,
        ignore_size_limit: properties.ignore_size_limit,
        report_level: properties.report_level,
        report_method: properties.report_method,
        status_in_table: None,
        source_message_creation_time: Some(DateTime::now().to_string()),
        application_for_tracing: Some(client.application().to_owned()),
        client_version_for_tracing: Some(client.version().to_owned()),
        additional: properties.message(format, queues.token.expose_secret(), blob.first),
    }
}

/// Posts one message, with fresh resources when the signatures have run out.
async fn post_one(
    shared: &Shared,
    transport: &Transport,
    mut message: IngestionMessage,
) -> Result<(), Error> {
    let mut renewed = false;
    loop {
        let queues = shared.service.queues().await?;
        // The identity token is renewed with the resources.
        message.additional.authorization_context = Some(queues.token.expose_secret().to_owned());
        match try_post(shared, transport, &queues, &mut message).await {
            Err(error) if storage::is_expired(&error) && !renewed => {
                shared.service.expire().await;
                renewed = true;
            }
            other => return other,
        }
    }
}

async fn try_post(
    shared: &Shared,
    transport: &Transport,
    queues: &Arc<Queues>,
    message: &mut IngestionMessage,
) -> Result<(), Error> {
    if matches!(message.report_method, ReportMethod::Table | ReportMethod::QueueAndTable) {
        message.status_in_table = Some(pending_row(transport, queues, message).await?);
    }
    let text = message.encode();
    let mut last = Error::new(ErrorKind::Protocol, "the service hands out no queue");
    // The same id goes to each queue, so that a message posted twice by an unlucky retry
    // is ingested once by a service that looks at ids.
    for queue in shared.service.order(&queues.resources.queues) {
        match storage::put_message(transport, &queue, &text).await {
            Ok(()) => {
                shared.service.note(&queue, true);
                return Ok(());
            }
            Err(error) if error.kind() == ErrorKind::Deadline => return Err(error),
            Err(error) => {
                tracing::warn!(%error, queue = %queue, "a queue does not take the message; the next is tried");
                shared.service.note(&queue, false);
                // A refused signature can be helped, so it is the one that is told.
                if !storage::is_expired(&last) {
                    last = error;
                }
            }
        }
    }
    Err(last)
}

/// Writes the pending row before the message is posted, so that the service finds it.
async fn pending_row(
    transport: &Transport,
    queues: &Queues,
    message: &IngestionMessage,
) -> Result<StatusTablePointer, Error> {
    let Some(table) = queues.resources.status_tables.first() else {
        return Err(Error::new(
            ErrorKind::Protocol,
            "the service hands out no status table, so that nothing can be tracked",
        ));
    };
    let row = StatusRow::pending(
        message.id,
        &message.blob.without_secrets(),
        message.database.as_str(),
        message.table.as_str(),
    );
    storage::insert_status(transport, table, &row).await?;
    Ok(StatusTablePointer { table: table.clone(), partition_key: row.partition_key, row_key: row.row_key })
}
