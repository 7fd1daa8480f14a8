//! Expressions: resolves names, settles types, writes conversions out.

use super::{Binding, Checker, column, literal, shown, visible};
use crate::ast::{Expr, ExprKind, Pipeline};
use crate::functions::{AggregateFunction, conversion};
use crate::plan::{HIDDEN_COLUMNS, OutputColumn, Plan, Typed, TypedKind};
use crate::{Function, KqlError, Literal};
use kusto_types::{ColumnType, DateTime};

pub(super) fn call(function: Function, arguments: Vec<Typed>, column_type: ColumnType) -> Typed {
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
                match self.names.get(name) {
                    Some(Binding::Scalar(value)) => Ok(value.clone()),
                    Some(Binding::Tabular(_)) => {
                        Err(KqlError::semantic(at, format!("{name} is rows, a value is needed")))
                    }
                    Some(Binding::Function(_)) => {
                        Err(KqlError::semantic(at, format!("{name} is a function; call it with ()")))
                    }
                    None => Err(self.unknown_column(at, name, columns)),
                }
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
            ExprKind::InTable { operator, value, table } => {
                let table = self.pipeline(table)?;
                self.in_table(at, operator, value, table, columns)
            }
            ExprKind::ToScalar(table) => self.to_scalar(at, table),
            ExprKind::Call(name, arguments) => {
                if let Some(value) = self.of_row(at, name, arguments, columns)? {
                    return Ok(value);
                }
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
        if let [only] = list
            && !matches!(&only.kind, ExprKind::Name(name) if columns.iter().any(|(column, _)| column == name))
            && let Some(table) = self.rows_of(only)?
        {
            return self.in_table(at, operator, value, table, columns);
        }
        let value = self.expr(value, columns)?;
        let mut items = Vec::with_capacity(list.len());
        for item in list {
            let item = self.expr(item, columns)?;
            match elements(&item) {
                Some(elements) => items.extend(elements),
                None => items.push(item),
            }
        }
        if operator.starts_with("has_") {
            let function = if operator == "has_any" { Function::HasAny } else { Function::HasAll };
            let mut arguments = vec![self.convert(at, value, ColumnType::String)?];
            for item in items {
                let is_dynamic = item.column_type == ColumnType::Dynamic;
                arguments.push(if is_dynamic { item } else { self.convert(at, item, ColumnType::String)? });
            }
            return Ok(call(function, arguments, ColumnType::Bool));
        }
        let negated = |found: Typed| match operator.starts_with('!') {
            true => call(Function::Not, vec![found], ColumnType::Bool),
            false => found,
        };
        if let [array] = &items[..]
            && array.column_type == ColumnType::Dynamic
        {
            let arguments = vec![self.convert(at, value, ColumnType::String)?, array.clone()];
            return Ok(negated(call(Function::InArray, arguments, ColumnType::Bool)));
        }
        let ignore_case = operator.ends_with('~');
        let value = if ignore_case { self.convert(at, value, ColumnType::String)? } else { value };
        let wanted =
            if value.column_type == ColumnType::Dynamic { ColumnType::String } else { value.column_type };
        let mut arguments = vec![self.convert(at, value, wanted)?];
        for item in items {
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
        Ok(negated(call(function, arguments, ColumnType::Bool)))
    }

    /// Whether a value is in the first column of some rows.
    fn in_table(
        &self,
        at: usize,
        operator: &str,
        value: &Expr,
        table: Plan,
        columns: &[OutputColumn],
    ) -> Result<Typed, KqlError> {
        let mut table = shown(table);
        let Some((_, wanted)) = table.output.first().cloned() else {
            return Err(KqlError::semantic(at, format!("{operator} takes rows with a column")));
        };
        if operator.starts_with("has_") {
            return Err(KqlError::semantic(at, format!("{operator} takes a list, not rows")));
        }
        let ignore_case = operator.ends_with('~');
        let value = self.expr(value, columns)?;
        let target = if ignore_case || value.column_type == ColumnType::Dynamic {
            ColumnType::String
        } else {
            value.column_type
        };
        let value = self.convert(at, value, target)?;
        let first = self.convert(at, column(0, wanted), target)?;
        super::operators::project(&mut table, vec![("value".to_owned(), first)]);
        let function = if ignore_case { Function::InIgnoreCase } else { Function::In };
        let found = Typed {
            column_type: ColumnType::Bool,
            kind: TypedKind::InTable(function, Box::new(value), Box::new(table)),
        };
        Ok(if operator.starts_with('!') { call(Function::Not, vec![found], ColumnType::Bool) } else { found })
    }

    fn to_scalar(&self, at: usize, table: &Pipeline) -> Result<Typed, KqlError> {
        let plan = shown(self.pipeline(table)?);
        match plan.output.first() {
            Some((_, column_type)) => {
                Ok(Typed { column_type: *column_type, kind: TypedKind::ToScalar(Box::new(plan)) })
            }
            None => Err(KqlError::semantic(at, "toscalar() takes rows with a column")),
        }
    }

    /// What is taken of the row itself, and functions of the query or the database.
    fn of_row(
        &self,
        at: usize,
        name: &str,
        arguments: &[Expr],
        columns: &[OutputColumn],
    ) -> Result<Option<Typed>, KqlError> {
        let of_source =
            ["ingestion_time", "extent_id", "extent_tags"].iter().position(|known| *known == name);
        if let (Some(index), true) = (of_source, arguments.is_empty()) {
            let (wanted, column_type) = HIDDEN_COLUMNS[index];
            // Rows that no table holds have none.
            let found = columns.iter().position(|(column, _)| column == wanted);
            return Ok(Some(match found {
                Some(index) => column(index, column_type),
                None => literal(Literal::null(column_type)),
            }));
        }
        if name == "pack_all" && arguments.is_empty() {
            let mut pairs = Vec::new();
            for (name, value) in visible(columns) {
                pairs.push(self.convert(at, literal(Literal::String(name)), ColumnType::Dynamic)?);
                pairs.push(self.convert(at, value, ColumnType::Dynamic)?);
            }
            return Ok(Some(call(Function::PackBag, pairs, ColumnType::Dynamic)));
        }
        let Some(function) = self.function(name) else { return Ok(None) };
        let mut given = Vec::with_capacity(arguments.len());
        for argument in arguments {
            given.push(match self.expr(argument, columns) {
                Ok(value) => Binding::Scalar(value),
                Err(error) => match self.rows_of(argument)? {
                    Some(plan) => Binding::Tabular(std::rc::Rc::new(plan)),
                    None => return Err(error),
                },
            });
        }
        match self.apply(at, name, &function, given)? {
            Binding::Scalar(value) => Ok(Some(value)),
            Binding::Tabular(_) | Binding::Function(_) => {
                Err(KqlError::semantic(at, format!("{name}() gives rows where a value is needed")))
            }
        }
    }
}

/// The elements of a constant dynamic array, as values of their own types.
fn elements(value: &Typed) -> Option<Vec<Typed>> {
    let TypedKind::Literal(Literal::Dynamic(Some(json))) = &value.kind else { return None };
    let serde_json::Value::Array(items) = serde_json::from_str(json).ok()? else { return None };
    let element = |item: serde_json::Value| match item {
        serde_json::Value::Bool(value) => Literal::Bool(Some(value)),
        serde_json::Value::String(text) => Literal::String(text),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(value) => Literal::Long(Some(value)),
            None => Literal::Real(number.as_f64()),
        },
        other => Literal::Dynamic(Some(other.to_string())),
    };
    Some(items.into_iter().map(|item| literal(element(item))).collect())
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
        // Functions that show their first argument in another way.
        ExprKind::Call(name, arguments)
            if conversion(name).is_some()
                || matches!(
                    name.as_str(),
                    "bin"
                        | "floor"
                        | "round"
                        | "ceiling"
                        | "abs"
                        | "startofday"
                        | "startofweek"
                        | "startofmonth"
                        | "startofyear"
                        | "endofday"
                        | "endofweek"
                        | "endofmonth"
                        | "endofyear"
                        | "format_datetime"
                ) =>
        {
            arguments.first().and_then(natural_name)
        }
        ExprKind::Call(name, arguments) => {
            AggregateFunction::parse(name)?;
            super::summarize::aggregate_name(name, arguments)
        }
        ExprKind::Member(value, key) => match &key.kind {
            ExprKind::Literal(Literal::String(key)) => {
                natural_name(value).map(|name| format!("{name}_{key}"))
            }
            ExprKind::Literal(Literal::Long(Some(index))) => natural_name(value).map(|name| match index {
                0.. => format!("{name}_{index}"),
                _ => format!("{name}_"),
            }),
            _ => None,
        },
        _ => None,
    }
}
