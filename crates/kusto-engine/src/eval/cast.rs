//! Conversions between any two types: to and from text by the rules of ingestion,
//! between numbers by value. What does not fit is null.

use crate::EngineError;
use arrow_array::builder::StringBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type};
use arrow_array::{Array, ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, StringArray};
use kusto_types::{ColumnType, DateTime, Timespan, canonical_decimal, canonical_guid};
use serde_json::Value;
use std::borrow::Cow;
use std::sync::Arc;

/// The text of a value as `tostring()` and results print it.
pub(super) fn text_at(array: &ArrayRef, column_type: ColumnType, row: usize) -> Option<Cow<'_, str>> {
    if array.is_null(row) {
        return None;
    }
    Some(match column_type {
        ColumnType::Bool => Cow::Borrowed(if array.as_boolean().value(row) { "true" } else { "false" }),
        ColumnType::Int => Cow::Owned(array.as_primitive::<Int32Type>().value(row).to_string()),
        ColumnType::Long => Cow::Owned(array.as_primitive::<Int64Type>().value(row).to_string()),
        ColumnType::Real => Cow::Owned(real_text(array.as_primitive::<Float64Type>().value(row))),
        ColumnType::DateTime => {
            let ticks = array.as_primitive::<Int64Type>().value(row);
            Cow::Owned(DateTime::from_ticks(ticks).map(|at| at.to_string())?)
        }
        ColumnType::Timespan => {
            Cow::Owned(Timespan(array.as_primitive::<Int64Type>().value(row)).to_string())
        }
        ColumnType::Decimal | ColumnType::Guid | ColumnType::String | ColumnType::Dynamic => {
            Cow::Borrowed(array.as_string::<i32>().value(row))
        }
    })
}

/// A real as text: `1.0`, `NaN`, `Infinity`.
pub(super) fn real_text(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()
    } else if value.fract() == 0.0 && value.abs() < 1e15 {
        format!("{value:.1}")
    } else {
        value.to_string()
    }
}

/// A dynamic value as plain text: a JSON string loses its quotes.
fn plain(json: &str) -> Cow<'_, str> {
    if json.starts_with('"') {
        serde_json::from_str::<String>(json).map_or(Cow::Borrowed(json), Cow::Owned)
    } else {
        Cow::Borrowed(json)
    }
}

