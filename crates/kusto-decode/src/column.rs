//! Builders of one Arrow column each, fed with text or with JSON values: the place
//! where Kusto's rules for values live.

use crate::MAX_VALUE;
use crate::transform::merged_bags;
use arrow_array::builder::{BooleanBuilder, Float64Builder, Int32Builder, Int64Builder, StringBuilder};
use arrow_array::{ArrayRef, RecordBatch};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kusto_types::{
    ColumnType, DateTime, TableSchema, Timespan, Transform, arrow_schema, canonical_decimal, canonical_guid,
};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::sync::Arc;

enum Builder {
    Bool(BooleanBuilder),
    Int(Int32Builder),
    Long(Int64Builder),
    Real(Float64Builder),
    Text(StringBuilder),
}

/// One column under construction.
pub(crate) struct Column {
    column_type: ColumnType,
    builder: Builder,
}

/// Text cut to the longest string value, at a character boundary.
fn capped(text: &str) -> &str {
    if text.len() <= MAX_VALUE {
        return text;
    }
    let mut end = MAX_VALUE;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

pub(crate) fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" => Some(true),
        "0" => Some(false),
        _ if text.eq_ignore_ascii_case("true") => Some(true),
        _ if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

impl Column {
    pub(crate) fn new(column_type: ColumnType) -> Self {
        let builder = match column_type {
            ColumnType::Bool => Builder::Bool(BooleanBuilder::new()),
            ColumnType::Int => Builder::Int(Int32Builder::new()),
            ColumnType::Long | ColumnType::DateTime | ColumnType::Timespan => {
                Builder::Long(Int64Builder::new())
            }
            ColumnType::Real => Builder::Real(Float64Builder::new()),
            ColumnType::Decimal | ColumnType::Guid | ColumnType::String | ColumnType::Dynamic => {
                Builder::Text(StringBuilder::new())
            }
        };
        Self { column_type, builder }
    }

    pub(crate) fn push_null(&mut self) {
        match &mut self.builder {
            Builder::Bool(builder) => builder.append_null(),
            Builder::Int(builder) => builder.append_null(),
            Builder::Long(builder) => builder.append_null(),
            Builder::Real(builder) => builder.append_null(),
            Builder::Text(builder) if self.column_type == ColumnType::String => builder.append_value(""),
            Builder::Text(builder) => builder.append_null(),
        }
    }

    pub(crate) fn push_ticks(&mut self, ticks: Option<i64>) {
        match &mut self.builder {
            Builder::Long(builder) => builder.append_option(ticks),
            _ => self.push_null(),
        }
    }

    /// A value from text, as a delimited field carries it.
    pub(crate) fn push_text(&mut self, text: &str) {
        match &mut self.builder {
            Builder::Text(builder) => match self.column_type {
                ColumnType::String => builder.append_value(capped(text)),
                ColumnType::Guid => builder.append_option(canonical_guid(text)),
                ColumnType::Decimal => builder.append_option(canonical_decimal(text)),
                _ => match text_as_dynamic(text) {
                    Some(json) if json.len() <= MAX_VALUE => builder.append_value(json),
                    _ => builder.append_null(),
                },
            },
            Builder::Bool(builder) => builder.append_option(parse_bool(text.trim())),
            Builder::Int(builder) => builder.append_option(text.trim().parse().ok()),
            Builder::Real(builder) => builder.append_option(text.trim().parse().ok()),
            Builder::Long(builder) => builder.append_option(match self.column_type {
                ColumnType::DateTime => DateTime::parse(text).map(DateTime::ticks),
                ColumnType::Timespan => Timespan::parse(text).map(|span| span.0),
                _ => text.trim().parse().ok(),
            }),
        }
    }

    /// A value from the text of a JSON value.
    pub(crate) fn push_json(&mut self, raw: &str) {
        let raw = raw.trim();
        let first = raw.as_bytes().first().copied().unwrap_or(b'n');
        match (first, self.column_type) {
            (b'n', _) => self.push_null(),
            (_, ColumnType::Dynamic) => match &mut self.builder {
                Builder::Text(builder) if raw.len() <= MAX_VALUE => builder.append_value(raw),
                _ => self.push_null(),
            },
            (b'"', _) => match json_string(raw) {
                Some(text) => self.push_text(&text),
                None => self.push_null(),
            },
            (b'{' | b'[', ColumnType::String) => self.push_text(raw),
            (b'{' | b'[', _) => self.push_null(),
            // A bare number is no datetime and no timespan; a transform says its unit.
            (_, ColumnType::DateTime | ColumnType::Timespan | ColumnType::Guid) => self.push_null(),
            _ => self.push_text(raw),
        }
    }

    /// A value that a mapping transforms, from text or the text of a JSON value.
    /// `DropMappedFields` is done before: it looks at the whole mapping.
    pub(crate) fn push_transformed(&mut self, text: &str, transform: Transform) {
        match (transform, transform.nanos_per_unit()) {
            (_, Some(unit)) => self.push_unix(text, unit),
            (Transform::PropertyBagArrayToDictionary, _) => match serde_json::from_str(text) {
                Ok(value) => self.push_json(&merged_bags(value).to_string()),
                Err(_) => self.push_null(),
            },
            (Transform::BytesAsBase64, _) => {
                let plain = json_string(text.trim()).unwrap_or(Cow::Borrowed(text));
                self.push_text(&STANDARD.encode(plain.as_bytes()));
            }
            _ => self.push_json(text),
        }
    }

    /// A number of units since 1970.
    fn push_unix(&mut self, text: &str, nanos_per_unit: i128) {
        let text = text.trim().trim_matches('"');
        let nanos = match text.parse::<i64>() {
            Ok(units) => Some(i128::from(units) * nanos_per_unit),
            Err(_) => text
                .parse::<f64>()
                .ok()
                .filter(|units| units.is_finite())
                .map(|units| (units * nanos_per_unit as f64) as i128),
        };
        let instant = nanos.and_then(DateTime::from_unix_nanos);
        match self.column_type {
            ColumnType::DateTime => self.push_ticks(instant.map(DateTime::ticks)),
            ColumnType::String => self.push_text(&instant.map(|at| at.to_string()).unwrap_or_default()),
            _ => self.push_null(),
        }
    }

    pub(crate) fn finish(&mut self) -> ArrayRef {
        match &mut self.builder {
            Builder::Bool(builder) => Arc::new(builder.finish()),
            Builder::Int(builder) => Arc::new(builder.finish()),
            Builder::Long(builder) => Arc::new(builder.finish()),
            Builder::Real(builder) => Arc::new(builder.finish()),
            Builder::Text(builder) => Arc::new(builder.finish()),
        }
    }
}

/// The text of a JSON string value.
pub(crate) fn json_string(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if !inner.contains('\\') {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str::<String>(raw).ok().map(Cow::Owned)
}

/// A delimited field as a dynamic value: JSON stays, other text becomes a JSON string.
fn text_as_dynamic(text: &str) -> Option<Cow<'_, str>> {
    let trimmed = text.trim();
    if trimmed.is_empty() || trimmed == "null" {
        return None;
    }
    if serde_json::from_str::<&RawValue>(trimmed).is_ok() {
        return Some(Cow::Borrowed(trimmed));
    }
    serde_json::to_string(text).ok().map(Cow::Owned)
}

/// All columns of a table under construction.
pub(crate) struct Columns {
    pub(crate) columns: Vec<Column>,
    schema: Arc<arrow_schema::Schema>,
    rows: usize,
    bytes: usize,
}

impl Columns {
    const MAX_ROWS: usize = 65_536;
    const MAX_BYTES: usize = 8 * 1024 * 1024;

    pub(crate) fn new(schema: &TableSchema) -> Self {
        Self {
            columns: schema.columns().iter().map(|column| Column::new(column.column_type)).collect(),
            schema: Arc::new(arrow_schema(schema)),
            rows: 0,
            bytes: 0,
        }
    }

    /// Notes that one more row of so many bytes is complete; whether the batch is full.
    pub(crate) fn row_done(&mut self, bytes: usize) -> bool {
        self.rows += 1;
        self.bytes += bytes;
        self.rows >= Self::MAX_ROWS || self.bytes >= Self::MAX_BYTES
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    pub(crate) fn finish(&mut self) -> Result<RecordBatch, crate::DecodeError> {
        let arrays = self.columns.iter_mut().map(Column::finish).collect();
        let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(self.rows));
        self.rows = 0;
        self.bytes = 0;
        RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)
            .map_err(|error| crate::DecodeError::Sink(Box::new(error)))
    }
}
