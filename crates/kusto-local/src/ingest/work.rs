//! Where work comes from: the seam behind which a real Azure queue could stand.

use crate::ServiceError;
use crate::state::QUEUES;
use crate::store::queues;
use rusqlite::Connection;

/// A message to ingest.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(crate) text: String,
    receipt: i64,
}

/// Gives out messages. Taking one and recording its source happen in one transaction
/// of the service's store; a source whose queue lives elsewhere does nothing in
/// [`WorkSource::settle`] and relies on the ledger of sources to drop redeliveries.
pub(crate) trait WorkSource: Send + Sync {
    /// Messages that are ready, at most `count`; nothing is changed by it.
    fn ready(&self, transaction: &Connection, count: u32) -> Result<Vec<Delivery>, ServiceError>;
    /// Takes a message off for good, as part of the transaction.
    fn settle(&self, transaction: &Connection, delivery: &Delivery) -> Result<(), ServiceError>;
}

/// The queues in the service's own store.
pub(crate) struct EmbeddedQueues;

impl WorkSource for EmbeddedQueues {
    fn ready(&self, transaction: &Connection, count: u32) -> Result<Vec<Delivery>, ServiceError> {
        let mut deliveries = Vec::new();
        for queue in QUEUES {
            let left = count - deliveries.len() as u32;
            let messages = queues::peek(transaction, queue, left)?;
            deliveries.extend(
                messages.into_iter().map(|message| Delivery { text: message.text, receipt: message.row }),
            );
        }
        Ok(deliveries)
    }

    fn settle(&self, transaction: &Connection, delivery: &Delivery) -> Result<(), ServiceError> {
        Ok(queues::remove(transaction, delivery.receipt)?)
    }
}
