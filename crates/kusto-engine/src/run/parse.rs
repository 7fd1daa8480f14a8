//! parse: columns from the pieces of a text that a pattern finds.

use crate::eval::{convert, eval};
use crate::{Chunk, EngineError};
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray, StringArray};
use arrow_select::filter::filter;
use arrow_select::nullif::nullif;
use kusto_kql::ast::{ParseKind, Unmatched};
use kusto_kql::plan::Parsed;
use kusto_types::ColumnType;
use std::sync::Arc;

/// The chunk with the columns that the pattern finds behind its own.
pub(super) fn parse(parsed: &Parsed, pattern: &regex::Regex, chunk: &Chunk) -> Result<Chunk, EngineError> {
    let texts = eval(&parsed.value, chunk)?;
    let texts = texts.as_string::<i32>();
    let mut found: Vec<Vec<Option<&str>>> = vec![Vec::with_capacity(chunk.rows); parsed.columns.len()];
    let mut matched = Vec::with_capacity(chunk.rows);
    for row in 0..chunk.rows {
        let captures = pattern.captures(texts.value(row));
        for (index, column) in found.iter_mut().enumerate() {
            column.push(
                captures.as_ref().and_then(|captures| captures.get(index + 1)).map(|group| group.as_str()),
            );
        }
        matched.push(captures.is_some());
    }
    let mut columns = Vec::with_capacity(found.len());
    for (values, column_type) in found.into_iter().zip(&parsed.columns) {
        let values: ArrayRef =
            Arc::new(StringArray::from_iter(values.into_iter().map(|v| Some(v.unwrap_or_default()))));
        let converted = convert(&values, ColumnType::String, *column_type)?;
        if parsed.kind != ParseKind::Relaxed && *column_type != ColumnType::String {
            // A value of another type: this text does not match.
            for (row, matched) in matched.iter_mut().enumerate() {
                *matched &= !converted.is_null(row);
            }
        }
        columns.push(converted);
    }
    let unmatched: BooleanArray = matched.iter().map(|matched| Some(!matched)).collect();
    for (column, column_type) in columns.iter_mut().zip(&parsed.columns) {
        *column = match column_type {
            ColumnType::String => Arc::new(StringArray::from_iter_values(
                column.as_string::<i32>().iter().zip(&matched).map(|(text, matched)| match matched {
                    true => text.unwrap_or_default(),
                    false => "",
                }),
            )),
            _ => nullif(column, &unmatched)?,
        };
    }
    let mut all = chunk.columns.clone();
    all.extend(columns);
    if parsed.unmatched == Unmatched::Kept {
        return Ok(Chunk { rows: chunk.rows, columns: all });
    }
    let mask = BooleanArray::from(matched);
    let columns = all.iter().map(|column| filter(column, &mask)).collect::<Result<Vec<_>, _>>()?;
    Ok(Chunk { rows: mask.true_count(), columns })
}
