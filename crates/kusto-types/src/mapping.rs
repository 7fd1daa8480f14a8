//! Ingestion mappings: which part of a record goes into which column. Reads every
//! spelling that Kusto and its clients write, prints one.

use crate::{ColumnName, ColumnType, JsonPath, JsonPathError, NameError, UnknownColumnType};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;

/// The kind of an ingestion mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MappingKind {
    /// For the delimited formats.
    Csv,
    /// For the JSON formats.
    Json,
    /// For Avro.
    Avro,
    /// For Parquet.
    Parquet,
    /// For ORC.
    Orc,
    /// For W3C log files.
    W3cLogFile,
}

impl MappingKind {
    /// The name in commands and in `ingestionMappingType`.
    pub fn wire_name(self) -> &'static str {
        match self {
            Self::Csv => "Csv",
            Self::Json => "Json",
            Self::Avro => "Avro",
            Self::Parquet => "Parquet",
            Self::Orc => "Orc",
            Self::W3cLogFile => "W3CLogFile",
        }
    }

    /// Reads a name; case does not matter.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Csv, Self::Json, Self::Avro, Self::Parquet, Self::Orc, Self::W3cLogFile]
            .into_iter()
            .find(|kind| kind.wire_name().eq_ignore_ascii_case(text))
    }
}

impl fmt::Display for MappingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.wire_name())
    }
}

/// Where the value of a column comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MappingSource {
    /// The field at a zero-based position (delimited formats).
    Ordinal(usize),
    /// A path into the record (JSON and self-describing formats).
    Path(JsonPath),
    /// The same text for every record.
    Const(String),
    /// The name of the source that the record came from.
    SourceLocation,
    /// The number of the record in its source, from 1.
    SourceLineNumber,
}

/// A change made to the value on its way into the column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transform {
    /// Seconds since 1970 to datetime.
    DateTimeFromUnixSeconds,
    /// Milliseconds since 1970 to datetime.
    DateTimeFromUnixMilliseconds,
    /// Microseconds since 1970 to datetime.
    DateTimeFromUnixMicroseconds,
    /// Nanoseconds since 1970 to datetime.
    DateTimeFromUnixNanoseconds,
    /// An array of bags, `[{"a":1},{"b":2}]`, to one bag, `{"a":1,"b":2}`.
    PropertyBagArrayToDictionary,
    /// What no other column of the mapping takes of the object at the path.
    DropMappedFields,
    /// Bytes to base64 text.
    BytesAsBase64,
}

impl Transform {
    fn wire_name(self) -> &'static str {
        match self {
            Self::DateTimeFromUnixSeconds => "DateTimeFromUnixSeconds",
            Self::DateTimeFromUnixMilliseconds => "DateTimeFromUnixMilliseconds",
            Self::DateTimeFromUnixMicroseconds => "DateTimeFromUnixMicroseconds",
            Self::DateTimeFromUnixNanoseconds => "DateTimeFromUnixNanoseconds",
            Self::PropertyBagArrayToDictionary => "PropertyBagArrayToDictionary",
            Self::DropMappedFields => "DropMappedFields",
            Self::BytesAsBase64 => "BytesAsBase64",
        }
    }

    /// Nanoseconds in one unit of the number, for those that make times of numbers.
    pub fn nanos_per_unit(self) -> Option<i128> {
        match self {
            Self::DateTimeFromUnixSeconds => Some(1_000_000_000),
            Self::DateTimeFromUnixMilliseconds => Some(1_000_000),
            Self::DateTimeFromUnixMicroseconds => Some(1_000),
            Self::DateTimeFromUnixNanoseconds => Some(1),
            Self::PropertyBagArrayToDictionary | Self::DropMappedFields | Self::BytesAsBase64 => None,
        }
    }

    /// Whether the values of a kind of format can be transformed so.
    fn is_for(self, kind: MappingKind) -> bool {
        let is_flat = matches!(kind, MappingKind::Csv | MappingKind::W3cLogFile);
        match self {
            Self::PropertyBagArrayToDictionary | Self::DropMappedFields => !is_flat,
            Self::BytesAsBase64 => {
                matches!(kind, MappingKind::Avro | MappingKind::Parquet | MappingKind::Orc)
            }
            _ => true,
        }
    }
}

