//! Runs a checked plan. `run/pipeline.rs` sends chunks through the steps, the other files
//! are the steps that hold rows: joins, expansions, series.

mod expand;
mod join;
mod parse;
mod pipeline;
mod series;

use crate::eval::{eval, json_rows, literal_array, value_at};
use crate::{Chunk, EngineError, ExtentScan};
use arrow_array::Array;
use arrow_select::concat::concat;
use kusto_kql::Literal;
use kusto_kql::ast::Visualization;
use kusto_kql::plan::{OutputColumn, Plan, PlanSource, Typed, Values};
use kusto_types::ColumnType;
use pipeline::{Pipeline, needed_columns};
use serde_json::Value;
use std::collections::HashSet;

/// Bounds of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryLimits {
    /// Most rows.
    pub rows: usize,
    /// Most bytes of arrays.
    pub bytes: usize,
}

impl QueryLimits {
    /// Kusto's defaults: 500,000 rows, 64 MB.
    pub const KUSTO: Self = Self { rows: 500_000, bytes: 64 * 1024 * 1024 };
    /// No bound, as with the request option `notruncation`.
    pub const NONE: Self = Self { rows: usize::MAX, bytes: usize::MAX };
}

/// Most bytes that a step may hold before a query is refused.
pub(crate) const MEMORY: usize = 1024 * 1024 * 1024;

/// A finished result.
#[derive(Debug, Clone)]
pub struct QueryResult {
    /// Its columns.
    pub columns: Vec<OutputColumn>,
    /// Its rows, in chunks.
    pub chunks: Vec<Chunk>,
    /// How it is to be shown, if the query says.
    pub visualization: Option<Visualization>,
}

impl QueryResult {
    /// The rows in Kusto's JSON encoding.
    pub fn json_rows(&self) -> Vec<Vec<Value>> {
        self.chunks.iter().flat_map(|chunk| json_rows(chunk, &self.columns)).collect()
    }

    /// How many rows.
    pub fn rows(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.rows).sum()
    }
}

/// What a plan reads, and whether it may go on.
pub trait Tables {
    /// The extents of a stored table.
    fn scan(&self, database: Option<&str>, table: &str) -> Result<ExtentScan, EngineError>;

    /// Asked between chunks: an error ends the run.
    fn go_on(&self) -> Result<(), EngineError> {
        Ok(())
    }
}

impl<F: Fn(Option<&str>, &str) -> Result<ExtentScan, EngineError>> Tables for F {
    fn scan(&self, database: Option<&str>, table: &str) -> Result<ExtentScan, EngineError> {
        self(database, table)
    }
}

/// Takes chunks one by one; says whether more are wanted.
type Sink<'s> = dyn FnMut(Chunk) -> Result<bool, EngineError> + 's;

/// Runs a plan; `tables` gives the extents of a stored table.
pub fn run_plan(plan: &Plan, limits: QueryLimits, tables: &dyn Tables) -> Result<QueryResult, EngineError> {
    let plan = resolved(plan, tables)?;
    let mut result = Limited::new(limits);
    execute(&plan, tables, &mut |chunk| result.take(chunk))?;
    Ok(result.finish(&plan))
}

/// Runs a plan that was piped behind a command, over the command's rows.
pub fn run_plan_over(
    plan: &Plan,
    rows: &[Vec<Literal>],
    limits: QueryLimits,
    tables: &dyn Tables,
) -> Result<QueryResult, EngineError> {
    let plan = resolved(plan, tables)?;
    let mut result = Limited::new(limits);
    let mut pipeline = Pipeline::new(&plan, tables)?;
    let chunk = literal_rows(&plan.input, rows)?;
    let mut sink = |chunk| result.take(chunk);
    pipeline.push(0, chunk, &mut sink)?;
    pipeline.finish(&mut sink)?;
    Ok(result.finish(&plan))
}

/// Collects a result within bounds.
struct Limited {
    limits: QueryLimits,
    chunks: Vec<Chunk>,
    rows: usize,
    bytes: usize,
}

