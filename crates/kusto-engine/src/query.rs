//! Runs a checked plan: chunks stream through filters and projections; sort and
//! summarize hold what they must.

use crate::eval::{Grouping, eval, json_rows, literal_array, sorted};
use crate::{Chunk, EngineError, ExtentScan};
use arrow_array::cast::AsArray;
use arrow_select::concat::concat;
use arrow_select::filter::filter;
use kusto_kql::plan::{OutputColumn, Plan, PlanSource, Step, Typed, TypedKind};
use serde_json::Value;

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

/// A finished result.
#[derive(Debug, Clone)]
pub struct QueryResult {
    /// Its columns.
    pub columns: Vec<OutputColumn>,
    /// Its rows, in chunks.
    pub chunks: Vec<Chunk>,
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

/// Runs a plan; `table` gives the extents of a stored table.
pub fn run_plan(
    plan: &Plan,
    limits: QueryLimits,
    table: &dyn Fn(Option<&str>, &str) -> Result<ExtentScan, EngineError>,
) -> Result<QueryResult, EngineError> {
    let mut run = Run::new(plan, limits)?;
    match &plan.source {
        PlanSource::Table { database, table: name } => {
            let needed = needed_columns(plan);
            table(database.as_deref(), name)?.read(&needed, &mut |chunk| run.push(0, chunk))?;
        }
        PlanSource::Rows(rows) => {
            run.push(0, literal_rows(plan, rows)?)?;
        }
        PlanSource::Given => {
            return Err(EngineError::Evaluation("the plan needs the rows of a command".to_owned()));
        }
    }
    run.finish()
}

/// Runs a plan that was piped behind a command, over the command's rows.
pub fn run_plan_over(
    plan: &Plan,
    rows: &[Vec<kusto_kql::Literal>],
    limits: QueryLimits,
) -> Result<QueryResult, EngineError> {
    let mut run = Run::new(plan, limits)?;
    run.push(0, literal_rows(plan, rows)?)?;
    run.finish()
}

fn literal_rows(plan: &Plan, rows: &[Vec<kusto_kql::Literal>]) -> Result<Chunk, EngineError> {
    let columns = (0..plan.input.len())
        .map(|index| {
            let cells: Vec<_> =
                rows.iter().filter_map(|row| row.get(index)).map(|cell| literal_array(cell, 1)).collect();
            if cells.is_empty() {
                return Ok(crate::scan::absent(plan.input[index].1, 0));
            }
            let cells: Vec<&dyn arrow_array::Array> = cells.iter().map(AsRef::as_ref).collect();
            Ok(concat(&cells)?)
        })
        .collect::<Result<Vec<_>, EngineError>>()?;
    Ok(Chunk { rows: rows.len(), columns })
}

/// Which source columns a plan reads.
fn needed_columns(plan: &Plan) -> Vec<bool> {
    fn mark(expr: &Typed, needed: &mut [bool]) {
        match &expr.kind {
            TypedKind::Column(index) => needed[*index] = true,
            TypedKind::Call(_, arguments) => arguments.iter().for_each(|argument| mark(argument, needed)),
            TypedKind::Literal(_) => {}
        }
    }
    let mut needed = vec![false; plan.input.len()];
    for step in &plan.steps {
        match step {
            Step::Filter(condition) => mark(condition, &mut needed),
            Step::Sort(keys, _) => keys.iter().for_each(|key| mark(&key.value, &mut needed)),
            Step::Take(_) => {}
            Step::Project(columns) => {
                columns.iter().for_each(|(_, value)| mark(value, &mut needed));
                return needed;
            }
            Step::Summarize { keys, aggregates } => {
                keys.iter().for_each(|(_, value)| mark(value, &mut needed));
                aggregates.iter().flat_map(|a| &a.arguments).for_each(|value| mark(value, &mut needed));
                return needed;
            }
        }
    }
    vec![true; plan.input.len()]
}

/// What a step holds between chunks.
enum Held<'p> {
    Nothing,
    Left(usize),
    Rows { chunks: Vec<Chunk>, rows: usize },
    Groups(Grouping<'p>),
}

struct Run<'p> {
    plan: &'p Plan,
    held: Vec<Option<Held<'p>>>,
    limits: QueryLimits,
    chunks: Vec<Chunk>,
    rows: usize,
    bytes: usize,
}

