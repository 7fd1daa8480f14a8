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
    /// `hasprefix_cs`
    HasPrefixCs,
    /// `hassuffix_cs`
    HasSuffixCs,
    /// `has_any`: one of the terms
    HasAny,
    /// `has_all`: each of the terms
    HasAll,
    /// `matches regex`
    MatchesRegex,
    /// `in`
    In,
    /// `in~`
    InIgnoreCase,
    /// `in` with a dynamic array that is known only row by row
    InArray,
    /// Conversion to the result type (`tolong` and its kin)
    Convert,
    /// A value as a dynamic one: a text stays a text, also one that is JSON
    AsDynamic,
    /// `isnull`
    IsNull,
    /// `isempty`
    IsEmpty,
    /// `isnan`
    IsNan,
    /// `isinf`
    IsInfinite,
    /// `isfinite`
    IsFinite,
    /// `iff(condition, a, b)` and `case(...)`
    Case,
    /// `coalesce`
    Coalesce,
    /// `bin(value, step)`
    Bin,
    /// `bin_at(value, step, point)`
    BinAt,
    /// `startofday` and its kin, with an offset in periods
    StartOf(Period),
    /// `endofday` and its kin
    EndOf(Period),
    /// `getyear`, `hourofday`, `datetime_part("day", x)` and so on
    DatePart(Period),
    /// `dayofweek`: days since Sunday, as a timespan
    DayOfWeek,
    /// `datetime_add(period, amount, x)`
    DateAdd(Period),
    /// `datetime_diff(period, a, b)`
    DateDiff(Period),
    /// `make_datetime(year, month, day, ...)`
    MakeDateTime,
    /// `format_datetime(x, format)`
    FormatDateTime,
    /// `format_timespan(x, format)`
    FormatTimespan,
    /// `unixtime_seconds_todatetime` and its kin: ticks of one unit
    UnixTime(i64),
    /// `abs`
    Abs,
    /// `round(x, digits)`
    Round,
    /// `ceiling`
    Ceiling,
    /// `sqrt`
    SquareRoot,
    /// `exp`
    Exp,
    /// `log`, of base e
    Log,
    /// `log10`
    Log10,
    /// `log2`
    Log2,
    /// `pow(base, exponent)`
    Power,
    /// `sign`
    Sign,
    /// `min_of(a, b, ...)`
    MinOf,
    /// `max_of(a, b, ...)`
    MaxOf,
    /// `rand()`: from 0 to 1
    Random,
    /// `new_guid()`
    NewGuid,
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
    /// `split(text, delimiter, index)`
    Split,
    /// `trim(regex, text)`
    Trim,
    /// `trim_start(regex, text)`
    TrimStart,
    /// `trim_end(regex, text)`
    TrimEnd,
    /// `indexof(text, part, start, length, occurrence)`
    IndexOf,
    /// `countof(text, part)`
    CountOf,
    /// `extract(regex, group, text)`
    Extract,
    /// `extract_all(regex, text)`
    ExtractAll,
    /// `replace_regex(text, regex, new)`
    ReplaceRegex,
    /// `strcat_delim(delimiter, ...)`
    ConcatenateDelimited,
    /// `strcat_array(array, delimiter)`
    ConcatenateArray,
    /// `strrep(text, times, delimiter)`
    Repeat,
    /// `reverse`
    Reverse,
    /// `tohex`
    ToHex,
    /// `base64_encode_tostring`
    Base64Encode,
    /// `base64_decode_tostring`
    Base64Decode,
    /// `url_encode`
    UrlEncode,
    /// `url_decode`
    UrlDecode,
    /// `hash_sha256`
    HashSha256,
    /// `hash(value, modulus)`: xxHash of 64 bits
    Hash,
    /// `bag_keys`
    BagKeys,
    /// `bag_has_key(bag, key)`
    BagHasKey,
    /// `bag_merge(a, b, ...)`
    BagMerge,
    /// `bag_remove_keys(bag, keys)`
    BagRemoveKeys,
    /// `array_concat(a, b, ...)`
    ArrayConcat,
    /// `array_index_of(array, value)`
    ArrayIndexOf,
    /// `array_slice(array, from, to)`
    ArraySlice,
    /// `array_sum(array)`
    ArraySum,
    /// `array_sort_asc(array)`
    ArraySortAscending,
    /// `array_sort_desc(array)`
    ArraySortDescending,
    /// `set_has_element(array, value)`
    SetHasElement,
    /// `gettype` of a dynamic value
    TypeOfDynamic,
}

