//! Which column of a table is which column of its files. A column keeps its stored name
//! when it is renamed, and a new column never takes a stored name that was used before: so
//! files need not be written again when the table changes.

use crate::EngineError;
use arrow_schema::{Field, Schema};
use kusto_types::{TableSchema, arrow_schema};
use serde::{Deserialize, Serialize};

/// A table's columns with the names that they have in its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSchema {
    /// The table's columns.
    pub columns: TableSchema,
    /// What each is called in the files.
    pub names: Vec<String>,
}

/// What the catalog keeps of the stored names of a table.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Names {
    /// Of each column, in order.
    current: Vec<String>,
    /// Every one that a file may have.
    used: Vec<String>,
}

impl StoredSchema {
    /// A schema whose files have the table's own names.
    pub fn plain(columns: TableSchema) -> Self {
        let names = columns.columns().iter().map(|column| column.name.to_string()).collect();
        Self { columns, names }
    }

    /// The schema of the table's files.
    pub fn arrow(&self) -> Schema {
        let fields = arrow_schema(&self.columns);
        let named = fields.fields().iter().zip(&self.names);
        Schema::new(named.map(|(field, name)| Field::clone(field).with_name(name)).collect::<Vec<_>>())
    }

    /// Reads what the catalog keeps; an empty text means the table's own names.
    pub(crate) fn read(columns: TableSchema, kept: &str) -> Result<Self, EngineError> {
        if kept.is_empty() {
            return Ok(Self::plain(columns));
        }
        let names: Names =
            serde_json::from_str(kept).map_err(|error| EngineError::Corrupt(error.to_string()))?;
        if names.current.len() != columns.columns().len() {
            return Err(EngineError::Corrupt("stored names do not go with the columns".to_owned()));
        }
        Ok(Self { columns, names: names.current })
    }

    /// Every name that a file of the table may have, of columns that are gone too.
    pub(crate) fn used(&self, kept: &str) -> Result<Vec<String>, EngineError> {
        if kept.is_empty() {
            return Ok(self.names.clone());
        }
        let names: Names =
            serde_json::from_str(kept).map_err(|error| EngineError::Corrupt(error.to_string()))?;
        Ok(names.used)
    }

    /// The stored names after a change, as the catalog keeps them. `sources` has for each new
    /// column the position of the old one that it is, if it is one.
    pub(crate) fn changed(
        &self,
        kept: &str,
        columns: &TableSchema,
        sources: &[Option<usize>],
    ) -> Result<String, EngineError> {
        let mut used = if kept.is_empty() {
            self.names.clone()
        } else {
            let names: Names =
                serde_json::from_str(kept).map_err(|error| EngineError::Corrupt(error.to_string()))?;
            names.used
        };
        let mut current = Vec::with_capacity(columns.columns().len());
        for (column, source) in columns.columns().iter().zip(sources) {
            let stored = match source.and_then(|position| self.names.get(position)) {
                Some(stored) => stored.clone(),
                None => {
                    let name = column.name.as_str();
                    let free = |candidate: &String| !used.contains(candidate);
                    let fresh = std::iter::once(name.to_owned())
                        .chain((2u32..).map(|number| format!("{name}#{number}")))
                        .find(free)
                        .unwrap_or_else(|| name.to_owned());
                    used.push(fresh.clone());
                    fresh
                }
            };
            current.push(stored);
        }
        serde_json::to_string(&Names { current, used })
            .map_err(|error| EngineError::Corrupt(error.to_string()))
    }
}