fn joined(chunks: &[Chunk]) -> Result<Option<Chunk>, EngineError> {
    let Some(first) = chunks.first() else { return Ok(None) };
    let columns = (0..first.columns.len())
        .map(|index| {
            let parts: Vec<&dyn arrow_array::Array> =
                chunks.iter().map(|chunk| chunk.columns[index].as_ref()).collect();
            concat(&parts)
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Some(Chunk { rows: chunks.iter().map(|chunk| chunk.rows).sum(), columns }))
}

impl<'p> Run<'p> {
    fn new(plan: &'p Plan, limits: QueryLimits) -> Result<Self, EngineError> {
        let held = plan
            .steps
            .iter()
            .map(|step| {
                Ok(Some(match step {
                    Step::Take(count) => Held::Left(*count),
                    Step::Sort(..) => Held::Rows { chunks: Vec::new(), rows: 0 },
                    Step::Summarize { keys, aggregates } => Held::Groups(Grouping::new(keys, aggregates)?),
                    Step::Filter(_) | Step::Project(_) => Held::Nothing,
                }))
            })
            .collect::<Result<_, EngineError>>()?;
        Ok(Self { plan, held, limits, chunks: Vec::new(), rows: 0, bytes: 0 })
    }

    /// Sends a chunk through the steps from `from` on; whether more is wanted.
    fn push(&mut self, from: usize, mut chunk: Chunk) -> Result<bool, EngineError> {
        for index in from..self.plan.steps.len() {
            match (&self.plan.steps[index], &mut self.held[index]) {
                (Step::Filter(condition), _) => {
                    let mask = eval(condition, &chunk)?;
                    let mask = mask.as_boolean();
                    let rows = mask.iter().filter(|value| *value == Some(true)).count();
                    let columns = chunk
                        .columns
                        .iter()
                        .map(|column| filter(column, mask))
                        .collect::<Result<Vec<_>, _>>()?;
                    chunk = Chunk { rows, columns };
                }
                (Step::Project(columns), _) => {
                    let arrays = columns
                        .iter()
                        .map(|(_, value)| eval(value, &chunk))
                        .collect::<Result<Vec<_>, _>>()?;
                    chunk = Chunk { rows: chunk.rows, columns: arrays };
                }
                (Step::Take(_), Some(Held::Left(left))) => {
                    let rows = chunk.rows.min(*left);
                    *left -= rows;
                    let columns = chunk.columns.iter().map(|column| column.slice(0, rows)).collect();
                    let done = *left == 0;
                    let wanted = self.push(index + 1, Chunk { rows, columns })?;
                    return Ok(wanted && !done);
                }
                (Step::Sort(keys, limit), Some(Held::Rows { chunks, rows })) => {
                    *rows += chunk.rows;
                    chunks.push(chunk);
                    if let Some(limit) = limit
                        && *rows > limit.saturating_mul(2).max(65_536)
                        && let Some(all) = joined(chunks)?
                    {
                        let kept = sorted(&all, keys, Some(*limit))?;
                        *rows = kept.rows;
                        *chunks = vec![kept];
                    }
                    return Ok(true);
                }
                (Step::Summarize { .. }, Some(Held::Groups(groups))) => {
                    groups.push(&chunk)?;
                    return Ok(true);
                }
                _ => return Err(EngineError::Evaluation("a step was used after its end".to_owned())),
            }
            if chunk.rows == 0 {
                return Ok(true);
            }
        }
        self.rows += chunk.rows;
        self.bytes += chunk.columns.iter().map(|column| column.get_array_memory_size()).sum::<usize>();
        if self.rows > self.limits.rows {
            return Err(EngineError::ResultTooLarge { limit: format!("{} rows", self.limits.rows) });
        }
        if self.bytes > self.limits.bytes.saturating_mul(4) {
            return Err(EngineError::ResultTooLarge { limit: format!("{} bytes", self.limits.bytes) });
        }
        self.chunks.push(chunk);
        Ok(true)
    }

    fn finish(mut self) -> Result<QueryResult, EngineError> {
        for index in 0..self.plan.steps.len() {
            let chunk = match (&self.plan.steps[index], self.held[index].take()) {
                (Step::Sort(keys, limit), Some(Held::Rows { chunks, .. })) => match joined(&chunks)? {
                    Some(all) => sorted(&all, keys, *limit)?,
                    None => continue,
                },
                (_, Some(Held::Groups(groups))) => groups.finish()?,
                (_, held) => {
                    self.held[index] = held;
                    continue;
                }
            };
            self.push(index + 1, chunk)?;
        }
        Ok(QueryResult { columns: self.plan.output.clone(), chunks: self.chunks })
    }
}
