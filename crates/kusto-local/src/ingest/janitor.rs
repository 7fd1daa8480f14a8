//! Delivers reports and removes what nobody needs any more: files that no row names,
//! temporary blobs past their time.

use super::failpoint::reach;
use crate::ServiceError;
use crate::state::State;
use crate::store::{Store, blobs, reports};
use kusto_engine::Catalog;
use kusto_kql::{PolicyEntity, PolicyKind};
use kusto_types::{DatabaseName, DateTime, TICKS_PER_DAY};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio_util::sync::CancellationToken;

/// Drains the outbox whenever an outcome was recorded.
pub(crate) async fn report(state: Arc<State>, stop: CancellationToken) {
    loop {
        let drained = drain(&state).await;
        match drained {
            Ok(0) => {}
            Ok(_) => {
                reach(state.config.crash_at.as_deref(), "reports-drained");
                continue;
            }
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "reports cannot be delivered")
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = state.outcomes.notified() => {}
            () = tokio::time::sleep(Duration::from_secs(5)) => {}
        }
    }
}

/// Delivers what waits; how many reports that were.
async fn drain(state: &Arc<State>) -> Result<usize, ServiceError> {
    let Some(account) = &state.account else {
        return crate::store::blocking(&state.store, |store| Ok(store.transact(|t| reports::drain(t))?))
            .await;
    };
    let lines = crate::store::blocking(&state.store, |store| Ok(store.read(reports::waiting)?)).await?;
    for (id, payload) in &lines {
        reports::deliver(account, payload).await?;
        let id = *id;
        crate::store::blocking(&state.store, move |store| Ok(store.transact(|t| reports::delivered(t, id))?))
            .await?;
    }
    Ok(lines.len())
}

/// Cleans up at the start and then every ten minutes.
pub(crate) async fn clean(state: Arc<State>, stop: CancellationToken) {
    let mut orphans = Orphans::default();
    loop {
        let known = std::mem::take(&mut orphans);
        let swept =
            crate::store::blocking(&state.store, |store| sweep(store, Duration::from_secs(600), known)).await;
        match swept {
            Ok(found) => orphans = found,
            Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "cleaning up failed"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(Duration::from_secs(600)) => {}
        }
    }
}

/// Files that no row names, with the time at which that was first seen.
type Orphans = HashMap<PathBuf, SystemTime>;

/// One sweep; the orphans that it leaves. A file stays until nobody has named it for `grace`
/// and it was not written to for as long: its rows may be on the way, or a query that began
/// before may still read it.
fn sweep(store: &Store, grace: Duration, known: Orphans) -> Result<Orphans, ServiceError> {
    let (blob_files, extent_files) = store.transact(|transaction| {
        blobs::expire(transaction, DateTime::now().ticks() - TICKS_PER_DAY)?;
        transaction
            .execute("DELETE FROM blocks WHERE staged < ?1", [DateTime::now().ticks() - TICKS_PER_DAY])?;
        transaction.execute("DELETE FROM queue_messages WHERE expires < ?1", [DateTime::now().ticks()])?;
        transaction.execute(
            "DELETE FROM sources WHERE finished < ?1",
            [DateTime::now().ticks() - 7 * TICKS_PER_DAY],
        )?;
        let week = DateTime::now().ticks() - 7 * TICKS_PER_DAY;
        transaction.execute("DELETE FROM operations WHERE updated < ?1 AND state <> 'InProgress'", [week])?;
        transaction.execute("DELETE FROM rest_operations WHERE started < ?1", [week])?;
        transaction
            .execute("DELETE FROM rest_blobs WHERE operation NOT IN (SELECT id FROM rest_operations)", [])?;
        transaction.execute("DELETE FROM failures WHERE failed < ?1", [week - 7 * TICKS_PER_DAY])?;
        if let Some(month) = DateTime::from_ticks(DateTime::now().ticks() - 30 * TICKS_PER_DAY) {
            crate::store::journal::expire(transaction, month)?;
        }
        retain(&Catalog(transaction))?;
        let extents: HashSet<String> = Catalog(transaction).extent_paths()?.into_iter().collect();
        Ok::<_, ServiceError>((blobs::referenced(transaction)?, extents))
    })?;
    let mut sweep = Sweep { grace, known, left: Orphans::new() };
    sweep.remove_unless(&store.root.join("blobs"), "", &|name| blob_files.contains(name));
    sweep.remove_unless(&store.root.join("staging"), "", &|_| false);
    sweep.remove_unless(&store.root.join("extents"), "", &|name| extent_files.contains(name));
    Ok(sweep.left)
}

/// Drops the extents that are older than the retention policies keep them.
fn retain(catalog: &Catalog<'_>) -> Result<(), ServiceError> {
    for database in catalog.databases()? {
        for table in catalog.tables(&database)? {
            let Some(oldest) = oldest_kept(catalog, &database, table.name.as_str())? else { continue };
            let dropped = catalog.drop_extents_before(table.id, oldest)?;
            if dropped > 0 {
                tracing::info!(%database, table = %table.name, dropped, "extents past their retention are gone");
            }
        }
    }
    Ok(())
}

/// What a table keeps was made at this instant or later; absent means everything.
pub(crate) fn oldest_kept(
    catalog: &Catalog<'_>,
    database: &DatabaseName,
    table: &str,
) -> Result<Option<DateTime>, ServiceError> {
    for entity in [PolicyEntity::Table(table.to_owned()), PolicyEntity::Database(String::new())] {
        let Some(json) = catalog.policy(database, &entity, PolicyKind::Retention)? else { continue };
        let policy = serde_json::from_str(&json).unwrap_or_default();
        let period = crate::command::policy::retention(&policy)?;
        return Ok(period.and_then(|period| DateTime::from_ticks(DateTime::now().ticks() - period.0)));
    }
    Ok(None)
}

