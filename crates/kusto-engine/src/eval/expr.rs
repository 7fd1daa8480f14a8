//! Dispatches an expression to the file that evaluates its function.

use super::{arithmetic, calendar, cast, dynamic, text};
use crate::{Chunk, EngineError};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type};
use arrow_array::{
    Array, ArrayRef, BooleanArray, Datum, Float64Array, Int32Array, Int64Array, Scalar, StringArray,
};
use arrow_ord::cmp;
use arrow_row::{RowConverter, SortField};
use arrow_select::zip::zip;
use kusto_kql::plan::{Typed, TypedKind};
use kusto_kql::{Function, Literal};
use kusto_types::ColumnType;
use std::collections::HashSet;
use std::sync::Arc;

/// A literal repeated.
pub(crate) fn literal_array(literal: &Literal, rows: usize) -> ArrayRef {
    fn text(value: Option<&str>, rows: usize) -> ArrayRef {
        match value {
            Some(value) => Arc::new(StringArray::from_iter_values(std::iter::repeat_n(value, rows))),
            None => Arc::new(StringArray::new_null(rows)),
        }
    }
    match literal {
        Literal::Bool(value) => Arc::new(BooleanArray::from(vec![*value; rows])),
        Literal::Int(value) => Arc::new(Int32Array::from(vec![*value; rows])),
        Literal::Long(value) | Literal::DateTime(value) | Literal::Timespan(value) => {
            Arc::new(Int64Array::from(vec![*value; rows]))
        }
        Literal::Real(value) => Arc::new(Float64Array::from(vec![*value; rows])),
        Literal::Decimal(value) | Literal::Guid(value) | Literal::Dynamic(value) => {
            text(value.as_deref(), rows)
        }
        Literal::String(value) => text(Some(value), rows),
    }
}

/// The value of a row as a literal.
pub(crate) fn value_at(array: &ArrayRef, column_type: ColumnType, row: usize) -> Literal {
    if array.is_null(row) {
        return Literal::null(column_type);
    }
    let text = || array.as_string::<i32>().value(row).to_owned();
    let whole = || Some(array.as_primitive::<Int64Type>().value(row));
    match column_type {
        ColumnType::Bool => Literal::Bool(Some(array.as_boolean().value(row))),
        ColumnType::Int => Literal::Int(Some(array.as_primitive::<Int32Type>().value(row))),
        ColumnType::Long => Literal::Long(whole()),
        ColumnType::DateTime => Literal::DateTime(whole()),
        ColumnType::Timespan => Literal::Timespan(whole()),
        ColumnType::Real => Literal::Real(Some(array.as_primitive::<Float64Type>().value(row))),
        ColumnType::Decimal => Literal::Decimal(Some(text())),
        ColumnType::Guid => Literal::Guid(Some(text())),
        ColumnType::String => Literal::String(text()),
        ColumnType::Dynamic => Literal::Dynamic(Some(text())),
    }
}

/// The value of an expression for each row of a chunk.
pub(crate) fn eval(expr: &Typed, chunk: &Chunk) -> Result<ArrayRef, EngineError> {
    match &expr.kind {
        TypedKind::Literal(literal) => Ok(literal_array(literal, chunk.rows)),
        TypedKind::Column(index) => chunk
            .columns
            .get(*index)
            .cloned()
            .ok_or_else(|| EngineError::Evaluation(format!("column {index} is missing"))),
        TypedKind::Call(function, arguments) => call(*function, arguments, expr.column_type, chunk),
        TypedKind::ToScalar(_) | TypedKind::InTable(..) => {
            Err(EngineError::Evaluation("a value of other rows was not settled before".to_owned()))
        }
    }
}

