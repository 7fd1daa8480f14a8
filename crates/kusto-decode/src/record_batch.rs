//! Arrow record batches of a self-describing file → rows of a table: columns by name or by
//! the path of a mapping, values by the conversion table of the Kusto documentation.

use crate::DecodeRequest;
use crate::column::{Column, Columns};
use crate::transform::{taken_below, without};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::{DataType, TimeUnit};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kusto_types::{ColumnType, DateTime, MappingSource, PathStep, Transform};
use serde_json::Value;

/// Adds the rows of a batch; `before` records of the source came before it.
pub(crate) fn push(columns: &mut Columns, batch: &RecordBatch, request: &DecodeRequest<'_>, before: u64) {
    for (index, column) in request.schema.columns().iter().enumerate() {
        let target = &mut columns.columns[index];
        let rows = batch.num_rows();
        let element =
            request.mapping.map(|mapping| mapping.elements.iter().find(|e| e.column == column.name));
        match element {
            None => match batch.column_by_name(column.name.as_str()) {
                Some(array) => push_array(target, column.column_type, array, &[], None),
                None => (0..rows).for_each(|_| target.push_null()),
            },
            Some(None) => (0..rows).for_each(|_| target.push_null()),
            Some(Some(element)) => match &element.source {
                MappingSource::Path(path) if element.transform == Some(Transform::DropMappedFields) => {
                    let mapping = request.mapping.map(|mapping| taken_below(mapping, element));
                    let taken = mapping.unwrap_or_default();
                    for row in 0..rows {
                        let value = at_steps(record_of(batch, row), path.steps());
                        target.push_json(&without(value, &taken).to_string());
                    }
                }
                MappingSource::Path(path) => match path.steps().split_first() {
                    None => (0..rows).for_each(|row| target.push_json(&record_of(batch, row).to_string())),
                    Some((PathStep::Property(name), rest)) => match batch.column_by_name(name) {
                        Some(array) => push_array(target, column.column_type, array, rest, element.transform),
                        None => (0..rows).for_each(|_| target.push_null()),
                    },
                    _ => (0..rows).for_each(|_| target.push_null()),
                },
                MappingSource::Const(text) => (0..rows).for_each(|_| target.push_text(text)),
                MappingSource::SourceLocation => {
                    (0..rows).for_each(|_| target.push_text(request.source_location))
                }
                MappingSource::SourceLineNumber => {
                    (0..rows as u64).for_each(|row| target.push_text(&(before + row + 1).to_string()));
                }
                MappingSource::Ordinal(_) => (0..rows).for_each(|_| target.push_null()),
            },
        }
    }
    for _ in 0..batch.num_rows() {
        columns.row_done(0);
    }
}

/// A whole record as JSON.
fn record_of(batch: &RecordBatch, row: usize) -> Value {
    let schema = batch.schema();
    let fields = schema.fields().iter().zip(batch.columns());
    Value::Object(fields.map(|(field, column)| (field.name().clone(), json_of(column, row))).collect())
}

/// The part of a value that steps lead to.
fn at_steps(mut value: Value, steps: &[PathStep]) -> Value {
    for step in steps {
        let next = match step {
            PathStep::Property(name) => value.get_mut(name),
            PathStep::Index(index) => value.get_mut(index),
        };
        value = next.map(Value::take).unwrap_or_default();
    }
    value
}

/// 100 ns ticks since 1970 of a time value.
fn ticks_of(array: &ArrayRef, row: usize) -> Option<DateTime> {
    let nanos = match array.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => {
            i128::from(array.as_primitive::<TimestampSecondType>().value(row)) * 1_000_000_000
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            i128::from(array.as_primitive::<TimestampMillisecondType>().value(row)) * 1_000_000
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            i128::from(array.as_primitive::<TimestampMicrosecondType>().value(row)) * 1_000
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            i128::from(array.as_primitive::<TimestampNanosecondType>().value(row))
        }
        DataType::Date32 => i128::from(array.as_primitive::<Date32Type>().value(row)) * 86_400_000_000_000,
        _ => return None,
    };
    DateTime::from_unix_nanos(nanos)
}

