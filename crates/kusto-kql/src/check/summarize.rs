//! The aggregates and group keys of a summarize.

use super::{Checker, column, expr};
use crate::ast::{ExprKind, Named};
use crate::plan::{Aggregate, OutputColumn, Step, Typed, TypedKind};
use crate::{AggregateFunction, KqlError};
use kusto_types::ColumnType;

impl Checker<'_> {
    pub(super) fn summarize(
        &self,
        at: usize,
        aggregates: &[Named],
        by: &[Named],
        columns: &[OutputColumn],
    ) -> Result<Step, KqlError> {
        let keys = if by.is_empty() { Vec::new() } else { self.named(by, columns, "Column")? };
        if let Some((name, key)) = keys.iter().find(|(_, key)| key.column_type == ColumnType::Dynamic) {
            let _ = key;
            return Err(KqlError::semantic(
                at,
                format!("group key {name} is dynamic; convert it, for instance with tostring()"),
            ));
        }
        let mut checked = Vec::with_capacity(aggregates.len());
        for item in aggregates {
            checked.push(self.aggregate(item, columns, &keys)?);
        }
        let mut names: Vec<&mut String> = checked
            .iter_mut()
            .flat_map(|aggregate: &mut Aggregate| aggregate.outputs.iter_mut().map(|output| &mut output.0))
            .collect();
        for index in 0..names.len() {
            let base = names[index].clone();
            let mut copy = 1;
            while names[..index].iter().any(|earlier| **earlier == *names[index])
                || keys.iter().any(|(key, _)| *key == *names[index])
            {
                *names[index] = format!("{base}{copy}");
                copy += 1;
            }
        }
        Ok(Step::Summarize { keys, aggregates: checked })
    }

    fn aggregate(
        &self,
        item: &Named,
        columns: &[OutputColumn],
        keys: &[(String, Typed)],
    ) -> Result<Aggregate, KqlError> {
        let at = item.expr.at;
        let ExprKind::Call(name, arguments) = &item.expr.kind else {
            return Err(KqlError::semantic(
                at,
                "expected an aggregate such as count(), sum(x) or arg_max(x, *)",
            ));
        };
        let Some(function) = AggregateFunction::parse(name) else {
            return Err(KqlError::semantic(
                at,
                format!(
                    "{name} is not an aggregate here; count, countif, sum, min, max, avg, dcount, arg_max, arg_min and take_any are"
                ),
            ));
        };
        if matches!(function, AggregateFunction::ArgMax | AggregateFunction::ArgMin) {
            return self.arg_extreme(function, item, arguments, columns, keys);
        }
        let wanted = match function {
            AggregateFunction::Count => 0..=1,
            AggregateFunction::DCount => 1..=2,
            _ => 1..=1,
        };
        if !wanted.contains(&arguments.len()) {
            return Err(KqlError::semantic(
                at,
                format!("{name}() does not take {} arguments", arguments.len()),
            ));
        }
        if function == AggregateFunction::Count {
            let output = item.name.clone().unwrap_or_else(|| "count_".to_owned());
            return Ok(Aggregate {
                function,
                arguments: Vec::new(),
                outputs: vec![(output, ColumnType::Long)],
            });
        }
        let mut argument = self.expr(&arguments[0], columns)?;
        if function == AggregateFunction::CountIf {
            argument = self.convert(at, argument, ColumnType::Bool)?;
        }
        let input = argument.column_type;
        let is_sum = matches!(function, AggregateFunction::Sum | AggregateFunction::Avg);
        if is_sum && !(input.is_numeric() || input == ColumnType::Timespan || input == ColumnType::Dynamic) {
            return Err(KqlError::semantic(
                at,
                format!("{name}() takes a number or a timespan, not a {input}"),
            ));
        }
        if is_sum && input == ColumnType::Dynamic {
            argument = self.convert(at, argument, ColumnType::Real)?;
        }
        let input = argument.column_type;
        let output_type = match function {
            AggregateFunction::Count | AggregateFunction::CountIf | AggregateFunction::DCount => {
                ColumnType::Long
            }
            AggregateFunction::Sum if input == ColumnType::Int => ColumnType::Long,
            AggregateFunction::Avg if matches!(input, ColumnType::Int | ColumnType::Long) => ColumnType::Real,
            _ => input,
        };
        let output = item.name.clone().unwrap_or_else(|| match expr::natural_name(&arguments[0]) {
            Some(argument) => format!("{name}_{argument}"),
            None => format!("{name}_"),
        });
        Ok(Aggregate { function, arguments: vec![argument], outputs: vec![(output, output_type)] })
    }

    fn arg_extreme(
        &self,
        function: AggregateFunction,
        item: &Named,
        arguments: &[crate::ast::Expr],
        columns: &[OutputColumn],
        keys: &[(String, Typed)],
    ) -> Result<Aggregate, KqlError> {
        let Some((measure, rest)) = arguments.split_first() else {
            return Err(KqlError::semantic(
                item.expr.at,
                "arg_max needs what to maximise, then the columns to return",
            ));
        };
        let value = self.expr(measure, columns)?;
        let measure_column = if let TypedKind::Column(index) = value.kind { Some(index) } else { None };
        let name =
            item.name.clone().or_else(|| expr::natural_name(measure)).unwrap_or_else(|| "max_".to_owned());
        let mut outputs = vec![(name, value.column_type)];
        let mut values = vec![value];
        for expr in rest {
            if matches!(expr.kind, ExprKind::Star) {
                for (index, (name, column_type)) in columns.iter().enumerate() {
                    let is_key = keys.iter().any(|(key, _)| key == name);
                    if Some(index) != measure_column && !is_key {
                        outputs.push((name.clone(), *column_type));
                        values.push(column(index, *column_type));
                    }
                }
            } else {
                let value = self.expr(expr, columns)?;
                outputs.push((
                    expr::natural_name(expr).unwrap_or_else(|| "Column1".to_owned()),
                    value.column_type,
                ));
                values.push(value);
            }
        }
        Ok(Aggregate { function, arguments: values, outputs })
    }
}
