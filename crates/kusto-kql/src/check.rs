//! Names and types: turns a parsed query into a plan, or says what is wrong and where.

mod expr;
mod summarize;

use crate::ast::{Named, Nulls, Operator, Order, Pipeline, Query, SortKey, Source};
use crate::plan::{Key, OutputColumn, Plan, PlanSource, Step, Typed, TypedKind};
use crate::{KqlError, Literal, Parser};
use kusto_types::{ColumnType, DateTime, TableSchema};
use serde_json::{Map, Value};
use std::collections::HashMap;

/// What a query can see around itself.
pub trait Scope {
    /// The schema of a table; `database` is `None` for the current one.
    fn table(&self, database: Option<&str>, table: &str) -> Option<TableSchema>;
    /// The tables of the current database, for suggestions.
    fn table_names(&self) -> Vec<String>;
    /// The current database.
    fn database(&self) -> &str;
    /// The instant that `now()` stands for in the whole query.
    fn now(&self) -> DateTime;
}

/// Checks a whole query text with its parameter values (KQL literals as text).
pub fn check_query(
    query: &Query,
    scope: &dyn Scope,
    values: &Map<String, Value>,
) -> Result<Vec<Plan>, KqlError> {
    let mut checker = Checker { scope, scalars: HashMap::new() };
    checker.parameters(query, values)?;
    for (name, expr) in &query.lets {
        let value = checker.expr(expr, &[])?;
        checker.scalars.insert(name.clone(), value);
    }
    query.pipelines.iter().map(|pipeline| checker.pipeline(pipeline)).collect()
}

/// Checks the operators that were piped behind a command whose result has these
/// columns.
pub fn check_pipeline(text: &str, input: Vec<OutputColumn>, scope: &dyn Scope) -> Result<Plan, KqlError> {
    let mut parser = Parser::new(text);
    let operators = parser.operators()?;
    parser.expect(crate::lexer::Token::End, "| or the end of the command")?;
    let checker = Checker { scope, scalars: HashMap::new() };
    checker.steps(PlanSource::Given, input, &operators)
}

pub(crate) struct Checker<'s> {
    scope: &'s dyn Scope,
    scalars: HashMap<String, Typed>,
}

