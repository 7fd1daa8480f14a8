//! What a query says, before names and types are checked.

use crate::Literal;
use kusto_types::ColumnType;

/// An expression with its place in the text.
#[derive(Debug, Clone, PartialEq)]
pub struct Expr {
    /// Byte offset of its beginning.
    pub at: usize,
    /// What it is.
    pub kind: ExprKind,
}

/// The forms of an expression.
#[derive(Debug, Clone, PartialEq)]
pub enum ExprKind {
    /// A constant.
    Literal(Literal),
    /// A column, let name or parameter.
    Name(String),
    /// `*`, as in `count(*)` or `arg_max(x, *)`.
    Star,
    /// A call of a function or of an operator, by its name (`+`, `has`, `and`).
    Call(String, Vec<Expr>),
    /// `in` and its kin: the value, then the list.
    In {
        /// `in`, `!in`, `in~`, `!in~`.
        operator: String,
        /// The value.
        value: Box<Expr>,
        /// The list.
        list: Vec<Expr>,
    },
    /// `a.b` or `a["b"]` or `a[0]`.
    Member(Box<Expr>, Box<Expr>),
}

/// `name = expression`, or an expression alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Named {
    /// The name that was given.
    pub name: Option<String>,
    /// The expression.
    pub expr: Expr,
}

/// A sort key.
#[derive(Debug, Clone, PartialEq)]
pub struct SortKey {
    /// What is sorted by.
    pub expr: Expr,
    /// The direction; descending when the text says nothing.
    pub order: Order,
    /// Where nulls go, if the text says.
    pub nulls: Option<Nulls>,
}

/// A sort direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Smallest first.
    Ascending,
    /// Largest first.
    Descending,
}

/// Where nulls go in a sort.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nulls {
    /// Before all values.
    First,
    /// After all values.
    Last,
}

/// What a pipeline reads.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// A stored table.
    Table {
        /// The database, when named.
        database: Option<String>,
        /// The table.
        table: String,
        /// Place in the text.
        at: usize,
    },
    /// One row of expressions.
    Print(Vec<Named>),
    /// Rows of literals.
    DataTable {
        /// Columns.
        columns: Vec<(String, ColumnType)>,
        /// Values row by row.
        values: Vec<Expr>,
    },
}

/// A query operator.
#[derive(Debug, Clone, PartialEq)]
pub enum Operator {
    /// Keep rows where it is true.
    Where(Expr),
    /// Only these columns.
    Project(Vec<Named>),
    /// All but these columns.
    ProjectAway(Vec<String>, usize),
    /// These columns as well.
    Extend(Vec<Named>),
    /// Aggregates by group.
    Summarize {
        /// The aggregates.
        aggregates: Vec<Named>,
        /// The group keys.
        by: Vec<Named>,
    },
    /// Order by keys.
    Sort(Vec<SortKey>),
    /// The first rows by keys.
    Top(Expr, Vec<SortKey>),
    /// Any so many rows.
    Take(Expr),
    /// The number of rows.
    Count,
    /// Distinct combinations; empty means all columns.
    Distinct(Vec<Named>),
}

/// A source and the operators on it.
#[derive(Debug, Clone, PartialEq)]
pub struct Pipeline {
    /// What it reads.
    pub source: Source,
    /// What it does, with places in the text.
    pub operators: Vec<(usize, Operator)>,
}

/// A query parameter declaration.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// Its type.
    pub column_type: ColumnType,
    /// Its default.
    pub default: Option<Expr>,
    /// Place in the text.
    pub at: usize,
}

/// A whole query text.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// `declare query_parameters(...)`.
    pub parameters: Vec<Parameter>,
    /// `let name = scalar`, in order.
    pub lets: Vec<(String, Expr)>,
    /// The tabular statements.
    pub pipelines: Vec<Pipeline>,
}
