//! Columns as the JSON values of results.

use super::cast::{real_text, text_at};
use crate::Chunk;
use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type};
use kusto_kql::plan::OutputColumn;
use kusto_types::ColumnType;
use serde_json::Value;

/// The rows of a chunk, in Kusto's JSON encoding: decimals, times and guids as text,
/// dynamic nested, NaN and the infinities as text, a null string as the empty text.
pub(crate) fn json_rows(chunk: &Chunk, columns: &[OutputColumn]) -> Vec<Vec<Value>> {
    (0..chunk.rows)
        .map(|row| {
            chunk
                .columns
                .iter()
                .zip(columns)
                .map(|(array, (_, column_type))| {
                    if array.is_null(row) {
                        return if *column_type == ColumnType::String { "".into() } else { Value::Null };
                    }
                    match column_type {
                        ColumnType::Bool => array.as_boolean().value(row).into(),
                        ColumnType::Int => array.as_primitive::<Int32Type>().value(row).into(),
                        ColumnType::Long => array.as_primitive::<Int64Type>().value(row).into(),
                        ColumnType::Real => {
                            let value = array.as_primitive::<Float64Type>().value(row);
                            if value.is_finite() { value.into() } else { real_text(value).into() }
                        }
                        ColumnType::Dynamic => {
                            let json = array.as_string::<i32>().value(row);
                            serde_json::from_str(json).unwrap_or_else(|_| json.into())
                        }
                        _ => text_at(array, *column_type, row)
                            .map_or(Value::Null, |text| text.into_owned().into()),
                    }
                })
                .collect()
        })
        .collect()
}
