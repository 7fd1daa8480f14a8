//! Functions that a database stores: named KQL with parameters, which queries call.

use crate::{Catalog, EngineError};
use kusto_types::DatabaseName;
use rusqlite::{OptionalExtension, params};

/// A stored function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFunction {
    /// Its name.
    pub name: String,
    /// Its parameters as written, in parentheses: `(a:long, T:(*))`.
    pub parameters: String,
    /// Its body as written, in braces.
    pub body: String,
    /// The folder that tools show it in.
    pub folder: String,
    /// What it is for.
    pub docstring: String,
}

impl StoredFunction {
    /// Parameters and body, as the parser of functions takes them.
    pub fn definition(&self) -> String {
        format!("{} {}", self.parameters, self.body)
    }
}

pub(crate) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS functions (
    database TEXT NOT NULL, name TEXT NOT NULL, parameters TEXT NOT NULL, body TEXT NOT NULL,
    folder TEXT NOT NULL DEFAULT '', docstring TEXT NOT NULL DEFAULT '', PRIMARY KEY (database, name));
";

impl Catalog<'_> {
    /// The functions of a database, by name.
    pub fn functions(&self, database: &DatabaseName) -> Result<Vec<StoredFunction>, EngineError> {
        let mut statement = self.0.prepare_cached(
            "SELECT name, parameters, body, folder, docstring FROM functions WHERE database = ?1 ORDER BY name",
        )?;
        let rows = statement.query_map([database.as_str()], stored)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// A function by its exact name.
    pub fn function(
        &self,
        database: &DatabaseName,
        name: &str,
    ) -> Result<Option<StoredFunction>, EngineError> {
        let mut statement = self.0.prepare_cached(
            "SELECT name, parameters, body, folder, docstring FROM functions WHERE database = ?1 AND name = ?2",
        )?;
        Ok(statement.query_row([database.as_str(), name], stored).optional()?)
    }

    /// Stores a function in the place of one of its name.
    pub fn set_function(
        &self,
        database: &DatabaseName,
        function: &StoredFunction,
    ) -> Result<(), EngineError> {
        self.0
            .prepare_cached(
                "INSERT OR REPLACE INTO functions (database, name, parameters, body, folder, docstring)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                database.as_str(),
                function.name,
                function.parameters,
                function.body,
                function.folder,
                function.docstring
            ])?;
        Ok(())
    }

    /// Removes a function; whether there was one.
    pub fn drop_function(&self, database: &DatabaseName, name: &str) -> Result<bool, EngineError> {
        let removed = self
            .0
            .execute("DELETE FROM functions WHERE database = ?1 AND name = ?2", [database.as_str(), name])?;
        Ok(removed > 0)
    }
}

fn stored(row: &rusqlite::Row<'_>) -> rusqlite::Result<StoredFunction> {
    Ok(StoredFunction {
        name: row.get(0)?,
        parameters: row.get(1)?,
        body: row.get(2)?,
        folder: row.get(3)?,
        docstring: row.get(4)?,
    })
}
