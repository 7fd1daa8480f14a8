//! Orders rows by keys.

use super::cast::sortable_decimals;
use super::eval;
use crate::{Chunk, EngineError};
use arrow_ord::sort::{SortColumn, SortOptions, lexsort_to_indices};
use arrow_select::take::take;
use kusto_kql::ast::{Nulls, Order};
use kusto_kql::plan::Key;
use kusto_types::ColumnType;

/// The rows of a chunk in order, at most `limit` of them.
pub(crate) fn sorted(chunk: &Chunk, keys: &[Key], limit: Option<usize>) -> Result<Chunk, EngineError> {
    if chunk.rows == 0 {
        return Ok(chunk.clone());
    }
    let columns = keys
        .iter()
        .map(|key| {
            let values = eval(&key.value, chunk)?;
            let values = if key.value.column_type == ColumnType::Decimal {
                sortable_decimals(&values)
            } else {
                values
            };
            let options = SortOptions {
                descending: key.order == Order::Descending,
                nulls_first: key.nulls == Nulls::First,
            };
            Ok(SortColumn { values, options: Some(options) })
        })
        .collect::<Result<Vec<_>, EngineError>>()?;
    let order = lexsort_to_indices(&columns, limit)?;
    let columns =
        chunk.columns.iter().map(|column| take(column, &order, None)).collect::<Result<Vec<_>, _>>()?;
    Ok(Chunk { rows: order.len(), columns })
}
