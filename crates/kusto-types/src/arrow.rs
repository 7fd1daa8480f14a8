//! The Arrow types that hold Kusto columns in memory.
//!
//! datetime and timespan are 64-bit ticks, since 100 ns over years 1 to 9999 fit no
//! Arrow timestamp (the files of extents have timestamps, see the engine); decimal and guid are their canonical text and dynamic is JSON text.
//! The Kusto type stands in the field's metadata under `kusto.type`.

use crate::{ColumnType, TableSchema};
use arrow_schema::{DataType, Field, Schema};
use std::collections::HashMap;

/// The key of a field's metadata that has the Kusto type.
pub const KUSTO_TYPE: &str = "kusto.type";

/// The Arrow type of a column.
pub fn arrow_type(column_type: ColumnType) -> DataType {
    match column_type {
        ColumnType::Bool => DataType::Boolean,
        ColumnType::Int => DataType::Int32,
        ColumnType::Long | ColumnType::DateTime | ColumnType::Timespan => DataType::Int64,
        ColumnType::Real => DataType::Float64,
        ColumnType::Decimal | ColumnType::Guid | ColumnType::String | ColumnType::Dynamic => DataType::Utf8,
    }
}

/// The Arrow schema of a table. String columns take no nulls.
pub fn arrow_schema(schema: &TableSchema) -> Schema {
    let fields: Vec<Field> = schema
        .columns()
        .iter()
        .map(|column| {
            let nullable = column.column_type != ColumnType::String;
            Field::new(column.name.as_str(), arrow_type(column.column_type), nullable).with_metadata(
                HashMap::from([(KUSTO_TYPE.to_owned(), column.column_type.kql_name().to_owned())]),
            )
        })
        .collect();
    Schema::new(fields)
}
