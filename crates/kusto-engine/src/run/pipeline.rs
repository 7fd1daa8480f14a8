//! Chunks stream through filters and projections; sort, summarize and joins hold what
//! they must.

use super::join::JoinState;
use super::{Sink, Tables, collect, expand, joined, parse, series};
use crate::eval::{Grouping, eval, sorted};
use crate::{Chunk, EngineError};
use arrow_array::cast::AsArray;
use arrow_select::filter::filter;
use kusto_kql::plan::{Plan, Step, Typed, TypedKind};

/// Which source columns a plan reads.
pub(super) fn needed_columns(plan: &Plan) -> Vec<bool> {
    fn mark(expr: &Typed, needed: &mut [bool]) {
        match &expr.kind {
            // An expansion's columns come after those of the source.
            TypedKind::Column(index) => {
                if let Some(needed) = needed.get_mut(*index) {
                    *needed = true;
                }
            }
            TypedKind::Call(_, arguments) => arguments.iter().for_each(|argument| mark(argument, needed)),
            TypedKind::InTable(_, value, _) => mark(value, needed),
            TypedKind::Literal(_) | TypedKind::ToScalar(_) => {}
        }
    }
    let mut needed = vec![false; plan.input.len()];
    for step in &plan.steps {
        match step {
            Step::Filter(condition) => mark(condition, &mut needed),
            Step::Sort(keys, _) => keys.iter().for_each(|key| mark(&key.value, &mut needed)),
            Step::Take(_) => {}
            // Its input's columns go on: what comes later marks them by the same numbers.
            Step::Expand(expand) => expand.items.iter().for_each(|(value, _)| mark(value, &mut needed)),
            Step::Parse(parsed) => mark(&parsed.value, &mut needed),
            Step::Join(join) => {
                join.left_keys.iter().for_each(|key| mark(key, &mut needed));
                return vec![true; plan.input.len()];
            }
            Step::Series(_) => return vec![true; plan.input.len()],
            Step::Project(columns) => {
                columns.iter().for_each(|(_, value)| mark(value, &mut needed));
                return needed;
            }
            Step::Summarize { keys, aggregates } => {
                keys.iter().for_each(|(_, value)| mark(value, &mut needed));
                aggregates
                    .iter()
                    .flat_map(|a| a.arguments.iter().chain(&a.filter))
                    .for_each(|value| mark(value, &mut needed));
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
    Join(Box<JoinState<'p>>),
    Pattern(regex::Regex),
}

/// The steps of a plan with what they hold.
pub(super) struct Pipeline<'p> {
    plan: &'p Plan,
    held: Vec<Option<Held<'p>>>,
}

impl<'p> Pipeline<'p> {
    /// Makes the steps ready; the right sides of joins are read here.
    pub(super) fn new(plan: &'p Plan, tables: &dyn Tables) -> Result<Self, EngineError> {
        let held = plan
            .steps
            .iter()
            .map(|step| {
                Ok(Some(match step {
                    Step::Take(count) => Held::Left(*count),
                    Step::Sort(..) | Step::Series(_) => Held::Rows { chunks: Vec::new(), rows: 0 },
                    Step::Summarize { keys, aggregates } => Held::Groups(Grouping::new(keys, aggregates)?),
                    Step::Join(join) => {
                        Held::Join(Box::new(JoinState::new(join, collect(&join.right, tables)?)?))
                    }
                    Step::Parse(parsed) => {
                        Held::Pattern(regex::Regex::new(&parsed.pattern).map_err(|error| {
                            EngineError::Evaluation(format!(
                                "the pattern of parse is no regular expression: {error}"
                            ))
                        })?)
                    }
                    Step::Filter(_) | Step::Project(_) | Step::Expand(_) => Held::Nothing,
                }))
            })
            .collect::<Result<_, EngineError>>()?;
        Ok(Self { plan, held })
    }

    /// Sends a chunk through the steps from `from` on; whether more is wanted.
    pub(super) fn push(
        &mut self,
        from: usize,
        mut chunk: Chunk,
        sink: &mut Sink<'_>,
    ) -> Result<bool, EngineError> {
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
                (Step::Expand(expansion), _) => chunk = expand::expand(expansion, &chunk)?,
                (Step::Join(_), Some(Held::Join(join))) => chunk = join.push(&chunk)?,
                (Step::Parse(parsed), Some(Held::Pattern(pattern))) => {
                    chunk = parse::parse(parsed, pattern, &chunk)?;
                }
                (Step::Take(_), Some(Held::Left(left))) => {
                    let rows = chunk.rows.min(*left);
                    *left -= rows;
                    let columns = chunk.columns.iter().map(|column| column.slice(0, rows)).collect();
                    let done = *left == 0;
                    let wanted = self.push(index + 1, Chunk { rows, columns }, sink)?;
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
                (Step::Series(_), Some(Held::Rows { chunks, .. })) => {
                    chunks.push(chunk);
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
        sink(chunk)
    }

    /// Sends on what the steps still hold.
    pub(super) fn finish(mut self, sink: &mut Sink<'_>) -> Result<(), EngineError> {
        for index in 0..self.plan.steps.len() {
            let chunk = match (&self.plan.steps[index], self.held[index].take()) {
                (Step::Sort(keys, limit), Some(Held::Rows { chunks, .. })) => match joined(&chunks)? {
                    Some(all) => sorted(&all, keys, *limit)?,
                    None => continue,
                },
                (Step::Series(series), Some(Held::Rows { chunks, .. })) => match joined(&chunks)? {
                    Some(all) => series::arrays(series, &all)?,
                    None => continue,
                },
                (_, Some(Held::Groups(groups))) => groups.finish()?,
                (_, Some(Held::Join(join))) => join.finish()?,
                (_, held) => {
                    self.held[index] = held;
                    continue;
                }
            };
            if chunk.rows > 0 {
                self.push(index + 1, chunk, sink)?;
            }
        }
        Ok(())
    }
}
