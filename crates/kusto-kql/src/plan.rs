//! A checked query: every name resolved to a column position, every type settled,
//! every conversion written out.

use crate::ast::{JoinKind, Nulls, Order, ParseKind, Unmatched, Visualization};
use crate::{AggregateFunction, Function, Literal};
use kusto_types::ColumnType;

/// An expression whose type is known.
#[derive(Debug, Clone, PartialEq)]
pub struct Typed {
    /// Its type.
    pub column_type: ColumnType,
    /// What it is.
    pub kind: TypedKind,
}

/// The forms of a checked expression.
#[derive(Debug, Clone, PartialEq)]
pub enum TypedKind {
    /// A constant.
    Literal(Literal),
    /// The column at this position of the input.
    Column(usize),
    /// A function of these arguments.
    Call(Function, Vec<Typed>),
    /// The first column of the first row of another plan.
    ToScalar(Box<Plan>),
    /// Whether a value is in the first column of another plan: `In` or `InIgnoreCase`.
    InTable(Function, Box<Typed>, Box<Plan>),
}

/// Columns that every stored table has and that no operator shows: when a row was
/// ingested, the id of its extent, and the extent's tags.
pub const HIDDEN_COLUMNS: [(&str, ColumnType); 3] = [
    ("\u{1}ingestion_time", ColumnType::DateTime),
    ("\u{1}extent_id", ColumnType::Guid),
    ("\u{1}extent_tags", ColumnType::Dynamic),
];

/// Whether a column is one that no operator shows.
pub fn is_hidden(name: &str) -> bool {
    name.starts_with('\u{1}')
}

/// A column of a result: name and type.
pub type OutputColumn = (String, ColumnType);

/// An aggregate of a summarize.
#[derive(Debug, Clone, PartialEq)]
pub struct Aggregate {
    /// Which one.
    pub function: AggregateFunction,
    /// Takes in only rows where this is true, as `sumif` does.
    pub filter: Option<Typed>,
    /// Its arguments; for arg_max the measured one first.
    pub arguments: Vec<Typed>,
    /// What percentiles are asked for, from 0 to 100; how many values a list may have.
    pub parameters: Vec<f64>,
    /// The columns that it makes; for arg_max one an argument.
    pub outputs: Vec<OutputColumn>,
}

/// A sort key.
#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    /// What is sorted by.
    pub value: Typed,
    /// The direction.
    pub order: Order,
    /// Where nulls go.
    pub nulls: Nulls,
}

/// A step of a plan.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Keep rows where it is true.
    Filter(Typed),
    /// Make these columns.
    Project(Vec<(String, Typed)>),
    /// Group and aggregate: the keys come first in the result.
    Summarize {
        /// Group keys.
        keys: Vec<(String, Typed)>,
        /// Aggregates.
        aggregates: Vec<Aggregate>,
    },
    /// Order, then keep at most so many rows.
    Sort(Vec<Key>, Option<usize>),
    /// Keep at most so many rows.
    Take(usize),
    /// Rows of two sides with equal keys: the left columns, then the right ones.
    Join(Box<Join>),
    /// A row for each element.
    Expand(Expand),
    /// Columns from a text.
    Parse(Box<Parsed>),
    /// Arrays of aggregates along an axis: keys, aggregates, then the axis.
    Series(Box<Series>),
}

/// A join; its right side is held, its left side streams.
#[derive(Debug, Clone, PartialEq)]
pub struct Join {
    /// Which rows.
    pub kind: JoinKind,
    /// The right side.
    pub right: Plan,
    /// The keys of the left side.
    pub left_keys: Vec<Typed>,
    /// The keys of the right side, of the same types.
    pub right_keys: Vec<Typed>,
    /// The columns of the left side, for rows that have none.
    pub left: Vec<OutputColumn>,
}

/// An expansion: the input's columns, then the expanded ones, then the element's number.
#[derive(Debug, Clone, PartialEq)]
pub struct Expand {
    /// Arrays and bags, with the type that elements are converted to.
    pub items: Vec<(Typed, ColumnType)>,
    /// Whether a column with the number of the element comes last.
    pub item_index: ItemIndex,
    /// At most so many rows of one.
    pub limit: usize,
}

