//! The functions and aggregates of the subset: their names, argument counts and
//! result types. One table that check and evaluation both go by.

use kusto_types::ColumnType;

/// A scalar function after its argument types were settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%`
    Modulo,
    /// Unary `-`
    Negate,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterEqual,
    /// `and`
    And,
    /// `or`
    Or,
    /// `not(x)`
    Not,
    /// `=~`
    EqualIgnoreCase,
    /// `contains`
    Contains,
    /// `contains_cs`
    ContainsCs,
    /// `startswith`
    StartsWith,
    /// `startswith_cs`
    StartsWithCs,
    /// `endswith`
    EndsWith,
    /// `endswith_cs`
    EndsWithCs,
    /// `has`: a whole term, any case
    Has,
    /// `has_cs`
    HasCs,
    /// `hasprefix`
    HasPrefix,
    /// `hassuffix`
    HasSuffix,
    /// `matches regex`
    MatchesRegex,
    /// `in`
    In,
    /// `in~`
    InIgnoreCase,
    /// Conversion to the result type (`tolong` and its kin)
    Convert,
    /// `isnull`
    IsNull,
    /// `isempty`
    IsEmpty,
    /// `isnan`
    IsNan,
    /// `iff(condition, a, b)` and `case(...)`
    Case,
    /// `coalesce`
    Coalesce,
    /// `bin(value, step)`
    Bin,
    /// `startofday`
    StartOfDay,
    /// `startofmonth`
    StartOfMonth,
    /// `startofyear`
    StartOfYear,
    /// `hourofday`
    HourOfDay,
    /// `abs`
    Abs,
    /// `round(x, digits)`
    Round,
    /// `ceiling`
    Ceiling,
    /// `strlen`
    StringLength,
    /// `substring(text, start, length)`
    Substring,
    /// `strcat`
    Concatenate,
    /// `tolower`
    ToLower,
    /// `toupper`
    ToUpper,
    /// `replace_string(text, old, new)`
    ReplaceString,
    /// `array_length`
    ArrayLength,
    /// Access into a dynamic value
    Member,
    /// `pack_array`
    PackArray,
    /// `bag_pack`
    PackBag,
}

/// What type a function returns.
pub(crate) enum Returns {
    /// Always this.
    Fixed(ColumnType),
    /// The type of its first argument.
    First,
}

/// A function by its KQL name: what it is, how many arguments it takes, the types that
/// they are converted to (the last one repeats; `None` leaves them), what it returns.
pub(crate) struct Signature {
    pub(crate) function: Function,
    pub(crate) arguments: std::ops::RangeInclusive<usize>,
    pub(crate) types: &'static [Option<ColumnType>],
    pub(crate) returns: Returns,
}

