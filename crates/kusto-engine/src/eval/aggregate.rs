//! Hash aggregation: groups by row-encoded keys, one state a group and aggregate.

use super::cast::sortable_decimals;
use super::eval;
use crate::run::MEMORY;
use crate::{Chunk, EngineError};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type};
use arrow_array::{Array, ArrayRef, Float64Array, Int64Array, StringArray};
use arrow_row::{OwnedRow, RowConverter, SortField};
use arrow_select::filter::filter;
use bigdecimal::BigDecimal;
use kusto_kql::AggregateFunction as A;
use kusto_kql::plan::{Aggregate, Typed};
use kusto_types::{ColumnType, arrow_type, canonical_decimal};
use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet};
use std::str::FromStr;
use std::sync::Arc;

/// The states of one aggregate, one a group.
enum State {
    Count(Vec<i64>),
    Whole { sums: Vec<i128>, counts: Vec<i64> },
    Real { sums: Vec<f64>, counts: Vec<i64> },
    Decimal { sums: Vec<BigDecimal>, counts: Vec<i64> },
    Distinct { values: Vec<HashSet<Box<[u8]>>>, converter: RowConverter },
    Extreme { best: Vec<Option<(OwnedRow, OwnedRow)>>, keys: RowConverter, values: RowConverter },
    List { values: Vec<Vec<Box<str>>>, seen: Option<Vec<HashSet<Box<str>>>>, most: usize },
    Bag(Vec<Map<String, Value>>),
    Ranked { values: Vec<Vec<(OwnedRow, OwnedRow)>>, keys: RowConverter, original: RowConverter },
    Moments(Vec<Moments>),
}

/// Count, mean and squared distance from it, updated value by value.
#[derive(Default, Clone)]
struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    fn add(&mut self, value: f64) {
        self.count += 1.0;
        let distance = value - self.mean;
        self.mean += distance / self.count;
        self.squares += distance * (value - self.mean);
    }

    /// The variance; of one value of a sample it is 0, as on a cluster.
    fn variance(&self, function: A) -> Option<f64> {
        let sample = matches!(function, A::Variance | A::StandardDeviation);
        match self.count {
            0.0 => None,
            1.0 => Some(0.0),
            count => Some(self.squares / if sample { count - 1.0 } else { count }),
        }
    }
}

/// A summarize under way.
pub(crate) struct Grouping<'p> {
    keys: &'p [(String, Typed)],
    aggregates: &'p [Aggregate],
    converter: Option<RowConverter>,
    groups: HashMap<Box<[u8]>, usize>,
    rows: Vec<OwnedRow>,
    states: Vec<State>,
    bytes: usize,
}

/// Values of one list when the query does not say, as on a cluster.
const MOST_VALUES: usize = 1_048_576;

fn converter(columns: &[Typed]) -> Result<RowConverter, EngineError> {
    let fields = columns.iter().map(|column| SortField::new(arrow_type(column.column_type))).collect();
    Ok(RowConverter::new(fields)?)
}

impl<'p> Grouping<'p> {
    pub(crate) fn new(keys: &'p [(String, Typed)], aggregates: &'p [Aggregate]) -> Result<Self, EngineError> {
        let states = aggregates
            .iter()
            .map(|aggregate| {
                let input =
                    aggregate.arguments.first().map_or(ColumnType::Long, |argument| argument.column_type);
                Ok(match (aggregate.function, input) {
                    (A::Count, _) => State::Count(Vec::new()),
                    (A::Sum | A::Avg, ColumnType::Real) => {
                        State::Real { sums: Vec::new(), counts: Vec::new() }
                    }
                    (A::Sum | A::Avg, ColumnType::Decimal) => {
                        State::Decimal { sums: Vec::new(), counts: Vec::new() }
                    }
                    (A::Sum | A::Avg, _) => State::Whole { sums: Vec::new(), counts: Vec::new() },
                    (A::DCount, _) => {
                        State::Distinct { values: Vec::new(), converter: converter(&aggregate.arguments)? }
                    }
                    (A::Min | A::Max | A::ArgMin | A::ArgMax | A::TakeAny, _) => State::Extreme {
                        best: Vec::new(),
                        keys: converter(&aggregate.arguments[..1])?,
                        values: converter(&aggregate.arguments)?,
                    },
                    (A::MakeList | A::MakeSet, _) => State::List {
                        values: Vec::new(),
                        seen: (aggregate.function == A::MakeSet).then(Vec::new),
                        most: aggregate.parameters.first().map_or(MOST_VALUES, |most| *most as usize),
                    },
                    (A::MakeBag, _) => State::Bag(Vec::new()),
                    (A::Percentiles, _) => State::Ranked {
                        values: Vec::new(),
                        keys: converter(&aggregate.arguments)?,
                        original: converter(&aggregate.arguments)?,
                    },
                    (
                        A::StandardDeviation | A::StandardDeviationWhole | A::Variance | A::VarianceWhole,
                        _,
                    ) => State::Moments(Vec::new()),
                })
            })
            .collect::<Result<_, EngineError>>()?;
        let typed: Vec<Typed> = keys.iter().map(|(_, key)| key.clone()).collect();
        let converter = if keys.is_empty() { None } else { Some(converter(&typed)?) };
        let mut grouping =
            Self { keys, aggregates, converter, groups: HashMap::new(), rows: Vec::new(), states, bytes: 0 };
        if keys.is_empty() {
            // Without keys there is one group, even of no rows.
            grouping.grow(1);
        }
        Ok(grouping)
    }