/// One value as JSON.
fn json_of(array: &ArrayRef, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    let list = |items: ArrayRef| Value::Array((0..items.len()).map(|index| json_of(&items, index)).collect());
    match array.data_type() {
        DataType::Boolean => array.as_boolean().value(row).into(),
        DataType::Int8 => array.as_primitive::<Int8Type>().value(row).into(),
        DataType::Int16 => array.as_primitive::<Int16Type>().value(row).into(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(row).into(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).into(),
        DataType::UInt8 => array.as_primitive::<UInt8Type>().value(row).into(),
        DataType::UInt16 => array.as_primitive::<UInt16Type>().value(row).into(),
        DataType::UInt32 => array.as_primitive::<UInt32Type>().value(row).into(),
        DataType::UInt64 => array.as_primitive::<UInt64Type>().value(row).into(),
        DataType::Float32 => f64::from(array.as_primitive::<Float32Type>().value(row)).into(),
        DataType::Float64 => array.as_primitive::<Float64Type>().value(row).into(),
        DataType::Utf8 => array.as_string::<i32>().value(row).into(),
        DataType::LargeUtf8 => array.as_string::<i64>().value(row).into(),
        DataType::Utf8View => array.as_string_view().value(row).into(),
        DataType::List(_) => list(array.as_list::<i32>().value(row)),
        DataType::LargeList(_) => list(array.as_list::<i64>().value(row)),
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns();
            Value::Object(
                fields
                    .iter()
                    .zip(columns)
                    .map(|(field, column)| (field.name().clone(), json_of(column, row)))
                    .collect(),
            )
        }
        DataType::Map(_, _) => {
            let entries = array.as_map().value(row);
            let (keys, values) = (entries.column(0), entries.column(1));
            Value::Object(
                (0..entries.len())
                    .map(|index| {
                        let key = match json_of(keys, index) {
                            Value::String(text) => text,
                            other => other.to_string(),
                        };
                        (key, json_of(values, index))
                    })
                    .collect(),
            )
        }
        // Avro's unions and enumerations.
        DataType::Union(_, _) => json_of(&array.as_union().value(row), 0),
        DataType::Dictionary(_, _) => text_of(array, row).into(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            binary_text(bytes_of(array, row)).into()
        }
        _ => match ticks_of(array, row) {
            Some(instant) => instant.to_string().into(),
            None => text_of(array, row).into(),
        },
    }
}

fn text_of(array: &ArrayRef, row: usize) -> String {
    let options = FormatOptions::default();
    match ArrayFormatter::try_new(array, &options) {
        Ok(formatter) => formatter.value(row).try_to_string().unwrap_or_default(),
        Err(_) => String::new(),
    }
}

