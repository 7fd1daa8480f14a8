//! make-series: a summarize by bins of the axis, then arrays of it.

use super::operators::project;
use super::{Checker, column, outputs};
use crate::ast::{Expr, ExprKind, MakeSeries, Named};
use crate::plan::{Plan, Series, Step};
use crate::{Function, KqlError};
use kusto_types::ColumnType;

impl Checker<'_> {
    pub(super) fn make_series(
        &self,
        plan: &mut Plan,
        at: usize,
        series: &MakeSeries,
    ) -> Result<(), KqlError> {
        let columns = plan.output.clone();
        let keys = self.named(&series.by, &columns, "Column")?;
        let (axis_name, axis) = self
            .named(std::slice::from_ref(&series.axis), &columns, "Column")?
            .pop()
            .ok_or_else(|| KqlError::semantic(at, "make-series needs an axis"))?;
        let axis_type = match axis.column_type {
            ColumnType::Int | ColumnType::Long => ColumnType::Long,
            other @ (ColumnType::Real | ColumnType::DateTime | ColumnType::Timespan) => other,
            other => return Err(KqlError::semantic(at, format!("make-series has no axis of {other}"))),
        };
        let distance = if axis_type == ColumnType::DateTime { ColumnType::Timespan } else { axis_type };
        let axis = self.convert(at, axis, axis_type)?;
        let step = self.convert(at, self.expr(&series.step, &[])?, distance)?;
        let bound = |expr: &Expr| self.convert(at, self.expr(expr, &[])?, axis_type);
        let bounds = match &series.bounds {
            Some((from, to)) => Some((bound(from)?, bound(to)?)),
            None => None,
        };
        if let Some((from, to)) = &bounds {
            let inside = vec![
                self.compare(at, ">=", axis.clone(), from.clone())?,
                self.compare(at, "<", axis.clone(), to.clone())?,
            ];
            let inside = super::expr::call(Function::And, inside, ColumnType::Bool);
            plan.steps.push(Step::Filter(inside));
        }
        // Bins count from the first value, or from zero when there is none.
        let bin = match &bounds {
            Some((from, _)) => self.bin_at(axis, step.clone(), from.clone()),
            None => super::expr::call(Function::Bin, vec![axis, step.clone()], axis_type),
        };
        let mut aggregates = Vec::new();
        let mut defaults = Vec::new();
        for (item, default) in &series.aggregates {
            let ExprKind::Call(..) = &item.expr.kind else {
                return Err(KqlError::semantic(item.expr.at, "make-series takes aggregates"));
            };
            let named = Named { name: item.name.clone(), expr: item.expr.clone() };
            let aggregate = self.aggregate(&named, &columns, &keys)?;
            let [(_, column_type)] = &aggregate.outputs[..] else {
                return Err(KqlError::semantic(item.expr.at, "make-series takes aggregates of one value"));
            };
            defaults.push(self.default_of(at, default.as_ref(), *column_type)?);
            aggregates.push(aggregate);
        }
        let mut all = outputs(&keys);
        all.extend(aggregates.iter().map(|aggregate| (aggregate.outputs[0].0.clone(), ColumnType::Dynamic)));
        all.push((axis_name.clone(), ColumnType::Dynamic));
        let count = keys.len();
        let mut grouped = keys;
        grouped.push((axis_name, bin));
        plan.steps.push(Step::Summarize { keys: grouped, aggregates });
        let series = Series { keys: count, bounds, step, axis: axis_type, defaults };
        plan.steps.push(Step::Series(Box::new(series)));
        let shown = all.iter().enumerate();
        let shown = shown.map(|(index, (name, column_type))| (name.clone(), column(index, *column_type)));
        project(plan, shown.collect());
        Ok(())
    }

    /// `bin_at(value, step, point)`: bins that a point begins one of.
    fn bin_at(
        &self,
        value: crate::plan::Typed,
        step: crate::plan::Typed,
        point: crate::plan::Typed,
    ) -> crate::plan::Typed {
        let column_type = value.column_type;
        super::expr::call(Function::BinAt, vec![value, step, point], column_type)
    }
}
