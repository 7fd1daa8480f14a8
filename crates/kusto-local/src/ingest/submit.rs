//! Takes on sources that are asked for in one request, by REST v2 or by a command: the
//! operation and its messages are one commit.

use super::extend;
use crate::ServiceError;
use crate::access::{Caller, Need};
use crate::state::{QUEUES, State};
use crate::store::{operations, queues};
use kusto_engine::Catalog;
use kusto_types::{DataFormat, DatabaseName, DateTime, SourceId, TableName};
use kusto_wire::{AdditionalProperties, IngestionMessage, ReportLevel, ReportMethod, SecretUrl};
use std::sync::Arc;
use std::time::Duration;

/// A blob to take on.
pub(crate) struct QueuedBlob {
    pub(crate) id: SourceId,
    /// Its URL with its credential.
    pub(crate) url: SecretUrl,
    /// Uncompressed bytes, where they are known.
    pub(crate) raw_size: Option<u64>,
    /// Of its extent, in place of that of the properties.
    pub(crate) creation_time: Option<DateTime>,
}

/// What is asked for in one request: blobs for one table.
pub(crate) struct Submission {
    pub(crate) database: DatabaseName,
    pub(crate) table: TableName,
    pub(crate) blobs: Vec<QueuedBlob>,
    /// A format that they do not name is that of each blob's own name.
    pub(crate) additional: AdditionalProperties,
    pub(crate) retain_blobs: bool,
    pub(crate) flush: bool,
    pub(crate) ignore_size_limit: bool,
    /// What the client says it is.
    pub(crate) application: Option<String>,
    pub(crate) client_version: Option<String>,
}

impl Submission {
    /// A message for each blob, with the rights of a token.
    fn messages(&self, token: &str) -> Vec<IngestionMessage> {
        let now = DateTime::now().to_string();
        let message = |blob: &QueuedBlob| IngestionMessage {
            id: blob.id,
            blob: blob.url.clone(),
            raw_data_size: blob.raw_size,
            database: self.database.clone(),
            table: self.table.clone(),
            retain_blob_on_success: self.retain_blobs,
            flush_immediately: self.flush,
            ignore_size_limit: self.ignore_size_limit,
            report_level: ReportLevel::None,
            report_method: ReportMethod::Queue,
            status_in_table: None,
            source_message_creation_time: Some(now.clone()),
            application_for_tracing: self.application.clone(),
            client_version_for_tracing: self.client_version.clone(),
            additional: AdditionalProperties {
                authorization_context: Some(token.to_owned()),
                format: self.additional.format.or_else(|| DataFormat::from_path(&blob.url.without_secrets())),
                creation_time: blob
                    .creation_time
                    .map(|at| at.to_string())
                    .or_else(|| self.additional.creation_time.clone()),
                ..self.additional.clone()
            },
        };
        self.blobs.iter().map(message).collect()
    }
}

/// Records the operation and posts its messages; the id of the operation. Fails when the
/// caller may not ingest, or the table is not there.
pub(crate) async fn submit(
    state: &Arc<State>,
    caller: Caller,
    submission: Submission,
) -> Result<String, ServiceError> {
    state.room.check()?;
    let id = uuid::Uuid::new_v4().to_string();
    let messages = submission.messages(&crate::token::issue(&state.signer, &caller));
    let Submission { database, table, additional, .. } = submission;
    let messages = Arc::new(messages);
    let (operation, stored, checked) = (id.clone(), messages.clone(), state.clone());
    let embedded = state.account.is_none();
    crate::store::blocking(&state.store, move |store| {
        store.transact(|transaction| {
            let catalog = Catalog(transaction);
            let database = catalog.database(database.as_str())?;
            let place = (database.to_string(), table.to_string());
            let need = match extend::is_asked(&additional) {
                true => Need::ManageTable(place.0, place.1),
                false => Need::Ingest(place.0, place.1),
            };
            checked.config.access.check(transaction, &caller, &need)?;
            catalog.table(&database, table.as_str())?;
            operations::begin_rest(transaction, &operation, database.as_str(), table.as_str(), &stored)?;
            // With queues in the same database, operation and messages are one commit.
            for message in stored.iter().filter(|_| embedded) {
                queues::put(transaction, QUEUES[0], &message.encode(), Duration::ZERO)?;
            }
            Ok::<_, ServiceError>(())
        })
    })
    .await?;
    if let Some(account) = &state.account {
        for message in messages.iter() {
            account.put_message(QUEUES[0], &message.encode()).await?;
        }
    }
    state.arrivals.notify_one();
    Ok(id)
}