impl Limited {
    fn new(limits: QueryLimits) -> Self {
        Self { limits, chunks: Vec::new(), rows: 0, bytes: 0 }
    }

    fn take(&mut self, chunk: Chunk) -> Result<bool, EngineError> {
        self.rows += chunk.rows;
        self.bytes += memory(&chunk);
        if self.rows > self.limits.rows {
            return Err(EngineError::ResultTooLarge { limit: format!("{} rows", self.limits.rows) });
        }
        if self.bytes > self.limits.bytes.saturating_mul(4) {
            return Err(EngineError::ResultTooLarge { limit: format!("{} bytes", self.limits.bytes) });
        }
        self.chunks.push(chunk);
        Ok(true)
    }

    fn finish(self, plan: &Plan) -> QueryResult {
        QueryResult {
            columns: plan.output.clone(),
            chunks: self.chunks,
            visualization: plan.visualization.clone(),
        }
    }
}

/// Bytes of a chunk's arrays.
fn memory(chunk: &Chunk) -> usize {
    chunk.columns.iter().map(|column| column.get_array_memory_size()).sum()
}

/// Sends the rows of a plan to a sink.
fn execute(plan: &Plan, tables: &dyn Tables, sink: &mut Sink<'_>) -> Result<(), EngineError> {
    let mut pipeline = Pipeline::new(plan, tables)?;
    match &plan.source {
        PlanSource::Table { database, table } => {
            let needed = needed_columns(plan);
            let scan = tables.scan(database.as_deref(), table)?;
            scan.read(&needed, &mut |chunk| {
                tables.go_on()?;
                pipeline.push(0, chunk, sink)
            })?;
        }
        PlanSource::Rows(rows) => {
            pipeline.push(0, literal_rows(&plan.input, rows)?, sink)?;
        }
        PlanSource::Range(bounds) => range(bounds, &mut |chunk| {
            tables.go_on()?;
            pipeline.push(0, chunk, sink)
        })?,
        PlanSource::Union(parts) => {
            let mut wanted = true;
            for part in parts {
                if !wanted {
                    break;
                }
                execute(part, tables, &mut |chunk| {
                    wanted = pipeline.push(0, chunk, sink)?;
                    Ok(wanted)
                })?;
            }
        }
        PlanSource::Given => {
            return Err(EngineError::Evaluation("the plan needs the rows of a command".to_owned()));
        }
    }
    pipeline.finish(sink)
}

/// The rows of a plan as one chunk, at most [`MEMORY`] bytes.
fn collect(plan: &Plan, tables: &dyn Tables) -> Result<Chunk, EngineError> {
    let mut chunks = Vec::new();
    let mut bytes = 0;
    execute(plan, tables, &mut |chunk| {
        bytes += memory(&chunk);
        if bytes > MEMORY {
            return Err(EngineError::Evaluation(
                "the right side of a join needs more than 1 GiB of memory; put the smaller side there"
                    .to_owned(),
            ));
        }
        chunks.push(chunk);
        Ok(true)
    })?;
    match joined(&chunks)? {
        Some(chunk) => Ok(chunk),
        None => literal_rows(&plan.output, &[]),
    }
}

/// A plan whose expressions need no other plan.
fn resolved(plan: &Plan, tables: &dyn Tables) -> Result<Plan, EngineError> {
    /// Most values of an `in (rows)`, as on a cluster.
    const MOST: usize = 1_000_000;
    let mut plan = plan.clone();
    plan.resolve(&|inner: &Plan, wanted: Values| {
        let column_type = inner.output.first().map_or(ColumnType::String, |(_, column_type)| *column_type);
        let mut values = Vec::new();
        let mut seen = HashSet::new();
        execute(inner, tables, &mut |chunk| {
            for row in 0..chunk.rows {
                let literal = value_at(&chunk.columns[0], column_type, row);
                if wanted == Values::First {
                    values.push(literal);
                    return Ok(false);
                }
                if !chunk.columns[0].is_null(row) && seen.insert(format!("{literal:?}")) {
                    values.push(literal);
                }
            }
            if values.len() > MOST {
                return Err(EngineError::Evaluation(format!(
                    "in takes at most {MOST} values of rows; use a join instead"
                )));
            }
            Ok(true)
        })?;
        Ok::<_, EngineError>(values)
    })?;
    Ok(plan)
}