fn call(
    function: Function,
    arguments: &[Typed],
    result: ColumnType,
    chunk: &Chunk,
) -> Result<ArrayRef, EngineError> {
    use Function as F;
    match function {
        F::Equal | F::NotEqual | F::Less | F::LessEqual | F::Greater | F::GreaterEqual => {
            return compare(function, &arguments[0], &arguments[1], chunk);
        }
        F::Case => return case(arguments, result, chunk),
        F::Coalesce => return coalesce(arguments, result, chunk),
        F::In | F::InIgnoreCase => return in_list(function, arguments, chunk),
        _ => {}
    }
    let arrays = arguments.iter().map(|argument| eval(argument, chunk)).collect::<Result<Vec<_>, _>>()?;
    let types: Vec<ColumnType> = arguments.iter().map(|argument| argument.column_type).collect();
    match function {
        F::And | F::Or => {
            let (left, right) = (arrays[0].as_boolean(), arrays[1].as_boolean());
            let values = left.iter().zip(right.iter()).map(|(a, b)| match (function, a, b) {
                (F::And, Some(false), _) | (F::And, _, Some(false)) => Some(false),
                (F::And, Some(true), Some(true)) => Some(true),
                (F::Or, Some(true), _) | (F::Or, _, Some(true)) => Some(true),
                (F::Or, Some(false), Some(false)) => Some(false),
                _ => None,
            });
            Ok(Arc::new(values.collect::<BooleanArray>()))
        }
        F::Not => Ok(Arc::new(
            arrays[0].as_boolean().iter().map(|value| value.map(|value| !value)).collect::<BooleanArray>(),
        )),
        F::IsNull => {
            let array = &arrays[0];
            let is_text = types[0] == ColumnType::String;
            Ok(Arc::new(BooleanArray::from_iter(
                (0..array.len()).map(|row| Some(!is_text && array.is_null(row))),
            )))
        }
        F::IsEmpty => {
            let array = cast::convert(&arrays[0], types[0], ColumnType::String)?;
            let texts = array.as_string::<i32>();
            Ok(Arc::new(
                texts.iter().map(|text| Some(text.unwrap_or_default().is_empty())).collect::<BooleanArray>(),
            ))
        }
        F::IsNan => {
            let values = arrays[0].as_primitive::<Float64Type>();
            Ok(Arc::new(values.iter().map(|value| value.map(f64::is_nan)).collect::<BooleanArray>()))
        }
        F::IsInfinite | F::IsFinite => {
            let values = arrays[0].as_primitive::<Float64Type>().iter();
            let test = if function == F::IsInfinite { f64::is_infinite } else { f64::is_finite };
            Ok(Arc::new(values.map(|value| value.map(test)).collect::<BooleanArray>()))
        }
        F::Convert => cast::convert(&arrays[0], types[0], result),
        F::AsDynamic => {
            let texts = arrays[0].as_string::<i32>().iter();
            let quoted = texts.map(|text| text.map(|text| serde_json::Value::from(text).to_string()));
            Ok(Arc::new(quoted.collect::<StringArray>()))
        }
        F::Add
        | F::Subtract
        | F::Multiply
        | F::Divide
        | F::Modulo
        | F::Negate
        | F::Bin
        | F::Abs
        | F::Round
        | F::Ceiling
        | F::BinAt => arithmetic::call(function, &arrays, &types, result),
        F::SquareRoot | F::Exp | F::Log | F::Log10 | F::Log2 | F::Power | F::Sign => {
            Ok(arithmetic::real_function(function, &arrays))
        }
        F::Random => {
            // A guid's random bits: as many as a real has digits for.
            let random = |_| (uuid::Uuid::new_v4().as_u128() >> 75) as f64 / (1u64 << 53) as f64;
            Ok(Arc::new(Float64Array::from_iter_values((0..chunk.rows).map(random))))
        }
        F::NewGuid => {
            let guids = (0..chunk.rows).map(|_| uuid::Uuid::new_v4().to_string());
            Ok(Arc::new(StringArray::from_iter_values(guids)))
        }
        F::MinOf | F::MaxOf => extreme_of(function, &arrays, result),
        F::StartOf(_)
        | F::EndOf(_)
        | F::DatePart(_)
        | F::DayOfWeek
        | F::DateAdd(_)
        | F::DateDiff(_)
        | F::MakeDateTime
        | F::FormatDateTime
        | F::FormatTimespan
        | F::UnixTime(_) => Ok(calendar::call(function, &arrays)),
        F::ArrayLength
        | F::Member
        | F::PackArray
        | F::PackBag
        | F::BagKeys
        | F::BagHasKey
        | F::BagMerge
        | F::BagRemoveKeys
        | F::ArrayConcat
        | F::ArrayIndexOf
        | F::ArraySlice
        | F::ArraySum
        | F::ArraySortAscending
        | F::ArraySortDescending
        | F::SetHasElement
        | F::TypeOfDynamic
        | F::ConcatenateArray
        | F::InArray => Ok(dynamic::call(function, &arrays, &types, chunk.rows)),
        _ => text::call(function, &arrays, &types, chunk.rows),
    }
}

