//! make-series: groups of keys and bins become one row a key, with arrays along the axis.

use super::value_of;
use crate::eval::{convert, literal_array};
use crate::{Chunk, EngineError};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array, ArrayRef, Float64Array, Int64Array, StringArray, UInt32Array};
use arrow_row::{RowConverter, SortField};
use arrow_select::take::take;
use kusto_kql::Literal;
use kusto_kql::plan::{Series, Typed};
use kusto_types::ColumnType;
use std::collections::HashMap;
use std::sync::Arc;

/// Elements of one array at most, as on a cluster.
const MOST: usize = 1_048_576;

/// The places of the arrays' elements: ticks and whole numbers exactly, reals as they are.
enum Axis {
    Whole { from: i64, step: i64, count: usize },
    Real { from: f64, step: f64, count: usize },
}

impl Axis {
    fn new(series: &Series, bins: &ArrayRef) -> Result<Self, EngineError> {
        let one = Chunk { rows: 1, columns: Vec::new() };
        let wrong = |what: &str| EngineError::Evaluation(format!("make-series: {what}"));
        let missing = || wrong("from, to and step must have values");
        let counted = |count: f64| {
            if count > MOST as f64 {
                return Err(wrong("more than 1048576 steps; make the step larger"));
            }
            Ok(count.max(0.0) as usize)
        };
        if series.axis == ColumnType::Real {
            let constant = |expr: &Typed| match value_of(expr, &one)? {
                Literal::Real(Some(value)) => Ok(value),
                _ => Err(missing()),
            };
            let step = constant(&series.step)?;
            if step <= 0.0 {
                return Err(wrong("the step must be above zero"));
            }
            let places = bins.as_primitive::<Float64Type>();
            let (from, count) = match &series.bounds {
                Some((from, to)) => {
                    let (from, to) = (constant(from)?, constant(to)?);
                    (from, ((to - from) / step).ceil())
                }
                None => {
                    let from = places.iter().flatten().fold(f64::INFINITY, f64::min);
                    let to = places.iter().flatten().fold(f64::NEG_INFINITY, f64::max);
                    if from.is_finite() { (from, ((to - from) / step).round() + 1.0) } else { (0.0, 0.0) }
                }
            };
            return Ok(Self::Real { from, step, count: counted(count)? });
        }
        let constant = |expr: &Typed| match value_of(expr, &one)? {
            Literal::Long(Some(value)) | Literal::DateTime(Some(value)) | Literal::Timespan(Some(value)) => {
                Ok(value)
            }
            _ => Err(missing()),
        };
        let step = constant(&series.step)?;
        if step <= 0 {
            return Err(wrong("the step must be above zero"));
        }
        let places = bins.as_primitive::<Int64Type>();
        let (from, end) = match &series.bounds {
            Some((from, to)) => (constant(from)?, i128::from(constant(to)?)),
            None => match (places.iter().flatten().min(), places.iter().flatten().max()) {
                (Some(from), Some(to)) => (from, i128::from(to) + i128::from(step)),
                _ => (0, 0),
            },
        };
        let count = (end - i128::from(from) + i128::from(step) - 1).div_euclid(i128::from(step));
        Ok(Self::Whole { from, step, count: counted(count as f64)? })
    }

    fn count(&self) -> usize {
        match self {
            Self::Whole { count, .. } | Self::Real { count, .. } => *count,
        }
    }

    /// Which element a bin is.
    fn slot(&self, bins: &ArrayRef, row: usize) -> Option<usize> {
        if bins.is_null(row) {
            return None;
        }
        let slot = match self {
            Self::Whole { from, step, .. } => {
                let place = bins.as_primitive::<Int64Type>().value(row);
                usize::try_from(place.checked_sub(*from)?.div_euclid(*step)).ok()?
            }
            Self::Real { from, step, .. } => {
                let place = bins.as_primitive::<Float64Type>().value(row);
                let slot = ((place - from) / step).round();
                if slot >= 0.0 { slot as usize } else { return None }
            }
        };
        (slot < self.count()).then_some(slot)
    }

    /// The places as a JSON array.
    fn json(&self, column_type: ColumnType) -> Result<String, EngineError> {
        let values: ArrayRef = match self {
            Self::Whole { from, step, count } => Arc::new(Int64Array::from_iter_values(
                (0..*count as i64).map(|index| from.saturating_add(index.saturating_mul(*step))),
            )),
            Self::Real { from, step, count } => {
                Arc::new(Float64Array::from_iter_values((0..*count).map(|index| from + index as f64 * step)))
            }
        };
        let json = convert(&values, column_type, ColumnType::Dynamic)?;
        let texts: Vec<&str> = (0..self.count()).map(|row| element(&json, row)).collect();
        Ok(format!("[{}]", texts.join(",")))
    }
}

/// The rows of keys, bin and aggregates as rows of keys, arrays and axis.
pub(super) fn arrays(series: &Series, groups: &Chunk) -> Result<Chunk, EngineError> {
    let one = Chunk { rows: 1, columns: Vec::new() };
    let bins = &groups.columns[series.keys];
    let axis = Axis::new(series, bins)?;
    let count = axis.count();
    // Which groups are of which keys, in the order in which keys came.
    let fields: Vec<SortField> = groups.columns[..series.keys]
        .iter()
        .map(|column| SortField::new(column.data_type().clone()))
        .collect();
    let mut row_of: HashMap<Box<[u8]>, usize> = HashMap::new();
    let mut firsts: Vec<u32> = Vec::new();
    let mut members: Vec<Vec<usize>> = Vec::new();
    let keys = if fields.is_empty() {
        None
    } else {
        Some(RowConverter::new(fields)?.convert_columns(&groups.columns[..series.keys])?)
    };
    for row in 0..groups.rows {
        let key: Box<[u8]> = keys.as_ref().map_or_else(Box::default, |keys| keys.row(row).as_ref().into());
        let index = *row_of.entry(key).or_insert_with(|| {
            firsts.push(row as u32);
            members.push(Vec::new());
            firsts.len() - 1
        });
        members[index].push(row);
    }
    let firsts = UInt32Array::from(firsts);
    let mut columns = groups.columns[..series.keys]
        .iter()
        .map(|column| take(column, &firsts, None))
        .collect::<Result<Vec<_>, _>>()?;
    for (index, default) in series.defaults.iter().enumerate() {
        let json =
            convert(&groups.columns[series.keys + 1 + index], default.column_type, ColumnType::Dynamic)?;
        let default =
            convert(&literal_array(&value_of(default, &one)?, 1), default.column_type, ColumnType::Dynamic)?;
        let default = element(&default, 0);
        let texts = members.iter().map(|rows| {
            let mut values = vec![default; count];
            for row in rows {
                if let Some(slot) = axis.slot(bins, *row) {
                    values[slot] = element(&json, *row);
                }
            }
            format!("[{}]", values.join(","))
        });
        columns.push(Arc::new(StringArray::from_iter_values(texts)));
    }
    let axis = axis.json(series.axis)?;
    columns.push(Arc::new(StringArray::from_iter_values(std::iter::repeat_n(axis, members.len()))));
    Ok(Chunk { rows: members.len(), columns })
}

fn element(json: &ArrayRef, row: usize) -> &str {
    if json.is_null(row) { "null" } else { json.as_string::<i32>().value(row) }
}