    fn grow(&mut self, groups: usize) {
        for state in &mut self.states {
            match state {
                State::Count(counts) => counts.resize(groups, 0),
                State::Whole { sums, counts } => {
                    sums.resize(groups, 0);
                    counts.resize(groups, 0);
                }
                State::Real { sums, counts } => {
                    sums.resize(groups, 0.0);
                    counts.resize(groups, 0);
                }
                State::Decimal { sums, counts } => {
                    sums.resize(groups, BigDecimal::from(0));
                    counts.resize(groups, 0);
                }
                State::Distinct { values, .. } => values.resize_with(groups, HashSet::new),
                State::Extreme { best, .. } => best.resize_with(groups, || None),
                State::List { values, seen, .. } => {
                    values.resize_with(groups, Vec::new);
                    if let Some(seen) = seen {
                        seen.resize_with(groups, HashSet::new);
                    }
                }
                State::Bag(bags) => bags.resize_with(groups, Map::new),
                State::Ranked { values, .. } => values.resize_with(groups, Vec::new),
                State::Moments(moments) => moments.resize_with(groups, Moments::default),
            }
        }
    }

    /// Takes in a chunk.
    pub(crate) fn push(&mut self, chunk: &Chunk) -> Result<(), EngineError> {
        let mut group_of = vec![0usize; chunk.rows];
        if let Some(converter) = &self.converter {
            let arrays = self.keys.iter().map(|(_, key)| eval(key, chunk)).collect::<Result<Vec<_>, _>>()?;
            let rows = converter.convert_columns(&arrays)?;
            for (index, row) in rows.iter().enumerate() {
                let bytes: &[u8] = row.as_ref();
                group_of[index] = match self.groups.get(bytes) {
                    Some(group) => *group,
                    None => {
                        let group = self.rows.len();
                        self.bytes += bytes.len() * 2 + 64;
                        self.groups.insert(bytes.into(), group);
                        self.rows.push(row.owned());
                        group
                    }
                };
            }
            self.grow(self.rows.len());
        }
        for (state, aggregate) in self.states.iter_mut().zip(self.aggregates) {
            let mut arguments = aggregate
                .arguments
                .iter()
                .map(|argument| eval(argument, chunk))
                .collect::<Result<Vec<_>, _>>()?;
            let Some(condition) = &aggregate.filter else {
                self.bytes += update(state, aggregate, &arguments, &group_of)?;
                continue;
            };
            let mask = eval(condition, chunk)?;
            let mask = mask.as_boolean();
            for argument in &mut arguments {
                *argument = filter(argument, mask)?;
            }
            let kept = group_of.iter().zip(mask).filter(|(_, is_true)| *is_true == Some(true));
            let groups: Vec<usize> = kept.map(|(group, _)| *group).collect();
            self.bytes += update(state, aggregate, &arguments, &groups)?;
        }
        if self.bytes > MEMORY {
            return Err(EngineError::Evaluation(
                "summarize needs more than 1 GiB of memory; group by fewer values".to_owned(),
            ));
        }
        Ok(())
    }