/// The scalar functions with a plain signature. Conversions, iff, case, coalesce, bin,
/// now and ago are settled in the check.
pub(crate) fn signature(name: &str) -> Option<Signature> {
    use ColumnType as T;
    use Function as F;
    const STRING: &[Option<T>] = &[Some(T::String)];
    const ANY: &[Option<T>] = &[None];
    const REAL: &[Option<T>] = &[Some(T::Real)];
    const INSTANT: &[Option<T>] = &[Some(T::DateTime)];
    let fixed = |function, arguments, types, returns| Some(Signature { function, arguments, types, returns });
    match name {
        "not" => fixed(F::Not, 1..=1, &[Some(T::Bool)], Returns::Fixed(T::Bool)),
        "isnull" => fixed(F::IsNull, 1..=1, ANY, Returns::Fixed(T::Bool)),
        "isempty" => fixed(F::IsEmpty, 1..=1, ANY, Returns::Fixed(T::Bool)),
        "isnan" => fixed(F::IsNan, 1..=1, REAL, Returns::Fixed(T::Bool)),
        "startofday" => fixed(F::StartOfDay, 1..=1, INSTANT, Returns::Fixed(T::DateTime)),
        "startofmonth" => fixed(F::StartOfMonth, 1..=1, INSTANT, Returns::Fixed(T::DateTime)),
        "startofyear" => fixed(F::StartOfYear, 1..=1, INSTANT, Returns::Fixed(T::DateTime)),
        "hourofday" => fixed(F::HourOfDay, 1..=1, INSTANT, Returns::Fixed(T::Long)),
        "abs" => fixed(F::Abs, 1..=1, ANY, Returns::First),
        "round" => fixed(F::Round, 1..=2, &[Some(T::Real), Some(T::Long)], Returns::Fixed(T::Real)),
        "ceiling" => fixed(F::Ceiling, 1..=1, REAL, Returns::Fixed(T::Real)),
        "strlen" => fixed(F::StringLength, 1..=1, STRING, Returns::Fixed(T::Long)),
        "substring" => {
            fixed(F::Substring, 2..=3, &[Some(T::String), Some(T::Long)], Returns::Fixed(T::String))
        }
        "strcat" => fixed(F::Concatenate, 1..=64, STRING, Returns::Fixed(T::String)),
        "tolower" => fixed(F::ToLower, 1..=1, STRING, Returns::Fixed(T::String)),
        "toupper" => fixed(F::ToUpper, 1..=1, STRING, Returns::Fixed(T::String)),
        "replace_string" => fixed(F::ReplaceString, 3..=3, STRING, Returns::Fixed(T::String)),
        "array_length" => fixed(F::ArrayLength, 1..=1, &[Some(T::Dynamic)], Returns::Fixed(T::Long)),
        "pack_array" => fixed(F::PackArray, 0..=256, &[Some(T::Dynamic)], Returns::Fixed(T::Dynamic)),
        "bag_pack" | "pack" => fixed(F::PackBag, 0..=256, &[Some(T::Dynamic)], Returns::Fixed(T::Dynamic)),
        _ => None,
    }
}

/// The type that a conversion function makes.
pub(crate) fn conversion(name: &str) -> Option<ColumnType> {
    Some(match name {
        "tostring" => ColumnType::String,
        "toint" => ColumnType::Int,
        "tolong" => ColumnType::Long,
        "todouble" | "toreal" => ColumnType::Real,
        "todecimal" => ColumnType::Decimal,
        "tobool" | "toboolean" => ColumnType::Bool,
        "todatetime" => ColumnType::DateTime,
        "totimespan" => ColumnType::Timespan,
        "toguid" => ColumnType::Guid,
        "todynamic" | "parse_json" | "toobject" => ColumnType::Dynamic,
        _ => return None,
    })
}

/// The function of a text comparison operator.
pub(crate) fn text_operator(name: &str) -> Option<Function> {
    Some(match name {
        "=~" => Function::EqualIgnoreCase,
        "contains" => Function::Contains,
        "contains_cs" => Function::ContainsCs,
        "startswith" => Function::StartsWith,
        "startswith_cs" => Function::StartsWithCs,
        "endswith" => Function::EndsWith,
        "endswith_cs" => Function::EndsWithCs,
        "has" => Function::Has,
        "has_cs" => Function::HasCs,
        "hasprefix" => Function::HasPrefix,
        "hassuffix" => Function::HasSuffix,
        "matches regex" => Function::MatchesRegex,
        _ => return None,
    })
}

/// An aggregate function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AggregateFunction {
    /// Rows.
    Count,
    /// Rows where the condition is true.
    CountIf,
    /// Sum.
    Sum,
    /// Smallest value.
    Min,
    /// Largest value.
    Max,
    /// Mean.
    Avg,
    /// Distinct values. Exact here, an estimate on a cluster.
    DCount,
    /// The row of the largest value.
    ArgMax,
    /// The row of the smallest value.
    ArgMin,
    /// The value of any row.
    TakeAny,
}

impl AggregateFunction {
    /// Reads a KQL name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "count" => Self::Count,
            "countif" => Self::CountIf,
            "sum" => Self::Sum,
            "min" => Self::Min,
            "max" => Self::Max,
            "avg" => Self::Avg,
            "dcount" => Self::DCount,
            "arg_max" => Self::ArgMax,
            "arg_min" => Self::ArgMin,
            "take_any" | "any" => Self::TakeAny,
            _ => return None,
        })
    }
}
