//! Ingestion mappings: typed builders for every kind, and the checks that can be made
//! before anything is sent.
//!
//! ```
//! use kusto_ingest::{ColumnMapping, Mapping, MappingKind, MappingTransform};
//! let mapping = Mapping::inline(MappingKind::Json, [
//!     ColumnMapping::path("Id", "$.id").typed("long"),
//!     ColumnMapping::path("At", "$.ts").transformed(MappingTransform::DateTimeFromUnixSeconds),
//!     ColumnMapping::constant("Source", "sensor-7"),
//! ])?;
//! # Ok::<(), kusto_ingest::Error>(())
//! ```

use crate::{Error, ErrorKind};
use kusto_types::{DataFormat, MappingKind, MappingName};
use serde_json::{Map, Value};

/// How fields become columns.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mapping {
    /// The name of a mapping on the service.
    Reference(MappingName),
    /// A mapping sent along, as JSON.
    Inline {
        /// Its kind; `None` means that of the source's format.
        kind: Option<MappingKind>,
        /// Its JSON.
        json: String,
    },
}

/// What is done to a value on its way into its column; the documented transforms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MappingTransform {
    /// A property bag array to a dictionary.
    PropertyBagArrayToDictionary,
    /// The name of the source.
    SourceLocation,
    /// The number of the record in its source.
    SourceLineNumber,
    /// Seconds since 1970 to datetime.
    DateTimeFromUnixSeconds,
    /// Milliseconds since 1970 to datetime.
    DateTimeFromUnixMilliseconds,
    /// Microseconds since 1970 to datetime.
    DateTimeFromUnixMicroseconds,
    /// Nanoseconds since 1970 to datetime.
    DateTimeFromUnixNanoseconds,
    /// The properties that no column takes.
    DropMappedFields,
    /// Bytes to base64 text.
    BytesAsBase64,
}

impl MappingTransform {
    /// The name on the wire.
    pub fn wire_name(self) -> &'static str {
        match self {
            Self::PropertyBagArrayToDictionary => "PropertyBagArrayToDictionary",
            Self::SourceLocation => "SourceLocation",
            Self::SourceLineNumber => "SourceLineNumber",
            Self::DateTimeFromUnixSeconds => "DateTimeFromUnixSeconds",
            Self::DateTimeFromUnixMilliseconds => "DateTimeFromUnixMilliseconds",
            Self::DateTimeFromUnixMicroseconds => "DateTimeFromUnixMicroseconds",
            Self::DateTimeFromUnixNanoseconds => "DateTimeFromUnixNanoseconds",
            Self::DropMappedFields => "DropMappedFields",
            Self::BytesAsBase64 => "BytesAsBase64",
        }
    }
}

/// One column of a mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnMapping {
    column: String,
    data_type: String,
    properties: Vec<(&'static str, String)>,
}

impl ColumnMapping {
    fn with(column: impl Into<String>, name: &'static str, value: String) -> Self {
        Self { column: column.into(), data_type: String::new(), properties: vec![(name, value)] }
    }

    /// The field at a zero-based position: delimited formats.
    pub fn ordinal(column: impl Into<String>, position: usize) -> Self {
        Self::with(column, "Ordinal", position.to_string())
    }

    /// A JSON path into the record, such as `$.a.b[0]`: JSON and the binary formats.
    pub fn path(column: impl Into<String>, path: impl Into<String>) -> Self {
        Self::with(column, "Path", path.into())
    }

    /// A field by its name: the binary formats and W3C log files.
    pub fn field(column: impl Into<String>, field: impl Into<String>) -> Self {
        Self::with(column, "Field", field.into())
    }

    /// The same text for every record.
    pub fn constant(column: impl Into<String>, value: impl Into<String>) -> Self {
        Self::with(column, "ConstValue", value.into())
    }

    /// The name of the source that the record came from.
    pub fn source_location(column: impl Into<String>) -> Self {
        Self::with(column, "Transform", MappingTransform::SourceLocation.wire_name().to_owned())
    }

    /// The number of the record in its source.
    pub fn source_line_number(column: impl Into<String>) -> Self {
        Self::with(column, "Transform", MappingTransform::SourceLineNumber.wire_name().to_owned())
    }

    /// The same column with its type said: queued ingestion makes a missing column with it.
    #[must_use]
    pub fn typed(mut self, data_type: impl Into<String>) -> Self {
        self.data_type = data_type.into();
        self
    }

    /// The same column with its value changed on the way.
    #[must_use]
    pub fn transformed(mut self, transform: MappingTransform) -> Self {
        self.properties.retain(|(name, _)| *name != "Transform");
        self.properties.push(("Transform", transform.wire_name().to_owned()));
        self
    }

    fn has(&self, name: &str) -> bool {
        self.properties.iter().any(|(known, _)| *known == name)
    }

    fn check(&self, kind: MappingKind) -> Result<(), Error> {
        let delimited = kind == MappingKind::Csv;
        let problem = if self.column.trim().is_empty() {
            "a column of the mapping has no name".to_owned()
        } else if self.has("Ordinal") && !delimited {
            format!("column {} is mapped by position, which a {kind} mapping cannot", self.column)
        } else if (self.has("Path") || self.has("Field")) && delimited {
            format!("column {} is mapped by path or field, which a {kind} mapping cannot", self.column)
        } else {
            return Ok(());
        };
        Err(Error::new(ErrorKind::Usage, problem))
    }