/// An argument as the comparison kernels take it: a literal stays one value.
fn datum(expr: &Typed, chunk: &Chunk) -> Result<Box<dyn Datum>, EngineError> {
    match &expr.kind {
        TypedKind::Literal(literal) => Ok(Box::new(Scalar::new(literal_array(literal, 1)))),
        _ => Ok(Box::new(eval(expr, chunk)?)),
    }
}

fn is_null(datum: &dyn Datum, row: usize) -> bool {
    let (array, scalar) = datum.get();
    array.is_null(if scalar { 0 } else { row })
}

fn compare(function: Function, left: &Typed, right: &Typed, chunk: &Chunk) -> Result<ArrayRef, EngineError> {
    if left.column_type == ColumnType::Decimal {
        let sortable = |expr: &Typed| -> Result<ArrayRef, EngineError> {
            Ok(cast::sortable_decimals(&eval(expr, chunk)?))
        };
        let (a, b) = (sortable(left)?, sortable(right)?);
        return compared(function, &a, &b, chunk.rows);
    }
    if left.column_type == ColumnType::Real {
        // IEEE comparison: the kernels' total order would make NaN equal to itself.
        let (a, b) = (eval(left, chunk)?, eval(right, chunk)?);
        let pairs = a.as_primitive::<Float64Type>().iter().zip(b.as_primitive::<Float64Type>());
        let values = pairs.map(|pair| match (function, pair) {
            (Function::Equal, (Some(a), Some(b))) => Some(a == b),
            (Function::NotEqual, (Some(a), Some(b))) => Some(a != b),
            (Function::Less, (Some(a), Some(b))) => Some(a < b),
            (Function::LessEqual, (Some(a), Some(b))) => Some(a <= b),
            (Function::Greater, (Some(a), Some(b))) => Some(a > b),
            (_, (Some(a), Some(b))) => Some(a >= b),
            (function, (a, b)) => one_null(function, a.is_none() && b.is_none()),
        });
        return Ok(Arc::new(values.collect::<BooleanArray>()));
    }
    let (a, b) = (datum(left, chunk)?, datum(right, chunk)?);
    compared(function, a.as_ref(), b.as_ref(), chunk.rows)
}

/// `null == x` is false and `null != x` is true; anything else with a null is null.
fn one_null(function: Function, both: bool) -> Option<bool> {
    match function {
        Function::Equal if !both => Some(false),
        Function::NotEqual if !both => Some(true),
        _ => None,
    }
}

fn compared(
    function: Function,
    left: &dyn Datum,
    right: &dyn Datum,
    rows: usize,
) -> Result<ArrayRef, EngineError> {
    let result = match function {
        Function::Equal => cmp::eq(left, right)?,
        Function::NotEqual => cmp::neq(left, right)?,
        Function::Less => cmp::lt(left, right)?,
        Function::LessEqual => cmp::lt_eq(left, right)?,
        Function::Greater => cmp::gt(left, right)?,
        _ => cmp::gt_eq(left, right)?,
    };
    if result.len() != rows {
        // Two literals compare to one value.
        let value = if result.is_null(0) { None } else { Some(result.value(0)) };
        let both = is_null(left, 0) && is_null(right, 0);
        let value = value.or_else(|| one_null(function, both));
        return Ok(Arc::new(BooleanArray::from(vec![value; rows])));
    }
    if result.null_count() == 0 || !matches!(function, Function::Equal | Function::NotEqual) {
        return Ok(Arc::new(result));
    }
    let fixed = (0..rows).map(|row| {
        if result.is_null(row) {
            one_null(function, is_null(left, row) && is_null(right, row))
        } else {
            Some(result.value(row))
        }
    });
    Ok(Arc::new(fixed.collect::<BooleanArray>()))
}

/// List items that are compared one by one; more are looked up in a set.
const FEW: usize = 8;

