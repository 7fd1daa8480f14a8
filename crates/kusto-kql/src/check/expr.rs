//! Expressions: resolves names, settles types, writes conversions out.

use super::{Checker, column, literal};
use crate::ast::{Expr, ExprKind};
use crate::functions::{Returns, conversion, signature, text_operator};
use crate::plan::{OutputColumn, Typed, TypedKind};
use crate::{AggregateFunction, Function, KqlError, Literal};
use kusto_types::{ColumnType, DateTime};

fn call(function: Function, arguments: Vec<Typed>, column_type: ColumnType) -> Typed {
    Typed { column_type, kind: TypedKind::Call(function, arguments) }
}

impl Checker<'_> {
    pub(super) fn expr(&self, expr: &Expr, columns: &[OutputColumn]) -> Result<Typed, KqlError> {
        let at = expr.at;
        match &expr.kind {
            ExprKind::Literal(value) => Ok(literal(value.clone())),
            ExprKind::Star => Err(KqlError::semantic(at, "* cannot stand here")),
            ExprKind::Name(name) => {
                if let Some(index) = columns.iter().position(|(column, _)| column == name) {
                    return Ok(column(index, columns[index].1));
                }
                if let Some(value) = self.scalars.get(name) {
                    return Ok(value.clone());
                }
                Err(self.unknown_column(at, name, columns))
            }
            ExprKind::Member(value, key) => {
                let value = self.expr(value, columns)?;
                if value.column_type != ColumnType::Dynamic {
                    return Err(KqlError::semantic(
                        at,
                        format!("members are taken of dynamic values, this one is {}", value.column_type),
                    ));
                }
                let key = self.expr(key, columns)?;
                let key = match key.column_type {
                    ColumnType::String | ColumnType::Long => key,
                    ColumnType::Int => self.convert(at, key, ColumnType::Long)?,
                    other => {
                        return Err(KqlError::semantic(
                            at,
                            format!("a member is named by string or long, not {other}"),
                        ));
                    }
                };
                Ok(call(Function::Member, vec![value, key], ColumnType::Dynamic))
            }
            ExprKind::In { operator, value, list } => self.in_list(at, operator, value, list, columns),
            ExprKind::Call(name, arguments) => {
                let arguments = arguments
                    .iter()
                    .map(|argument| self.expr(argument, columns))
                    .collect::<Result<Vec<_>, _>>()?;
                self.call(at, name, arguments)
            }
        }
    }

    fn in_list(
        &self,
        at: usize,
        operator: &str,
        value: &Expr,
        list: &[Expr],
        columns: &[OutputColumn],
    ) -> Result<Typed, KqlError> {
        let value = self.expr(value, columns)?;
        let ignore_case = operator.ends_with('~');
        let value = if ignore_case { self.convert(at, value, ColumnType::String)? } else { value };
        let wanted =
            if value.column_type == ColumnType::Dynamic { ColumnType::String } else { value.column_type };
        let mut arguments = vec![self.convert(at, value, wanted)?];
        for item in list {
            let item = self.expr(item, columns)?;
            let (left, right) = self.comparable(at, arguments[0].clone(), item)?;
            arguments[0] = left;
            arguments.push(right);
        }
        let wanted = arguments[0].column_type;
        for argument in &mut arguments {
            if argument.column_type != wanted {
                *argument = self.convert(at, argument.clone(), wanted)?;
            }
        }
        let function = if ignore_case { Function::InIgnoreCase } else { Function::In };
        let found = call(function, arguments, ColumnType::Bool);
        Ok(if operator.starts_with('!') { call(Function::Not, vec![found], ColumnType::Bool) } else { found })
    }

    fn call(&self, at: usize, name: &str, mut arguments: Vec<Typed>) -> Result<Typed, KqlError> {
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
            let arguments = arguments
                .into_iter()
                .map(|argument| self.convert(at, argument, ColumnType::String))
                .collect::<Result<Vec<_>, _>>()?;
            return Ok(call(function, arguments, ColumnType::Bool));
        }
        if let Some(target) = conversion(name) {
            if count != 1 {
                return wrong_count("1");
            }
            let value = arguments.remove(0);
            return Ok(call(Function::Convert, vec![value], target));
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
                let arguments = arguments
                    .into_iter()
                    .map(|argument| self.convert(at, argument, ColumnType::Bool))
                    .collect::<Result<Vec<_>, _>>()?;
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
                let arguments = arguments
                    .into_iter()
                    .map(|argument| self.convert(at, argument, column_type))
                    .collect::<Result<Vec<_>, _>>()?;
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
            "gettype" if count == 1 => {
                Ok(literal(Literal::String(arguments[0].column_type.kql_name().to_owned())))
            }
            "iff" | "iif" | "bin" | "floor" | "case" | "coalesce" | "now" | "ago" | "gettype"
            | "current_database" => wrong_count("another number of"),
            _ if AggregateFunction::parse(name).is_some() => Err(KqlError::semantic(
                at,
                format!("{name}() is an aggregate and can stand only in summarize"),
            )),
            _ => Err(KqlError::semantic(at, format!("function {name}() is not known here"))),
        }
    }

    fn case(&self, at: usize, arguments: Vec<Typed>) -> Result<Typed, KqlError> {
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

    fn widest<'t>(&self, at: usize, values: impl Iterator<Item = &'t Typed>) -> Result<ColumnType, KqlError> {
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

    fn comparable(&self, at: usize, left: Typed, right: Typed) -> Result<(Typed, Typed), KqlError> {
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

    fn compare(&self, at: usize, operator: &str, left: Typed, right: Typed) -> Result<Typed, KqlError> {
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

    fn arithmetic(&self, at: usize, operator: &str, left: Typed, right: Typed) -> Result<Typed, KqlError> {
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
                let wide = wider(a, b);
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
            None => call(Function::Convert, vec![value], wanted),
        })
    }
}

