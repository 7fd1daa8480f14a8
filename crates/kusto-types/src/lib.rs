//! Names, ids, data formats, column types, schemas, ingestion mappings and the text
//! of Kusto scalar values. No I/O and no async: every other crate builds on this one.

#[cfg(feature = "arrow")]
mod arrow;
mod column_type;
mod datetime;
mod decimal;
mod format;
mod guid;
mod json_path;
mod mapping;
mod names;
mod schema;
mod size;
mod timespan;

#[cfg(feature = "arrow")]
pub use arrow::{KUSTO_TYPE, arrow_schema, arrow_type};
pub use column_type::{ColumnType, UnknownColumnType};
pub use datetime::{DateTime, TICKS_PER_DAY, TICKS_PER_SECOND};
pub use decimal::canonical_decimal;
pub use format::{Compression, DataFormat, FormatFamily, UnknownFormat, sniff_compression};
pub use guid::canonical_guid;
pub use json_path::{JsonPath, JsonPathError, PathStep};
pub use mapping::{IngestionMapping, MappingElement, MappingError, MappingKind, MappingSource, Transform};
pub use names::{ColumnName, DatabaseName, MappingName, NameError, SourceId, TableName};
pub use schema::{Column, SchemaError, TableSchema};
pub use size::ByteSize;
pub use timespan::Timespan;
