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
    /// `in` with a tabular expression: its first column is the list.
    InTable {
        /// `in`, `!in`, `in~`, `!in~`.
        operator: String,
        /// The value.
        value: Box<Expr>,
        /// The rows.
        table: Box<Pipeline>,
    },
    /// `toscalar(...)`: the first column of the first row.
    ToScalar(Box<Pipeline>),
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
    /// `range name from a to b step c`: one column of values at equal distances.
    Range {
        /// The column.
        name: String,
        /// First, last and step.
        bounds: Box<[Expr; 3]>,
    },
    /// The rows of several pipelines.
    Union(Union),
    /// A call of a function that a `let` defined or the database stores.
    Call {
        /// The function.
        name: String,
        /// Its arguments.
        arguments: Vec<Argument>,
        /// Place in the text.
        at: usize,
    },
    /// A pipeline in parentheses.
    Nested(Box<Pipeline>),
}

/// An argument of a function: scalar, or the rows of a pipeline.
#[derive(Debug, Clone, PartialEq)]
pub enum Argument {
    /// A value.
    Scalar(Expr),
    /// Rows.
    Tabular(Pipeline),
}

/// What `union` puts together.
#[derive(Debug, Clone, PartialEq)]
pub struct Union {
    /// Which columns the result has.
    pub columns: UnionColumns,
    /// A column with the name of the table that a row is of.
    pub with_source: Option<String>,
    /// The parts; a table name may have `*` for any characters.
    pub parts: Vec<Pipeline>,
}

/// Which columns a union has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnionColumns {
    /// Those of any part.
    Outer,
    /// Those of every part.
    Inner,
}

/// Which rows a join gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinKind {
    /// Matches, each key of the left side once. What `join` means without a kind.
    InnerUnique,
    /// Matches.
    Inner,
    /// Matches, and rows of the left side without one.
    LeftOuter,
    /// Matches, and rows of the right side without one.
    RightOuter,
    /// Matches, and rows of either side without one.
    FullOuter,
    /// Rows of the left side with a match.
    LeftSemi,
    /// Rows of the left side without a match.
    LeftAnti,
    /// Rows of the right side with a match.
    RightSemi,
    /// Rows of the right side without a match.
    RightAnti,
}

/// Whether the keys of the right side are in the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RightKeys {
    /// `join` shows them.
    Shown,
    /// `lookup` does not.
    Hidden,
}

/// What `mv-expand` makes rows of.
#[derive(Debug, Clone, PartialEq)]
pub struct Expanded {
    /// The array or bag.
    pub item: Named,
    /// `to typeof(...)`.
    pub to: Option<ColumnType>,
}

/// Order of `project-reorder`.
#[derive(Debug, Clone, PartialEq)]
pub struct Reorder {
    /// A column, or several with `*`.
    pub pattern: String,
    /// How several are ordered; absent means as they are.
    pub order: Option<Order>,
}

/// A query operator.
#[derive(Debug, Clone, PartialEq)]
pub enum Operator {
    /// Keep rows where it is true.
    Where(Expr),
    /// Only these columns.
    Project(Vec<Named>),
    /// All but these columns, in which `*` stands for any characters.
    ProjectAway(Vec<String>),
    /// These columns in their order in the input.
    ProjectKeep(Vec<String>),
    /// New names, with the old.
    ProjectRename(Vec<(String, String)>),
    /// These columns first.
    ProjectReorder(Vec<Reorder>),
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
    /// Rows of two sides with the same keys.
    Join {
        /// Which rows.
        kind: JoinKind,
        /// What becomes of the right keys.
        right_keys: RightKeys,
        /// The right side.
        right: Box<Pipeline>,
        /// Conditions: a column of both sides, or `$left.a == $right.b`.
        on: Vec<Expr>,
    },
    /// These rows and those of others.
    Union(Union),
    /// A row for each element of arrays.
    MvExpand {
        /// What is expanded.
        items: Vec<Expanded>,
        /// A column with the number of the element.
        with_item_index: Option<String>,
        /// At most so many rows of one.
        limit: Option<Expr>,
    },
    /// Columns from the pieces of a text.
    Parse(Parse),
    /// Arrays of aggregates over equal steps.
    MakeSeries(Box<MakeSeries>),
    /// The columns, a row each.
    GetSchema,
    /// A name for the rows so far.
    As(String),
    /// How a result is to be shown.
    Render(Visualization),
}

/// What `parse` takes out of a text.
#[derive(Debug, Clone, PartialEq)]
pub struct Parse {
    /// How texts between the columns are read, and what a value of another type does.
    pub kind: ParseKind,
    /// What becomes of rows that do not match.
    pub unmatched: Unmatched,
    /// The text.
    pub value: Expr,
    /// Its pieces in order.
    pub pieces: Vec<ParsePiece>,
}

/// The kinds of `parse`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParseKind {
    /// Texts are themselves; a value that does not fit its column fails the match.
    Simple,
    /// Texts are themselves; a value that does not fit its column is null.
    Relaxed,
    /// Texts are regular expressions.
    Regex,
}

/// What becomes of rows whose text does not match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unmatched {
    /// `parse`: they stay, and the new columns have no value.
    Kept,
    /// `parse-where`: they go.
    Dropped,
}

/// A piece of the pattern of `parse`.
#[derive(Debug, Clone, PartialEq)]
pub enum ParsePiece {
    /// `*`: any text.
    Any,
    /// This text.
    Text(String),
    /// A column.
    Column(String, ColumnType),
}

/// Aggregates at equal distances along an axis.
#[derive(Debug, Clone, PartialEq)]
pub struct MakeSeries {
    /// The aggregates, with what stands where there are no rows.
    pub aggregates: Vec<(Named, Option<Expr>)>,
    /// The axis.
    pub axis: Named,
    /// First value and end (left out); absent means those of the data.
    pub bounds: Option<(Expr, Expr)>,
    /// The distance.
    pub step: Expr,
    /// A series for each.
    pub by: Vec<Named>,
}

/// What `render` asks for: for a client to draw, nothing changes in the rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Visualization {
    /// `timechart`, `piechart` and so on.
    pub kind: String,
    /// `with (title = ...)`.
    pub properties: Vec<(String, String)>,
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

/// What a `let` gives a name to.
#[derive(Debug, Clone, PartialEq)]
pub enum LetValue {
    /// A value. A bare name is one too: the check finds out whether it is of a table.
    Scalar(Expr),
    /// Rows.
    Tabular(Pipeline),
    /// A function.
    Function(FunctionDef),
}

/// A function of the query or of the database.
#[derive(Debug, Clone, PartialEq)]
pub struct FunctionDef {
    /// Its parameters.
    pub parameters: Vec<FunctionParameter>,
    /// Names that its body defines for itself.
    pub lets: Vec<(String, LetValue)>,
    /// What it gives.
    pub body: Box<LetValue>,
}

/// A parameter of a function.
#[derive(Debug, Clone, PartialEq)]
pub struct FunctionParameter {
    /// Its name.
    pub name: String,
    /// Its type; absent for rows.
    pub column_type: Option<ColumnType>,
    /// What it is when it is left out.
    pub default: Option<Expr>,
}

/// A whole query text.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// `declare query_parameters(...)`.
    pub parameters: Vec<Parameter>,
    /// `let name = ...`, in order.
    pub lets: Vec<(String, LetValue)>,
    /// The tabular statements.
    pub pipelines: Vec<Pipeline>,
}