/// A span of the calendar or the clock, by its KQL name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Period {
    /// `year`
    Year,
    /// `quarter`
    Quarter,
    /// `month`
    Month,
    /// `week`, from Sunday
    Week,
    /// `weekofyear`, as ISO 8601 counts
    WeekOfYear,
    /// `day`
    Day,
    /// `dayofyear`
    DayOfYear,
    /// `hour`
    Hour,
    /// `minute`
    Minute,
    /// `second`
    Second,
    /// `millisecond`
    Millisecond,
    /// `microsecond`
    Microsecond,
    /// `nanosecond`
    Nanosecond,
}

impl Period {
    /// Reads the name that `datetime_add` and its kin take.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "year" => Self::Year,
            "quarter" => Self::Quarter,
            "month" => Self::Month,
            "week" => Self::Week,
            "weekofyear" | "week_of_year" => Self::WeekOfYear,
            "day" => Self::Day,
            "dayofyear" => Self::DayOfYear,
            "hour" => Self::Hour,
            "minute" => Self::Minute,
            "second" => Self::Second,
            "millisecond" => Self::Millisecond,
            "microsecond" => Self::Microsecond,
            "nanosecond" => Self::Nanosecond,
            _ => return None,
        })
    }
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
    const LONG: &[Option<T>] = &[Some(T::Long)];
    const INSTANT: &[Option<T>] = &[Some(T::DateTime), Some(T::Long)];
    const DYNAMIC: &[Option<T>] = &[Some(T::Dynamic)];
    const ONE: std::ops::RangeInclusive<usize> = 1..=1;
    let returns = |returned| Returns::Fixed(returned);
    let (function, arguments, types, returned) = match name {
        "not" => (F::Not, ONE, &[Some(T::Bool)][..], returns(T::Bool)),
        "isnull" => (F::IsNull, ONE, ANY, returns(T::Bool)),
        "isempty" => (F::IsEmpty, ONE, ANY, returns(T::Bool)),
        "isnan" => (F::IsNan, ONE, REAL, returns(T::Bool)),
        "isinf" => (F::IsInfinite, ONE, REAL, returns(T::Bool)),
        "isfinite" => (F::IsFinite, ONE, REAL, returns(T::Bool)),
        "startofday" => (F::StartOf(Period::Day), 1..=2, INSTANT, returns(T::DateTime)),
        "startofweek" => (F::StartOf(Period::Week), 1..=2, INSTANT, returns(T::DateTime)),
        "startofmonth" => (F::StartOf(Period::Month), 1..=2, INSTANT, returns(T::DateTime)),
        "startofyear" => (F::StartOf(Period::Year), 1..=2, INSTANT, returns(T::DateTime)),
        "endofday" => (F::EndOf(Period::Day), 1..=2, INSTANT, returns(T::DateTime)),
        "endofweek" => (F::EndOf(Period::Week), 1..=2, INSTANT, returns(T::DateTime)),
        "endofmonth" => (F::EndOf(Period::Month), 1..=2, INSTANT, returns(T::DateTime)),
        "endofyear" => (F::EndOf(Period::Year), 1..=2, INSTANT, returns(T::DateTime)),
        "getyear" => (F::DatePart(Period::Year), ONE, INSTANT, returns(T::Int)),
        "getmonth" | "monthofyear" => (F::DatePart(Period::Month), ONE, INSTANT, returns(T::Int)),
        "dayofmonth" => (F::DatePart(Period::Day), ONE, INSTANT, returns(T::Int)),
        "dayofyear" => (F::DatePart(Period::DayOfYear), ONE, INSTANT, returns(T::Int)),
        "hourofday" => (F::DatePart(Period::Hour), ONE, INSTANT, returns(T::Int)),
        "week_of_year" | "weekofyear" => (F::DatePart(Period::WeekOfYear), ONE, INSTANT, returns(T::Int)),
        "dayofweek" => (F::DayOfWeek, ONE, INSTANT, returns(T::Timespan)),
        "make_datetime" => (F::MakeDateTime, 1..=7, REAL, returns(T::DateTime)),
        "format_datetime" => {
            (F::FormatDateTime, 2..=2, &[Some(T::DateTime), Some(T::String)][..], returns(T::String))
        }
        "format_timespan" => {
            (F::FormatTimespan, 2..=2, &[Some(T::Timespan), Some(T::String)][..], returns(T::String))
        }
        "unixtime_seconds_todatetime" => (F::UnixTime(10_000_000), ONE, REAL, returns(T::DateTime)),
        "unixtime_milliseconds_todatetime" => (F::UnixTime(10_000), ONE, REAL, returns(T::DateTime)),
        "unixtime_microseconds_todatetime" => (F::UnixTime(10), ONE, REAL, returns(T::DateTime)),
        "unixtime_nanoseconds_todatetime" => (F::UnixTime(0), ONE, LONG, returns(T::DateTime)),
        "abs" => (F::Abs, ONE, ANY, Returns::First),
        "round" => (F::Round, 1..=2, &[None, Some(T::Long)][..], Returns::First),
        "ceiling" => (F::Ceiling, ONE, ANY, Returns::First),
        "sqrt" => (F::SquareRoot, ONE, REAL, returns(T::Real)),
        "exp" => (F::Exp, ONE, REAL, returns(T::Real)),
        "log" => (F::Log, ONE, REAL, returns(T::Real)),
        "log10" => (F::Log10, ONE, REAL, returns(T::Real)),
        "log2" => (F::Log2, ONE, REAL, returns(T::Real)),
        "pow" => (F::Power, 2..=2, REAL, returns(T::Real)),
        "sign" => (F::Sign, ONE, REAL, returns(T::Real)),
        "rand" => (F::Random, 0..=0, REAL, returns(T::Real)),
        "new_guid" => (F::NewGuid, 0..=0, REAL, returns(T::Guid)),
        "strlen" => (F::StringLength, ONE, STRING, returns(T::Long)),
        "substring" => (F::Substring, 2..=3, &[Some(T::String), Some(T::Long)][..], returns(T::String)),
        "strcat" => (F::Concatenate, 1..=64, STRING, returns(T::String)),
        "strcat_delim" => (F::ConcatenateDelimited, 2..=64, STRING, returns(T::String)),
        "strcat_array" => {
            (F::ConcatenateArray, 2..=2, &[Some(T::Dynamic), Some(T::String)][..], returns(T::String))
        }
        "strrep" => {
            let types = &[Some(T::String), Some(T::Long), Some(T::String)][..];
            (F::Repeat, 2..=3, types, returns(T::String))
        }
        "reverse" => (F::Reverse, ONE, STRING, returns(T::String)),
        "tolower" => (F::ToLower, ONE, STRING, returns(T::String)),
        "toupper" => (F::ToUpper, ONE, STRING, returns(T::String)),
        "tohex" => (F::ToHex, 1..=2, LONG, returns(T::String)),
        "trim" => (F::Trim, 2..=2, STRING, returns(T::String)),
        "trim_start" => (F::TrimStart, 2..=2, STRING, returns(T::String)),
        "trim_end" => (F::TrimEnd, 2..=2, STRING, returns(T::String)),
        "split" => {
            let types = &[Some(T::String), Some(T::String), Some(T::Long)][..];
            (F::Split, 2..=3, types, returns(T::Dynamic))
        }
        "indexof" => {
            let types = &[Some(T::String), Some(T::String), Some(T::Long)][..];
            (F::IndexOf, 2..=5, types, returns(T::Long))
        }
        "countof" => (F::CountOf, 2..=3, STRING, returns(T::Long)),
        "extract" => {
            let types = &[Some(T::String), Some(T::Long), Some(T::String)][..];
            (F::Extract, 3..=3, types, returns(T::String))
        }
        "extract_all" => (F::ExtractAll, 2..=2, STRING, returns(T::Dynamic)),
        "replace_string" => (F::ReplaceString, 3..=3, STRING, returns(T::String)),
        "replace_regex" => (F::ReplaceRegex, 3..=3, STRING, returns(T::String)),
        "base64_encode_tostring" => (F::Base64Encode, ONE, STRING, returns(T::String)),
        "base64_decode_tostring" => (F::Base64Decode, ONE, STRING, returns(T::String)),
        "url_encode" => (F::UrlEncode, ONE, STRING, returns(T::String)),
        "url_decode" => (F::UrlDecode, ONE, STRING, returns(T::String)),
        "hash" => (F::Hash, 1..=2, &[None, Some(T::Long)][..], returns(T::Long)),
        "hash_sha256" => (F::HashSha256, ONE, STRING, returns(T::String)),
        "array_length" => (F::ArrayLength, ONE, DYNAMIC, returns(T::Long)),
        "array_concat" => (F::ArrayConcat, 1..=64, DYNAMIC, returns(T::Dynamic)),
        "array_index_of" => (F::ArrayIndexOf, 2..=2, DYNAMIC, returns(T::Long)),
        "array_slice" => (F::ArraySlice, 3..=3, &[Some(T::Dynamic), Some(T::Long)][..], returns(T::Dynamic)),
        "array_sum" => (F::ArraySum, ONE, DYNAMIC, returns(T::Real)),
        "array_sort_asc" => (F::ArraySortAscending, ONE, DYNAMIC, returns(T::Dynamic)),
        "array_sort_desc" => (F::ArraySortDescending, ONE, DYNAMIC, returns(T::Dynamic)),
        "set_has_element" => (F::SetHasElement, 2..=2, DYNAMIC, returns(T::Bool)),
        "bag_keys" => (F::BagKeys, ONE, DYNAMIC, returns(T::Dynamic)),
        "bag_has_key" => (F::BagHasKey, 2..=2, &[Some(T::Dynamic), Some(T::String)][..], returns(T::Bool)),
        "bag_merge" => (F::BagMerge, 2..=64, DYNAMIC, returns(T::Dynamic)),
        "bag_remove_keys" => (F::BagRemoveKeys, 2..=2, DYNAMIC, returns(T::Dynamic)),
        "pack_array" => (F::PackArray, 0..=256, DYNAMIC, returns(T::Dynamic)),
        "bag_pack" | "pack" => (F::PackBag, 0..=256, DYNAMIC, returns(T::Dynamic)),
        _ => return None,
    };
    Some(Signature { function, arguments, types, returns: returned })
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
        "hasprefix_cs" => Function::HasPrefixCs,
        "hassuffix_cs" => Function::HasSuffixCs,
        "matches regex" => Function::MatchesRegex,
        _ => return None,
    })
}