/// Equally distant values, in chunks.
fn range(bounds: &[Typed; 3], sink: &mut Sink<'_>) -> Result<(), EngineError> {
    let one = Chunk { rows: 1, columns: Vec::new() };
    let [first, last, step] = bounds;
    let column_type = first.column_type;
    let values =
        [value_of(first, &one)?, value_of(last, &one)?, value_of(step, &one)?].map(|literal| match literal {
            Literal::Long(Some(value)) | Literal::DateTime(Some(value)) | Literal::Timespan(Some(value)) => {
                Some((value as f64, value))
            }
            Literal::Real(Some(value)) => Some((value, 0)),
            _ => None,
        });
    let [Some(first), Some(last), Some(step)] = values else { return Ok(()) };
    if step.0 == 0.0 {
        return Err(EngineError::Evaluation("the step of a range is zero".to_owned()));
    }
    let count = if column_type == ColumnType::Real {
        ((last.0 - first.0) / step.0).floor() + 1.0
    } else {
        // A distance against the step's direction gives no row.
        let (distance, step) = (i128::from(last.1) - i128::from(first.1), i128::from(step.1));
        ((distance * step.signum()).div_euclid(step.abs()) + 1) as f64
    };
    emit(count, first, step, column_type, sink)
}

/// Sends `count` values from `first` on.
fn emit(
    count: f64,
    first: (f64, i64),
    step: (f64, i64),
    column_type: ColumnType,
    sink: &mut Sink<'_>,
) -> Result<(), EngineError> {
    let size = 16_384;
    let count = if count.is_finite() && count > 0.0 { count as u64 } else { 0 };
    let mut next = 0u64;
    while next < count {
        let rows = usize::try_from(count - next).unwrap_or(size).min(size);
        let numbers = next..next + rows as u64;
        let column: arrow_array::ArrayRef = if column_type == ColumnType::Real {
            std::sync::Arc::new(arrow_array::Float64Array::from_iter_values(
                numbers.map(|number| first.0 + number as f64 * step.0),
            ))
        } else {
            std::sync::Arc::new(arrow_array::Int64Array::from_iter_values(
                numbers.map(|number| first.1.saturating_add((number as i64).saturating_mul(step.1))),
            ))
        };
        if !sink(Chunk { rows, columns: vec![column] })? {
            return Ok(());
        }
        next += rows as u64;
    }
    Ok(())
}

/// The value of an expression that needs no row.
fn value_of(expr: &Typed, chunk: &Chunk) -> Result<Literal, EngineError> {
    Ok(value_at(&eval(expr, chunk)?, expr.column_type, 0))
}

fn literal_rows(columns: &[OutputColumn], rows: &[Vec<Literal>]) -> Result<Chunk, EngineError> {
    let arrays = columns
        .iter()
        .enumerate()
        .map(|(index, (_, column_type))| {
            let cells: Vec<_> =
                rows.iter().filter_map(|row| row.get(index)).map(|cell| literal_array(cell, 1)).collect();
            if cells.is_empty() {
                return Ok(crate::scan::absent(*column_type, 0));
            }
            let cells: Vec<&dyn Array> = cells.iter().map(AsRef::as_ref).collect();
            Ok(concat(&cells)?)
        })
        .collect::<Result<Vec<_>, EngineError>>()?;
    Ok(Chunk { rows: rows.len(), columns: arrays })
}

/// Chunks as one; `None` when there are none.
fn joined(chunks: &[Chunk]) -> Result<Option<Chunk>, EngineError> {
    let Some(first) = chunks.first() else { return Ok(None) };
    let columns = (0..first.columns.len())
        .map(|index| {
            let parts: Vec<&dyn Array> = chunks.iter().map(|chunk| chunk.columns[index].as_ref()).collect();
            concat(&parts)
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Some(Chunk { rows: chunks.iter().map(|chunk| chunk.rows).sum(), columns }))
}
