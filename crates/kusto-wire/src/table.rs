//! A result table as both result formats carry it: named, typed columns and rows of
//! JSON values.

use kusto_types::ColumnType;
use serde_json::{Map, Value};

/// A column of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultColumn {
    /// Its name.
    pub name: String,
    /// Its type.
    pub column_type: ColumnType,
}

/// A table of a result. Each row has one value a column: numbers, booleans, text,
/// null, and for dynamic columns any JSON.
#[derive(Debug, Clone, PartialEq)]
pub struct ResultTable {
    /// Its name.
    pub name: String,
    /// Its columns.
    pub columns: Vec<ResultColumn>,
    /// Its rows.
    pub rows: Vec<Vec<Value>>,
    /// How a query asked for it to be shown (`render`), as properties of Kusto's names:
    /// `Visualization`, `Title`, `XColumn` and so on. Absent for most.
    pub visualization: Option<Map<String, Value>>,
}

impl ResultTable {
    /// An empty table with these columns.
    pub fn new<'a>(name: &str, columns: impl IntoIterator<Item = (&'a str, ColumnType)>) -> Self {
        let columns = columns
            .into_iter()
            .map(|(name, column_type)| ResultColumn { name: name.to_owned(), column_type })
            .collect();
        Self { name: name.to_owned(), columns, rows: Vec::new(), visualization: None }
    }

    /// The table with one more row.
    #[must_use]
    pub fn with_row(mut self, row: Vec<Value>) -> Self {
        self.rows.push(row);
        self
    }

    /// The place of a column, by its exact name.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// What the query properties of an answer say of the table: every property that a
    /// client may read, null where the query asked for none.
    pub(crate) fn visualization_json(&self) -> String {
        const NAMES: [&str; 19] = [
            "Visualization",
            "Title",
            "XColumn",
            "Series",
            "YColumns",
            "AnomalyColumns",
            "XTitle",
            "YTitle",
            "XAxis",
            "YAxis",
            "Legend",
            "YSplit",
            "Accumulate",
            "IsQuerySorted",
            "Kind",
            "Ymin",
            "Ymax",
            "Xmin",
            "Xmax",
        ];
        let asked = |name: &str| {
            let found = self.visualization.iter().flatten().find(|(key, _)| key.eq_ignore_ascii_case(name));
            found.map_or(Value::Null, |(_, value)| value.clone())
        };
        let properties: Map<String, Value> =
            NAMES.into_iter().map(|name| (name.to_owned(), asked(name))).collect();
        Value::Object(properties).to_string()
    }

    /// A value as text, by row and column name; `None` when absent or null.
    pub fn text(&self, row: usize, column: &str) -> Option<String> {
        let value = self.rows.get(row)?.get(self.position(column)?)?;
        match value {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        }
    }
}