/// An aggregate function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AggregateFunction {
    /// Rows.
    Count,
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
    /// An array of the values.
    MakeList,
    /// An array of the different values.
    MakeSet,
    /// One bag of many.
    MakeBag,
    /// The values that so many hundredths of the rows are not above.
    Percentiles,
    /// The standard deviation of a sample.
    StandardDeviation,
    /// The standard deviation of a whole population.
    StandardDeviationWhole,
    /// The variance of a sample.
    Variance,
    /// The variance of a whole population.
    VarianceWhole,
}

/// Whether an aggregate has a condition as its last argument, as `sumif` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    /// The last argument is one.
    Last,
    /// It has none.
    Absent,
}

impl AggregateFunction {
    /// Reads a KQL name.
    pub(crate) fn parse(name: &str) -> Option<(Self, Condition)> {
        use Condition::{Absent, Last};
        Some(match name {
            "count" => (Self::Count, Absent),
            "countif" => (Self::Count, Last),
            "sum" => (Self::Sum, Absent),
            "sumif" => (Self::Sum, Last),
            "min" => (Self::Min, Absent),
            "minif" => (Self::Min, Last),
            "max" => (Self::Max, Absent),
            "maxif" => (Self::Max, Last),
            "avg" => (Self::Avg, Absent),
            "avgif" => (Self::Avg, Last),
            "dcount" | "count_distinct" => (Self::DCount, Absent),
            "dcountif" | "count_distinctif" => (Self::DCount, Last),
            "arg_max" => (Self::ArgMax, Absent),
            "arg_min" => (Self::ArgMin, Absent),
            "take_any" | "any" => (Self::TakeAny, Absent),
            "take_anyif" | "anyif" => (Self::TakeAny, Last),
            "make_list" | "makelist" => (Self::MakeList, Absent),
            "make_list_if" => (Self::MakeList, Last),
            "make_set" | "makeset" => (Self::MakeSet, Absent),
            "make_set_if" => (Self::MakeSet, Last),
            "make_bag" => (Self::MakeBag, Absent),
            "make_bag_if" => (Self::MakeBag, Last),
            "percentile" | "percentiles" => (Self::Percentiles, Absent),
            "stdev" => (Self::StandardDeviation, Absent),
            "stdevif" => (Self::StandardDeviation, Last),
            "stdevp" => (Self::StandardDeviationWhole, Absent),
            "variance" => (Self::Variance, Absent),
            "varianceif" => (Self::Variance, Last),
            "variancep" => (Self::VarianceWhole, Absent),
            _ => return None,
        })
    }
}
