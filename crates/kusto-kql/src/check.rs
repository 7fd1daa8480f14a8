//! Names and types: turns a parsed query into a plan, or says what is wrong and where.
//! `check/source.rs` settles what a pipeline reads, `check/operators.rs` its operators,
//! `check/expr.rs` expressions.

mod call;
mod combine;
mod expr;
mod operands;
mod operators;
mod series;
mod source;
mod summarize;

use crate::ast::{FunctionDef, LetValue, Query};
use crate::plan::{OutputColumn, Plan, PlanSource, Typed, TypedKind, is_hidden};
use crate::{KqlError, Literal, Parser};
use kusto_types::{ColumnType, DateTime, TableSchema};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::rc::Rc;

/// What a query can see around itself.
pub trait Scope {
    /// The schema of a table; `database` is `None` for the current one.
    fn table(&self, database: Option<&str>, table: &str) -> Option<TableSchema>;
    /// A function that the current database stores.
    fn function(&self, name: &str) -> Option<FunctionDef>;
    /// The tables of the current database, for suggestions and for `union T*`.
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
    let mut checker = Checker { scope, names: HashMap::new(), calls: 0 };
    checker.parameters(query, values)?;
    checker.lets(&query.lets)?;
    query.pipelines.iter().map(|pipeline| checker.pipeline(pipeline).map(shown)).collect()
}

/// Checks the operators that were piped behind a command whose result has these
/// columns.
pub fn check_pipeline(text: &str, input: Vec<OutputColumn>, scope: &dyn Scope) -> Result<Plan, KqlError> {
    let mut parser = Parser::new(text);
    let operators = parser.operators()?;
    parser.expect(crate::lexer::Token::End, "| or the end of the command")?;
    let checker = Checker { scope, names: HashMap::new(), calls: 0 };
    checker.steps(plan_of(PlanSource::Given, input), &operators).map(shown)
}

/// What a name stands for.
#[derive(Debug, Clone)]
enum Binding {
    Scalar(Typed),
    Tabular(Rc<Plan>),
    Function(Rc<Closure>),
}

/// A function with the names that it can see.
#[derive(Debug)]
struct Closure {
    def: FunctionDef,
    names: HashMap<String, Binding>,
}

/// How deep functions may call functions: those of a database may call themselves.
const MAX_CALLS: usize = 16;

struct Checker<'s> {
    scope: &'s dyn Scope,
    names: HashMap<String, Binding>,
    calls: usize,
}

impl Checker<'_> {
    fn lets(&mut self, lets: &[(String, LetValue)]) -> Result<(), KqlError> {
        for (name, value) in lets {
            let binding = self.binding(value)?;
            self.names.insert(name.clone(), binding);
        }
        Ok(())
    }

    fn binding(&self, value: &LetValue) -> Result<Binding, KqlError> {
        Ok(match value {
            LetValue::Function(def) => {
                Binding::Function(Rc::new(Closure { def: def.clone(), names: self.names.clone() }))
            }
            LetValue::Tabular(pipeline) => Binding::Tabular(Rc::new(self.pipeline(pipeline)?)),
            LetValue::Scalar(expr) => match self.rows_of(expr)? {
                Some(plan) => Binding::Tabular(Rc::new(plan)),
                None => Binding::Scalar(self.expr(expr, &[])?),
            },
        })
    }

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
            self.names.insert(parameter.name.clone(), Binding::Scalar(value));
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

    fn unknown_column(&self, at: usize, name: &str, columns: &[OutputColumn]) -> KqlError {
        let shown = || columns.iter().map(|(column, _)| column.as_str()).filter(|column| !is_hidden(column));
        let hint = match shown().find(|column| column.eq_ignore_ascii_case(name)) {
            Some(near) => format!("; did you mean {near}?"),
            None => {
                let names: Vec<&str> = shown().take(12).collect();
                if names.is_empty() { String::new() } else { format!("; there are {}", names.join(", ")) }
            }
        };
        KqlError::semantic(at, format!("name {name} does not refer to a known column or value{hint}"))
    }
}

/// A plan that only reads.
fn plan_of(source: PlanSource, input: Vec<OutputColumn>) -> Plan {
    Plan { source, output: input.clone(), input, steps: Vec::new(), visualization: None }
}

/// A plan without the hidden columns of its source.
fn shown(mut plan: Plan) -> Plan {
    if plan.output.iter().any(|(name, _)| is_hidden(name)) {
        let kept = visible(&plan.output);
        plan.output = outputs(&kept);
        plan.steps.push(crate::plan::Step::Project(kept));
    }
    plan
}

/// The columns that operators show, as they are.
fn visible(columns: &[OutputColumn]) -> Vec<(String, Typed)> {
    themselves(columns).into_iter().filter(|(name, _)| !is_hidden(name)).collect()
}

/// The columns that no operator shows, as they are.
fn hidden(columns: &[OutputColumn]) -> Vec<(String, Typed)> {
    themselves(columns).into_iter().filter(|(name, _)| is_hidden(name)).collect()
}

fn themselves(columns: &[OutputColumn]) -> Vec<(String, Typed)> {
    let numbered = columns.iter().enumerate();
    numbered.map(|(index, (name, column_type))| (name.clone(), column(index, *column_type))).collect()
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
