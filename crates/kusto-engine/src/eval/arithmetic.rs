//! Numbers: the arithmetic operators, bin and rounding, on times too.

use super::expr::longs;
use crate::EngineError;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array, ArrayRef, Float64Array, Int32Array, Int64Array, StringArray};
use bigdecimal::BigDecimal;
use kusto_kql::Function;
use kusto_types::{ColumnType, DateTime, canonical_decimal};
use std::str::FromStr;
use std::sync::Arc;

/// Whole numbers; what does not fit is null, as is division by zero.
fn whole(function: Function, a: i64, b: i64) -> Option<i64> {
    match function {
        Function::Add => a.checked_add(b),
        Function::Subtract => a.checked_sub(b),
        Function::Multiply => a.checked_mul(b),
        Function::Divide => a.checked_div(b),
        Function::Modulo => a.checked_rem_euclid(b),
        Function::Bin if b > 0 => a.div_euclid(b).checked_mul(b),
        _ => None,
    }
}

fn real(function: Function, a: f64, b: f64) -> f64 {
    match function {
        Function::Add => a + b,
        Function::Subtract => a - b,
        Function::Multiply => a * b,
        Function::Divide => a / b,
        Function::Modulo => a % b,
        Function::Bin if b > 0.0 => (a / b).floor() * b,
        _ => f64::NAN,
    }
}

fn decimal(function: Function, a: &str, b: &str) -> Option<String> {
    let (a, b) = (BigDecimal::from_str(a).ok()?, BigDecimal::from_str(b).ok()?);
    let is_zero = b == 0;
    let value = match function {
        Function::Add => a + b,
        Function::Subtract => a - b,
        Function::Multiply => a * b,
        Function::Divide if !is_zero => a / b,
        Function::Modulo if !is_zero => a % b,
        Function::Bin if b > 0 => (&a / &b).with_scale_round(0, bigdecimal::RoundingMode::Floor) * b,
        _ => return None,
    };
    canonical_decimal(&value.with_prec(34).to_plain_string())
}

pub(super) fn call(
    function: Function,
    arrays: &[ArrayRef],
    types: &[ColumnType],
    result: ColumnType,
) -> Result<ArrayRef, EngineError> {
    use ColumnType as T;
    match function {
        Function::Negate | Function::Abs => return Ok(sign(function, &arrays[0], types[0])),
        Function::Round | Function::Ceiling if matches!(types[0], T::Int | T::Long) => {
            return Ok(arrays[0].clone());
        }
        Function::Round | Function::Ceiling if types[0] == T::Decimal => {
            let digits = arrays.get(1).map(|digits| longs(digits, T::Long));
            let texts = arrays[0].as_string::<i32>().iter().enumerate().map(|(row, text)| {
                let value = BigDecimal::from_str(text?).ok()?;
                let digits = digits.as_ref().map_or(0, |digits| digits.value(row));
                let mode = match function {
                    Function::Round => bigdecimal::RoundingMode::HalfEven,
                    _ => bigdecimal::RoundingMode::Ceiling,
                };
                canonical_decimal(&value.with_scale_round(digits, mode).to_plain_string())
            });
            return Ok(Arc::new(texts.collect::<StringArray>()));
        }
        Function::BinAt => {
            return Ok(bin_at(arrays, types));
        }
        Function::Ceiling => {
            let values = arrays[0].as_primitive::<Float64Type>();
            return Ok(Arc::new(values.iter().map(|value| value.map(f64::ceil)).collect::<Float64Array>()));
        }
        Function::Round => {
            let values = arrays[0].as_primitive::<Float64Type>();
            let digits = arrays.get(1).map(|digits| longs(digits, T::Long));
            let rounded = values.iter().enumerate().map(|(row, value)| {
                let digits = digits.as_ref().map_or(0, |digits| digits.value(row)).clamp(-15, 15);
                let scale = 10f64.powi(digits as i32);
                value.map(|value| (value * scale).round_ties_even() / scale)
            });
            return Ok(Arc::new(rounded.collect::<Float64Array>()));
        }
        _ => {}
    }
    let (left, right) = (&arrays[0], &arrays[1]);
    Ok(match (types[0], types[1]) {
        (T::Int, T::Int) => {
            let values = longs(left, T::Int);
            let pairs = values.iter().zip(longs(right, T::Int).iter().collect::<Vec<_>>());
            Arc::new(
                pairs
                    .map(|(a, b)| whole(function, a?, b?).and_then(|value| i32::try_from(value).ok()))
                    .collect::<Int32Array>(),
            )
        }
        (T::Timespan, T::Timespan) if function == Function::Divide => {
            let pairs = left.as_primitive::<Int64Type>().iter().zip(right.as_primitive::<Int64Type>());
            Arc::new(pairs.map(|(a, b)| Some(a? as f64 / b? as f64)).collect::<Float64Array>())
        }
        (T::Timespan, T::Real) => {
            let pairs = left.as_primitive::<Int64Type>().iter().zip(right.as_primitive::<Float64Type>());
            let scaled = pairs.map(|(a, b)| {
                let ticks = real(function, a? as f64, b?);
                (ticks.is_finite() && ticks.abs() < i64::MAX as f64).then_some(ticks as i64)
            });
            Arc::new(scaled.collect::<Int64Array>())
        }
        (T::Real, T::Real) => {
            let pairs = left.as_primitive::<Float64Type>().iter().zip(right.as_primitive::<Float64Type>());
            Arc::new(pairs.map(|(a, b)| Some(real(function, a?, b?))).collect::<Float64Array>())
        }
        (T::Decimal, T::Decimal) => {
            let pairs = left.as_string::<i32>().iter().zip(right.as_string::<i32>());
            Arc::new(pairs.map(|(a, b)| decimal(function, a?, b?)).collect::<StringArray>())
        }
        _ => {
            let pairs = left.as_primitive::<Int64Type>().iter().zip(right.as_primitive::<Int64Type>());
            let values = pairs.map(|(a, b)| {
                let value = whole(function, a?, b?)?;
                if result == T::DateTime {
                    DateTime::from_ticks(value).map(DateTime::ticks)
                } else {
                    Some(value)
                }
            });
            Arc::new(values.collect::<Int64Array>())
        }
    })
}

