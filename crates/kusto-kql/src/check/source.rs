//! What a pipeline reads: tables, rows of literals, ranges, lets and functions.

use super::{Binding, Checker, Closure, MAX_CALLS, expr, outputs, plan_of};
use crate::ast::{Argument, Expr, ExprKind, LetValue, Pipeline, Source};
use crate::plan::{HIDDEN_COLUMNS, OutputColumn, Plan, PlanSource, Step, TypedKind};
use crate::{KqlError, Literal, Parser};
use kusto_types::ColumnType;
use std::rc::Rc;

impl Checker<'_> {
    pub(super) fn pipeline(&self, pipeline: &Pipeline) -> Result<Plan, KqlError> {
        self.steps(self.source(&pipeline.source)?, &pipeline.operators)
    }

    fn source(&self, source: &Source) -> Result<Plan, KqlError> {
        match source {
            Source::Table { database, table, at } => self.table(*at, database.as_deref(), table),
            Source::Print(items) => {
                let columns = self.named(items, &[], "print_")?;
                let mut plan = plan_of(PlanSource::Rows(vec![vec![]]), Vec::new());
                plan.output = outputs(&columns);
                plan.steps.push(Step::Project(columns));
                Ok(plan)
            }
            Source::DataTable { columns, values } => self.datatable(columns, values),
            Source::Range { name, bounds } => {
                let [first, last, step] = &**bounds;
                let at = first.at;
                let (first, last, step) =
                    (self.expr(first, &[])?, self.expr(last, &[])?, self.expr(step, &[])?);
                let (column_type, distance) = match (first.column_type, last.column_type, step.column_type) {
                    (ColumnType::DateTime, _, _) => (ColumnType::DateTime, ColumnType::Timespan),
                    (ColumnType::Timespan, _, _) => (ColumnType::Timespan, ColumnType::Timespan),
                    (a, b, c) if a.is_numeric() && b.is_numeric() && c.is_numeric() => {
                        let real = [a, b, c].iter().any(|t| !matches!(t, ColumnType::Int | ColumnType::Long));
                        let wide = if real { ColumnType::Real } else { ColumnType::Long };
                        (wide, wide)
                    }
                    (a, b, c) => {
                        return Err(KqlError::semantic(
                            at,
                            format!("no range from {a} to {b} in steps of {c}"),
                        ));
                    }
                };
                let bounds = [
                    self.convert(at, first, column_type)?,
                    self.convert(at, last, column_type)?,
                    self.convert(at, step, distance)?,
                ];
                Ok(plan_of(PlanSource::Range(Box::new(bounds)), vec![(name.clone(), column_type)]))
            }
            Source::Union(union) => self.union(None, union),
            Source::Nested(inner) => self.pipeline(inner),
            Source::Call { name, arguments, at } => match self.function(name) {
                Some(function) => self.call_function(*at, name, &function, arguments)?.rows(*at, name),
                None => Err(KqlError::semantic(
                    *at,
                    format!("{name}() is not a function of rows; table, union and datatable make rows too"),
                )),
            },
        }
    }

    fn table(&self, at: usize, database: Option<&str>, name: &str) -> Result<Plan, KqlError> {
        if let Some(parameter) = name.strip_prefix(Parser::INDIRECT) {
            let Some(Binding::Scalar(value)) = self.names.get(parameter) else {
                return Err(self.unknown_column(at, parameter, &[]));
            };
            let TypedKind::Literal(Literal::String(table)) = &value.kind else {
                return Err(KqlError::semantic(at, "table() takes a constant text"));
            };
            return self.stored_table(at, database, table);
        }
        if database.is_none() {
            match self.names.get(name) {
                Some(Binding::Tabular(plan)) => return Ok((**plan).clone()),
                Some(Binding::Function(function)) if function.def.parameters.is_empty() => {
                    return self.call_function(at, name, function, &[])?.rows(at, name);
                }
                Some(Binding::Scalar(_) | Binding::Function(_)) | None => {}
            }
        }
        self.stored_table(at, database, name)
    }

    fn stored_table(&self, at: usize, database: Option<&str>, table: &str) -> Result<Plan, KqlError> {
        let Some(schema) = self.scope.table(database, table) else {
            if let (None, Some(function)) = (database, self.function(table)) {
                return self.call_function(at, table, &function, &[])?.rows(at, table);
            }
            return Err(KqlError::semantic(at, self.unknown_table(database, table)));
        };
        let columns =
            schema.columns().iter().map(|column| (column.name.as_str().to_owned(), column.column_type));
        let hidden = HIDDEN_COLUMNS.iter().map(|(name, column_type)| ((*name).to_owned(), *column_type));
        let input: Vec<OutputColumn> = columns.chain(hidden).collect();
        let source = PlanSource::Table { database: database.map(str::to_owned), table: table.to_owned() };
        Ok(plan_of(source, input))
    }

    fn datatable(&self, columns: &[OutputColumn], values: &[Expr]) -> Result<Plan, KqlError> {
        if columns.is_empty() || !values.len().is_multiple_of(columns.len()) {
            return Err(KqlError::semantic(
                0,
                format!("datatable has {} values for {} columns", values.len(), columns.len()),
            ));
        }
        let mut rows = Vec::new();
        for row in values.chunks(columns.len()) {
            let cells = row.iter().zip(columns).map(|(expr, (_, column_type))| {
                let value = self.expr(expr, &[])?;
                expr::fold_literal(value, *column_type).ok_or_else(|| {
                    KqlError::semantic(expr.at, format!("a datatable cell must be a {column_type} literal"))
                })
            });
            rows.push(cells.collect::<Result<Vec<_>, _>>()?);
        }
        Ok(plan_of(PlanSource::Rows(rows), columns.to_vec()))
    }

    /// The rows that an expression names; `None` when it is a value.
    pub(super) fn rows_of(&self, expr: &Expr) -> Result<Option<Plan>, KqlError> {
        match &expr.kind {
            ExprKind::Name(name) => match self.names.get(name) {
                Some(Binding::Tabular(plan)) => Ok(Some((**plan).clone())),
                Some(Binding::Scalar(_) | Binding::Function(_)) => Ok(None),
                None if self.scope.table(None, name).is_some() => {
                    self.stored_table(expr.at, None, name).map(Some)
                }
                None => Ok(None),
            },
            ExprKind::Call(name, arguments) => {
                let Some(function) = self.function(name) else { return Ok(None) };
                let arguments: Vec<Argument> = arguments.iter().cloned().map(Argument::Scalar).collect();
                match self.call_function(expr.at, name, &function, &arguments)? {
                    Binding::Tabular(plan) => Ok(Some((*plan).clone())),
                    Binding::Scalar(_) | Binding::Function(_) => Ok(None),
                }
            }
            _ => Ok(None),
        }
    }

    /// A function of the query or of the database.
    pub(super) fn function(&self, name: &str) -> Option<Rc<Closure>> {
        match self.names.get(name) {
            Some(Binding::Function(function)) => Some(function.clone()),
            Some(_) => None,
            None => {
                let def = self.scope.function(name)?;
                Some(Rc::new(Closure { def, names: std::collections::HashMap::new() }))
            }
        }
    }

    /// Puts arguments in the place of a function's parameters.
    pub(super) fn call_function(
        &self,
        at: usize,
        name: &str,
        function: &Closure,
        arguments: &[Argument],
    ) -> Result<Binding, KqlError> {
        let inner = |checker: &Checker<'_>, argument: &Argument| match argument {
            Argument::Scalar(expr) => match checker.rows_of(expr)? {
                Some(plan) => Ok(Binding::Tabular(Rc::new(plan))),
                None => Ok(Binding::Scalar(checker.expr(expr, &[])?)),
            },
            Argument::Tabular(pipeline) => Ok(Binding::Tabular(Rc::new(checker.pipeline(pipeline)?))),
        };
        let given = arguments.iter().map(|argument| inner(self, argument)).collect::<Result<Vec<_>, _>>()?;
        self.apply(at, name, function, given)
    }

    pub(super) fn apply(
        &self,
        at: usize,
        name: &str,
        function: &Closure,
        given: Vec<Binding>,
    ) -> Result<Binding, KqlError> {
        if self.calls >= MAX_CALLS {
            return Err(KqlError::semantic(at, format!("{name}() is called {MAX_CALLS} functions deep")));
        }
        let parameters = &function.def.parameters;
        let needed = parameters.iter().filter(|parameter| parameter.default.is_none()).count();
        if given.len() > parameters.len() || given.len() < needed {
            return Err(KqlError::semantic(
                at,
                format!("{name}() takes {} arguments, {} are given", parameters.len(), given.len()),
            ));
        }
        let mut checker = Checker { scope: self.scope, names: function.names.clone(), calls: self.calls + 1 };
        let mut given = given.into_iter();
        for parameter in parameters {
            let binding = match (given.next(), parameter.column_type, &parameter.default) {
                (Some(Binding::Scalar(value)), Some(column_type), _) => {
                    Binding::Scalar(self.convert(at, value, column_type)?)
                }
                (Some(rows @ Binding::Tabular(_)), None, _) => rows,
                (None, Some(column_type), Some(default)) => {
                    Binding::Scalar(self.convert(at, self.expr(default, &[])?, column_type)?)
                }
                _ => {
                    let wanted = parameter.column_type.map_or("rows".to_owned(), |t| format!("a {t}"));
                    let parameter = &parameter.name;
                    return Err(KqlError::semantic(at, format!("{name}() takes {wanted} for {parameter}")));
                }
            };
            checker.names.insert(parameter.name.clone(), binding);
        }
        checker.lets(&function.def.lets)?;
        match &*function.def.body {
            LetValue::Function(_) => Err(KqlError::semantic(at, format!("{name}() gives a function"))),
            body => checker.binding(body),
        }
    }
}

impl Binding {
    /// The rows that a function gave.
    fn rows(self, at: usize, name: &str) -> Result<Plan, KqlError> {
        match self {
            Self::Tabular(plan) => Ok((*plan).clone()),
            Self::Scalar(_) | Self::Function(_) => {
                Err(KqlError::semantic(at, format!("{name}() gives a value where rows are needed")))
            }
        }
    }
}
