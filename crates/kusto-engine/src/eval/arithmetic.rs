//! Numbers and time: the arithmetic operators, bin, rounding and the calendar.

use super::expr::longs;
use crate::EngineError;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{ArrayRef, Float64Array, Int32Array, Int64Array, StringArray};
use bigdecimal::BigDecimal;
use kusto_kql::Function;
use kusto_types::{ColumnType, DateTime, TICKS_PER_DAY, TICKS_PER_SECOND, canonical_decimal};
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

pub(super) fn calendar(function: Function, array: &ArrayRef) -> Result<ArrayRef, EngineError> {
    let start =
        |year: i32, month: u32| DateTime::parse(&format!("{year:04}-{month:02}-01")).map(DateTime::ticks);
    let values = array.as_primitive::<Int64Type>().iter().map(|ticks| {
        let instant = DateTime::from_ticks(ticks?)?;
        let (year, month, _) = instant.date();
        match function {
            Function::StartOfDay => Some(instant.ticks() - instant.ticks().rem_euclid(TICKS_PER_DAY)),
            Function::StartOfMonth => start(year, month),
            Function::StartOfYear => start(year, 1),
            _ => Some(instant.ticks().rem_euclid(TICKS_PER_DAY) / (3600 * TICKS_PER_SECOND)),
        }
    });
    Ok(Arc::new(values.collect::<Int64Array>()))
}
