//! Table schemas: ordered columns with unique names, and the two texts that Kusto
//! writes them in (the schema JSON and the `name:type` list).

use crate::{ColumnName, ColumnType, NameError, TableName};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// One column of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: ColumnName,
    /// Its type.
    #[serde(rename = "type")]
    pub column_type: ColumnType,
}

/// The ordered columns of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TableSchema {
    columns: Vec<Column>,
}

/// Why columns do not make a schema, or two schemas do not merge.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// Two columns have one name.
    #[error("column {0} is given twice")]
    DuplicateColumn(ColumnName),
    /// A merge would change the type of a column.
    #[error(
        "column {column} is {existing} in the table and {wanted} in the command; a type cannot be changed by a merge"
    )]
    TypeConflict {
        /// The column.
        column: ColumnName,
        /// Its type in the table.
        existing: ColumnType,
        /// The type that was asked for.
        wanted: ColumnType,
    },
    /// A column name is malformed.
    #[error(transparent)]
    Name(#[from] NameError),
}

impl TableSchema {
    /// Checks that no name stands twice.
    pub fn new(columns: Vec<Column>) -> Result<Self, SchemaError> {
        let mut seen = HashSet::new();
        for column in &columns {
            if !seen.insert(&column.name) {
                return Err(SchemaError::DuplicateColumn(column.name.clone()));
            }
        }
        Ok(Self { columns })
    }

    /// From name and type pairs.
    pub fn of<'a>(columns: impl IntoIterator<Item = (&'a str, ColumnType)>) -> Result<Self, SchemaError> {
        let columns = columns
            .into_iter()
            .map(|(name, column_type)| Ok(Column { name: ColumnName::new(name)?, column_type }))
            .collect::<Result<Vec<_>, NameError>>()?;
        Self::new(columns)
    }

    /// The columns in order.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The zero-based place of a column, by its exact name.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name.as_str() == name)
    }

    /// This schema with the columns of `other` that it lacks put at its end.
    pub fn merged(&self, other: &Self) -> Result<Self, SchemaError> {
        let mut columns = self.columns.clone();
        for column in &other.columns {
            match self.position(column.name.as_str()) {
                None => columns.push(column.clone()),
                Some(at) if columns[at].column_type == column.column_type => {}
                Some(at) => {
                    return Err(SchemaError::TypeConflict {
                        column: column.name.clone(),
                        existing: columns[at].column_type,
                        wanted: column.column_type,
                    });
                }
            }
        }
        Self::new(columns)
    }

    /// `name:type` pairs, comma-separated, names bracketed where KQL needs it.
    pub fn csl(&self) -> String {
        self.columns
            .iter()
            .map(|column| format!("{}:{}", bracketed(column.name.as_str()), column.column_type))
            .collect::<Vec<_>>()
            .join(",")
    }

    /// The schema JSON of `.show table T schema as json`.
    pub fn to_kusto_json(&self, table: &TableName) -> serde_json::Value {
        let columns: Vec<_> = self
            .columns
            .iter()
            .map(|column| {
                serde_json::json!({
                    "Name": column.name,
                    "Type": column.column_type.clr_name(),
                    "CslType": column.column_type.kql_name(),
                })
            })
            .collect();
        serde_json::json!({ "Name": table, "OrderedColumns": columns })
    }
}

/// A name as KQL reads it: bare when it can be, else `['name']`.
fn bracketed(name: &str) -> String {
    let bare = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if bare { name.to_owned() } else { format!("['{name}']") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_adds_at_the_end_and_never_changes_a_type() {
        let old = TableSchema::of([("a", ColumnType::Long), ("b", ColumnType::String)]).unwrap();
        let new = TableSchema::of([("c", ColumnType::Real), ("a", ColumnType::Long)]).unwrap();
        assert_eq!(old.merged(&new).unwrap().csl(), "a:long,b:string,c:real");
        let clash = TableSchema::of([("b", ColumnType::Long)]).unwrap();
        assert!(matches!(old.merged(&clash), Err(SchemaError::TypeConflict { .. })));
        assert!(TableSchema::of([("a", ColumnType::Long), ("a", ColumnType::Long)]).is_err());
    }
}
