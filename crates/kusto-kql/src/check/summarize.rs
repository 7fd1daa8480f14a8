//! The aggregates and group keys of a summarize.

use super::operators::project;
use super::{Checker, column, expr, literal, outputs};
use crate::ast::{Expr, ExprKind, Named};
use crate::functions::{AggregateFunction, Condition};
use crate::plan::{Aggregate, OutputColumn, Plan, Step, Typed, TypedKind};
use crate::{KqlError, Literal};
use kusto_types::ColumnType;

impl Checker<'_> {
    pub(super) fn summarize(
        &self,
        plan: &mut Plan,
        at: usize,
        aggregates: &[Named],
        by: &[Named],
    ) -> Result<(), KqlError> {
        let columns = plan.output.clone();
        let keys = if by.is_empty() { Vec::new() } else { self.named(by, &columns, "Column")? };
        if let Some((name, _)) = keys.iter().find(|(_, key)| key.column_type == ColumnType::Dynamic) {
            return Err(KqlError::semantic(
                at,
                format!("group key {name} is dynamic; convert it, for instance with tostring()"),
            ));
        }
        let mut collected = Collected { columns: &columns, keys: &keys, aggregates: Vec::new() };
        let mut items: Vec<Item> = Vec::new();
        for item in aggregates {
            items.push(self.item(item, &mut collected)?);
        }
        let aggregates = collected.aggregates;
        // The columns of the step: the keys, then what the aggregates make.
        let mut after = outputs(&keys);
        let mut begins = Vec::new();
        for (number, aggregate) in aggregates.iter().enumerate() {
            begins.push(after.len());
            let made = aggregate.outputs.iter().enumerate();
            after.extend(made.map(|(index, (_, column_type))| (internal(number, index), *column_type)));
        }
        let mut all: Vec<(String, Typed)> = keys
            .iter()
            .enumerate()
            .map(|(index, (name, key))| (name.clone(), column(index, key.column_type)))
            .collect();
        let mut unnamed = 1;
        let mut add = |name: String, value: Typed| {
            let mut unique = name.clone();
            let mut copy = 1;
            while all.iter().any(|(existing, _)| *existing == unique) {
                unique = format!("{name}{copy}");
                copy += 1;
            }
            all.push((unique, value));
        };
        for item in items {
            match item {
                Item::Aggregate(number) => {
                    for (index, (name, column_type)) in aggregates[number].outputs.iter().enumerate() {
                        add(name.clone(), column(begins[number] + index, *column_type));
                    }
                }
                Item::Expression(name, rewritten) => {
                    let name = name.unwrap_or_else(|| {
                        unnamed += 1;
                        format!("Column{}", unnamed - 1)
                    });
                    add(name, self.expr(&rewritten, &after)?);
                }
            }
        }
        plan.steps.push(Step::Summarize { keys, aggregates });
        plan.visualization = None;
        project(plan, all);
        Ok(())
    }

    /// An aggregate alone, or an expression of aggregates.
    fn item(&self, item: &Named, collected: &mut Collected<'_>) -> Result<Item, KqlError> {
        if let ExprKind::Call(name, _) = &item.expr.kind
            && AggregateFunction::parse(name).is_some()
        {
            let aggregate = self.aggregate(item, collected.columns, collected.keys)?;
            collected.aggregates.push(aggregate);
            return Ok(Item::Aggregate(collected.aggregates.len() - 1));
        }
        let before = collected.aggregates.len();
        let rewritten = self.rewrite(&item.expr, collected)?;
        if collected.aggregates.len() == before {
            let what = match &item.expr.kind {
                ExprKind::Call(name, _) => format!("{name}() is not an aggregate here; "),
                _ => String::new(),
            };
            return Err(KqlError::semantic(
                item.expr.at,
                format!("{what}expected an aggregate such as count(), sum(x) or arg_max(x, *)"),
            ));
        }
        Ok(Item::Expression(item.name.clone().or_else(|| expr::natural_name(&item.expr)), rewritten))
    }

    /// Collects the aggregates of an expression and puts names in their places.
    fn rewrite(&self, expr: &Expr, collected: &mut Collected<'_>) -> Result<Expr, KqlError> {
        let mut each = |list: &[Expr]| {
            list.iter().map(|one| self.rewrite(one, collected)).collect::<Result<Vec<_>, KqlError>>()
        };
        let kind = match &expr.kind {
            ExprKind::Call(name, _) if AggregateFunction::parse(name).is_some() => {
                let named = Named { name: None, expr: expr.clone() };
                collected.aggregates.push(self.aggregate(&named, collected.columns, collected.keys)?);
                ExprKind::Name(internal(collected.aggregates.len() - 1, 0))
            }
            ExprKind::Call(name, arguments) => ExprKind::Call(name.clone(), each(arguments)?),
            ExprKind::In { operator, value, list } => {
                let list = each(list)?;
                let value = Box::new(self.rewrite(value, collected)?);
                ExprKind::In { operator: operator.clone(), value, list }
            }
            ExprKind::Member(value, key) => {
                ExprKind::Member(Box::new(self.rewrite(value, collected)?), key.clone())
            }
            ExprKind::InTable { operator, value, table } => ExprKind::InTable {
                operator: operator.clone(),
                value: Box::new(self.rewrite(value, collected)?),
                table: table.clone(),
            },
            ExprKind::Literal(_) | ExprKind::Name(_) | ExprKind::Star | ExprKind::ToScalar(_) => {
                expr.kind.clone()
            }
        };
        Ok(Expr { at: expr.at, kind })
    }

    pub(super) fn aggregate(
        &self,
        item: &Named,
        columns: &[OutputColumn],
        keys: &[(String, Typed)],
    ) -> Result<Aggregate, KqlError> {
        let at = item.expr.at;
        let ExprKind::Call(name, arguments) = &item.expr.kind else {
            return Err(KqlError::semantic(at, "expected an aggregate such as count() or sum(x)"));
        };
        let Some((function, condition)) = AggregateFunction::parse(name) else {
            return Err(KqlError::semantic(at, format!("{name}() is not an aggregate here")));
        };
        if matches!(function, AggregateFunction::ArgMax | AggregateFunction::ArgMin)
            || (function == AggregateFunction::TakeAny && condition == Condition::Absent)
        {
            return self.whole_rows(function, item, arguments, columns, keys);
        }
        let (arguments, filter) = match (condition, arguments.split_last()) {
            (Condition::Last, Some((last, rest))) => {
                let filter = self.expr(last, columns)?;
                (rest, Some(self.convert(at, filter, ColumnType::Bool)?))
            }
            _ => (&arguments[..], None),
        };
        use AggregateFunction as A;
        let wanted = match function {
            A::Count if condition == Condition::Last => 0..=0,
            A::Count => 0..=1,
            A::DCount | A::MakeList | A::MakeSet | A::MakeBag => 1..=2,
            A::Percentiles => 2..=32,
            _ => 1..=1,
        };
        if !wanted.contains(&arguments.len()) || (condition == Condition::Last && filter.is_none()) {
            let count = arguments.len() + usize::from(filter.is_some());
            return Err(KqlError::semantic(at, format!("{name}() does not take {count} arguments")));
        }
        let output = item.name.clone().or_else(|| aggregate_name(name, arguments)).unwrap_or_default();
        if function == A::Count {
            let outputs = vec![(output, ColumnType::Long)];
            return Ok(Aggregate {
                function,
                filter,
                arguments: Vec::new(),
                parameters: Vec::new(),
                outputs,
            });
        }
        let argument = self.argument(at, name, function, self.expr(&arguments[0], columns)?)?;
        let mut parameters = Vec::new();
        for parameter in &arguments[1..] {
            let value = self.expr(parameter, &[])?;
            match expr::fold_literal(value, ColumnType::Real) {
                Some(Literal::Real(Some(value))) => parameters.push(value),
                _ => return Err(KqlError::semantic(parameter.at, format!("{name}() takes a number here"))),
            }
        }
        let output_type = result_type(function, argument.column_type);
        let outputs = match function {
            A::Percentiles if arguments.len() > 2 => {
                let base = expr::natural_name(&arguments[0]).unwrap_or_default();
                let named = |level: &f64| (format!("percentile_{base}_{}", level_name(*level)), output_type);
                parameters.iter().map(named).collect()
            }
            _ => vec![(output, output_type)],
        };
        Ok(Aggregate { function, filter, arguments: vec![argument], parameters, outputs })
    }

    /// The argument of an aggregate as the type that it works on.
    fn argument(
        &self,
        at: usize,
        name: &str,
        function: AggregateFunction,
        argument: Typed,
    ) -> Result<Typed, KqlError> {
        use AggregateFunction as A;
        let input = argument.column_type;
        let is_number = input.is_numeric() || input == ColumnType::Dynamic;
        let wrong = |what: &str| Err(KqlError::semantic(at, format!("{name}() takes {what}, not a {input}")));
        match function {
            A::Sum | A::Avg if input == ColumnType::Dynamic => self.convert(at, argument, ColumnType::Real),
            A::Sum if !is_number && input != ColumnType::Timespan => wrong("a number or a timespan"),
            A::Avg if !is_number && !matches!(input, ColumnType::Timespan | ColumnType::DateTime) => {
                wrong("a number or a time")
            }
            A::StandardDeviation | A::StandardDeviationWhole | A::Variance | A::VarianceWhole => {
                if is_number { self.convert(at, argument, ColumnType::Real) } else { wrong("a number") }
            }
            A::Percentiles if !is_number && !matches!(input, ColumnType::Timespan | ColumnType::DateTime) => {
                wrong("a number or a time")
            }
            A::Percentiles if input == ColumnType::Dynamic => self.convert(at, argument, ColumnType::Real),
            A::MakeBag if input != ColumnType::Dynamic => wrong("a dynamic bag"),
            A::MakeList | A::MakeSet => self.convert(at, argument, ColumnType::Dynamic),
            A::Min | A::Max if input == ColumnType::Dynamic => self.convert(at, argument, ColumnType::Real),
            _ => Ok(argument),
        }
    }

    /// `arg_max(x, *)`, `take_any(a, b)`: values of one row.
    fn whole_rows(
        &self,
        function: AggregateFunction,
        item: &Named,
        arguments: &[Expr],
        columns: &[OutputColumn],
        keys: &[(String, Typed)],
    ) -> Result<Aggregate, KqlError> {
        let mut outputs = Vec::new();
        let mut values: Vec<Typed> = Vec::new();
        let measured = function != AggregateFunction::TakeAny;
        let name_of = |expr: &Expr| {
            let ExprKind::Call(name, _) = &item.expr.kind else { return None };
            let natural = expr::natural_name(expr)?;
            Some(if name == "any" { format!("any_{natural}") } else { natural })
        };
        for (index, expr) in arguments.iter().enumerate() {
            if matches!(expr.kind, ExprKind::Star) {
                let taken: Vec<usize> = values
                    .iter()
                    .filter_map(|value| match value.kind {
                        TypedKind::Column(index) => Some(index),
                        _ => None,
                    })
                    .collect();
                for (index, (name, column_type)) in columns.iter().enumerate() {
                    let is_key = keys.iter().any(|(key, _)| key == name);
                    if !taken.contains(&index) && !is_key && !crate::plan::is_hidden(name) {
                        let is_any = matches!(&item.expr.kind, ExprKind::Call(name, _) if name == "any");
                        let name = if is_any { format!("any_{name}") } else { name.clone() };
                        outputs.push((name, *column_type));
                        values.push(column(index, *column_type));
                    }
                }
                continue;
            }
            let value = self.expr(expr, columns)?;
            let given = if index == 0 { item.name.clone() } else { None };
            let fallback =
                if index == 0 && measured { "max_".to_owned() } else { format!("Column{}", index.max(1)) };
            outputs.push((given.or_else(|| name_of(expr)).unwrap_or(fallback), value.column_type));
            values.push(value);
        }
        if values.is_empty() {
            return Err(KqlError::semantic(
                item.expr.at,
                "arg_max needs what to maximise, then the columns to return",
            ));
        }
        Ok(Aggregate { function, filter: None, arguments: values, parameters: Vec::new(), outputs })
    }

    /// A constant of the type that an aggregate gives.
    pub(super) fn default_of(
        &self,
        at: usize,
        default: Option<&Expr>,
        column_type: ColumnType,
    ) -> Result<Typed, KqlError> {
        match default {
            Some(default) => self.convert(at, self.expr(default, &[])?, column_type),
            None => match column_type {
                ColumnType::Long => Ok(literal(Literal::Long(Some(0)))),
                ColumnType::Real => Ok(literal(Literal::Real(Some(0.0)))),
                other => Ok(literal(Literal::null(other))),
            },
        }
    }
}