/// The begin of the bin that a value is in, when `point` begins one.
fn bin_at(arrays: &[ArrayRef], types: &[ColumnType]) -> ArrayRef {
    if types[0] == ColumnType::Real {
        let of = |index: usize| arrays[index].as_primitive::<Float64Type>();
        let values = (0..arrays[0].len()).map(|row| {
            let (value, step, point) = (of(0).value(row), of(1).value(row), of(2).value(row));
            (!arrays[0].is_null(row) && step > 0.0).then(|| ((value - point) / step).floor() * step + point)
        });
        return Arc::new(values.collect::<Float64Array>());
    }
    let of = |index: usize| arrays[index].as_primitive::<Int64Type>();
    let values = (0..arrays[0].len()).map(|row| {
        let (value, step, point) = (of(0).value(row), of(1).value(row), of(2).value(row));
        if arrays[0].is_null(row) || step <= 0 {
            return None;
        }
        value.checked_sub(point)?.div_euclid(step).checked_mul(step)?.checked_add(point)
    });
    Arc::new(values.collect::<Int64Array>())
}

fn sign(function: Function, array: &ArrayRef, column_type: ColumnType) -> ArrayRef {
    let negate = function == Function::Negate;
    let changed = |value: i64| if negate { value.checked_neg() } else { value.checked_abs() };
    match column_type {
        ColumnType::Int => Arc::new(
            longs(array, column_type)
                .iter()
                .map(|value| changed(value?).and_then(|value| i32::try_from(value).ok()))
                .collect::<Int32Array>(),
        ),
        ColumnType::Real => {
            let values = array.as_primitive::<Float64Type>().iter();
            Arc::new(
                values
                    .map(|value| value.map(|v| if negate { -v } else { v.abs() }))
                    .collect::<Float64Array>(),
            )
        }
        ColumnType::Decimal => {
            let texts = array.as_string::<i32>().iter();
            let flip = |text: &str| match text.strip_prefix('-') {
                Some(positive) => positive.to_owned(),
                None if negate && text != "0" => format!("-{text}"),
                None => text.to_owned(),
            };
            Arc::new(texts.map(|text| text.map(flip)).collect::<StringArray>())
        }
        _ => Arc::new(
            array.as_primitive::<Int64Type>().iter().map(|value| changed(value?)).collect::<Int64Array>(),
        ),
    }
}

/// Functions of reals.
pub(super) fn real_function(function: Function, arrays: &[ArrayRef]) -> ArrayRef {
    let first = arrays[0].as_primitive::<Float64Type>();
    if function == Function::Power {
        let pairs = first.iter().zip(arrays[1].as_primitive::<Float64Type>());
        return Arc::new(pairs.map(|(a, b)| Some(a?.powf(b?))).collect::<Float64Array>());
    }
    let values = first.iter().map(|value| {
        let value = value?;
        let result = match function {
            Function::SquareRoot => value.sqrt(),
            Function::Exp => value.exp(),
            Function::Log => value.ln(),
            Function::Log10 => value.log10(),
            Function::Log2 => value.log2(),
            _ if value == 0.0 => 0.0,
            _ => value.signum(),
        };
        // Roots and logarithms of what has none are null.
        (!result.is_nan() || value.is_nan()).then_some(result)
    });
    Arc::new(values.collect::<Float64Array>())
}