/// Whether each value is one of many constants.
fn in_set(
    values: &ArrayRef,
    items: &[Typed],
    lowered: impl Fn(ArrayRef) -> ArrayRef,
) -> Result<ArrayRef, EngineError> {
    let converter = RowConverter::new(vec![SortField::new(values.data_type().clone())])?;
    let mut set: HashSet<Box<[u8]>> = HashSet::with_capacity(items.len());
    for item in items {
        let TypedKind::Literal(literal) = &item.kind else { continue };
        let array = lowered(literal_array(literal, 1));
        if !array.is_null(0) {
            set.insert(converter.convert_columns(&[array])?.row(0).as_ref().into());
        }
    }
    let rows = converter.convert_columns(std::slice::from_ref(values))?;
    let found = rows.iter().enumerate().map(|(row, key)| !values.is_null(row) && set.contains(key.as_ref()));
    Ok(Arc::new(BooleanArray::from(found.collect::<Vec<bool>>())))
}

/// `min_of`, `max_of`: nulls do not count.
fn extreme_of(function: Function, arrays: &[ArrayRef], result: ColumnType) -> Result<ArrayRef, EngineError> {
    let mut best = arrays[0].clone();
    for other in &arrays[1..] {
        let (a, b) = if result == ColumnType::Decimal {
            (cast::sortable_decimals(&best), cast::sortable_decimals(other))
        } else {
            (best.clone(), other.clone())
        };
        let better = if function == Function::MinOf { cmp::lt(&b, &a)? } else { cmp::gt(&b, &a)? };
        let better: BooleanArray = (0..better.len())
            .map(|row| Some(best.is_null(row) || (!better.is_null(row) && better.value(row))))
            .collect();
        best = zip(&better, other, &best)?;
    }
    Ok(best)
}

fn in_list(function: Function, arguments: &[Typed], chunk: &Chunk) -> Result<ArrayRef, EngineError> {
    let value = eval(&arguments[0], chunk)?;
    let lowered = |array: ArrayRef| -> ArrayRef {
        if function == Function::InIgnoreCase {
            Arc::new(
                array
                    .as_string::<i32>()
                    .iter()
                    .map(|text| text.map(str::to_lowercase))
                    .collect::<StringArray>(),
            )
        } else {
            array
        }
    };
    let value = lowered(value);
    let is_constant = |item: &Typed| matches!(item.kind, TypedKind::Literal(_));
    if arguments.len() > FEW && arguments[1..].iter().all(is_constant) {
        return in_set(&value, &arguments[1..], lowered);
    }
    let mut found = vec![false; chunk.rows];
    for item in &arguments[1..] {
        let item: Box<dyn Datum> = match &item.kind {
            TypedKind::Literal(literal) => Box::new(Scalar::new(lowered(literal_array(literal, 1)))),
            _ => Box::new(lowered(eval(item, chunk)?)),
        };
        let equal = cmp::eq(&value, item.as_ref())?;
        for (row, found) in found.iter_mut().enumerate() {
            *found |= !equal.is_null(row) && equal.value(row);
        }
    }
    Ok(Arc::new(BooleanArray::from(found)))
}

fn case(arguments: &[Typed], result: ColumnType, chunk: &Chunk) -> Result<ArrayRef, EngineError> {
    let Some((otherwise, pairs)) = arguments.split_last() else {
        return Ok(crate::scan::absent(result, chunk.rows));
    };
    let mut value = eval(otherwise, chunk)?;
    for pair in pairs.chunks(2).rev() {
        let condition = eval(&pair[0], chunk)?;
        // A null condition is not true.
        let condition: BooleanArray =
            condition.as_boolean().iter().map(|value| Some(value.unwrap_or(false))).collect();
        value = zip(&condition, &eval(&pair[1], chunk)?, &value)?;
    }
    Ok(value)
}

fn coalesce(arguments: &[Typed], result: ColumnType, chunk: &Chunk) -> Result<ArrayRef, EngineError> {
    let mut value = crate::scan::absent(result, chunk.rows);
    for argument in arguments.iter().rev() {
        let array = eval(argument, chunk)?;
        let present: BooleanArray = if result == ColumnType::String {
            array.as_string::<i32>().iter().map(|text| Some(!text.unwrap_or_default().is_empty())).collect()
        } else {
            (0..array.len()).map(|row| Some(!array.is_null(row))).collect()
        };
        value = zip(&present, &array, &value)?;
    }
    Ok(value)
}

/// Whole numbers of an int or long array.
pub(super) fn longs(array: &ArrayRef, column_type: ColumnType) -> Int64Array {
    match column_type {
        ColumnType::Int => {
            array.as_primitive::<Int32Type>().iter().map(|value| value.map(i64::from)).collect()
        }
        _ => array.as_primitive::<Int64Type>().clone(),
    }
}
