//! Databases, tables, mappings, policies and extents in SQLite. Every function runs on
//! the connection (or transaction) that it is given and commits nothing itself.

use crate::{EngineError, StoredSchema};
use kusto_kql::{CreateMode, MappingMode, PolicyEntity, PolicyKind, TableText};
use kusto_types::{
    DatabaseName, DateTime, IngestionMapping, MappingKind, MappingName, TICKS_PER_SECOND, TableName,
    TableSchema,
};
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::BTreeMap;

/// The catalog as seen through one connection.
pub struct Catalog<'c>(pub &'c Connection);

/// The id of a table; a dropped and recreated table has another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TableId(pub i64);

/// A table of the catalog.
#[derive(Debug, Clone)]
pub struct TableRecord {
    /// Its id.
    pub id: TableId,
    /// Its database.
    pub database: DatabaseName,
    /// Its name.
    pub name: TableName,
    /// Its columns.
    pub schema: TableSchema,
    /// What each column is called in the table's files.
    pub stored_names: Vec<String>,
    /// `folder`.
    pub folder: String,
    /// `docstring`.
    pub docstring: String,
    /// `docstring` of columns that have one, by their names.
    pub column_texts: BTreeMap<String, String>,
}

/// An ingestion mapping of the catalog.
#[derive(Debug, Clone)]
pub struct MappingRecord {
    /// Its table.
    pub table: TableName,
    /// Its kind.
    pub kind: MappingKind,
    /// Its name.
    pub name: MappingName,
    /// Its JSON.
    pub json: String,
    /// When it was set last.
    pub updated: String,
}

/// A live extent.
#[derive(Debug, Clone)]
pub struct ExtentRecord {
    /// Its id (a guid).
    pub id: String,
    /// Its file, relative to the extents folder.
    pub path: String,
    /// Rows.
    pub rows: u64,
    /// Uncompressed source bytes.
    pub original_size: u64,
    /// File bytes.
    pub size: u64,
    /// When it was committed, or the creationTime that the ingestion gave.
    pub created: String,
    /// When it was committed: later than everything that the table had before. Of a merged
    /// extent the latest of its parts'.
    pub ingested: String,
    /// Tags.
    pub tags: Vec<String>,
}