/// What a summarize has found so far.
struct Collected<'c> {
    columns: &'c [OutputColumn],
    keys: &'c [(String, Typed)],
    aggregates: Vec<Aggregate>,
}

/// An item of a summarize.
enum Item {
    /// The aggregate of this number.
    Aggregate(usize),
    /// An expression of aggregates, by the names of [`internal`].
    Expression(Option<String>, Expr),
}

/// The name that no user can write of an aggregate's result.
fn internal(aggregate: usize, output: usize) -> String {
    format!("\u{1}aggregate{aggregate}_{output}")
}

/// A level of a percentile as names have it: `99_9`.
fn level_name(level: f64) -> String {
    level.to_string().replace('.', "_")
}

/// The name of the column that an aggregate makes.
pub(super) fn aggregate_name(name: &str, arguments: &[Expr]) -> Option<String> {
    let natural = |index: usize| arguments.get(index).and_then(expr::natural_name);
    let base = natural(0).unwrap_or_default();
    Some(match name {
        "arg_max" | "arg_min" | "take_any" => return natural(0),
        "make_list" | "makelist" | "make_list_if" => format!("list_{base}"),
        "make_set" | "makeset" | "make_set_if" => format!("set_{base}"),
        "make_bag" | "make_bag_if" => format!("bag_{base}"),
        "percentile" | "percentiles" => match arguments.get(1).map(|level| &level.kind) {
            Some(ExprKind::Literal(Literal::Long(Some(level)))) => format!("percentile_{base}_{level}"),
            Some(ExprKind::Literal(Literal::Real(Some(level)))) => {
                format!("percentile_{base}_{}", level_name(*level))
            }
            _ => format!("percentile_{base}"),
        },
        _ => format!("{name}_{base}"),
    })
}

fn result_type(function: AggregateFunction, input: ColumnType) -> ColumnType {
    use AggregateFunction as A;
    match function {
        A::Count | A::DCount => ColumnType::Long,
        A::Sum if input == ColumnType::Int => ColumnType::Long,
        A::Avg if matches!(input, ColumnType::Int | ColumnType::Long) => ColumnType::Real,
        A::MakeList | A::MakeSet | A::MakeBag => ColumnType::Dynamic,
        A::StandardDeviation | A::StandardDeviationWhole | A::Variance | A::VarianceWhole => ColumnType::Real,
        A::Sum | A::Avg | A::Min | A::Max | A::ArgMax | A::ArgMin | A::TakeAny | A::Percentiles => input,
    }
}
