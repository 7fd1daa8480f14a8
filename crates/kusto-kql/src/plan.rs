//! A checked query: every name resolved to a column position, every type settled,
//! every conversion written out.

use crate::ast::{Nulls, Order};
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
}

/// A column of a result: name and type.
pub type OutputColumn = (String, ColumnType);

/// An aggregate of a summarize.
#[derive(Debug, Clone, PartialEq)]
pub struct Aggregate {
    /// Which one.
    pub function: AggregateFunction,
    /// Its arguments; for arg_max the measured one first.
    pub arguments: Vec<Typed>,
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
}