/// Whether an expansion numbers its elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemIndex {
    /// In a column.
    Column,
    /// Nowhere.
    Absent,
}

/// Columns that a pattern finds in a text: the input's columns, then these.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// The text.
    pub value: Typed,
    /// A regular expression with a group a column.
    pub pattern: String,
    /// The types of the columns.
    pub columns: Vec<ColumnType>,
    /// What a value that does not fit its column does.
    pub kind: ParseKind,
    /// What becomes of rows that do not match.
    pub unmatched: Unmatched,
}

/// What make-series makes arrays of. Its rows come grouped by keys and bin: the keys, the
/// bin, then the aggregates.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// How many keys.
    pub keys: usize,
    /// First value and end (left out); absent means those of the data.
    pub bounds: Option<(Typed, Typed)>,
    /// The distance.
    pub step: Typed,
    /// The type of the axis.
    pub axis: ColumnType,
    /// What stands where there are no rows, one an aggregate.
    pub defaults: Vec<Typed>,
}

/// What a plan reads.
#[derive(Debug, Clone, PartialEq)]
pub enum PlanSource {
    /// A stored table: database, table, and the positions of its columns that the plan
    /// needs (the others may be left unread).
    Table {
        /// The database; absent means the current one.
        database: Option<String>,
        /// The table.
        table: String,
    },
    /// Rows of literals.
    Rows(Vec<Vec<Literal>>),
    /// A table that the caller has at hand (the result of a command).
    Given,
    /// One column of values at equal distances: first, last and step.
    Range(Box<[Typed; 3]>),
    /// The rows of several plans with the same columns.
    Union(Vec<Plan>),
}

/// A checked pipeline.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// What it reads.
    pub source: PlanSource,
    /// Columns of the source.
    pub input: Vec<OutputColumn>,
    /// What it does.
    pub steps: Vec<Step>,
    /// Columns of the result.
    pub output: Vec<OutputColumn>,
    /// How the result is to be shown, if the query says.
    pub visualization: Option<Visualization>,
}

impl Plan {
    /// Calls `visit` with this plan and every plan in it: of joins, unions and values.
    pub fn visit<'p>(&'p self, visit: &mut dyn FnMut(&'p Plan)) {
        visit(self);
        match &self.source {
            PlanSource::Union(parts) => parts.iter().for_each(|part| part.visit(visit)),
            PlanSource::Range(bounds) => bounds.iter().for_each(|bound| bound.visit_plans(visit)),
            PlanSource::Table { .. } | PlanSource::Rows(_) | PlanSource::Given => {}
        }
        for step in &self.steps {
            if let Step::Join(join) = step {
                join.right.visit(visit);
            }
            step.expressions(&mut |expr| expr.visit_plans(visit));
        }
    }
}

impl Step {
    /// Calls `visit` with each expression of the step; not with those of a join's right side.
    fn expressions<'p>(&'p self, visit: &mut dyn FnMut(&'p Typed)) {
        match self {
            Self::Filter(condition) => visit(condition),
            Self::Project(columns) => columns.iter().for_each(|(_, value)| visit(value)),
            Self::Summarize { keys, aggregates } => {
                keys.iter().for_each(|(_, value)| visit(value));
                aggregates
                    .iter()
                    .flat_map(|aggregate| aggregate.arguments.iter().chain(&aggregate.filter))
                    .for_each(visit);
            }
            Self::Sort(keys, _) => keys.iter().for_each(|key| visit(&key.value)),
            Self::Take(_) => {}
            Self::Join(join) => join.left_keys.iter().chain(&join.right_keys).for_each(visit),
            Self::Expand(expand) => expand.items.iter().for_each(|(value, _)| visit(value)),
            Self::Parse(parsed) => visit(&parsed.value),
            Self::Series(series) => {
                if let Some((from, to)) = &series.bounds {
                    visit(from);
                    visit(to);
                }
                visit(&series.step);
                series.defaults.iter().for_each(visit);
            }
        }
    }

