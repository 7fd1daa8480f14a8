//! Types of operands: what is converted before it is compared, added or chosen from.

use super::expr::{call, fold_literal};
use super::{Checker, literal};
use crate::plan::Typed;
use crate::{Function, KqlError};
use kusto_types::ColumnType;

impl Checker<'_> {
    pub(super) fn case(&self, at: usize, arguments: Vec<Typed>) -> Result<Typed, KqlError> {
        let last = arguments.len() - 1;
        let is_condition = |index: usize| index.is_multiple_of(2) && index != last;
        let results =
            arguments.iter().enumerate().filter(|(index, _)| !is_condition(*index)).map(|(_, value)| value);
        let column_type = self.widest(at, results)?;
        let mut converted = Vec::with_capacity(arguments.len());
        for (index, argument) in arguments.into_iter().enumerate() {
            let wanted = if is_condition(index) { ColumnType::Bool } else { column_type };
            converted.push(self.convert(at, argument, wanted)?);
        }
        Ok(call(Function::Case, converted, column_type))
    }

    pub(super) fn widest<'t>(
        &self,
        at: usize,
        values: impl Iterator<Item = &'t Typed>,
    ) -> Result<ColumnType, KqlError> {
        let mut result: Option<ColumnType> = None;
        for value in values {
            let next = value.column_type;
            result = Some(match result {
                None => next,
                Some(current) if current == next => current,
                Some(current) if current.is_numeric() && next.is_numeric() => wider(current, next),
                Some(ColumnType::Dynamic) | Some(_) if next == ColumnType::Dynamic => ColumnType::Dynamic,
                Some(ColumnType::Dynamic) => ColumnType::Dynamic,
                Some(current) => {
                    return Err(KqlError::semantic(
                        at,
                        format!("{current} and {next} cannot be mixed; convert one of them"),
                    ));
                }
            });
        }
        Ok(result.unwrap_or(ColumnType::String))
    }

    pub(super) fn comparable(
        &self,
        at: usize,
        left: Typed,
        right: Typed,
    ) -> Result<(Typed, Typed), KqlError> {
        let (a, b) = (left.column_type, right.column_type);
        if a == b && a != ColumnType::Dynamic {
            return Ok((left, right));
        }
        let wanted = match (a, b) {
            (ColumnType::Dynamic, ColumnType::Dynamic) => ColumnType::String,
            (ColumnType::Dynamic, other) | (other, ColumnType::Dynamic) => other,
            (a, b) if a.is_numeric() && b.is_numeric() => wider(a, b),
            (ColumnType::Bool, b) if b.is_numeric() => b,
            (a, ColumnType::Bool) if a.is_numeric() => a,
            _ => {
                return Err(KqlError::semantic(
                    at,
                    format!("cannot compare values of types {a} and {b}; try adding explicit casts"),
                ));
            }
        };
        Ok((self.convert(at, left, wanted)?, self.convert(at, right, wanted)?))
    }

    pub(super) fn compare(
        &self,
        at: usize,
        operator: &str,
        left: Typed,
        right: Typed,
    ) -> Result<Typed, KqlError> {
        let (left, right) = self.comparable(at, left, right)?;
        let function = match operator {
            "==" => Function::Equal,
            "!=" => Function::NotEqual,
            "<" => Function::Less,
            "<=" => Function::LessEqual,
            ">" => Function::Greater,
            _ => Function::GreaterEqual,
        };
        Ok(call(function, vec![left, right], ColumnType::Bool))
    }

    pub(super) fn arithmetic(
        &self,
        at: usize,
        operator: &str,
        left: Typed,
        right: Typed,
    ) -> Result<Typed, KqlError> {
        use ColumnType as T;
        let left = if left.column_type == T::Dynamic { self.convert(at, left, T::Real)? } else { left };
        let right = if right.column_type == T::Dynamic { self.convert(at, right, T::Real)? } else { right };
        let function = match operator {
            "+" => Function::Add,
            "-" => Function::Subtract,
            "*" => Function::Multiply,
            "/" => Function::Divide,
            _ => Function::Modulo,
        };
        let (a, b) = (left.column_type, right.column_type);
        let result = match (a, function, b) {
            (T::DateTime, Function::Subtract, T::DateTime) => T::Timespan,
            (T::DateTime, Function::Add | Function::Subtract, T::Timespan)
            | (T::Timespan, Function::Add, T::DateTime) => T::DateTime,
            (T::Timespan, Function::Add | Function::Subtract | Function::Modulo, T::Timespan) => T::Timespan,
            (T::Timespan, Function::Divide, T::Timespan) => T::Real,
            (T::Timespan, Function::Multiply | Function::Divide, number) if number.is_numeric() => {
                let right = self.convert(at, right, T::Real)?;
                return Ok(call(function, vec![left, right], T::Timespan));
            }
            (number, Function::Multiply, T::Timespan) if number.is_numeric() => {
                let left = self.convert(at, left, T::Real)?;
                return Ok(call(function, vec![right, left], T::Timespan));
            }
            (a, _, b) if a.is_numeric() && b.is_numeric() => {
                // Whole numbers are added as longs, also two ints.
                let wide = match wider(a, b) {
                    T::Int => T::Long,
                    wide => wide,
                };
                let arguments = vec![self.convert(at, left, wide)?, self.convert(at, right, wide)?];
                return Ok(call(function, arguments, wide));
            }
            (a, _, b) => {
                return Err(KqlError::semantic(
                    at,
                    format!("{a} {operator} {b} has no meaning; try adding explicit casts"),
                ));
            }
        };
        Ok(call(function, vec![left, right], result))
    }

    /// The value as another type; the same when it has the type already.
    pub(super) fn convert(&self, at: usize, value: Typed, wanted: ColumnType) -> Result<Typed, KqlError> {
        if value.column_type == wanted {
            return Ok(value);
        }
        let impossible = match (value.column_type, wanted) {
            (ColumnType::Bool, ColumnType::DateTime | ColumnType::Timespan | ColumnType::Guid)
            | (ColumnType::Guid, ColumnType::Bool | ColumnType::DateTime | ColumnType::Timespan) => true,
            (from, ColumnType::Bool) => {
                !matches!(from, ColumnType::Dynamic | ColumnType::String) && !from.is_numeric()
            }
            _ => false,
        };
        if impossible {
            return Err(KqlError::semantic(
                at,
                format!("a {} was found where a {wanted} is needed", value.column_type),
            ));
        }
        Ok(match fold_literal(value.clone(), wanted) {
            Some(folded) => literal(folded),
            // Only parse_json() looks into texts.
            None if (value.column_type, wanted) == (ColumnType::String, ColumnType::Dynamic) => {
                call(Function::AsDynamic, vec![value], wanted)
            }
            None => call(Function::Convert, vec![value], wanted),
        })
    }
}

pub(super) fn wider(a: ColumnType, b: ColumnType) -> ColumnType {
    let rank = |column_type| match column_type {
        ColumnType::Int => 0,
        ColumnType::Long => 1,
        ColumnType::Real => 2,
        _ => 3,
    };
    if rank(a) >= rank(b) { a } else { b }
}
