//! Scalar literals: their values, and the texts between the parentheses of the typed
//! ones (`datetime(...)`, `guid(...)`).

use kusto_types::{ColumnType, DateTime, Timespan, canonical_decimal, canonical_guid};

/// A constant of a type; `None` is the null of that type.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    /// bool
    Bool(Option<bool>),
    /// int
    Int(Option<i32>),
    /// long
    Long(Option<i64>),
    /// real
    Real(Option<f64>),
    /// decimal, canonical text
    Decimal(Option<String>),
    /// datetime, ticks
    DateTime(Option<i64>),
    /// timespan, ticks
    Timespan(Option<i64>),
    /// guid, canonical text
    Guid(Option<String>),
    /// string
    String(String),
    /// dynamic, JSON text
    Dynamic(Option<String>),
}

impl Literal {
    /// Its type.
    pub fn column_type(&self) -> ColumnType {
        match self {
            Self::Bool(_) => ColumnType::Bool,
            Self::Int(_) => ColumnType::Int,
            Self::Long(_) => ColumnType::Long,
            Self::Real(_) => ColumnType::Real,
            Self::Decimal(_) => ColumnType::Decimal,
            Self::DateTime(_) => ColumnType::DateTime,
            Self::Timespan(_) => ColumnType::Timespan,
            Self::Guid(_) => ColumnType::Guid,
            Self::String(_) => ColumnType::String,
            Self::Dynamic(_) => ColumnType::Dynamic,
        }
    }

    /// The null of a type; for string the empty text.
    pub fn null(column_type: ColumnType) -> Self {
        match column_type {
            ColumnType::Bool => Self::Bool(None),
            ColumnType::Int => Self::Int(None),
            ColumnType::Long => Self::Long(None),
            ColumnType::Real => Self::Real(None),
            ColumnType::Decimal => Self::Decimal(None),
            ColumnType::DateTime => Self::DateTime(None),
            ColumnType::Timespan => Self::Timespan(None),
            ColumnType::Guid => Self::Guid(None),
            ColumnType::String => Self::String(String::new()),
            ColumnType::Dynamic => Self::Dynamic(None),
        }
    }

    /// Reads the text between the parentheses of a typed literal; `None` when it is
    /// not a value of the type.
    pub(crate) fn typed(column_type: ColumnType, text: &str) -> Option<Self> {
        let text = text.trim();
        if text.eq_ignore_ascii_case("null") {
            return Some(Self::null(column_type));
        }
        Some(match column_type {
            ColumnType::Bool => Self::Bool(Some(match text.to_ascii_lowercase().as_str() {
                "true" | "1" => true,
                "false" | "0" => false,
                _ => return None,
            })),
            ColumnType::Int => Self::Int(Some(integer(text)?.try_into().ok()?)),
            ColumnType::Long => Self::Long(Some(integer(text)?)),
            ColumnType::Real => Self::Real(Some(match text.to_ascii_lowercase().as_str() {
                "nan" => f64::NAN,
                "+inf" | "inf" => f64::INFINITY,
                "-inf" => f64::NEG_INFINITY,
                _ => text.parse().ok()?,
            })),
            ColumnType::Decimal => Self::Decimal(Some(canonical_decimal(text)?)),
            ColumnType::DateTime => Self::DateTime(Some(DateTime::parse(unquoted(text))?.ticks())),
            ColumnType::Timespan => Self::Timespan(Some(Timespan::parse(unquoted(text))?.0)),
            ColumnType::Guid => Self::Guid(Some(canonical_guid(unquoted(text))?)),
            ColumnType::String => return None,
            ColumnType::Dynamic => {
                let value: serde_json::Value = serde_json::from_str(text).ok()?;
                if value.is_null() { Self::Dynamic(None) } else { Self::Dynamic(Some(value.to_string())) }
            }
        })
    }
}

/// A decimal or 0x integer.
pub(crate) fn integer(text: &str) -> Option<i64> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u64::from_str_radix(digits, 16).ok().map(|bits| bits as i64),
        None => text.parse().ok(),
    }
}

fn unquoted(text: &str) -> &str {
    ['"', '\'']
        .into_iter()
        .find_map(|quote| text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)))
        .unwrap_or(text)
}

/// The value of a quoted string token (prefix `h`, `@` and fences included).
pub(crate) fn string_value(token: &str) -> String {
    let token = token.strip_prefix(['h', 'H']).unwrap_or(token);
    for fence in ["```", "~~~"] {
        if let Some(rest) = token.strip_prefix(fence) {
            return rest.strip_suffix(fence).unwrap_or(rest).to_owned();
        }
    }
    if let Some(verbatim) = token.strip_prefix('@') {
        let quote = &verbatim[..1];
        return verbatim[1..verbatim.len() - 1].replace(&quote.repeat(2), quote);
    }
    let inner = &token[1..token.len() - 1];
    let mut value = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            value.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => value.push('\n'),
            Some('t') => value.push('\t'),
            Some('r') => value.push('\r'),
            Some('0') => value.push('\0'),
            Some('u') => {
                let digits: String = chars.clone().take(4).collect();
                match u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32) {
                    Some(decoded) if digits.len() == 4 => {
                        value.push(decoded);
                        chars.nth(3);
                    }
                    _ => value.push('u'),
                }
            }
            Some(other) => value.push(other),
            None => value.push('\\'),
        }
    }
    value
}