fn two(arguments: Vec<Typed>) -> [Typed; 2] {
    // INVARIANT: the parser makes binary operators with two operands.
    <[Typed; 2]>::try_from(arguments)
        .unwrap_or_else(|_| [literal(Literal::Long(None)), literal(Literal::Long(None))])
}

fn wider(a: ColumnType, b: ColumnType) -> ColumnType {
    let rank = |column_type| match column_type {
        ColumnType::Int => 0,
        ColumnType::Long => 1,
        ColumnType::Real => 2,
        _ => 3,
    };
    if rank(a) >= rank(b) { a } else { b }
}

/// A literal as a literal of another type, where that is exact.
pub(super) fn fold_literal(value: Typed, wanted: ColumnType) -> Option<Literal> {
    let TypedKind::Literal(literal) = value.kind else { return None };
    if literal.column_type() == wanted {
        return Some(literal);
    }
    Some(match (literal, wanted) {
        (Literal::Long(number), ColumnType::Int) => Literal::Int(number.map(i32::try_from).transpose().ok()?),
        (Literal::Int(number), ColumnType::Long) => Literal::Long(number.map(i64::from)),
        (Literal::Long(number), ColumnType::Real) => Literal::Real(number.map(|number| number as f64)),
        (Literal::Long(number), ColumnType::Decimal) => {
            Literal::Decimal(number.map(|number| number.to_string()))
        }
        (Literal::Real(Some(number)), ColumnType::Decimal) => {
            Literal::Decimal(Some(kusto_types::canonical_decimal(&number.to_string())?))
        }
        (Literal::String(text), ColumnType::DateTime) => {
            Literal::DateTime(Some(DateTime::parse(&text)?.ticks()))
        }
        (Literal::Long(number), ColumnType::Dynamic) => {
            Literal::Dynamic(number.map(|number| number.to_string()))
        }
        (Literal::String(text), ColumnType::Dynamic) => {
            Literal::Dynamic(Some(serde_json::Value::from(text).to_string()))
        }
        (Literal::Bool(value), ColumnType::Dynamic) => Literal::Dynamic(value.map(|value| value.to_string())),
        (Literal::Dynamic(None), other) => Literal::null(other),
        _ => return None,
    })
}

/// The name that an expression gives to a column: that of the column it shows.
pub(super) fn natural_name(expr: &Expr) -> Option<String> {
    match &expr.kind {
        ExprKind::Name(name) => Some(name.clone()),
        ExprKind::Call(name, arguments)
            if conversion(name).is_some()
                || matches!(
                    name.as_str(),
                    "bin" | "floor" | "startofday" | "startofmonth" | "startofyear" | "round"
                ) =>
        {
            arguments.first().and_then(natural_name)
        }
        ExprKind::Member(value, key) => match &key.kind {
            ExprKind::Literal(Literal::String(key)) => {
                natural_name(value).map(|name| format!("{name}_{key}"))
            }
            _ => None,
        },
        _ => None,
    }
}
