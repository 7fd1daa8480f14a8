//! Calls of functions and operators: which function it is, and the types it is given.

use super::expr::call;
use super::operands::wider;
use super::{Checker, literal};
use crate::functions::{Period, Returns, conversion, signature, text_operator};
use crate::plan::{Typed, TypedKind};
use crate::{AggregateFunction, Function, KqlError, Literal};
use kusto_types::ColumnType;

impl Checker<'_> {
    pub(super) fn call(&self, at: usize, name: &str, mut arguments: Vec<Typed>) -> Result<Typed, KqlError> {
        let count = arguments.len();
        let wrong_count = |wanted: &str| {
            Err(KqlError::semantic(at, format!("{name}() takes {wanted} arguments, {count} are given")))
        };
        if let Some(negated) = name.strip_prefix('!').filter(|rest| !rest.starts_with('=')) {
            let positive = if negated == "~" { "=~" } else { negated };
            let inner = self.call(at, positive, arguments)?;
            return Ok(call(Function::Not, vec![inner], ColumnType::Bool));
        }
        if let Some(function) = text_operator(name) {
            let arguments = self.converted(at, arguments, ColumnType::String)?;
            return Ok(call(function, arguments, ColumnType::Bool));
        }
        if let Some(target) = conversion(name) {
            if count != 1 {
                return wrong_count("1");
            }
            let value = arguments.remove(0);
            return Ok(call(Function::Convert, vec![value], target));
        }
        if matches!(name, "ceiling" | "round" | "abs") {
            let value = &arguments.first().map_or(ColumnType::Real, |value| value.column_type);
            let is_number = value.is_numeric() || (name == "abs" && *value == ColumnType::Timespan);
            if *value == ColumnType::Int {
                let value = arguments.remove(0);
                arguments.insert(0, self.convert(at, value, ColumnType::Long)?);
            } else if !is_number && !arguments.is_empty() {
                let value = arguments.remove(0);
                arguments.insert(0, self.convert(at, value, ColumnType::Real)?);
            }
        }
        if let Some(signature) = signature(name) {
            if !signature.arguments.contains(&count) {
                let (low, high) = (signature.arguments.start(), signature.arguments.end());
                return wrong_count(&if low == high { low.to_string() } else { format!("{low} to {high}") });
            }
            let mut converted = Vec::with_capacity(count);
            for (index, argument) in arguments.into_iter().enumerate() {
                let wanted = signature.types.get(index).or(signature.types.last()).copied().flatten();
                converted.push(match wanted {
                    Some(wanted) => self.convert(at, argument, wanted)?,
                    None => argument,
                });
            }
            let column_type = match signature.returns {
                Returns::Fixed(column_type) => column_type,
                Returns::First => converted.first().map_or(ColumnType::Long, |argument| argument.column_type),
            };
            return Ok(call(signature.function, converted, column_type));
        }
        match name {
            "and" | "or" => {
                let function = if name == "and" { Function::And } else { Function::Or };
                let arguments = self.converted(at, arguments, ColumnType::Bool)?;
                Ok(call(function, arguments, ColumnType::Bool))
            }
            "==" | "!=" | "<" | "<=" | ">" | ">=" => {
                let [left, right] = two(arguments);
                self.compare(at, name, left, right)
            }
            "between" if count == 3 => {
                let mut items = arguments.into_iter();
                let (Some(value), Some(low), Some(high)) = (items.next(), items.next(), items.next()) else {
                    return wrong_count("3");
                };
                // A range may end a timespan after its beginning.
                let high =
                    if low.column_type == ColumnType::DateTime && high.column_type == ColumnType::Timespan {
                        self.arithmetic(at, "+", low.clone(), high)?
                    } else {
                        high
                    };
                let above = self.compare(at, ">=", value.clone(), low)?;
                let below = self.compare(at, "<=", value, high)?;
                Ok(call(Function::And, vec![above, below], ColumnType::Bool))
            }
            "+" | "-" | "*" | "/" | "%" => {
                let [left, right] = two(arguments);
                self.arithmetic(at, name, left, right)
            }
            "negate" => {
                let value = arguments.remove(0);
                match (&value.kind, value.column_type) {
                    (TypedKind::Literal(Literal::Real(Some(number))), _) => {
                        Ok(literal(Literal::Real(Some(-number))))
                    }
                    (TypedKind::Literal(Literal::Timespan(Some(ticks))), _) => {
                        Ok(literal(Literal::Timespan(Some(-ticks))))
                    }
                    (_, ColumnType::Int) => {
                        let value = self.convert(at, value, ColumnType::Long)?;
                        Ok(call(Function::Negate, vec![value], ColumnType::Long))
                    }
                    (_, column_type) if column_type.is_numeric() || column_type == ColumnType::Timespan => {
                        Ok(call(Function::Negate, vec![value], column_type))
                    }
                    (_, ColumnType::Dynamic) => {
                        let value = self.convert(at, value, ColumnType::Real)?;
                        Ok(call(Function::Negate, vec![value], ColumnType::Real))
                    }
                    (_, other) => Err(KqlError::semantic(at, format!("a {other} has no negative"))),
                }
            }
            "isnotnull" | "isnotempty" | "notnull" | "notempty" => {
                let inner =
                    self.call(at, if name.ends_with("null") { "isnull" } else { "isempty" }, arguments)?;
                Ok(call(Function::Not, vec![inner], ColumnType::Bool))
            }
            "iff" | "iif" if count == 3 => self.case(at, arguments),
            "case" if count >= 3 && count % 2 == 1 => self.case(at, arguments),
            "coalesce" if count >= 2 => {
                let column_type = self.widest(at, arguments.iter())?;
                let arguments = self.converted(at, arguments, column_type)?;
                Ok(call(Function::Coalesce, arguments, column_type))
            }
            "bin" | "floor" if count == 2 => {
                let [value, step] = two(arguments);
                let (value, step) = match (value.column_type, step.column_type) {
                    (ColumnType::DateTime | ColumnType::Timespan, _) => {
                        (value, self.convert(at, step, ColumnType::Timespan)?)
                    }
                    (a, b) if a.is_numeric() && b.is_numeric() => {
                        let wide = wider(a, b);
                        (self.convert(at, value, wide)?, self.convert(at, step, wide)?)
                    }
                    (ColumnType::Dynamic, _) => (
                        self.convert(at, value, ColumnType::Real)?,
                        self.convert(at, step, ColumnType::Real)?,
                    ),
                    (a, b) => {
                        return Err(KqlError::semantic(at, format!("bin() of {a} by {b} has no meaning")));
                    }
                };
                let column_type = value.column_type;
                Ok(call(Function::Bin, vec![value, step], column_type))
            }
            "bin_at" if count == 3 => {
                let value = arguments.remove(0);
                let column_type = match value.column_type {
                    ColumnType::Int => ColumnType::Long,
                    ColumnType::Dynamic | ColumnType::Decimal => ColumnType::Real,
                    other => other,
                };
                let distance =
                    if column_type == ColumnType::DateTime { ColumnType::Timespan } else { column_type };
                let [step, point] = two(arguments);
                let is_real = [&step, &point].iter().any(|other| other.column_type == ColumnType::Real);
                let (column_type, distance) = match column_type {
                    ColumnType::Long if is_real => (ColumnType::Real, ColumnType::Real),
                    other => (other, distance),
                };
                let arguments = vec![
                    self.convert(at, value, column_type)?,
                    self.convert(at, step, distance)?,
                    self.convert(at, point, column_type)?,
                ];
                Ok(call(Function::BinAt, arguments, column_type))
            }
            "min_of" | "max_of" if count >= 2 => {
                let column_type = self.widest(at, arguments.iter())?;
                let function = if name == "min_of" { Function::MinOf } else { Function::MaxOf };
                let arguments = self.converted(at, arguments, column_type)?;
                Ok(call(function, arguments, column_type))
            }
            "datetime_add" if count == 3 => {
                let period = period(at, &arguments.remove(0))?;
                let [amount, instant] = two(arguments);
                let arguments = vec![
                    self.convert(at, amount, ColumnType::Long)?,
                    self.convert(at, instant, ColumnType::DateTime)?,
                ];
                Ok(call(Function::DateAdd(period), arguments, ColumnType::DateTime))
            }
            "datetime_diff" if count == 3 => {
                let period = period(at, &arguments.remove(0))?;
                let arguments = self.converted(at, arguments, ColumnType::DateTime)?;
                Ok(call(Function::DateDiff(period), arguments, ColumnType::Long))
            }
            "datetime_part" if count == 2 => {
                let period = period(at, &arguments.remove(0))?;
                let arguments = self.converted(at, arguments, ColumnType::DateTime)?;
                Ok(call(Function::DatePart(period), arguments, ColumnType::Int))
            }
            "now" if count <= 1 => {
                let now = literal(Literal::DateTime(Some(self.scope.now().ticks())));
                match arguments.pop() {
                    Some(offset) => self.arithmetic(at, "+", now, offset),
                    None => Ok(now),
                }
            }
            "ago" if count == 1 => {
                let now = literal(Literal::DateTime(Some(self.scope.now().ticks())));
                self.arithmetic(at, "-", now, arguments.remove(0))
            }
            "current_database" if count == 0 => {
                Ok(literal(Literal::String(self.scope.database().to_owned())))
            }
            "gettype" if count == 1 && arguments[0].column_type == ColumnType::Dynamic => {
                Ok(call(Function::TypeOfDynamic, arguments, ColumnType::String))
            }
            "gettype" if count == 1 => {
                Ok(literal(Literal::String(arguments[0].column_type.kql_name().to_owned())))
            }
            "iff" | "iif" | "bin" | "floor" | "case" | "coalesce" | "now" | "ago" | "gettype" | "min_of"
            | "max_of" | "datetime_add" | "datetime_diff" | "datetime_part" | "current_database" => {
                wrong_count("another number of")
            }
            _ if AggregateFunction::parse(name).is_some() => Err(KqlError::semantic(
                at,
                format!("{name}() is an aggregate and can stand only in summarize"),
            )),
            _ => Err(KqlError::semantic(at, format!("function {name}() is not known here"))),
        }
    }

    /// Arguments, each as one type.
    pub(super) fn converted(
        &self,
        at: usize,
        arguments: Vec<Typed>,
        column_type: ColumnType,
    ) -> Result<Vec<Typed>, KqlError> {
        arguments.into_iter().map(|argument| self.convert(at, argument, column_type)).collect()
    }
}

/// The period that the first argument of `datetime_add` and its kin names.
fn period(at: usize, argument: &Typed) -> Result<Period, KqlError> {
    let found = match &argument.kind {
        TypedKind::Literal(Literal::String(name)) => Period::parse(name),
        _ => None,
    };
    found.ok_or_else(|| {
        KqlError::semantic(
            at,
            "the period must be a constant: year, quarter, month, week, day, hour, minute, second, \
             millisecond, microsecond or nanosecond",
        )
    })
}

fn two(arguments: Vec<Typed>) -> [Typed; 2] {
    // INVARIANT: the parser makes binary operators with two operands.
    <[Typed; 2]>::try_from(arguments)
        .unwrap_or_else(|_| [literal(Literal::Long(None)), literal(Literal::Long(None))])
}
