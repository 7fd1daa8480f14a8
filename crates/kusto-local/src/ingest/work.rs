//! Where work comes from: the service's own queues, or the queues of a real storage
//! account.

use crate::ServiceError;
use crate::external::Account;
use crate::state::QUEUES;
use crate::store::queues;
use futures_util::future::BoxFuture;
use rusqlite::Connection;
use std::sync::Arc;
use std::time::Duration;

/// A message to ingest.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(crate) text: String,
    receipt: Receipt,
}

#[derive(Debug, Clone)]
enum Receipt {
    /// Row of the service's own queue table.
    Row(i64),
    /// Queue, message id and pop receipt on the storage account.
    Lease { queue: &'static str, id: String, pop: String },
}

/// Gives out messages. A source is recorded in one transaction with [`settle`]; where
/// the queue lives elsewhere, [`settled`] takes the message off after that transaction,
/// and the ledger of sources drops what is delivered again in between.
///
/// [`settle`]: WorkSource::settle
/// [`settled`]: WorkSource::settled
pub(crate) trait WorkSource: Send + Sync {
    /// Leases messages of a queue that lives elsewhere.
    fn receive(&self, count: u32) -> BoxFuture<'_, Result<Vec<Delivery>, ServiceError>>;
    /// The messages to take in this transaction: the received ones, or those of a queue
    /// in the same database.
    fn ready(
        &self,
        transaction: &Connection,
        received: Vec<Delivery>,
        count: u32,
    ) -> Result<Vec<Delivery>, ServiceError>;
    /// Takes a message off as part of the transaction, where that is possible.
    fn settle(&self, transaction: &Connection, delivery: &Delivery) -> Result<(), ServiceError>;
    /// Takes messages off that the committed transaction has recorded.
    fn settled(&self, deliveries: Vec<Delivery>) -> BoxFuture<'_, ()>;
    /// How often to look without being told of an arrival.
    fn poll_every(&self) -> Duration;
}

/// The queues in the service's own store.
pub(crate) struct EmbeddedQueues;

impl WorkSource for EmbeddedQueues {
    fn receive(&self, _: u32) -> BoxFuture<'_, Result<Vec<Delivery>, ServiceError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn ready(
        &self,
        transaction: &Connection,
        _: Vec<Delivery>,
        count: u32,
    ) -> Result<Vec<Delivery>, ServiceError> {
        let mut deliveries = Vec::new();
        for queue in QUEUES {
            let left = count - deliveries.len() as u32;
            let messages = queues::peek(transaction, queue, left)?;
            deliveries.extend(
                messages
                    .into_iter()
                    .map(|message| Delivery { text: message.text, receipt: Receipt::Row(message.row) }),
            );
        }
        Ok(deliveries)
    }

    fn settle(&self, transaction: &Connection, delivery: &Delivery) -> Result<(), ServiceError> {
        if let Receipt::Row(row) = delivery.receipt {
            queues::remove(transaction, row)?;
        }
        Ok(())
    }

    fn settled(&self, _: Vec<Delivery>) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }

    fn poll_every(&self) -> Duration {
        Duration::from_secs(3600)
    }
}

/// The queues of a storage account.
pub(crate) struct AccountQueues(pub(crate) Arc<Account>);

impl WorkSource for AccountQueues {
    fn receive(&self, count: u32) -> BoxFuture<'_, Result<Vec<Delivery>, ServiceError>> {
        Box::pin(async move {
            let mut deliveries = Vec::new();
            for queue in QUEUES {
                for message in self.0.receive(queue, count.min(32)).await? {
                    let receipt = Receipt::Lease { queue, id: message.id, pop: message.pop_receipt };
                    deliveries.push(Delivery { text: message.text, receipt });
                }
            }
            Ok(deliveries)
        })
    }

    fn ready(&self, _: &Connection, received: Vec<Delivery>, _: u32) -> Result<Vec<Delivery>, ServiceError> {
        Ok(received)
    }

    fn settle(&self, _: &Connection, _: &Delivery) -> Result<(), ServiceError> {
        Ok(())
    }

    fn settled(&self, deliveries: Vec<Delivery>) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            for delivery in deliveries {
                if let Receipt::Lease { queue, id, pop } = delivery.receipt
                    && let Err(error) = self.0.delete(queue, &id, &pop).await
                {
                    // It is delivered again when its lease ends, and the ledger drops it.
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "a taken message cannot be deleted"
                    );
                }
            }
        })
    }

    fn poll_every(&self) -> Duration {
        Duration::from_millis(500)
    }
}
