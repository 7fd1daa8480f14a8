//! mv-expand: a row for each element of an array, or for each property of a bag.

use crate::eval::{convert, eval};
use crate::{Chunk, EngineError};
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, Int64Array, StringArray, UInt32Array};
use arrow_select::take::take;
use kusto_kql::plan::{Expand, ItemIndex};
use kusto_types::ColumnType;
use serde_json::Value;
use std::sync::Arc;

/// The elements of a dynamic value, as JSON: an array's, a bag's properties as bags of
/// one, or the value itself. Nothing and an empty array are one element without a value.
fn elements(json: Option<&str>) -> Vec<Option<String>> {
    let value: Value = json.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
    let text = |value: Value| if value.is_null() { None } else { Some(value.to_string()) };
    match value {
        Value::Array(items) if !items.is_empty() => items.into_iter().map(text).collect(),
        Value::Object(bag) if !bag.is_empty() => bag
            .into_iter()
            .map(|pair| Some(Value::Object(std::iter::once(pair).collect()).to_string()))
            .collect(),
        Value::Array(_) | Value::Object(_) | Value::Null => vec![None],
        other => vec![text(other)],
    }
}

/// The chunk with a row an element: its columns, the elements, and their numbers.
pub(super) fn expand(expand: &Expand, chunk: &Chunk) -> Result<Chunk, EngineError> {
    let arrays = expand.items.iter().map(|(item, _)| eval(item, chunk)).collect::<Result<Vec<_>, _>>()?;
    let mut rows: Vec<u32> = Vec::new();
    let mut numbers: Vec<i64> = Vec::new();
    let mut expanded: Vec<Vec<Option<String>>> = vec![Vec::new(); arrays.len()];
    for row in 0..chunk.rows {
        let lists: Vec<Vec<Option<String>>> = arrays
            .iter()
            .map(|array| elements((!array.is_null(row)).then(|| array.as_string::<i32>().value(row))))
            .collect();
        // Arrays of different lengths go side by side; the shorter ones end in nulls.
        let longest = lists.iter().map(Vec::len).max().unwrap_or(0).min(expand.limit);
        rows.extend(std::iter::repeat_n(row as u32, longest));
        numbers.extend(0..longest as i64);
        for (list, target) in lists.into_iter().zip(&mut expanded) {
            let missing = longest.saturating_sub(list.len());
            target.extend(list.into_iter().take(longest));
            target.extend(std::iter::repeat_n(None, missing));
        }
    }
    let taken = UInt32Array::from(rows);
    let mut columns =
        chunk.columns.iter().map(|column| take(column, &taken, None)).collect::<Result<Vec<_>, _>>()?;
    for (values, (_, column_type)) in expanded.into_iter().zip(&expand.items) {
        let values: ArrayRef = Arc::new(StringArray::from(values));
        columns.push(convert(&values, ColumnType::Dynamic, *column_type)?);
    }
    match expand.item_index {
        ItemIndex::Column => columns.push(Arc::new(Int64Array::from(numbers))),
        ItemIndex::Absent => {}
    }
    Ok(Chunk { rows: taken.len(), columns })
}