impl Checker<'_> {
    fn parameters(&mut self, query: &Query, values: &Map<String, Value>) -> Result<(), KqlError> {
        for parameter in &query.parameters {
            let given = values.get(&parameter.name).map(|value| match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            });
            let value = match (given, &parameter.default) {
                (Some(text), _) => self.parameter_value(parameter.at, parameter.column_type, &text)?,
                (None, Some(default)) => {
                    let value = self.expr(default, &[])?;
                    self.convert(parameter.at, value, parameter.column_type)?
                }
                (None, None) => {
                    return Err(KqlError::semantic(
                        parameter.at,
                        format!("query parameter {} has no value and no default", parameter.name),
                    ));
                }
            };
            self.scalars.insert(parameter.name.clone(), value);
        }
        Ok(())
    }

    /// A parameter's value is a KQL literal; a string may also come bare.
    fn parameter_value(&self, at: usize, column_type: ColumnType, text: &str) -> Result<Typed, KqlError> {
        let mut parser = Parser::new(text);
        let parsed =
            parser.expr().and_then(|expr| parser.expect(crate::lexer::Token::End, "the end").map(|()| expr));
        let checked = parsed.and_then(|expr| self.expr(&expr, &[]));
        match checked {
            Ok(value) if matches!(value.kind, TypedKind::Literal(_) | TypedKind::Call(..)) => {
                self.convert(at, value, column_type)
            }
            _ if column_type == ColumnType::String => Ok(literal(Literal::String(text.to_owned()))),
            _ => Literal::typed(column_type, text)
                .map(literal)
                .ok_or_else(|| KqlError::semantic(at, format!("{text:?} is not a {column_type} literal"))),
        }
    }

    fn pipeline(&self, pipeline: &Pipeline) -> Result<Plan, KqlError> {
        match &pipeline.source {
            Source::Table { database, table, at } => {
                let schema = self
                    .scope
                    .table(database.as_deref(), table)
                    .ok_or_else(|| KqlError::semantic(*at, self.unknown_table(database.as_deref(), table)))?;
                let input: Vec<OutputColumn> = schema
                    .columns()
                    .iter()
                    .map(|column| (column.name.as_str().to_owned(), column.column_type))
                    .collect();
                let source = PlanSource::Table { database: database.clone(), table: table.clone() };
                self.steps(source, input, &pipeline.operators)
            }
            Source::Print(items) => {
                let columns = self.named(items, &[], "print_")?;
                let mut plan = self.steps(
                    PlanSource::Rows(vec![vec![]]),
                    columns.iter().map(|(name, value)| (name.clone(), value.column_type)).collect(),
                    &pipeline.operators,
                )?;
                plan.input = Vec::new();
                plan.steps.insert(0, Step::Project(columns));
                Ok(plan)
            }
            Source::DataTable { columns, values } => {
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
                            KqlError::semantic(
                                expr.at,
                                format!("a datatable cell must be a {column_type} literal"),
                            )
                        })
                    });
                    rows.push(cells.collect::<Result<Vec<_>, _>>()?);
                }
                self.steps(PlanSource::Rows(rows), columns.clone(), &pipeline.operators)
            }
        }
    }

    fn unknown_table(&self, database: Option<&str>, table: &str) -> String {
        let names = self.scope.table_names();
        let near = names.iter().find(|name| name.eq_ignore_ascii_case(table));
        let database = database.unwrap_or_else(|| self.scope.database());
        match near {
            Some(near) => {
                format!("table {table} does not exist in database {database}; did you mean {near}?")
            }
            None => format!("table {table} does not exist in database {database}"),
        }
    }

    fn steps(
        &self,
        source: PlanSource,
        input: Vec<OutputColumn>,
        operators: &[(usize, Operator)],
    ) -> Result<Plan, KqlError> {
        let mut columns = input.clone();
        let mut steps = Vec::new();
        for (at, operator) in operators {
            match operator {
                Operator::Where(condition) => {
                    let condition = self.expr(condition, &columns)?;
                    steps.push(Step::Filter(self.convert(*at, condition, ColumnType::Bool)?));
                }
                Operator::Project(items) => {
                    let projected = self.named(items, &columns, "Column")?;
                    columns = outputs(&projected);
                    steps.push(Step::Project(projected));
                }
                Operator::Extend(items) => {
                    let mut all: Vec<(String, Typed)> = columns
                        .iter()
                        .enumerate()
                        .map(|(index, (name, column_type))| (name.clone(), column(index, *column_type)))
                        .collect();
                    for (name, value) in self.named(items, &columns, "Column")? {
                        match all.iter_mut().find(|(existing, _)| *existing == name) {
                            Some(slot) => slot.1 = value,
                            None => all.push((name, value)),
                        }
                    }
                    columns = outputs(&all);
                    steps.push(Step::Project(all));
                }
                Operator::ProjectAway(names, at) => {
                    for name in names {
                        if !columns.iter().any(|(existing, _)| existing == name) {
                            return Err(self.unknown_column(*at, name, &columns));
                        }
                    }
                    let kept: Vec<(String, Typed)> = columns
                        .iter()
                        .enumerate()
                        .filter(|(_, (name, _))| !names.contains(name))
                        .map(|(index, (name, column_type))| (name.clone(), column(index, *column_type)))
                        .collect();
                    columns = outputs(&kept);
                    steps.push(Step::Project(kept));
                }
                Operator::Summarize { aggregates, by } => {
                    let step = self.summarize(*at, aggregates, by, &columns)?;
                    if let Step::Summarize { keys, aggregates } = &step {
                        columns = outputs(keys);
                        columns.extend(
                            aggregates.iter().flat_map(|aggregate| aggregate.outputs.iter().cloned()),
                        );
                    }
                    steps.push(step);
                }
                Operator::Sort(keys) => steps.push(Step::Sort(self.keys(keys, &columns)?, None)),
                Operator::Top(count, keys) => {
                    let count = self.row_count(*at, count)?;
                    steps.push(Step::Sort(self.keys(keys, &columns)?, Some(count)));
                }
                Operator::Take(count) => steps.push(Step::Take(self.row_count(*at, count)?)),
                Operator::Count => {
                    let aggregate = crate::plan::Aggregate {
                        function: crate::AggregateFunction::Count,
                        arguments: Vec::new(),
                        outputs: vec![("Count".to_owned(), ColumnType::Long)],
                    };
                    columns = aggregate.outputs.clone();
                    steps.push(Step::Summarize { keys: Vec::new(), aggregates: vec![aggregate] });
                }
                Operator::Distinct(items) => {
                    let keys = if items.is_empty() {
                        columns
                            .iter()
                            .enumerate()
                            .map(|(index, (name, column_type))| (name.clone(), column(index, *column_type)))
                            .collect()
                    } else {
                        self.named(items, &columns, "Column")?
                    };
                    columns = outputs(&keys);
                    steps.push(Step::Summarize { keys, aggregates: Vec::new() });
                }
            }
        }
        Ok(Plan { source, input, steps, output: columns })
    }

    fn row_count(&self, at: usize, expr: &crate::ast::Expr) -> Result<usize, KqlError> {
        let value = self.expr(expr, &[])?;
        match expr::fold_literal(value, ColumnType::Long) {
            Some(Literal::Long(Some(count))) if count >= 0 => {
                Ok(usize::try_from(count).unwrap_or(usize::MAX))
            }
            _ => Err(KqlError::semantic(at, "the number of rows must be a non-negative long literal")),
        }
    }

    fn keys(&self, keys: &[SortKey], columns: &[OutputColumn]) -> Result<Vec<Key>, KqlError> {
        keys.iter()
            .map(|key| {
                let nulls = key.nulls.unwrap_or(match key.order {
                    Order::Ascending => Nulls::First,
                    Order::Descending => Nulls::Last,
                });
                Ok(Key { value: self.expr(&key.expr, columns)?, order: key.order, nulls })
            })
            .collect()
    }

    /// Checks items and gives each a name: its own, the column's, or a numbered one.
    fn named(
        &self,
        items: &[Named],
        columns: &[OutputColumn],
        prefix: &str,
    ) -> Result<Vec<(String, Typed)>, KqlError> {
        let first = usize::from(prefix == "Column");
        let mut unnamed = first;
        let mut result: Vec<(String, Typed)> = Vec::with_capacity(items.len());
        for item in items {
            if matches!(item.expr.kind, crate::ast::ExprKind::Star) {
                result.extend(
                    columns
                        .iter()
                        .enumerate()
                        .map(|(index, (name, column_type))| (name.clone(), column(index, *column_type))),
                );
                continue;
            }
            let value = self.expr(&item.expr, columns)?;
            let natural = item.name.clone().or_else(|| expr::natural_name(&item.expr));
            let name = match natural {
                Some(name) if prefix == "Column" || item.name.is_some() => name,
                _ => format!("{prefix}{unnamed}"),
            };
            unnamed += 1;
            let mut unique = name.clone();
            let mut copy = 1;
            while result.iter().any(|(existing, _)| *existing == unique) {
                unique = format!("{name}{copy}");
                copy += 1;
            }
            result.push((unique, value));
        }
        Ok(result)
    }

    fn unknown_column(&self, at: usize, name: &str, columns: &[OutputColumn]) -> KqlError {
        let near = columns.iter().find(|(column, _)| column.eq_ignore_ascii_case(name));
        let hint = match near {
            Some((near, _)) => format!("; did you mean {near}?"),
            None => {
                let names: Vec<&str> = columns.iter().take(12).map(|(name, _)| name.as_str()).collect();
                if names.is_empty() { String::new() } else { format!("; there are {}", names.join(", ")) }
            }
        };
        KqlError::semantic(at, format!("name {name} does not refer to a known column or value{hint}"))
    }
}

fn outputs(columns: &[(String, Typed)]) -> Vec<OutputColumn> {
    columns.iter().map(|(name, value)| (name.clone(), value.column_type)).collect()
}

fn column(index: usize, column_type: ColumnType) -> Typed {
    Typed { column_type, kind: TypedKind::Column(index) }
}

fn literal(value: Literal) -> Typed {
    Typed { column_type: value.column_type(), kind: TypedKind::Literal(value) }
}
