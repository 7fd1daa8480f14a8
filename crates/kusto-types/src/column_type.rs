//! The ten scalar types of Kusto columns and their names in each document.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The type of a column or scalar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ColumnType {
    /// True or false.
    Bool,
    /// 32-bit signed integer.
    Int,
    /// 64-bit signed integer.
    Long,
    /// 64-bit IEEE float.
    Real,
    /// Decimal number, kept as its text.
    Decimal,
    /// Instant in 100 ns ticks since 0001-01-01, UTC.
    DateTime,
    /// Duration in 100 ns ticks.
    Timespan,
    /// 128-bit id.
    Guid,
    /// Text. Never null: an absent string is empty.
    String,
    /// JSON value.
    Dynamic,
}

/// A text that names no column type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a Kusto column type; use bool, int, long, real, decimal, datetime, timespan, guid, string or dynamic"
)]
pub struct UnknownColumnType(pub String);

impl ColumnType {
    /// Every type, in the order of this file.
    pub const ALL: [ColumnType; 10] = [
        Self::Bool,
        Self::Int,
        Self::Long,
        Self::Real,
        Self::Decimal,
        Self::DateTime,
        Self::Timespan,
        Self::Guid,
        Self::String,
        Self::Dynamic,
    ];

    /// The KQL name (`CslType`, `ColumnType` on the wire).
    pub fn kql_name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Long => "long",
            Self::Real => "real",
            Self::Decimal => "decimal",
            Self::DateTime => "datetime",
            Self::Timespan => "timespan",
            Self::Guid => "guid",
            Self::String => "string",
            Self::Dynamic => "dynamic",
        }
    }

    /// The .NET name as schemas print it (`System.Int64`).
    pub fn clr_name(self) -> &'static str {
        match self {
            Self::Bool => "System.SByte",
            Self::Int => "System.Int32",
            Self::Long => "System.Int64",
            Self::Real => "System.Double",
            Self::Decimal => "System.Data.SqlTypes.SqlDecimal",
            Self::DateTime => "System.DateTime",
            Self::Timespan => "System.TimeSpan",
            Self::Guid => "System.Guid",
            Self::String => "System.String",
            Self::Dynamic => "System.Object",
        }
    }

    /// The short .NET name that v1 results carry in `DataType` (`Int64`).
    pub fn v1_data_type(self) -> &'static str {
        match self {
            Self::Bool => "SByte",
            Self::Int => "Int32",
            Self::Long => "Int64",
            Self::Real => "Double",
            Self::Decimal => "SqlDecimal",
            Self::DateTime => "DateTime",
            Self::Timespan => "TimeSpan",
            Self::Guid => "Guid",
            Self::String => "String",
            Self::Dynamic => "Object",
        }
    }

    /// Whether arithmetic applies to it (int, long, real, decimal).
    pub fn is_numeric(self) -> bool {
        matches!(self, Self::Int | Self::Long | Self::Real | Self::Decimal)
    }

    /// Reads a KQL name, one of its synonyms, or a .NET name; case does not matter.
    pub fn parse(text: &str) -> Result<Self, UnknownColumnType> {
        let lower = text.trim().to_ascii_lowercase();
        let short = lower.strip_prefix("system.").unwrap_or(&lower);
        Ok(match short {
            "bool" | "boolean" | "sbyte" => Self::Bool,
            "int" | "int32" | "uint32" | "int16" | "uint16" | "uint8" | "byte" => Self::Int,
            "long" | "int64" | "uint64" => Self::Long,
            "real" | "double" | "float" | "single" => Self::Real,
            "decimal" | "sqldecimal" | "data.sqltypes.sqldecimal" => Self::Decimal,
            "datetime" | "date" => Self::DateTime,
            "timespan" | "time" => Self::Timespan,
            "guid" | "uuid" | "uniqueid" => Self::Guid,
            "string" => Self::String,
            "dynamic" | "object" => Self::Dynamic,
            _ => return Err(UnknownColumnType(text.to_owned())),
        })
    }
}

impl TryFrom<String> for ColumnType {
    type Error = UnknownColumnType;
    fn try_from(text: String) -> Result<Self, UnknownColumnType> {
        Self::parse(&text)
    }
}

impl From<ColumnType> for String {
    fn from(column_type: ColumnType) -> String {
        column_type.kql_name().to_owned()
    }
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kql_name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_a_type_reads_back() {
        for column_type in ColumnType::ALL {
            for name in [column_type.kql_name(), column_type.clr_name(), column_type.v1_data_type()] {
                assert_eq!(ColumnType::parse(name), Ok(column_type), "{name}");
            }
        }
        assert!(ColumnType::parse("varchar").is_err());
    }
}
