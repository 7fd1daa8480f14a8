//! Pipelines put together: join, lookup and union.

use super::operators::{matches_pattern, project};
use super::{Binding, Checker, column, literal, plan_of, shown, themselves};
use crate::ast::{Expr, ExprKind, JoinKind, Pipeline, RightKeys, Source, Union, UnionColumns};
use crate::plan::{Join, OutputColumn, Plan, PlanSource, Step, Typed, TypedKind};
use crate::{KqlError, Literal};
use kusto_types::ColumnType;

/// One condition of a join: an expression of each side.
type Sides = (Typed, Typed);

impl Checker<'_> {
    pub(super) fn join(
        &self,
        left: Plan,
        at: usize,
        kind: JoinKind,
        shown_keys: RightKeys,
        right: &Pipeline,
        on: &[Expr],
    ) -> Result<Plan, KqlError> {
        let mut plan = shown(left);
        let right = shown(self.pipeline(right)?);
        let (left_columns, right_columns) = (plan.output.clone(), right.output.clone());
        let mut sides = Vec::new();
        for condition in on {
            self.condition(condition, &left_columns, &right_columns, &mut sides)?;
        }
        let (left_keys, right_keys): (Vec<Typed>, Vec<Typed>) = sides.into_iter().unzip();
        let hidden_keys: Vec<usize> = match shown_keys {
            RightKeys::Shown => Vec::new(),
            RightKeys::Hidden => right_keys.iter().filter_map(column_of).collect(),
        };
        let mut all = Vec::new();
        let offset = left_columns.len();
        if !matches!(kind, JoinKind::RightSemi | JoinKind::RightAnti) {
            all.extend(themselves(&left_columns));
        }
        if !matches!(kind, JoinKind::LeftSemi | JoinKind::LeftAnti) {
            let kept = right_columns.iter().enumerate().filter(|(index, _)| !hidden_keys.contains(index));
            for (index, (name, column_type)) in kept {
                let mut unique = name.clone();
                let mut copy = 1;
                while all.iter().any(|(existing, _)| *existing == unique) {
                    unique = format!("{name}{copy}");
                    copy += 1;
                }
                all.push((unique, column(offset + index, *column_type)));
            }
        }
        if left_keys.is_empty() {
            return Err(KqlError::semantic(at, "a join needs a key"));
        }
        plan.visualization = None;
        plan.steps.push(Step::Join(Box::new(Join {
            kind,
            right,
            left_keys,
            right_keys,
            left: left_columns,
        })));
        project(&mut plan, all);
        Ok(plan)
    }

    /// `key`, `$left.a == $right.b`, or several of them joined by `and`.
    fn condition(
        &self,
        condition: &Expr,
        left: &[OutputColumn],
        right: &[OutputColumn],
        sides: &mut Vec<Sides>,
    ) -> Result<(), KqlError> {
        let at = condition.at;
        let wrong = || {
            KqlError::semantic(
                at,
                "a join is on columns of both sides, or on $left.a == $right.b; other conditions go into where",
            )
        };
        let (a, b) = match &condition.kind {
            ExprKind::Call(name, both) if name == "and" => {
                return both.iter().try_for_each(|one| self.condition(one, left, right, sides));
            }
            ExprKind::Name(_) => (self.expr(condition, left)?, self.expr(condition, right)?),
            ExprKind::Call(name, both) if name == "==" && both.len() == 2 => {
                let side = |wanted: &str| both.iter().find_map(|expr| side_of(expr, wanted));
                let (Some(a), Some(b)) = (side("$left"), side("$right")) else { return Err(wrong()) };
                (self.expr(&named(at, a), left)?, self.expr(&named(at, b), right)?)
            }
            _ => return Err(wrong()),
        };
        if a.column_type == ColumnType::Dynamic || b.column_type == ColumnType::Dynamic {
            return Err(KqlError::semantic(
                at,
                "a join key is dynamic; convert it, for instance with tostring()",
            ));
        }
        sides.push(self.comparable(at, a, b)?);
        Ok(())
    }

    pub(super) fn union(&self, first: Option<Plan>, union: &Union) -> Result<Plan, KqlError> {
        let mut parts: Vec<(String, Plan)> = Vec::new();
        if let Some(first) = first {
            let name = match (&first.source, first.steps.is_empty()) {
                (PlanSource::Table { table, .. }, true) => table.clone(),
                _ => "union_arg0".to_owned(),
            };
            parts.push((name, shown(first)));
        }
        for pipeline in &union.parts {
            self.union_part(pipeline, &mut parts)?;
        }
        let mut columns: Vec<(String, Vec<ColumnType>)> = Vec::new();
        for (name, column_type) in parts.iter().flat_map(|(_, part)| &part.output) {
            match columns.iter_mut().find(|(existing, _)| existing == name) {
                Some((_, types)) if types.contains(column_type) => {}
                Some((_, types)) => types.push(*column_type),
                None => columns.push((name.clone(), vec![*column_type])),
            }
        }
        // A name with several types becomes a column for each.
        let mut target: Vec<(String, OutputColumn)> = Vec::new();
        for (name, types) in columns {
            for column_type in &types {
                let source = (name.clone(), *column_type);
                let everywhere = parts.iter().all(|(_, part)| part.output.contains(&source));
                if union.columns == UnionColumns::Inner && !everywhere {
                    continue;
                }
                let output = if types.len() == 1 { name.clone() } else { format!("{name}_{column_type}") };
                target.push((output, source));
            }
        }
        let align = |(name, mut part): (String, Plan)| {
            let mut aligned: Vec<(String, Typed)> = Vec::new();
            if let Some(with_source) = &union.with_source {
                aligned.push((with_source.clone(), literal(Literal::String(name))));
            }
            for (output, source) in &target {
                let value = match part.output.iter().position(|column| column == source) {
                    Some(index) => column(index, source.1),
                    None => literal(Literal::null(source.1)),
                };
                aligned.push((output.clone(), value));
            }
            part.visualization = None;
            project(&mut part, aligned);
            part
        };
        let plans: Vec<Plan> = parts.into_iter().map(align).collect();
        let input = plans.first().map(|plan| plan.output.clone()).unwrap_or_default();
        Ok(plan_of(PlanSource::Union(plans), input))
    }

    fn union_part(&self, pipeline: &Pipeline, parts: &mut Vec<(String, Plan)>) -> Result<(), KqlError> {
        if let (Source::Table { database: None, table, at }, true) =
            (&pipeline.source, pipeline.operators.is_empty())
        {
            if table.contains('*') {
                let mut names = self.scope.table_names();
                names.retain(|name| matches_pattern(table, name));
                names.sort();
                if names.is_empty() {
                    return Err(KqlError::semantic(*at, format!("no table is named like {table}")));
                }
                for name in names {
                    let source = Source::Table { database: None, table: name.clone(), at: *at };
                    let plan = self.pipeline(&Pipeline { source, operators: Vec::new() })?;
                    parts.push((name, shown(plan)));
                }
                return Ok(());
            }
            let is_stored = !matches!(self.names.get(table), Some(Binding::Tabular(_)));
            let name = if is_stored { table.clone() } else { format!("union_arg{}", parts.len()) };
            parts.push((name, shown(self.pipeline(pipeline)?)));
            return Ok(());
        }
        let name = format!("union_arg{}", parts.len());
        parts.push((name, shown(self.pipeline(pipeline)?)));
        Ok(())
    }
}

/// `$left.name` or `$right.name`.
fn side_of<'e>(expr: &'e Expr, side: &str) -> Option<&'e str> {
    let ExprKind::Member(object, key) = &expr.kind else { return None };
    match (&object.kind, &key.kind) {
        (ExprKind::Name(name), ExprKind::Literal(Literal::String(key))) if name == side => Some(key),
        _ => None,
    }
}

fn named(at: usize, name: &str) -> Expr {
    Expr { at, kind: ExprKind::Name(name.to_owned()) }
}

fn column_of(value: &Typed) -> Option<usize> {
    match &value.kind {
        TypedKind::Column(index) => Some(*index),
        _ => None,
    }
}