    fn to_json(&self) -> Value {
        let properties: Map<String, Value> =
            self.properties.iter().map(|(name, value)| ((*name).to_owned(), value.as_str().into())).collect();
        serde_json::json!({ "column": self.column, "datatype": self.data_type, "Properties": properties })
    }
}

impl Mapping {
    /// The mapping of this name on the service. The name must not be empty.
    pub fn reference(name: impl Into<String>) -> Result<Self, Error> {
        MappingName::new(name)
            .map(Self::Reference)
            .map_err(|error| Error::new(ErrorKind::Usage, "the mapping's name").caused_by(error))
    }

    /// A mapping of these columns.
    ///
    /// # Errors
    /// When there is no column, one twice, or one mapped in a way that the kind does not
    /// have.
    pub fn inline(
        kind: MappingKind,
        columns: impl IntoIterator<Item = ColumnMapping>,
    ) -> Result<Self, Error> {
        let columns: Vec<ColumnMapping> = columns.into_iter().collect();
        for column in &columns {
            column.check(kind)?;
        }
        let json = Value::Array(columns.iter().map(ColumnMapping::to_json).collect()).to_string();
        check_json(&json)?;
        Ok(Self::Inline { kind: Some(kind), json })
    }

    /// A mapping by its JSON text, of the kind of the source's format.
    pub fn inline_json(json: impl Into<String>) -> Self {
        Self::Inline { kind: None, json: json.into() }
    }

    /// Checks the mapping against the format of the source.
    pub(crate) fn check(&self, format: DataFormat) -> Result<(), Error> {
        let Self::Inline { kind, json } = self else { return Ok(()) };
        if let Some(kind) = kind.filter(|kind| *kind != format.mapping_kind()) {
            return Err(Error::new(
                ErrorKind::Usage,
                format!(
                    "the mapping is of kind {kind}, and format {format} needs one of kind {}",
                    format.mapping_kind()
                ),
            ));
        }
        check_json(json)
    }
}

/// The shape that every mapping has. What is inside the properties is left to the
/// service, which may know more than this library.
fn check_json(json: &str) -> Result<(), Error> {
    let wrong = |problem: String| Error::new(ErrorKind::Usage, format!("the inline mapping {problem}"));
    let value: Value =
        serde_json::from_str(json).map_err(|error| wrong("is not JSON".to_owned()).caused_by(error))?;
    let Value::Array(elements) = value else { return Err(wrong("is not a JSON array".to_owned())) };
    if elements.is_empty() {
        return Err(wrong("maps no column".to_owned()));
    }
    let mut seen = std::collections::HashSet::new();
    for (index, element) in elements.iter().enumerate() {
        let column = element.as_object().and_then(|object| {
            object
                .iter()
                .find(|(name, _)| {
                    ["column", "columnname", "name"].iter().any(|known| name.eq_ignore_ascii_case(known))
                })
                .and_then(|(_, value)| value.as_str())
        });
        match column {
            Some(column) if !column.trim().is_empty() => {
                if !seen.insert(column.to_owned()) {
                    return Err(wrong(format!("maps column {column} twice")));
                }
            }
            _ => return Err(wrong(format!("has no column name in element {index}"))),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builders_write_what_the_service_reads() {
        let mapping = Mapping::inline(
            MappingKind::Json,
            [
                ColumnMapping::path("id", "$.id").typed("long"),
                ColumnMapping::path("at", "$.t").transformed(MappingTransform::DateTimeFromUnixSeconds),
                ColumnMapping::constant("c", "x"),
                ColumnMapping::source_location("s"),
            ],
        )
        .unwrap();
        let Mapping::Inline { json, .. } = &mapping else { panic!("{mapping:?}") };
        let read = kusto_types::IngestionMapping::parse(MappingKind::Json, json).unwrap();
        assert_eq!(read.elements.len(), 4);
        assert!(mapping.check(DataFormat::MultiJson).is_ok());
        let error = mapping.check(DataFormat::Csv).unwrap_err();
        assert!(error.to_string().contains("needs one of kind Csv"), "{error}");
    }

    #[test]
    fn faults_are_found_before_anything_is_sent() {
        let by_position = || [ColumnMapping::ordinal("a", 0)];
        let by_path = || [ColumnMapping::path("a", "$.a")];
        assert!(Mapping::inline(MappingKind::Csv, by_position()).is_ok());
        assert!(Mapping::inline(MappingKind::Json, by_position()).is_err());
        assert!(Mapping::inline(MappingKind::Csv, by_path()).is_err());
        assert!(Mapping::inline(MappingKind::Json, []).is_err());
        assert!(Mapping::inline(MappingKind::Json, [ColumnMapping::path(" ", "$.a")]).is_err());
        let twice = [ColumnMapping::path("a", "$.a"), ColumnMapping::path("a", "$.b")];
        assert!(Mapping::inline(MappingKind::Json, twice).is_err());
        assert!(Mapping::reference("").is_err());
        for (json, says) in [
            ("{", "not JSON"),
            ("{}", "not a JSON array"),
            ("[]", "no column"),
            (r#"[{"Path":"$.a"}]"#, "element 0"),
            (r#"[{"columnName":"a"},{"Column":"a"}]"#, "twice"),
        ] {
            let error = Mapping::inline_json(json).check(DataFormat::Json).unwrap_err().to_string();
            assert!(error.contains(says), "{json}: {error}");
        }
        // A transform that this library never heard of is the service's business.
        let new = r#"[{"column":"a","Properties":{"Path":"$.a","Transform":"BrandNew"}}]"#;
        assert!(Mapping::inline_json(new).check(DataFormat::Json).is_ok());
    }
}