struct Sweep {
    grace: Duration,
    known: Orphans,
    left: Orphans,
}

impl Sweep {
    fn remove_unless(&mut self, folder: &Path, prefix: &str, keep: &dyn Fn(&str) -> bool) {
        let Ok(entries) = std::fs::read_dir(folder) else { return };
        let now = SystemTime::now();
        let old = |since: SystemTime| now.duration_since(since).is_ok_and(|age| age >= self.grace);
        let mut folders = Vec::new();
        for entry in entries.flatten() {
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                folders.push((entry.path(), name));
                continue;
            }
            if keep(&name) {
                continue;
            }
            let since = self.known.get(&entry.path()).copied().unwrap_or(now);
            if !old(since) || !metadata.modified().is_ok_and(old) {
                self.left.insert(entry.path(), since);
            } else if let Err(error) = std::fs::remove_file(entry.path()) {
                tracing::warn!(%error, file = name, "an orphan file cannot be removed");
            }
        }
        for (path, name) in folders {
            self.remove_unless(&path, &format!("{name}/"), keep);
            // Fails, as it should, while the folder holds anything.
            let _removed = std::fs::remove_dir(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orphans_and_old_blobs_go_and_the_rest_stays() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let write = |name: &str| std::fs::write(folder.path().join(name), "x").unwrap();
        ["blobs/old", "blobs/new", "blobs/orphan", "staging/left"].into_iter().for_each(write);
        std::fs::create_dir(folder.path().join("extents/7-1")).unwrap();
        write("extents/7-1/unseen.parquet");
        store
            .transact::<_, ServiceError>(|transaction| {
                blobs::commit(transaction, "ingest0", "old.csv", &["old".to_owned()], 1)?;
                blobs::commit(transaction, "ingest0", "new.csv", &["new".to_owned()], 1)?;
                transaction.execute("UPDATE blobs SET modified = 0 WHERE name = 'old.csv'", [])?;
                Ok(())
            })
            .unwrap();
        sweep(&store, Duration::from_secs(600), Orphans::new()).unwrap();
        assert!(
            folder.path().join("blobs/orphan").exists(),
            "a young file may belong to a request under way"
        );
        // A file that was written long ago, and that something named until now, is read on.
        let aged = std::fs::File::options().append(true).open(folder.path().join("blobs/orphan")).unwrap();
        aged.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        let orphans = sweep(&store, Duration::from_secs(600), Orphans::new()).unwrap();
        let path = folder.path().join("blobs/orphan");
        assert!(path.exists() && orphans.contains_key(&path));
        let long_ago = HashMap::from([(path.clone(), SystemTime::UNIX_EPOCH)]);
        sweep(&store, Duration::from_secs(600), long_ago).unwrap();
        assert!(!path.exists(), "nobody has named it for long");
        sweep(&store, Duration::ZERO, Orphans::new()).unwrap();
        let left: Vec<String> = std::fs::read_dir(folder.path().join("blobs"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        assert_eq!(left, ["new"]);
        assert!(!folder.path().join("staging/left").exists());
        assert!(!folder.path().join("extents/7-1").exists());
    }

    #[test]
    fn rows_past_their_retention_go() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let left = store
            .transact::<_, ServiceError>(|transaction| {
                let catalog = Catalog(transaction);
                let database = DatabaseName::net_default();
                let schema = kusto_types::TableSchema::of([("a", kusto_types::ColumnType::Long)]).unwrap();
                let name = kusto_types::TableName::new("T").unwrap();
                catalog.create_table(&database, &name, &schema, kusto_kql::CreateMode::Create, "", "")?;
                let table = catalog.table(&database, "T")?;
                let now = DateTime::now().ticks();
                let extents = [1, 5, 20].map(|days| kusto_engine::NewExtent {
                    file: kusto_engine::ExtentFile {
                        id: days.to_string(),
                        path: days.to_string(),
                        rows: 1,
                        size: 1,
                    },
                    original_size: 1,
                    created: DateTime::from_ticks(now - days * TICKS_PER_DAY).map(|made| made.to_string()),
                    tags: Vec::new(),
                });
                let commit = kusto_engine::Commit {
                    table: table.id,
                    extents: extents.to_vec(),
                    unless_tagged: Vec::new(),
                    existing: kusto_engine::Existing::Keep,
                };
                kusto_engine::TableCommit::commit(&kusto_engine::CatalogCommit, transaction, &commit)?;
                let mut left = Vec::new();
                let mut look = |catalog: &Catalog<'_>| -> Result<(), ServiceError> {
                    retain(catalog)?;
                    left.push(catalog.extents(table.id)?.len());
                    Ok(())
                };
                look(&catalog)?;
                // The database's policy, then the table's own instead of it.
                let keep = |days: u32| format!(r#"{{"SoftDeletePeriod":"{days}.00:00:00"}}"#);
                let of_database = PolicyEntity::Database(String::new());
                catalog.set_policy(&database, &of_database, PolicyKind::Retention, Some(&keep(10)))?;
                look(&catalog)?;
                let of_table = PolicyEntity::Table("T".to_owned());
                catalog.set_policy(&database, &of_table, PolicyKind::Retention, Some(&keep(3)))?;
                look(&catalog)?;
                Ok(left)
            })
            .unwrap();
        assert_eq!(left, [3, 2, 1]);
    }
}
