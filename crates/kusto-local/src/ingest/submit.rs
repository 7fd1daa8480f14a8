//! Takes on sources that are asked for in one request, by REST v2 or by a command: the
//! operation and its messages are one commit.

use super::extend;
use crate::ServiceError;
use crate::access::{Caller, Need};
use crate::state::{QUEUES, State};
use crate::store::{operations, queues};
use kusto_engine::Catalog;
use kusto_types::{DatabaseName, TableName};
use kusto_wire::IngestionMessage;
use std::sync::Arc;
use std::time::Duration;

/// Records the operation and posts its messages, which are all for one table; the id of the
/// operation. Fails when the caller may not ingest, or the table is not there.
pub(crate) async fn submit(
    state: &Arc<State>,
    caller: Caller,
    (database, table): (DatabaseName, TableName),
    messages: Vec<IngestionMessage>,
) -> Result<String, ServiceError> {
    state.room.check()?;
    let id = uuid::Uuid::new_v4().to_string();
    let messages = Arc::new(messages);
    let (operation, stored, checked) = (id.clone(), messages.clone(), state.clone());
    let embedded = state.account.is_none();
    crate::store::blocking(&state.store, move |store| {
        store.transact(|transaction| {
            let catalog = Catalog(transaction);
            let database = catalog.database(database.as_str())?;
            let place = (database.to_string(), table.to_string());
            let changes = stored.iter().any(|message| extend::is_asked(&message.additional));
            let need = match changes {
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