    /// The result: keys, then aggregates.
    pub(crate) fn finish(self) -> Result<Chunk, EngineError> {
        let mut columns = Vec::new();
        let groups = if let Some(converter) = &self.converter {
            columns = converter.convert_rows(self.rows.iter().map(OwnedRow::row))?;
            self.rows.len()
        } else {
            1
        };
        for (state, aggregate) in self.states.into_iter().zip(self.aggregates) {
            finish(state, aggregate, &mut columns)?;
        }
        Ok(Chunk { rows: groups, columns })
    }
}

/// Adds a chunk's rows to a state; the bytes that it grew by.
fn update(
    state: &mut State,
    aggregate: &Aggregate,
    arguments: &[ArrayRef],
    group_of: &[usize],
) -> Result<usize, EngineError> {
    let mut grown = 0;
    match state {
        State::Count(counts) => group_of.iter().for_each(|group| counts[*group] += 1),
        State::Whole { sums, counts } => {
            let mut add = |group: usize, value: Option<i64>| {
                if let Some(value) = value {
                    sums[group] += i128::from(value);
                    counts[group] += 1;
                }
            };
            if aggregate.arguments[0].column_type == ColumnType::Int {
                let values = arguments[0].as_primitive::<Int32Type>();
                group_of.iter().zip(values).for_each(|(group, value)| add(*group, value.map(i64::from)));
            } else {
                let values = arguments[0].as_primitive::<Int64Type>();
                group_of.iter().zip(values).for_each(|(group, value)| add(*group, value));
            }
        }
        State::Real { sums, counts } => {
            for (group, value) in group_of.iter().zip(arguments[0].as_primitive::<Float64Type>()) {
                if let Some(value) = value {
                    sums[*group] += value;
                    counts[*group] += 1;
                }
            }
        }
        State::Decimal { sums, counts } => {
            for (group, value) in group_of.iter().zip(arguments[0].as_string::<i32>()) {
                if let Some(value) = value.and_then(|text| BigDecimal::from_str(text).ok()) {
                    sums[*group] += value;
                    counts[*group] += 1;
                }
            }
        }
        State::Distinct { values, converter } => {
            let rows = converter.convert_columns(&arguments[..1])?;
            for (index, row) in rows.iter().enumerate() {
                if !arguments[0].is_null(index) {
                    let bytes: &[u8] = row.as_ref();
                    if !values[group_of[index]].contains(bytes) {
                        grown += bytes.len() + 48;
                        values[group_of[index]].insert(bytes.into());
                    }
                }
            }
        }
        State::Extreme { best, keys, values } => {
            let key_rows = keys.convert_columns(&[measure(aggregate, &arguments[0])])?;
            let value_rows = values.convert_columns(arguments)?;
            let larger = matches!(aggregate.function, A::Max | A::ArgMax);
            for (index, group) in group_of.iter().enumerate() {
                if arguments[0].is_null(index) {
                    continue;
                }
                let key = key_rows.row(index);
                let better = match &best[*group] {
                    None => true,
                    Some(_) if aggregate.function == A::TakeAny => false,
                    Some((current, _)) if larger => key > current.row(),
                    Some((current, _)) => key < current.row(),
                };
                if better {
                    best[*group] = Some((key.owned(), value_rows.row(index).owned()));
                }
            }
        }
        State::List { values, seen, most } => {
            for (group, value) in group_of.iter().zip(arguments[0].as_string::<i32>()) {
                // Nulls are left out, as on a cluster.
                let Some(value) = value.filter(|_| values[*group].len() < *most) else { continue };
                if let Some(seen) = seen
                    && !seen[*group].insert(value.into())
                {
                    continue;
                }
                grown += value.len() + 32;
                values[*group].push(value.into());
            }
        }
        State::Bag(bags) => {
            for (group, value) in group_of.iter().zip(arguments[0].as_string::<i32>()) {
                let Some(Ok(Value::Object(bag))) = value.map(serde_json::from_str) else { continue };
                grown += value.map_or(0, str::len);
                for (key, value) in bag {
                    bags[*group].entry(key).or_insert(value);
                }
            }
        }
        State::Ranked { values, keys, original } => {
            let measure = measure(aggregate, &arguments[0]);
            let key_rows = keys.convert_columns(&[measure])?;
            let rows = original.convert_columns(&arguments[..1])?;
            for (index, group) in group_of.iter().enumerate() {
                if !arguments[0].is_null(index) {
                    grown += 96;
                    values[*group].push((key_rows.row(index).owned(), rows.row(index).owned()));
                }
            }
        }
        State::Moments(moments) => {
            for (group, value) in group_of.iter().zip(arguments[0].as_primitive::<Float64Type>()) {
                if let Some(value) = value {
                    moments[*group].add(value);
                }
            }
        }
    }
    Ok(grown)
}

