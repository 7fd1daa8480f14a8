//! The one SQLite database of a service (WAL, full sync) and the folders beside it.
//! Whatever must hold together is done in one [`Store::transact`].

pub(crate) mod batches;
pub(crate) mod blobs;
pub(crate) mod entities;
pub(crate) mod journal;
pub(crate) mod operations;
pub(crate) mod queues;
pub(crate) mod reports;

use crate::ServiceError;
use kusto_engine::Catalog;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

pub(crate) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS queue_messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT, queue TEXT NOT NULL, message_id TEXT NOT NULL, text TEXT NOT NULL,
    inserted INTEGER NOT NULL, expires INTEGER NOT NULL, visible INTEGER NOT NULL, receipt TEXT NOT NULL,
    dequeued INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS queue_messages_by_queue ON queue_messages (queue, visible);
CREATE TABLE IF NOT EXISTS blobs (
    container TEXT NOT NULL, name TEXT NOT NULL, size INTEGER NOT NULL, etag TEXT NOT NULL, modified INTEGER NOT NULL,
    files TEXT NOT NULL, PRIMARY KEY (container, name));
CREATE TABLE IF NOT EXISTS blocks (
    container TEXT NOT NULL, name TEXT NOT NULL, block TEXT NOT NULL, file TEXT NOT NULL, size INTEGER NOT NULL,
    staged INTEGER NOT NULL, PRIMARY KEY (container, name, block));
CREATE TABLE IF NOT EXISTS committed_blocks (
    container TEXT NOT NULL, name TEXT NOT NULL, block TEXT NOT NULL, file TEXT NOT NULL, size INTEGER NOT NULL,
    PRIMARY KEY (container, name, block));
CREATE TABLE IF NOT EXISTS entities (
    table_name TEXT NOT NULL, partition TEXT NOT NULL, row TEXT NOT NULL, json TEXT NOT NULL, etag TEXT NOT NULL,
    PRIMARY KEY (table_name, partition, row));
CREATE TABLE IF NOT EXISTS batches (
    id INTEGER PRIMARY KEY AUTOINCREMENT, batch_key TEXT NOT NULL, database TEXT NOT NULL, table_name TEXT NOT NULL,
    state TEXT NOT NULL, opened INTEGER NOT NULL, items INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL DEFAULT 0,
    cause TEXT, attempts INTEGER NOT NULL DEFAULT 0, not_before INTEGER NOT NULL DEFAULT 0, operation_id TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS batches_by_state ON batches (state);
CREATE TABLE IF NOT EXISTS sources (
    id INTEGER PRIMARY KEY AUTOINCREMENT, source_id TEXT NOT NULL, dedup TEXT NOT NULL UNIQUE, database TEXT NOT NULL,
    table_name TEXT NOT NULL, path TEXT NOT NULL, message TEXT NOT NULL, state TEXT NOT NULL, batch INTEGER,
    received INTEGER NOT NULL, finished INTEGER, rows INTEGER NOT NULL DEFAULT 0, code TEXT, details TEXT);
CREATE INDEX IF NOT EXISTS sources_by_batch ON sources (batch);
CREATE TABLE IF NOT EXISTS operations (
    id TEXT PRIMARY KEY, kind TEXT NOT NULL, database TEXT NOT NULL, table_name TEXT NOT NULL, started INTEGER NOT NULL,
    updated INTEGER NOT NULL, state TEXT NOT NULL, status TEXT NOT NULL, retry INTEGER NOT NULL, result TEXT);
CREATE TABLE IF NOT EXISTS rest_operations (
    id TEXT PRIMARY KEY, database TEXT NOT NULL, table_name TEXT NOT NULL, started INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS rest_blobs (
    operation TEXT NOT NULL, source_id TEXT NOT NULL, dedup TEXT NOT NULL, url TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS rest_blobs_by_operation ON rest_blobs (operation);
CREATE TABLE IF NOT EXISTS outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, payload TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS failures (
    id INTEGER PRIMARY KEY AUTOINCREMENT, operation_id TEXT NOT NULL, database TEXT NOT NULL, table_name TEXT NOT NULL,
    failed INTEGER NOT NULL, path TEXT NOT NULL, details TEXT NOT NULL, kind TEXT NOT NULL, activity_id TEXT NOT NULL,
    operation TEXT NOT NULL, code TEXT NOT NULL, retry INTEGER NOT NULL, source_id TEXT NOT NULL, raw TEXT);
";

/// The database and the folders.
pub(crate) struct Store {
    connection: Mutex<Connection>,
    /// The data folder.
    pub(crate) root: PathBuf,
    _lock: File,
}

impl Store {
    /// Opens a data folder, making what is missing; fails when another service has it.
    pub(crate) fn open(root: &Path) -> Result<Self, ServiceError> {
        for folder in ["blobs", "extents", "staging"] {
            let path = root.join(folder);
            std::fs::create_dir_all(&path).map_err(ServiceError::file(&path))?;
        }
        let lock_path = root.join("service.lock");
        let lock = File::create(&lock_path).map_err(ServiceError::file(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(ServiceError::InUse(root.display().to_string())),
            Err(TryLockError::Error(error)) => return Err(ServiceError::file(&lock_path)(error)),
        }
        let connection = Connection::open(root.join("service.sqlite"))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", "ON")?;
        connection.execute_batch(SCHEMA)?;
        connection.execute_batch(crate::access::SCHEMA)?;
        connection.execute_batch(journal::SCHEMA)?;
        operations::abandon(&connection)?;
        Catalog(&connection).install()?;
        Ok(Self { connection: Mutex::new(connection), root: root.to_owned(), _lock: lock })
    }

    /// Runs `work` in one transaction: all of it is durable when this returns `Ok`, none
    /// of it when it returns an error.
    pub(crate) fn transact<T, E: From<rusqlite::Error>>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        // A panic in another transaction rolled that one back; the connection is sound.
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let value = work(&transaction)?;
        transaction.commit()?;
        Ok(value)
    }

    /// Runs `work` with the database, changing nothing.
    pub(crate) fn read<T, E>(&self, work: impl FnOnce(&Connection) -> Result<T, E>) -> Result<T, E> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        work(&connection)
    }

    /// The install's secret key, made on first use.
    pub(crate) fn secret_key(&self) -> Result<Vec<u8>, ServiceError> {
        self.transact(|transaction| {
            let mut key = uuid::Uuid::new_v4().as_bytes().to_vec();
            key.extend_from_slice(uuid::Uuid::new_v4().as_bytes());
            transaction
                .execute("INSERT OR IGNORE INTO meta (name, value) VALUES ('secret_key', ?1)", [key])?;
            Ok(transaction
                .query_row("SELECT value FROM meta WHERE name = 'secret_key'", [], |row| row.get(0))?)
        })
    }
}

/// Runs database or file work off the async threads.
pub(crate) async fn blocking<T: Send + 'static>(
    store: &Arc<Store>,
    work: impl FnOnce(&Store) -> Result<T, ServiceError> + Send + 'static,
) -> Result<T, ServiceError> {
    let store = store.clone();
    tokio::task::spawn_blocking(move || work(&store)).await?
}