/// One column of a mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MappingElement {
    /// The column that is filled.
    pub column: ColumnName,
    /// Its type, where the mapping says it.
    pub column_type: Option<ColumnType>,
    /// Where the value comes from.
    pub source: MappingSource,
    /// What is done to it.
    pub transform: Option<Transform>,
}

/// A whole ingestion mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IngestionMapping {
    /// Its kind.
    pub kind: MappingKind,
    /// Its columns.
    pub elements: Vec<MappingElement>,
}

/// Why a text is not an ingestion mapping.
#[derive(Debug, thiserror::Error)]
pub enum MappingError {
    /// Not JSON, or JSON of another shape than an array of objects.
    #[error("an ingestion mapping is a JSON array of column objects: {0}")]
    Shape(String),
    /// An element has no column name.
    #[error("element {0} of the mapping has no column")]
    NoColumn(usize),
    /// The column name is malformed.
    #[error("element {0} of the mapping")]
    Name(usize, #[source] NameError),
    /// The column type is unknown.
    #[error("element {0} of the mapping")]
    Type(usize, #[source] UnknownColumnType),
    /// The path is malformed.
    #[error("element {0} of the mapping")]
    Path(usize, #[source] JsonPathError),
    /// The element does not say where the value comes from.
    #[error("element {index} of the mapping (column {column}) has none of {wanted}")]
    NoSource {
        /// Zero-based place of the element.
        index: usize,
        /// Its column.
        column: ColumnName,
        /// What would be right for the kind.
        wanted: &'static str,
    },
    /// A value that the kind does not allow.
    #[error("element {index} of the mapping (column {column}): {problem}")]
    Property {
        /// Zero-based place of the element.
        index: usize,
        /// Its column.
        column: ColumnName,
        /// What is wrong.
        problem: String,
    },
    /// A column is mapped twice.
    #[error("column {0} is mapped twice")]
    DuplicateColumn(ColumnName),
}

fn member<'a>(object: &'a serde_json::Map<String, Value>, name: &str) -> Option<&'a Value> {
    object
        .iter()
        .find(|(key, value)| key.eq_ignore_ascii_case(name) && !value.is_null())
        .map(|(_, value)| value)
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

impl IngestionMapping {
    /// Reads the JSON of a mapping: elements with `Properties`, the flat older forms,
    /// and names in any case.
    pub fn parse(kind: MappingKind, json: &str) -> Result<Self, MappingError> {
        let value: Value =
            serde_json::from_str(json).map_err(|error| MappingError::Shape(error.to_string()))?;
        let Value::Array(items) = value else {
            return Err(MappingError::Shape("it is not an array".to_owned()));
        };
        if items.is_empty() {
            return Err(MappingError::Shape("the array is empty".to_owned()));
        }
        let mut elements: Vec<MappingElement> = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let Value::Object(object) = item else {
                return Err(MappingError::Shape(format!("element {index} is not an object")));
            };
            let element = Self::parse_element(kind, index, object)?;
            if elements.iter().any(|earlier| earlier.column == element.column) {
                return Err(MappingError::DuplicateColumn(element.column));
            }
            elements.push(element);
        }
        Ok(Self { kind, elements })
    }

    fn parse_element(
        kind: MappingKind,
        index: usize,
        object: &serde_json::Map<String, Value>,
    ) -> Result<MappingElement, MappingError> {
        // `columnName` and `columnType` are what Java's client writes.
        let name = ["column", "name", "columnName"]
            .iter()
            .find_map(|key| member(object, key))
            .ok_or(MappingError::NoColumn(index))?;
        let column = ColumnName::new(text(name)).map_err(|error| MappingError::Name(index, error))?;
        let type_name = member(object, "datatype").or_else(|| member(object, "columnType"));
        let column_type = match type_name.map(text).filter(|name| !name.is_empty()) {
            Some(name) => Some(ColumnType::parse(&name).map_err(|error| MappingError::Type(index, error))?),
            None => None,
        };
        let properties = match member(object, "properties") {
            Some(Value::Object(properties)) => properties,
            _ => object,
        };
        let fault = |problem: String| MappingError::Property { index, column: column.clone(), problem };
        let transform_name =
            member(properties, "transform").map(text).filter(|name| !name.is_empty() && name != "None");
        let mut from_transform = None;
        let transform = match transform_name.as_deref().map(str::to_ascii_lowercase).as_deref() {
            None => None,
            Some("sourcelocation") => {
                from_transform = Some(MappingSource::SourceLocation);
                None
            }
            Some("sourcelinenumber") => {
                from_transform = Some(MappingSource::SourceLineNumber);
                None
            }
            Some("datetimefromunixseconds") => Some(Transform::DateTimeFromUnixSeconds),
            Some("datetimefromunixmilliseconds") => Some(Transform::DateTimeFromUnixMilliseconds),
            Some("datetimefromunixmicroseconds") => Some(Transform::DateTimeFromUnixMicroseconds),
            Some("datetimefromunixnanoseconds") => Some(Transform::DateTimeFromUnixNanoseconds),
            Some("propertybagarraytodictionary") => Some(Transform::PropertyBagArrayToDictionary),
            Some("dropmappedfields") => Some(Transform::DropMappedFields),
            Some("bytesasbase64") => Some(Transform::BytesAsBase64),
            Some(_) => {
                return Err(fault(format!(
                    "transform {} is not known; SourceLocation, SourceLineNumber, DateTimeFromUnix{{Seconds,Milliseconds,Microseconds,Nanoseconds}}, PropertyBagArrayToDictionary, DropMappedFields and BytesAsBase64 are",
                    transform_name.unwrap_or_default()
                )));
            }
        };
        if let Some(transform) = transform.filter(|transform| !transform.is_for(kind)) {
            return Err(fault(format!(
                "transform {} does not go with a {kind} mapping",
                transform.wire_name()
            )));
        }
        let constant = member(properties, "constvalue").map(text);
        let source = if let Some(source) = from_transform {
            source
        } else if let Some(constant) = constant {
            MappingSource::Const(constant)
        } else if kind == MappingKind::Csv {
            let ordinal = member(properties, "ordinal")
                .map(text)
                .filter(|ordinal| !ordinal.is_empty())
                .ok_or_else(|| MappingError::NoSource {
                    index,
                    column: column.clone(),
                    wanted: "Ordinal, ConstValue, SourceLocation",
                })?;
            MappingSource::Ordinal(
                ordinal
                    .trim()
                    .parse()
                    .map_err(|_| fault(format!("Ordinal {ordinal:?} is not a zero-based position")))?,
            )
        } else if let Some(path) = member(properties, "path").map(text).filter(|path| !path.is_empty()) {
            if path.starts_with('$') {
                MappingSource::Path(JsonPath::parse(&path).map_err(|error| MappingError::Path(index, error))?)
            } else {
                MappingSource::Const(path)
            }
        } else if let Some(field) = member(properties, "field").map(text).filter(|field| !field.is_empty()) {
            MappingSource::Path(JsonPath::property(field))
        } else {
            return Err(MappingError::NoSource {
                index,
                column,
                wanted: "Path, Field, ConstValue, SourceLocation",
            });
        };
        Ok(MappingElement { column, column_type, source, transform })
    }

    /// The JSON that `.show … mappings` prints and that goes into messages.
    pub fn to_json(&self) -> String {
        let items: Vec<Value> = self
            .elements
            .iter()
            .map(|element| {
                let mut properties = serde_json::Map::new();
                match &element.source {
                    MappingSource::Ordinal(ordinal) => {
                        properties.insert("Ordinal".into(), ordinal.to_string().into());
                    }
                    MappingSource::Path(path) => {
                        properties.insert("Path".into(), path.to_string().into());
                    }
                    MappingSource::Const(constant) => {
                        properties.insert("ConstValue".into(), constant.clone().into());
                    }
                    MappingSource::SourceLocation => {
                        properties.insert("Transform".into(), "SourceLocation".into());
                    }
                    MappingSource::SourceLineNumber => {
                        properties.insert("Transform".into(), "SourceLineNumber".into());
                    }
                }
                if let Some(transform) = element.transform {
                    properties.insert("Transform".into(), transform.wire_name().into());
                }
                serde_json::json!({
                    "column": element.column,
                    "datatype": element.column_type.map_or("", ColumnType::kql_name),
                    "Properties": properties,
                })
            })
            .collect();
        Value::Array(items).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_reads_to_the_same_mapping() {
        let spellings = [
            r#"[{"column":"id","datatype":"long","Properties":{"Path":"$.id"}}]"#,
            r#"[{"Column":"id","DataType":"long","properties":{"path":"$['id']"}}]"#,
            r#"[{"column":"id","path":"$.id","datatype":"long","transform":null}]"#,
            r#"[{"Name":"id","DataType":"System.Int64","Properties":{"Field":"id"}}]"#,
            r#"[{"columnName":"id","columnType":"long","properties":{"Path":"$.id"}}]"#,
        ];
        let mappings: Vec<_> =
            spellings.iter().map(|json| IngestionMapping::parse(MappingKind::Json, json).unwrap()).collect();
        assert!(mappings.windows(2).all(|pair| pair[0] == pair[1]), "{mappings:?}");
        let printed = mappings[0].to_json();
        assert_eq!(IngestionMapping::parse(MappingKind::Json, &printed).unwrap(), mappings[0]);
    }

    #[test]
    fn ordinals_constants_and_locations_read() {
        let json = r#"[{"Name":"a","DataType":"int","Ordinal":"1"},{"Name":"b","Ordinal":0},
            {"column":"c","Properties":{"ConstValue":"x"}},{"column":"d","Properties":{"Transform":"SourceLocation"}}]"#;
        let mapping = IngestionMapping::parse(MappingKind::Csv, json).unwrap();
        let sources: Vec<_> = mapping.elements.into_iter().map(|element| element.source).collect();
        assert_eq!(
            sources,
            [
                MappingSource::Ordinal(1),
                MappingSource::Ordinal(0),
                MappingSource::Const("x".into()),
                MappingSource::SourceLocation
            ]
        );
    }

    #[test]
    fn faults_say_where() {
        for (kind, json, expected) in [
            (MappingKind::Csv, "{}", "array"),
            (MappingKind::Csv, "[]", "empty"),
            (MappingKind::Csv, r#"[{"column":"a"}]"#, "Ordinal"),
            (MappingKind::Csv, r#"[{"Ordinal":1}]"#, "no column"),
            (MappingKind::Csv, r#"[{"column":"a","Ordinal":"x"}]"#, "zero-based"),
            (MappingKind::Json, r#"[{"column":"a","path":"$..b"}]"#, "element 0"),
            (MappingKind::Json, r#"[{"column":"a","path":"$.b"},{"column":"a","path":"$.c"}]"#, "twice"),
            (MappingKind::Json, r#"[{"column":"a","path":"$.b","transform":"Reverse"}]"#, "not known"),
            (
                MappingKind::Csv,
                r#"[{"column":"a","Ordinal":0,"transform":"DropMappedFields"}]"#,
                "does not go",
            ),
            (
                MappingKind::Json,
                r#"[{"column":"a","path":"$.b","transform":"BytesAsBase64"}]"#,
                "does not go",
            ),
        ] {
            let error = IngestionMapping::parse(kind, json).unwrap_err().to_string();
            assert!(error.contains(expected), "{json}: {error}");
        }
    }
}