/// What `.create` found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreateOutcome {
    /// It is new.
    Created,
    /// It was there.
    Existed,
}

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS databases (name TEXT PRIMARY KEY, created TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS tables (
    id INTEGER PRIMARY KEY AUTOINCREMENT, database TEXT NOT NULL, name TEXT NOT NULL, schema TEXT NOT NULL,
    folder TEXT NOT NULL DEFAULT '', docstring TEXT NOT NULL DEFAULT '', created TEXT NOT NULL,
    stored TEXT NOT NULL DEFAULT '', column_texts TEXT NOT NULL DEFAULT '',
    UNIQUE (database, name));
CREATE TABLE IF NOT EXISTS mappings (
    table_id INTEGER NOT NULL REFERENCES tables (id) ON DELETE CASCADE, kind TEXT NOT NULL, name TEXT NOT NULL,
    json TEXT NOT NULL, updated TEXT NOT NULL, PRIMARY KEY (table_id, kind, name));
CREATE TABLE IF NOT EXISTS policies (
    database TEXT NOT NULL, table_name TEXT NOT NULL, policy TEXT NOT NULL, json TEXT NOT NULL,
    PRIMARY KEY (database, table_name, policy));
CREATE TABLE IF NOT EXISTS extents (
    id TEXT PRIMARY KEY, table_id INTEGER NOT NULL REFERENCES tables (id) ON DELETE CASCADE, path TEXT NOT NULL,
    rows INTEGER NOT NULL, original_size INTEGER NOT NULL, size INTEGER NOT NULL, created TEXT NOT NULL,
    tags TEXT NOT NULL DEFAULT '[]', ingested TEXT NOT NULL DEFAULT '');
CREATE INDEX IF NOT EXISTS extents_by_table ON extents (table_id);
";

fn not_found(kind: &'static str, name: impl ToString) -> EngineError {
    EngineError::NotFound { kind, name: name.to_string() }
}

pub(crate) fn corrupt(error: impl std::fmt::Display) -> EngineError {
    EngineError::Corrupt(error.to_string())
}

impl Catalog<'_> {
    /// Makes the catalog's tables where they are missing, and the default database.
    pub fn install(&self) -> Result<(), EngineError> {
        self.0.execute_batch(SCHEMA)?;
        self.0.execute_batch(crate::function::SCHEMA)?;
        self.0.execute_batch(crate::row_store::SCHEMA)?;
        // What catalogs of earlier versions have no place for.
        for (table, column) in [("extents", "ingested"), ("tables", "stored"), ("tables", "column_texts")] {
            let is_there: bool = self.0.query_row(
                "SELECT EXISTS (SELECT 1 FROM pragma_table_info(?1) WHERE name = ?2)",
                [table, column],
                |row| row.get(0),
            )?;
            if !is_there {
                self.0.execute_batch(&format!(
                    "ALTER TABLE {table} ADD COLUMN {column} TEXT NOT NULL DEFAULT ''"
                ))?;
            }
        }
        // The latest time of a table is asked for with every commit.
        self.0.execute_batch("CREATE INDEX IF NOT EXISTS extents_by_time ON extents (table_id, ingested)")?;
        self.create_database(&DatabaseName::net_default(), true)?;
        Ok(())
    }

    /// Makes a database.
    pub fn create_database(
        &self,
        name: &DatabaseName,
        if_not_exists: bool,
    ) -> Result<CreateOutcome, EngineError> {
        let made = self.0.execute(
            "INSERT INTO databases (name, created) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
            params![name.as_str(), DateTime::now().to_string()],
        )?;
        match (made, if_not_exists) {
            (1, _) => Ok(CreateOutcome::Created),
            (_, true) => Ok(CreateOutcome::Existed),
            _ => Err(EngineError::Exists { kind: "database", name: name.to_string(), detail: String::new() }),
        }
    }

    /// All databases, by name.
    pub fn databases(&self) -> Result<Vec<DatabaseName>, EngineError> {
        let mut statement = self.0.prepare_cached("SELECT name FROM databases ORDER BY name")?;
        let names = statement.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
        names.into_iter().map(|name| DatabaseName::new(name).map_err(corrupt)).collect()
    }

    /// The database of this name; case does not matter, as clients spell it freely.
    pub fn database(&self, name: &str) -> Result<DatabaseName, EngineError> {
        let found = self.databases()?.into_iter().find(|known| known.as_str().eq_ignore_ascii_case(name));
        found.ok_or_else(|| not_found("database", name))
    }

    /// A table, or an error that says it does not exist.
    pub fn table(&self, database: &DatabaseName, name: &str) -> Result<TableRecord, EngineError> {
        self.find_table(database, name)?.ok_or_else(|| not_found("table", name))
    }

    /// A table, if it exists.
    pub fn find_table(
        &self,
        database: &DatabaseName,
        name: &str,
    ) -> Result<Option<TableRecord>, EngineError> {
        let mut statement = self.0.prepare_cached(
            "SELECT id, name, schema, folder, docstring, stored, column_texts FROM tables WHERE database = ?1 AND name = ?2",
        )?;
        let row = statement.query_row(params![database.as_str(), name], table_row).optional()?;
        row.map(|row| table_record(database, row)).transpose()
    }

    /// A table by its id, if it is there still.
    pub fn table_by_id(&self, id: TableId) -> Result<Option<TableRecord>, EngineError> {
        let database: Option<String> = self
            .0
            .prepare_cached("SELECT database FROM tables WHERE id = ?1")?
            .query_row([id.0], |row| row.get(0))
            .optional()?;
        let Some(database) = database else { return Ok(None) };
        let database = DatabaseName::new(database).map_err(corrupt)?;
        Ok(self.tables(&database)?.into_iter().find(|table| table.id == id))
    }

    /// The tables of a database, by name.
    pub fn tables(&self, database: &DatabaseName) -> Result<Vec<TableRecord>, EngineError> {
        let mut statement = self.0.prepare_cached(
            "SELECT id, name, schema, folder, docstring, stored, column_texts FROM tables WHERE database = ?1 ORDER BY name",
        )?;
        let rows = statement.query_map([database.as_str()], table_row)?.collect::<Result<Vec<_>, _>>()?;
        rows.into_iter().map(|row| table_record(database, row)).collect()
    }

    /// `.create table` and its kin.
    pub fn create_table(
        &self,
        database: &DatabaseName,
        name: &TableName,
        schema: &TableSchema,
        mode: CreateMode,
        folder: &str,
        docstring: &str,
    ) -> Result<CreateOutcome, EngineError> {
        let Some(existing) = self.find_table(database, name.as_str())? else {
            if matches!(mode, CreateMode::Alter | CreateMode::AlterMerge) {
                return Err(not_found("table", name));
            }
            let json = serde_json::to_string(schema).map_err(corrupt)?;
            self.0.execute(
                "INSERT INTO tables (database, name, schema, folder, docstring, created) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![database.as_str(), name.as_str(), json, folder, docstring, DateTime::now().to_string()],
            )?;
            return Ok(CreateOutcome::Created);
        };
        match mode {
            CreateMode::IfNotExists => {}
            CreateMode::Create if existing.schema == *schema => {}
            CreateMode::Create => {
                return Err(EngineError::Exists {
                    kind: "table",
                    name: name.to_string(),
                    detail: format!(
                        " with other columns ({}); use .create-merge table to add columns",
                        existing.schema.csl()
                    ),
                });
            }
            CreateMode::CreateMerge | CreateMode::AlterMerge | CreateMode::Alter => {
                match mode {
                    CreateMode::Alter => self.replace_columns(&existing, schema)?,
                    _ => self.add_columns(&existing, schema)?,
                }
                for (text, value) in [(TableText::Folder, folder), (TableText::DocString, docstring)] {
                    if !value.is_empty() {
                        self.set_table_text(&existing, text, value)?;
                    }
                }
            }
        }
        Ok(CreateOutcome::Existed)
    }

    /// `.drop table`: whether there was one. Its extents and mappings go with it.
    pub fn drop_table(
        &self,
        database: &DatabaseName,
        name: &str,
        if_exists: bool,
    ) -> Result<bool, EngineError> {
        let Some(table) = self.find_table(database, name)? else {
            return if if_exists { Ok(false) } else { Err(not_found("table", name)) };
        };
        self.delete_rows(table.id)?;
        self.0.execute("DELETE FROM mappings WHERE table_id = ?1", [table.id.0])?;
        self.0.execute("DELETE FROM tables WHERE id = ?1", [table.id.0])?;
        self.0.execute(
            "DELETE FROM policies WHERE database = ?1 AND table_name = ?2",
            params![database.as_str(), name],
        )?;
        Ok(true)
    }

    /// `.create-or-alter table T ingestion kind mapping 'N' '...'`.
    pub fn set_mapping(
        &self,
        table: &TableRecord,
        name: &MappingName,
        mapping: &IngestionMapping,
        mode: MappingMode,
    ) -> Result<MappingRecord, EngineError> {
        let exists = self.find_mapping(table, mapping.kind, name.as_str())?.is_some();
        match (mode, exists) {
            (MappingMode::Create, true) => {
                return Err(EngineError::Exists {
                    kind: "mapping",
                    name: name.to_string(),
                    detail: String::new(),
                });
            }
            (MappingMode::Alter, false) => return Err(not_found("mapping", name)),
            _ => {}
        }
        let updated = DateTime::now().to_string();
        let json = mapping.to_json();
        self.0.execute(
            "INSERT OR REPLACE INTO mappings (table_id, kind, name, json, updated) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![table.id.0, mapping.kind.wire_name(), name.as_str(), json, updated],
        )?;
        Ok(MappingRecord { table: table.name.clone(), kind: mapping.kind, name: name.clone(), json, updated })
    }

    /// A mapping, parsed, if it exists.
    pub fn find_mapping(
        &self,
        table: &TableRecord,
        kind: MappingKind,
        name: &str,
    ) -> Result<Option<IngestionMapping>, EngineError> {
        let json: Option<String> = self
            .0
            .prepare_cached("SELECT json FROM mappings WHERE table_id = ?1 AND kind = ?2 AND name = ?3")?
            .query_row(params![table.id.0, kind.wire_name(), name], |row| row.get(0))
            .optional()?;
        json.map(|json| IngestionMapping::parse(kind, &json).map_err(corrupt)).transpose()
    }

    /// The mappings of a table.
    pub fn mappings(&self, table: &TableRecord) -> Result<Vec<MappingRecord>, EngineError> {
        let mut statement = self.0.prepare_cached(
            "SELECT kind, name, json, updated FROM mappings WHERE table_id = ?1 ORDER BY kind, name",
        )?;
        let rows = statement
            .query_map([table.id.0], |row| {
                Ok((
                    row.get::<_, String>(0)?,
                    row.get::<_, String>(1)?,
                    row.get::<_, String>(2)?,
                    row.get::<_, String>(3)?,
                ))
            })?
            .collect::<Result<Vec<_>, _>>()?;
        rows.into_iter()
            .map(|(kind, name, json, updated)| {
                Ok(MappingRecord {
                    table: table.name.clone(),
                    kind: MappingKind::parse(&kind).ok_or_else(|| corrupt(format!("mapping kind {kind}")))?,
                    name: MappingName::new(name).map_err(corrupt)?,
                    json,
                    updated,
                })
            })
            .collect()
    }

    /// `.drop table T ingestion kind mapping 'N'`.
    pub fn drop_mapping(
        &self,
        table: &TableRecord,
        kind: MappingKind,
        name: &str,
    ) -> Result<(), EngineError> {
        let gone = self.0.execute(
            "DELETE FROM mappings WHERE table_id = ?1 AND kind = ?2 AND name = ?3",
            params![table.id.0, kind.wire_name(), name],
        )?;
        if gone == 0 { Err(not_found("mapping", name)) } else { Ok(()) }
    }

    fn policy_key(database: &DatabaseName, entity: &PolicyEntity) -> String {
        let _ = database;
        match entity {
            PolicyEntity::Database(_) => String::new(),
            PolicyEntity::Table(name) => name.clone(),
        }
    }

    /// The JSON of a policy set on exactly this entity.
    pub fn policy(
        &self,
        database: &DatabaseName,
        entity: &PolicyEntity,
        policy: PolicyKind,
    ) -> Result<Option<String>, EngineError> {
        Ok(self
            .0
            .prepare_cached(
                "SELECT json FROM policies WHERE database = ?1 AND table_name = ?2 AND policy = ?3",
            )?
            .query_row(
                params![database.as_str(), Self::policy_key(database, entity), policy.policy_name()],
                |row| row.get(0),
            )
            .optional()?)
    }

    /// The tables of a database that have a policy of their own of a kind, with its JSON.
    pub fn policies(
        &self,
        database: &DatabaseName,
        policy: PolicyKind,
    ) -> Result<Vec<(String, String)>, EngineError> {
        let mut statement = self.0.prepare_cached(
            "SELECT table_name, json FROM policies
             WHERE database = ?1 AND policy = ?2 AND table_name <> '' ORDER BY table_name",
        )?;
        let rows = statement
            .query_map([database.as_str(), policy.policy_name()], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Sets or removes a policy.
    pub fn set_policy(
        &self,
        database: &DatabaseName,
        entity: &PolicyEntity,
        policy: PolicyKind,
        json: Option<&str>,
    ) -> Result<(), EngineError> {
        let key = Self::policy_key(database, entity);
        match json {
            Some(json) => self.0.execute(
                "INSERT OR REPLACE INTO policies (database, table_name, policy, json) VALUES (?1, ?2, ?3, ?4)",
                params![database.as_str(), key, policy.policy_name(), json],
            )?,
            None => self.0.execute(
                "DELETE FROM policies WHERE database = ?1 AND table_name = ?2 AND policy = ?3",
                params![database.as_str(), key, policy.policy_name()],
            )?,
        };
        Ok(())
    }

    /// The live extents of a table, in the order of their commits.
    pub fn extents(&self, table: TableId) -> Result<Vec<ExtentRecord>, EngineError> {
        let mut statement = self.0.prepare_cached(
            "SELECT id, path, rows, original_size, size, created, tags, ingested FROM extents
             WHERE table_id = ?1 ORDER BY rowid",
        )?;
        let rows = statement.query_map([table.0], |row| {
            Ok(ExtentRecord {
                id: row.get(0)?,
                path: row.get(1)?,
                rows: row.get::<_, i64>(2)?.unsigned_abs(),
                original_size: row.get::<_, i64>(3)?.unsigned_abs(),
                size: row.get::<_, i64>(4)?.unsigned_abs(),
                created: row.get(5)?,
                tags: serde_json::from_str(&row.get::<_, String>(6)?).unwrap_or_default(),
                ingested: row.get(7)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Makes an extent live.
    pub(crate) fn insert_extent(&self, table: TableId, extent: &ExtentRecord) -> Result<(), EngineError> {
        self.0
            .prepare_cached(
                "INSERT INTO extents (id, table_id, path, rows, original_size, size, created, tags, ingested)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?
            .execute(params![
                extent.id,
                table.0,
                extent.path,
                extent.rows as i64,
                extent.original_size as i64,
                extent.size as i64,
                extent.created,
                serde_json::Value::from(extent.tags.clone()).to_string(),
                extent.ingested,
            ])?;
        Ok(())
    }

    /// Whether the rows of a table get a time of ingestion: unless its policy says no.
    fn keeps_ingestion_time(&self, table: TableId) -> Result<bool, EngineError> {
        let json: Option<String> = self
            .0
            .prepare_cached(
                "SELECT p.json FROM policies p JOIN tables t ON t.database = p.database AND t.name = p.table_name
                 WHERE t.id = ?1 AND p.policy = ?2",
            )?
            .query_row(params![table.0, PolicyKind::IngestionTime.policy_name()], |row| row.get(0))
            .optional()?;
        let policy: serde_json::Value =
            json.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default();
        Ok(policy.get("IsEnabled") != Some(&serde_json::Value::Bool(false)))
    }

    /// Drops the extents of a table that were made before an instant; how many.
    pub fn drop_extents_before(&self, table: TableId, before: DateTime) -> Result<usize, EngineError> {
        let old: Vec<String> = self
            .extents(table)?
            .into_iter()
            .filter(|extent| DateTime::parse(&extent.created).is_some_and(|created| created < before))
            .map(|extent| extent.id)
            .collect();
        old.iter().try_for_each(|id| self.drop_extent(id))?;
        Ok(old.len())
    }

    /// The time of ingestion of what a table gets now, as text: later than everything that
    /// it has; now, or a tick after the latest when the clock has not moved on. Empty when the
    /// table's policy wants none.
    pub(crate) fn ingestion_time(&self, table: TableId) -> Result<String, EngineError> {
        if !self.keeps_ingestion_time(table)? {
            return Ok(String::new());
        }
        let latest: Option<String> = self
            .0
            .prepare_cached(
                "SELECT MAX(latest) FROM (SELECT MAX(ingested) AS latest FROM extents WHERE table_id = ?1
                 UNION ALL SELECT MAX(ingested) FROM streamed WHERE table_id = ?1)",
            )?
            .query_row([table.0], |row| row.get(0))?;
        let after = latest.and_then(|latest| DateTime::parse(&latest)).map_or(0, |latest| latest.ticks() + 1);
        Ok(later_than(after, DateTime::now()).to_string())
    }

    /// Takes every row out of a table; its schema, mappings and policies stay.
    pub fn clear_table(&self, table: &TableRecord) -> Result<(), EngineError> {
        self.delete_rows(table.id)
    }

    /// Takes the extents and the streamed rows out of a table.
    pub(crate) fn delete_rows(&self, table: TableId) -> Result<(), EngineError> {
        for statement in
            ["DELETE FROM extents WHERE table_id = ?1", "DELETE FROM streamed WHERE table_id = ?1"]
        {
            self.0.prepare_cached(statement)?.execute([table.0])?;
        }
        Ok(())
    }

    /// Drops one extent; whether it was there does not matter.
    pub fn drop_extent(&self, id: &str) -> Result<(), EngineError> {
        self.0.execute("DELETE FROM extents WHERE id = ?1", [id])?;
        Ok(())
    }

    /// Gives an extent these tags and no others.
    pub fn set_tags(&self, id: &str, tags: &[String]) -> Result<(), EngineError> {
        let json = serde_json::Value::from(tags.to_vec()).to_string();
        self.0.execute("UPDATE extents SET tags = ?2 WHERE id = ?1", [id, &json])?;
        Ok(())
    }

    /// The files of every live extent, to tell orphans by.
    pub fn extent_paths(&self) -> Result<Vec<String>, EngineError> {
        let mut statement = self.0.prepare_cached("SELECT path FROM extents")?;
        Ok(statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
    }
}

/// The first instant from `after` and `now` on whose text sorts as the instant does: a whole
/// second is written without a fraction, and would sort behind every other instant in it.
fn later_than(after: i64, now: DateTime) -> DateTime {
    let ticks = after.max(now.ticks());
    let ticks = if ticks % TICKS_PER_SECOND == 0 { ticks + 1 } else { ticks };
    DateTime::from_ticks(ticks).unwrap_or(now)
}

type TableRow = (i64, String, String, String, String, String, String);

fn table_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<TableRow> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?))
}

fn table_record(database: &DatabaseName, row: TableRow) -> Result<TableRecord, EngineError> {
    let (id, name, schema, folder, docstring, stored, texts) = row;
    let stored = StoredSchema::read(serde_json::from_str(&schema).map_err(corrupt)?, &stored)?;
    Ok(TableRecord {
        id: TableId(id),
        database: database.clone(),
        name: TableName::new(name).map_err(corrupt)?,
        schema: stored.columns,
        stored_names: stored.names,
        folder,
        docstring,
        column_texts: match texts.as_str() {
            "" => BTreeMap::new(),
            texts => serde_json::from_str(texts).map_err(corrupt)?,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_ingestion_times_sort_as_the_times_do() {
        let now = DateTime::parse("2024-01-02T03:04:05Z").unwrap();
        let first = later_than(0, now);
        assert_eq!(first.to_string(), "2024-01-02T03:04:05.0000001Z");
        // The clock stands still, or was set back.
        let second = later_than(first.ticks() + 1, now);
        assert!(second > first && second.to_string() > first.to_string());
        let end = DateTime::parse("2024-01-02T03:04:05.9999999Z").unwrap();
        let third = later_than(end.ticks() + 1, now);
        assert!(third > end && third.to_string() > end.to_string());
        let later = DateTime::parse("2024-01-02T03:04:06.5Z").unwrap();
        assert_eq!(later_than(third.ticks() + 1, later), later);
    }
}