fn push_array(
    target: &mut Column,
    wanted: ColumnType,
    array: &ArrayRef,
    steps: &[PathStep],
    transform: Option<Transform>,
) {
    for row in 0..array.len() {
        if array.is_null(row) {
            target.push_null();
            continue;
        }
        if !steps.is_empty() {
            let value = at_steps(json_of(array, row), steps);
            match transform {
                Some(transform) => target.push_transformed(&value.to_string(), transform),
                None => target.push_json(&value.to_string()),
            }
            continue;
        }
        if let Some(transform) = transform {
            let is_bytes = matches!(
                array.data_type(),
                DataType::Binary
                    | DataType::LargeBinary
                    | DataType::BinaryView
                    | DataType::FixedSizeBinary(_)
            );
            if transform == Transform::BytesAsBase64 && is_bytes {
                target.push_text(&STANDARD.encode(bytes_of(array, row)));
                continue;
            }
            if transform == Transform::PropertyBagArrayToDictionary {
                target.push_transformed(&json_of(array, row).to_string(), transform);
                continue;
            }
            target.push_transformed(&text_of(array, row), transform);
            continue;
        }
        match array.data_type() {
            DataType::Utf8 => target.push_text(array.as_string::<i32>().value(row)),
            DataType::LargeUtf8 => target.push_text(array.as_string::<i64>().value(row)),
            DataType::Utf8View => target.push_text(array.as_string_view().value(row)),
            DataType::List(_) | DataType::LargeList(_) | DataType::Struct(_) | DataType::Map(_, _) => {
                target.push_json(&json_of(array, row).to_string());
            }
            DataType::Timestamp(_, _) | DataType::Date32 => match (wanted, ticks_of(array, row)) {
                (ColumnType::DateTime, instant) => target.push_ticks(instant.map(DateTime::ticks)),
                (ColumnType::String, Some(instant)) => target.push_text(&instant.to_string()),
                _ => target.push_null(),
            },
            DataType::Boolean => {
                target.push_text(if array.as_boolean().value(row) { "true" } else { "false" })
            }
            DataType::Float32 | DataType::Float64 | DataType::Float16 => {
                let value = match array.data_type() {
                    DataType::Float64 => array.as_primitive::<Float64Type>().value(row),
                    DataType::Float32 => f64::from(array.as_primitive::<Float32Type>().value(row)),
                    _ => text_of(array, row).parse().unwrap_or(f64::NAN),
                };
                let whole = value.fract() == 0.0 && value.abs() < 9.0e18;
                match wanted {
                    // A float column of whole numbers (pandas writes one for integers
                    // with gaps) fits an integer column.
                    ColumnType::Int | ColumnType::Long if whole => {
                        target.push_text(&(value as i64).to_string())
                    }
                    ColumnType::Int | ColumnType::Long | ColumnType::DateTime | ColumnType::Timespan => {
                        target.push_null()
                    }
                    _ => target.push_text(&value.to_string()),
                }
            }
            DataType::Decimal128(_, scale) => {
                let text = decimal_text(array.as_primitive::<Decimal128Type>().value(row), *scale);
                target.push_text(&text);
            }
            DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_) => {
                push_binary(target, wanted, array, row);
            }
            DataType::Dictionary(_, _) => target.push_text(&text_of(array, row)),
            DataType::Union(_, _) => {
                let value = array.as_union().value(row);
                push_array(target, wanted, &value, &[], None);
            }
            _ => target.push_json(&json_of(array, row).to_string()),
        }
    }
}

fn bytes_of(array: &ArrayRef, row: usize) -> &[u8] {
    match array.data_type() {
        DataType::Binary => array.as_binary::<i32>().value(row),
        DataType::LargeBinary => array.as_binary::<i64>().value(row),
        DataType::BinaryView => array.as_binary_view().value(row),
        _ => array.as_fixed_size_binary().value(row),
    }
}

/// UTF-8 as it is, anything else in base 16.
fn binary_text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

/// Bytes: a 16-byte value is a guid, UTF-8 is text, anything else is base-16 text.
fn push_binary(target: &mut Column, wanted: ColumnType, array: &ArrayRef, row: usize) {
    let bytes = bytes_of(array, row);
    let text = binary_text(bytes);
    // No text of 16 bytes is a guid, so that for a guid column there is no doubt.
    let is_id = bytes.len() == 16
        && (wanted == ColumnType::Guid
            || (wanted == ColumnType::String && std::str::from_utf8(bytes).is_err()));
    if is_id {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        target.push_text(&kusto_types::canonical_guid(&hex).unwrap_or_default());
    } else {
        target.push_text(&text);
    }
}

fn decimal_text(value: i128, scale: i8) -> String {
    let digits = value.unsigned_abs().to_string();
    let sign = if value < 0 { "-" } else { "" };
    match usize::try_from(scale) {
        Ok(0) => format!("{sign}{digits}"),
        Ok(scale) => {
            let padded = format!("{digits:0>width$}", width = scale + 1);
            let (whole, fraction) = padded.split_at(padded.len() - scale);
            format!("{sign}{whole}.{fraction}")
        }
        Err(_) => format!("{sign}{digits}{}", "0".repeat(usize::from(scale.unsigned_abs()))),
    }
}