/// The argument as something whose order is that of its values.
fn measure(aggregate: &Aggregate, argument: &ArrayRef) -> ArrayRef {
    if aggregate.arguments[0].column_type == ColumnType::Decimal {
        sortable_decimals(argument)
    } else {
        argument.clone()
    }
}

fn finish(state: State, aggregate: &Aggregate, columns: &mut Vec<ArrayRef>) -> Result<(), EngineError> {
    let average = aggregate.function == A::Avg;
    match state {
        State::Count(counts) => columns.push(Arc::new(Int64Array::from(counts))),
        State::Whole { sums, counts } if average && aggregate.outputs[0].1 == ColumnType::Real => {
            let values = sums
                .iter()
                .zip(&counts)
                .map(|(sum, count)| (*count > 0).then(|| *sum as f64 / *count as f64));
            columns.push(Arc::new(values.collect::<Float64Array>()));
        }
        State::Whole { sums, counts } => {
            let values = sums.iter().zip(&counts).map(|(sum, count)| {
                let value = if average {
                    if *count > 0 { sum / i128::from(*count) } else { return None }
                } else {
                    *sum
                };
                i64::try_from(value).ok()
            });
            columns.push(Arc::new(values.collect::<Int64Array>()));
        }
        State::Real { sums, counts } => {
            let values = sums.iter().zip(&counts).map(|(sum, count)| match (average, count) {
                (true, 0) => None,
                (true, count) => Some(sum / *count as f64),
                (false, _) => Some(*sum),
            });
            columns.push(Arc::new(values.collect::<Float64Array>()));
        }
        State::Decimal { sums, counts } => {
            let values = sums.into_iter().zip(counts).map(|(sum, count)| {
                let value = if !average {
                    sum
                } else if count > 0 {
                    sum / BigDecimal::from(count)
                } else {
                    return None;
                };
                canonical_decimal(&value.with_prec(34).to_plain_string())
            });
            columns.push(Arc::new(values.collect::<StringArray>()));
        }
        State::Distinct { values, .. } => {
            columns.push(Arc::new(Int64Array::from_iter_values(values.iter().map(|set| set.len() as i64))));
        }
        State::Extreme { best, values, .. } => {
            // A group without a value gets an absent row of its own.
            let absent: Vec<ArrayRef> = aggregate
                .arguments
                .iter()
                .map(|argument| crate::scan::absent(argument.column_type, 1))
                .collect();
            let empty = values.convert_columns(&absent)?;
            let rows =
                best.iter().map(|best| best.as_ref().map_or_else(|| empty.row(0), |(_, value)| value.row()));
            columns.extend(values.convert_rows(rows)?);
        }
        State::List { values, .. } => {
            let texts = values.iter().map(|values| format!("[{}]", values.join(",")));
            columns.push(Arc::new(StringArray::from_iter_values(texts)));
        }
        State::Bag(bags) => {
            let texts = bags.into_iter().map(|bag| Value::Object(bag).to_string());
            columns.push(Arc::new(StringArray::from_iter_values(texts)));
        }
        State::Ranked { mut values, original, .. } => {
            let absent = crate::scan::absent(aggregate.arguments[0].column_type, 1);
            let empty = original.convert_columns(&[absent])?;
            values.iter_mut().for_each(|values| values.sort_unstable_by(|a, b| a.0.cmp(&b.0)));
            for level in &aggregate.parameters {
                let rows = values.iter().map(|values| {
                    // The nearest rank: the value that so many hundredths are not above.
                    let rank = (level / 100.0 * values.len() as f64).ceil().max(1.0) as usize - 1;
                    values
                        .get(rank.min(values.len().saturating_sub(1)))
                        .map_or_else(|| empty.row(0), |v| v.1.row())
                });
                columns.extend(original.convert_rows(rows)?);
            }
        }
        State::Moments(moments) => {
            let deviation = matches!(aggregate.function, A::StandardDeviation | A::StandardDeviationWhole);
            let values = moments.iter().map(|moments| {
                let variance = moments.variance(aggregate.function)?;
                Some(if deviation { variance.sqrt() } else { variance })
            });
            columns.push(Arc::new(values.collect::<Float64Array>()));
        }
    }
    Ok(())
}
