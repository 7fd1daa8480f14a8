//! The v1 result format: `{"Tables":[{TableName, Columns, Rows}]}`.

use crate::{ResultColumn, ResultTable};
use kusto_types::ColumnType;
use serde_json::{Value, json};

/// A v1 result.
#[derive(Debug, Clone, PartialEq)]
pub struct DataSetV1 {
    /// Its tables; one for most management commands.
    pub tables: Vec<ResultTable>,
}

/// Why a body is not a v1 result, or reports a failure.
#[derive(Debug, thiserror::Error)]
pub enum V1Error {
    /// Not JSON.
    #[error("the response is not JSON")]
    Json(#[from] serde_json::Error),
    /// JSON of another shape.
    #[error("the response is not a v1 result: {0}")]
    Shape(&'static str),
    /// A result that ends in exceptions.
    #[error("the service reports an error inside the result: {0}")]
    Exceptions(String),
}

impl DataSetV1 {
    /// A result of one table.
    pub fn single(table: ResultTable) -> Self {
        Self { tables: vec![table] }
    }

    /// The first table, the primary result.
    pub fn primary(&self) -> Option<&ResultTable> {
        self.tables.first()
    }

    /// A management command's result: one table and nothing else.
    pub fn encode(&self) -> Value {
        let tables: Vec<Value> = self
            .tables
            .iter()
            .enumerate()
            .map(|(index, table)| encode_table(&format!("Table_{index}"), table))
            .collect();
        json!({ "Tables": tables })
    }

    /// A query's result: its tables, then properties, status and table of contents.
    pub fn encode_with_contents(&self) -> Value {
        use ColumnType::{DateTime, Guid, Int, Long, String};
        let now = kusto_types::DateTime::now().to_string();
        let nil = "00000000-0000-0000-0000-000000000000";
        let mut tables = self.tables.clone();
        let mut contents = ResultTable::new(
            "contents",
            [("Ordinal", Long), ("Kind", String), ("Name", String), ("Id", String), ("PrettyName", String)],
        );
        for ordinal in 0..tables.len() {
            contents = contents.with_row(vec![
                ordinal.into(),
                "QueryResult".into(),
                "PrimaryResult".into(),
                nil.into(),
                "".into(),
            ]);
        }
        for (kind, name) in [("QueryProperties", "@ExtendedProperties"), ("QueryStatus", "QueryStatus")] {
            let ordinal = contents.rows.len();
            contents =
                contents.with_row(vec![ordinal.into(), kind.into(), name.into(), nil.into(), "".into()]);
        }
        let mut properties = ResultTable::new("properties", [("Value", String)]);
        for table in &self.tables {
            properties = properties.with_row(vec![table.visualization_json().into()]);
        }
        tables.push(properties);
        tables.push(
            ResultTable::new(
                "status",
                [
                    ("Timestamp", DateTime),
                    ("Severity", Int),
                    ("SeverityName", String),
                    ("StatusCode", Int),
                    ("StatusDescription", String),
                    ("Count", Int),
                    ("RequestId", Guid),
                    ("ActivityId", Guid),
                    ("SubActivityId", Guid),
                    ("ClientActivityId", String),
                ],
            )
            .with_row(vec![
                now.into(),
                4.into(),
                "Info".into(),
                0.into(),
                "Query completed successfully".into(),
                1.into(),
                nil.into(),
                nil.into(),
                nil.into(),
                "".into(),
            ]),
        );
        tables.push(contents);
        Self { tables }.encode()
    }

    /// Reads a body.
    pub fn decode(body: &[u8]) -> Result<Self, V1Error> {
        let value: Value = serde_json::from_slice(body)?;
        if let Some(exceptions) =
            value.get("Exceptions").and_then(Value::as_array).filter(|list| !list.is_empty())
        {
            return Err(V1Error::Exceptions(Value::Array(exceptions.clone()).to_string()));
        }
        let tables =
            value.get("Tables").and_then(Value::as_array).ok_or(V1Error::Shape("Tables is missing"))?;
        let tables = tables
            .iter()
            .map(|table| decode_table(table).map_err(V1Error::Shape))
            .collect::<Result<_, _>>()?;
        Ok(Self { tables })
    }
}

fn encode_table(name: &str, table: &ResultTable) -> Value {
    let columns: Vec<Value> = table
        .columns
        .iter()
        .map(|column| {
            json!({
                "ColumnName": column.name,
                "DataType": column.column_type.v1_data_type(),
                "ColumnType": column.column_type.kql_name(),
            })
        })
        .collect();
    json!({ "TableName": name, "Columns": columns, "Rows": table.rows })
}

/// Reads a table object of either format.
pub(crate) fn decode_table(value: &Value) -> Result<ResultTable, &'static str> {
    let columns = value.get("Columns").and_then(Value::as_array).ok_or("Columns is missing")?;
    let columns = columns
        .iter()
        .map(|column| {
            let text = |key: &str| column.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
            let name = text("ColumnName").unwrap_or_default().to_owned();
            let type_name = text("ColumnType").or_else(|| text("DataType")).unwrap_or("string");
            Ok(ResultColumn {
                name,
                column_type: ColumnType::parse(type_name).map_err(|_| "a column type is unknown")?,
            })
        })
        .collect::<Result<Vec<_>, &'static str>>()?;
    let rows = value.get("Rows").and_then(Value::as_array).ok_or("Rows is missing")?;
    let rows = rows
        .iter()
        .map(|row| match row {
            Value::Array(cells) if cells.len() == columns.len() => Ok(cells.clone()),
            Value::Array(_) => Err("a row has another number of cells than columns"),
            _ => Err("a row is not an array"),
        })
        .collect::<Result<Vec<_>, _>>()?;
    let name = value.get("TableName").and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok(ResultTable { name, columns, rows, visualization: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_reads_back() {
        let table = ResultTable::new("Table_0", [("a", ColumnType::Long), ("b", ColumnType::Dynamic)])
            .with_row(vec![1.into(), json!({"x": [1]})]);
        let set = DataSetV1::single(table);
        assert_eq!(DataSetV1::decode(set.encode().to_string().as_bytes()).unwrap(), set);
        let full = DataSetV1::decode(set.encode_with_contents().to_string().as_bytes()).unwrap();
        assert_eq!(full.tables.len(), 4);
        assert_eq!(full.tables[3].text(0, "Kind").as_deref(), Some("QueryResult"));
    }

    #[test]
    fn faults_are_errors() {
        for body in ["", "{}", r#"{"Tables":[{}]}"#, r#"{"Tables":[{"Columns":[],"Rows":[[1]]}]}"#] {
            assert!(DataSetV1::decode(body.as_bytes()).is_err(), "{body}");
        }
        assert!(matches!(
            DataSetV1::decode(br#"{"Tables":[],"Exceptions":["x"]}"#),
            Err(V1Error::Exceptions(_))
        ));
    }
}