pub(crate) fn convert(array: &ArrayRef, from: ColumnType, to: ColumnType) -> Result<ArrayRef, EngineError> {
    if from == to {
        return Ok(array.clone());
    }
    let rows = array.len();
    let number_at = |row: usize| -> Option<f64> {
        if array.is_null(row) {
            return None;
        }
        Some(match from {
            ColumnType::Bool => f64::from(u8::from(array.as_boolean().value(row))),
            ColumnType::Int => f64::from(array.as_primitive::<Int32Type>().value(row)),
            ColumnType::Real => array.as_primitive::<Float64Type>().value(row),
            ColumnType::Long | ColumnType::DateTime | ColumnType::Timespan => {
                array.as_primitive::<Int64Type>().value(row) as f64
            }
            _ => plain(&text_at(array, from, row)?).trim().parse().ok()?,
        })
    };
    let long_at = |row: usize| -> Option<i64> {
        if array.is_null(row) {
            return None;
        }
        match from {
            ColumnType::Bool => Some(i64::from(array.as_boolean().value(row))),
            ColumnType::Int => Some(i64::from(array.as_primitive::<Int32Type>().value(row))),
            ColumnType::Long | ColumnType::DateTime | ColumnType::Timespan => {
                Some(array.as_primitive::<Int64Type>().value(row))
            }
            ColumnType::String
            | ColumnType::Dynamic
            | ColumnType::Decimal
            | ColumnType::Guid
            | ColumnType::Real => {
                if from != ColumnType::Real {
                    let text = text_at(array, from, row)?;
                    if let Ok(value) = plain(&text).trim().parse::<i64>() {
                        return Some(value);
                    }
                }
                let value = number_at(row)?;
                (value.is_finite() && value.abs() < 9.3e18).then(|| value.trunc() as i64)
            }
        }
    };
    let text = |row: usize| text_at(array, from, row);
    Ok(match to {
        ColumnType::Int => Arc::new(
            (0..rows)
                .map(|row| long_at(row).and_then(|value| i32::try_from(value).ok()))
                .collect::<Int32Array>(),
        ),
        ColumnType::Long => Arc::new((0..rows).map(long_at).collect::<Int64Array>()),
        ColumnType::Real => Arc::new((0..rows).map(number_at).collect::<Float64Array>()),
        ColumnType::Bool => Arc::new(
            (0..rows)
                .map(|row| match from {
                    ColumnType::String | ColumnType::Dynamic => {
                        match plain(&text(row)?).trim().to_ascii_lowercase().as_str() {
                            "true" | "1" => Some(true),
                            "false" | "0" => Some(false),
                            _ => None,
                        }
                    }
                    _ => number_at(row).map(|value| value != 0.0),
                })
                .collect::<BooleanArray>(),
        ),
        ColumnType::DateTime => Arc::new(
            (0..rows)
                .map(|row| match from {
                    ColumnType::Int | ColumnType::Long | ColumnType::Real | ColumnType::Decimal => {
                        long_at(row).and_then(DateTime::from_ticks).map(DateTime::ticks)
                    }
                    _ => DateTime::parse(&plain(&text(row)?)).map(DateTime::ticks),
                })
                .collect::<Int64Array>(),
        ),
        ColumnType::Timespan => Arc::new(
            (0..rows)
                .map(|row| match from {
                    ColumnType::Int | ColumnType::Long | ColumnType::Real | ColumnType::Decimal => {
                        long_at(row)
                    }
                    _ => Timespan::parse(&plain(&text(row)?)).map(|span| span.0),
                })
                .collect::<Int64Array>(),
        ),
        ColumnType::Decimal => {
            texts(rows, |row| text(row).and_then(|text| canonical_decimal(&plain(&text))).map(Cow::Owned))
        }
        ColumnType::Guid => {
            texts(rows, |row| text(row).and_then(|text| canonical_guid(&plain(&text))).map(Cow::Owned))
        }
        ColumnType::String => texts(rows, |row| {
            Some(match text(row) {
                None => Cow::Borrowed(""),
                Some(text) if from == ColumnType::Dynamic => Cow::Owned(plain(&text).into_owned()),
                Some(text) => text,
            })
        }),
        ColumnType::Dynamic => texts(rows, |row| {
            let text = text(row)?;
            Some(match from {
                ColumnType::Bool | ColumnType::Int | ColumnType::Long => text,
                ColumnType::Real if number_at(row).is_some_and(f64::is_finite) => text,
                ColumnType::String => {
                    if text.is_empty() {
                        return None;
                    }
                    let is_json = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
                    if is_json { text } else { Cow::Owned(Value::from(text.as_ref()).to_string()) }
                }
                _ => Cow::Owned(Value::from(text.as_ref()).to_string()),
            })
        }),
    })
}

/// A text column built row by row.
pub(super) fn texts<'a>(rows: usize, mut value: impl FnMut(usize) -> Option<Cow<'a, str>>) -> ArrayRef {
    let mut builder = StringBuilder::with_capacity(rows, rows * 8);
    for row in 0..rows {
        builder.append_option(value(row));
    }
    Arc::new(builder.finish())
}

/// Decimals as texts whose byte order is their numeric order.
pub(crate) fn sortable_decimals(array: &ArrayRef) -> ArrayRef {
    Arc::new(array.as_string::<i32>().iter().map(|text| text.map(sortable_decimal)).collect::<StringArray>())
}

fn sortable_decimal(text: &str) -> String {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let whole = whole.trim_start_matches('0');
    let key: String = format!("{:05}{whole}.{fraction}", whole.len());
    if negative {
        let complement =
            key.chars().map(|c| c.to_digit(10).and_then(|d| char::from_digit(9 - d, 10)).unwrap_or('~'));
        // `~` ends a shorter fraction after every longer one, as it must below zero.
        format!("-{}~", complement.collect::<String>())
    } else {
        format!("0{key}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_keys_sort_as_numbers() {
        let ordered = [
            "-1000.5", "-1000.25", "-20", "-3.5", "-3.25", "-3", "-0.5", "-0.05", "0", "0.05", "0.5", "3",
            "3.25", "20", "1000",
        ];
        let keys: Vec<String> = ordered.iter().map(|text| sortable_decimal(text)).collect();
        let mut sorted = keys.clone();
        sorted.sort();
        assert_eq!(keys, sorted);
    }
}