    /// As [`Step::expressions`], to change them.
    fn expressions_mut<E>(&mut self, change: &mut dyn FnMut(&mut Typed) -> Result<(), E>) -> Result<(), E> {
        match self {
            Self::Filter(condition) => change(condition),
            Self::Project(columns) => columns.iter_mut().try_for_each(|(_, value)| change(value)),
            Self::Summarize { keys, aggregates } => {
                keys.iter_mut().try_for_each(|(_, value)| change(value))?;
                aggregates
                    .iter_mut()
                    .flat_map(|aggregate| aggregate.arguments.iter_mut().chain(&mut aggregate.filter))
                    .try_for_each(change)
            }
            Self::Sort(keys, _) => keys.iter_mut().try_for_each(|key| change(&mut key.value)),
            Self::Take(_) => Ok(()),
            Self::Join(join) => join.left_keys.iter_mut().chain(&mut join.right_keys).try_for_each(change),
            Self::Expand(expand) => expand.items.iter_mut().try_for_each(|(value, _)| change(value)),
            Self::Parse(parsed) => change(&mut parsed.value),
            Self::Series(series) => {
                if let Some((from, to)) = &mut series.bounds {
                    change(from)?;
                    change(to)?;
                }
                change(&mut series.step)?;
                series.defaults.iter_mut().try_for_each(change)
            }
        }
    }
}

impl Typed {
    fn visit_plans<'p>(&'p self, visit: &mut dyn FnMut(&'p Plan)) {
        match &self.kind {
            TypedKind::Literal(_) | TypedKind::Column(_) => {}
            TypedKind::Call(_, arguments) => {
                arguments.iter().for_each(|argument| argument.visit_plans(visit))
            }
            TypedKind::ToScalar(plan) => plan.visit(visit),
            TypedKind::InTable(_, value, plan) => {
                value.visit_plans(visit);
                plan.visit(visit);
            }
        }
    }
}

impl Plan {
    /// Puts literals in the place of every expression that is of another plan; `values`
    /// runs one and gives what is wanted of its first column.
    pub fn resolve<E>(&mut self, values: &dyn Fn(&Plan, Values) -> Result<Vec<Literal>, E>) -> Result<(), E> {
        match &mut self.source {
            PlanSource::Union(parts) => parts.iter_mut().try_for_each(|part| part.resolve(values))?,
            PlanSource::Range(bounds) => bounds.iter_mut().try_for_each(|bound| bound.resolve(values))?,
            PlanSource::Table { .. } | PlanSource::Rows(_) | PlanSource::Given => {}
        }
        for step in &mut self.steps {
            if let Step::Join(join) = step {
                join.right.resolve(values)?;
            }
            step.expressions_mut(&mut |expr| expr.resolve(values))?;
        }
        Ok(())
    }
}

/// Which values of a plan's first column are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Values {
    /// That of the first row.
    First,
    /// Each different one.
    All,
}

impl Typed {
    fn resolve<E>(&mut self, values: &dyn Fn(&Plan, Values) -> Result<Vec<Literal>, E>) -> Result<(), E> {
        match &mut self.kind {
            TypedKind::Literal(_) | TypedKind::Column(_) => Ok(()),
            TypedKind::Call(_, arguments) => {
                arguments.iter_mut().try_for_each(|argument| argument.resolve(values))
            }
            TypedKind::ToScalar(plan) => {
                plan.resolve(values)?;
                let first = values(plan, Values::First)?.into_iter().next();
                self.kind = TypedKind::Literal(first.unwrap_or_else(|| Literal::null(self.column_type)));
                Ok(())
            }
            TypedKind::InTable(function, value, plan) => {
                plan.resolve(values)?;
                value.resolve(values)?;
                let mut arguments = vec![(**value).clone()];
                arguments.extend(values(plan, Values::All)?.into_iter().map(|literal| Typed {
                    column_type: literal.column_type(),
                    kind: TypedKind::Literal(literal),
                }));
                self.kind = TypedKind::Call(*function, arguments);
                Ok(())
            }
        }
    }
}
