//! The operators of a pipeline, as steps over known columns.

use super::{Checker, expr, hidden, outputs, plan_of, themselves, visible};
use crate::ast::{Named, Nulls, Operator, Order, Parse, ParseKind, ParsePiece, Reorder, SortKey};
use crate::plan::{Aggregate, Expand, ItemIndex, Key, OutputColumn, Parsed, Plan, PlanSource, Step, Typed};
use crate::{AggregateFunction, KqlError, Literal};
use kusto_types::ColumnType;

impl Checker<'_> {
    pub(super) fn steps(&self, mut plan: Plan, operators: &[(usize, Operator)]) -> Result<Plan, KqlError> {
        for (at, operator) in operators {
            plan = self.step(plan, *at, operator)?;
        }
        Ok(plan)
    }

    fn step(&self, mut plan: Plan, at: usize, operator: &Operator) -> Result<Plan, KqlError> {
        let columns = plan.output.clone();
        match operator {
            Operator::Where(condition) => {
                let condition = self.expr(condition, &columns)?;
                plan.steps.push(Step::Filter(self.convert(at, condition, ColumnType::Bool)?));
            }
            Operator::Project(items) => project(&mut plan, self.named(items, &columns, "Column")?),
            Operator::Extend(items) => {
                let mut all = themselves(&columns);
                for (name, value) in self.extended(items, &columns)? {
                    match all.iter_mut().find(|(existing, _)| *existing == name) {
                        Some(slot) => slot.1 = value,
                        None => all.push((name, value)),
                    }
                }
                project(&mut plan, all);
            }
            Operator::ProjectAway(patterns) => {
                let chosen = self.chosen(at, patterns, &columns)?;
                let kept = visible(&columns).into_iter().filter(|(name, _)| !chosen.contains(name));
                project(&mut plan, kept.chain(hidden(&columns)).collect());
            }
            Operator::ProjectKeep(patterns) => {
                let chosen = self.chosen(at, patterns, &columns)?;
                let kept = visible(&columns).into_iter().filter(|(name, _)| chosen.contains(name));
                project(&mut plan, kept.chain(hidden(&columns)).collect());
            }
            Operator::ProjectRename(renames) => {
                let mut all = themselves(&columns);
                for (new, old) in renames {
                    match all.iter_mut().find(|(name, _)| name == old) {
                        Some(slot) => slot.0.clone_from(new),
                        None => return Err(self.unknown_column(at, old, &columns)),
                    }
                }
                unique(at, &all)?;
                project(&mut plan, all);
            }
            Operator::ProjectReorder(reorders) => {
                let ordered = self.reordered(at, reorders, &columns)?;
                project(&mut plan, ordered.into_iter().chain(hidden(&columns)).collect());
            }
            Operator::Summarize { aggregates, by } => self.summarize(&mut plan, at, aggregates, by)?,
            Operator::Sort(keys) => plan.steps.push(Step::Sort(self.keys(keys, &columns)?, None)),
            Operator::Top(count, keys) => {
                let count = self.row_count(at, count)?;
                plan.steps.push(Step::Sort(self.keys(keys, &columns)?, Some(count)));
            }
            Operator::Take(count) => plan.steps.push(Step::Take(self.row_count(at, count)?)),
            Operator::Count => {
                let aggregate = Aggregate {
                    function: AggregateFunction::Count,
                    filter: None,
                    arguments: Vec::new(),
                    parameters: Vec::new(),
                    outputs: vec![("Count".to_owned(), ColumnType::Long)],
                };
                plan.output = aggregate.outputs.clone();
                plan.steps.push(Step::Summarize { keys: Vec::new(), aggregates: vec![aggregate] });
            }
            Operator::Distinct(items) => {
                let keys =
                    if items.is_empty() { visible(&columns) } else { self.named(items, &columns, "Column")? };
                plan.output = outputs(&keys);
                plan.steps.push(Step::Summarize { keys, aggregates: Vec::new() });
            }
            Operator::Join { kind, right_keys, right, on } => {
                return self.join(plan, at, *kind, *right_keys, right, on);
            }
            Operator::Union(union) => return self.union(Some(plan), union),
            Operator::MvExpand { items, with_item_index, limit } => {
                self.mv_expand(&mut plan, at, items, with_item_index.as_deref(), limit.as_ref())?;
            }
            Operator::Parse(parse) => self.parse(&mut plan, at, parse)?,
            Operator::MakeSeries(series) => self.make_series(&mut plan, at, series)?,
            Operator::GetSchema => return Ok(schema_rows(&columns)),
            Operator::As(_) => {}
            Operator::Render(visualization) => plan.visualization = Some(visualization.clone()),
        }
        Ok(plan)
    }

    pub(super) fn row_count(&self, at: usize, expr: &crate::ast::Expr) -> Result<usize, KqlError> {
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
                let value = self.expr(&key.expr, columns)?;
                if value.column_type == ColumnType::Dynamic {
                    return Err(KqlError::semantic(
                        key.expr.at,
                        "rows cannot be sorted by a dynamic value; convert it, for instance with tostring()",
                    ));
                }
                Ok(Key { value, order: key.order, nulls })
            })
            .collect()
    }

    /// The columns that patterns name; a name without a star must be there.
    fn chosen(
        &self,
        at: usize,
        patterns: &[String],
        columns: &[OutputColumn],
    ) -> Result<Vec<String>, KqlError> {
        let mut chosen = Vec::new();
        for pattern in patterns {
            let found: Vec<String> = visible(columns)
                .into_iter()
                .map(|(name, _)| name)
                .filter(|name| matches_pattern(pattern, name))
                .collect();
            if found.is_empty() && !pattern.contains('*') {
                return Err(self.unknown_column(at, pattern, columns));
            }
            chosen.extend(found);
        }
        Ok(chosen)
    }

    fn reordered(
        &self,
        at: usize,
        reorders: &[Reorder],
        columns: &[OutputColumn],
    ) -> Result<Vec<(String, Typed)>, KqlError> {
        let mut left = visible(columns);
        let mut first = Vec::new();
        for reorder in reorders {
            let mut names = self.chosen(at, std::slice::from_ref(&reorder.pattern), columns)?;
            match reorder.order {
                Some(Order::Ascending) => names.sort(),
                Some(Order::Descending) => names.sort_by(|a, b| b.cmp(a)),
                None => {}
            }
            for name in names {
                if let Some(index) = left.iter().position(|(column, _)| *column == name) {
                    first.push(left.remove(index));
                }
            }
        }
        first.extend(left);
        Ok(first)
    }

    fn mv_expand(
        &self,
        plan: &mut Plan,
        at: usize,
        items: &[crate::ast::Expanded],
        with_item_index: Option<&str>,
        limit: Option<&crate::ast::Expr>,
    ) -> Result<(), KqlError> {
        let columns = plan.output.clone();
        let mut expanded = Vec::new();
        let mut names: Vec<(String, usize)> = Vec::new();
        for item in items {
            let (name, value) = self
                .named(std::slice::from_ref(&item.item), &columns, "Column")?
                .pop()
                .ok_or_else(|| KqlError::semantic(at, "mv-expand needs a column"))?;
            if value.column_type != ColumnType::Dynamic {
                return Err(KqlError::semantic(
                    item.item.expr.at,
                    format!("mv-expand takes a dynamic array or bag, {name} is {}", value.column_type),
                ));
            }
            names.push((name, columns.len() + expanded.len()));
            expanded.push((value, item.to.unwrap_or(ColumnType::Dynamic)));
        }
        let limit = limit.map_or(Ok(usize::MAX), |limit| self.row_count(at, limit))?;
        let mut all = themselves(&columns);
        for ((name, index), (_, column_type)) in names.into_iter().zip(&expanded) {
            let value = super::column(index, *column_type);
            match all.iter_mut().find(|(existing, _)| *existing == name) {
                Some(slot) => slot.1 = value,
                None => all.push((name, value)),
            }
        }
        let item_index = match with_item_index {
            Some(name) => {
                let number = super::column(columns.len() + expanded.len(), ColumnType::Long);
                all.push((name.to_owned(), number));
                ItemIndex::Column
            }
            None => ItemIndex::Absent,
        };
        unique(at, &all)?;
        plan.steps.push(Step::Expand(Expand { items: expanded, item_index, limit }));
        project(plan, all);
        Ok(())
    }

    fn parse(&self, plan: &mut Plan, at: usize, parse: &Parse) -> Result<(), KqlError> {
        let columns = plan.output.clone();
        let value = self.expr(&parse.value, &columns)?;
        let value = self.convert(at, value, ColumnType::String)?;
        let mut pattern = String::from("(?s)^");
        let mut types = Vec::new();
        let mut all = themselves(&columns);
        let count = parse.pieces.len();
        for (index, piece) in parse.pieces.iter().enumerate() {
            let is_last = index + 1 == count;
            match piece {
                ParsePiece::Any => pattern.push_str(if is_last { ".*" } else { ".*?" }),
                ParsePiece::Text(text) if parse.kind == ParseKind::Regex => {
                    pattern.push_str(&format!("(?:{text})"));
                }
                ParsePiece::Text(text) => pattern.push_str(&escaped(text)),
                ParsePiece::Column(name, column_type) => {
                    pattern.push_str(match (column_type, parse.kind) {
                        // Numbers end where their digits do.
                        (ColumnType::Int | ColumnType::Long, ParseKind::Simple | ParseKind::Regex) => {
                            "(-?[0-9]+)"
                        }
                        (ColumnType::Real | ColumnType::Decimal, ParseKind::Simple | ParseKind::Regex) => {
                            "(-?[0-9]+(?:\\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)"
                        }
                        _ if is_last => "(.*)",
                        _ => "(.*?)",
                    });
                    let value = super::column(columns.len() + types.len(), *column_type);
                    match all.iter_mut().find(|(existing, _)| existing == name) {
                        Some(slot) => slot.1 = value,
                        None => all.push((name.clone(), value)),
                    }
                    types.push(*column_type);
                }
            }
        }
        // What stands behind the last piece does not matter.
        plan.steps.push(Step::Parse(Box::new(Parsed {
            value,
            pattern,
            columns: types,
            kind: parse.kind,
            unmatched: parse.unmatched,
        })));
        project(plan, all);
        Ok(())
    }

    /// The items of `extend`: by their own names, by those of the columns that they show (which
    /// they replace), or by numbered ones.
    fn extended(&self, items: &[Named], columns: &[OutputColumn]) -> Result<Vec<(String, Typed)>, KqlError> {
        let mut result: Vec<(String, Typed)> = Vec::with_capacity(items.len());
        let mut number = 0;
        for item in items {
            let value = self.expr(&item.expr, columns)?;
            let name = item.name.clone().or_else(|| expr::natural_name(&item.expr)).unwrap_or_else(|| {
                number += 1;
                format!("Column{number}")
            });
            match result.iter_mut().find(|(made, _)| *made == name) {
                Some(_) if item.name.is_some() => {
                    return Err(KqlError::semantic(
                        item.expr.at,
                        format!("there would be two columns named {name}"),
                    ));
                }
                Some(made) => made.1 = value,
                None => result.push((name, value)),
            }
        }
        Ok(result)
    }

    /// Checks items and gives each a name: its own, the column's, or a numbered one.
    pub(super) fn named(
        &self,
        items: &[Named],
        columns: &[OutputColumn],
        prefix: &str,
    ) -> Result<Vec<(String, Typed)>, KqlError> {
        let mut unnamed = usize::from(prefix == "Column");
        let mut result: Vec<(String, Typed)> = Vec::with_capacity(items.len());
        for (position, item) in items.iter().enumerate() {
            if matches!(item.expr.kind, crate::ast::ExprKind::Star) {
                result.extend(visible(columns));
                continue;
            }
            let value = self.expr(&item.expr, columns)?;
            let natural = item.name.clone().or_else(|| expr::natural_name(&item.expr));
            let name = match natural {
                Some(name) if prefix == "Column" || item.name.is_some() => name,
                _ if prefix == "Column" => {
                    unnamed += 1;
                    format!("{prefix}{}", unnamed - 1)
                }
                _ => format!("{prefix}{position}"),
            };
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
}

/// Adds a projection to these columns.
pub(super) fn project(plan: &mut Plan, columns: Vec<(String, Typed)>) {
    plan.output = outputs(&columns);
    plan.steps.push(Step::Project(columns));
}

/// A text as a regular expression that matches only it.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii() && !c.is_ascii_alphanumeric() && !c.is_ascii_whitespace() {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

fn unique(at: usize, columns: &[(String, Typed)]) -> Result<(), KqlError> {
    for (index, (name, _)) in columns.iter().enumerate() {
        if columns[..index].iter().any(|(earlier, _)| earlier == name) {
            return Err(KqlError::semantic(at, format!("there would be two columns named {name}")));
        }
    }
    Ok(())
}

/// Whether a name is one that a pattern means; `*` stands for any characters.
pub(super) fn matches_pattern(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// What `getschema` gives: a row a column.
fn schema_rows(columns: &[OutputColumn]) -> Plan {
    let shown = columns.iter().filter(|(name, _)| !crate::plan::is_hidden(name));
    let rows = shown.enumerate().map(|(ordinal, (name, column_type))| {
        vec![
            Literal::String(name.clone()),
            Literal::Long(Some(ordinal as i64)),
            Literal::String(column_type.clr_name().to_owned()),
            Literal::String(column_type.kql_name().to_owned()),
        ]
    });
    plan_of(
        PlanSource::Rows(rows.collect()),
        vec![
            ("ColumnName".to_owned(), ColumnType::String),
            ("ColumnOrdinal".to_owned(), ColumnType::Long),
            ("DataType".to_owned(), ColumnType::String),
            ("ColumnType".to_owned(), ColumnType::String),
        ],
    )
}
