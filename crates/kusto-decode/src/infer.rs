//! Infers a table schema from a source: column names, types, and whether the first
//! record is a header. Texts that stand for nothing (`NA`, `null`, the empty text)
//! count for no type, so that they do not turn a number column into text.

use crate::DecodeError;
use crate::archive;
use crate::delimited::{Records, field};
use crate::input::{Input, open};
use crate::json_frame::{Lines, Values};
use arrow_schema::{DataType, Schema};
use kusto_types::{
    Column, ColumnName, ColumnType, DataFormat, DateTime, FormatFamily, TableSchema, canonical_guid,
};
use serde_json::Value;
use std::collections::{HashMap, HashSet};

/// What was inferred.
#[derive(Debug, Clone, PartialEq)]
pub struct Inferred {
    /// The columns.
    pub schema: TableSchema,
    /// Whether the first record names the columns.
    pub header: bool,
    /// The first record of a delimited source, as it stands there.
    pub first_record: Vec<String>,
    /// The properties of JSON records that the columns were named after, in the order of
    /// the columns. A column has another name where Kusto cannot take the property's.
    pub properties: Vec<String>,
    /// The format that the content shows (a `.json` file may be multijson).
    pub format: DataFormat,
    /// Records that were looked at.
    pub sampled: u64,
    /// Whether that was all of them.
    pub complete: bool,
}

/// Why no schema can be inferred.
#[derive(Debug, thiserror::Error)]
pub enum InferError {
    /// The source cannot be decoded.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The text is not UTF-8.
    #[error(
        "record {record} is not UTF-8 text; convert the file (for instance with iconv) before ingesting it"
    )]
    NotUtf8 {
        /// Number of the record, from 1.
        record: u64,
    },
    /// The columns do not make a schema.
    #[error("no table schema can be made of the columns")]
    Schema(#[from] kusto_types::SchemaError),
    /// The format carries no schema and is not read here.
    #[error("no schema can be inferred from {0}")]
    Format(DataFormat),
}

/// Bytes of uncompressed data that are looked at.
const SAMPLE: u64 = 64 * 1024 * 1024;

/// The types that all values of a column so far would fit.
#[derive(Debug, Clone, Copy)]
struct Candidates {
    seen: bool,
    boolean: bool,
    long: bool,
    real: bool,
    datetime: bool,
    timespan: bool,
    guid: bool,
    dynamic: bool,
}

impl Candidates {
    const NEW: Self = Self {
        seen: false,
        boolean: true,
        long: true,
        real: true,
        datetime: true,
        timespan: true,
        guid: true,
        dynamic: true,
    };

    fn is_nothing(text: &str) -> bool {
        matches!(text, "" | "NA" | "N/A" | "n/a" | "na" | "null" | "NULL" | "Null" | "None" | "\\N" | "-")
    }

    fn add(&mut self, text: &str) {
        let text = text.trim();
        if Self::is_nothing(text) {
            return;
        }
        self.seen = true;
        self.boolean &= text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false");
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        // A code such as 007 is no number: its zeros would be lost.
        let is_code = digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0.");
        let numeric_start = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.');
        self.long &= !is_code && numeric_start && text.parse::<i64>().is_ok();
        self.real &= !is_code
            && (numeric_start || matches!(digits, "NaN" | "inf" | "Inf"))
            && text.parse::<f64>().is_ok();
        self.datetime &= text.len() >= 8 && text.contains(['-', '/', ':']) && DateTime::parse(text).is_some();
        self.timespan &= text.contains(':') && kusto_types::Timespan::parse(text).is_some();
        self.guid &= text.len() >= 32 && canonical_guid(text).is_some();
        self.dynamic &=
            text.starts_with(['{', '[']) && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    }

    fn decide(self) -> ColumnType {
        match self {
            Self { seen: false, .. } => ColumnType::String,
            Self { boolean: true, .. } => ColumnType::Bool,
            Self { long: true, .. } => ColumnType::Long,
            Self { real: true, .. } => ColumnType::Real,
            Self { datetime: true, .. } => ColumnType::DateTime,
            Self { timespan: true, .. } => ColumnType::Timespan,
            Self { guid: true, .. } => ColumnType::Guid,
            Self { dynamic: true, .. } => ColumnType::Dynamic,
            _ => ColumnType::String,
        }
    }
}

/// Infers the schema of a source of a format.
pub fn infer(input: impl Fn() -> std::io::Result<Input>, format: DataFormat) -> Result<Inferred, InferError> {
    let input = || input().map_err(DecodeError::Io);
    match (format, format.family()) {
        (DataFormat::Parquet, _) => infer_parquet(input()?),
        (DataFormat::Orc, _) => infer_orc(input()?),
        (DataFormat::Avro | DataFormat::ApacheAvro, _) => infer_avro(input()?, format),
        (DataFormat::Json, _) => match infer_json(input()?, DataFormat::Json) {
            Ok(inferred) => Ok(inferred),
            Err(lines_fault) => infer_json(input()?, DataFormat::MultiJson).map_err(|_| lines_fault),
        },
        (DataFormat::MultiJson | DataFormat::SingleJson, _) => infer_json(input()?, format),
        (DataFormat::Txt | DataFormat::Raw, _) => Ok(Inferred {
            schema: TableSchema::of([("Text", ColumnType::String)])?,
            header: false,
            first_record: Vec::new(),
            properties: Vec::new(),
            format,
            sampled: 0,
            complete: true,
        }),
        (_, FormatFamily::Delimited) if format != DataFormat::Tsve => infer_delimited(input()?, format),
        _ => Err(InferError::Format(format)),
    }
}

fn column_name(text: &str, index: usize, taken: &HashSet<String>) -> String {
    let cleaned: String = text
        .trim()
        .chars()
        .map(|c| if c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ' ') { c } else { '_' })
        .take(1024)
        .collect();
    let base = if cleaned.trim().is_empty() { format!("Column{}", index + 1) } else { cleaned };
    let mut name = base.clone();
    let mut copy = 2;
    while taken.contains(&name) {
        name = format!("{base}_{copy}");
        copy += 1;
    }
    name
}

fn infer_delimited(input: Input, format: DataFormat) -> Result<Inferred, InferError> {
    let mut records = Records::new(open(archive::first(input)?)?, format);
    let mut first: Vec<String> = Vec::new();
    let mut columns: Vec<Candidates> = Vec::new();
    let mut values_like_header: HashSet<usize> = HashSet::new();
    let mut number = 0u64;
    let mut complete = true;
    while let Some((bytes, ends)) = records.next()? {
        number += 1;
        if std::str::from_utf8(bytes).is_err() {
            return Err(InferError::NotUtf8 { record: number });
        }
        if number == 1 {
            first = (0..ends.len())
                .filter_map(|index| field(bytes, ends, index))
                .map(|text| text.into_owned())
                .collect();
            continue;
        }
        if columns.len() < ends.len() {
            columns.resize(ends.len(), Candidates::NEW);
        }
        for (index, column) in columns.iter_mut().enumerate().take(ends.len()) {
            if let Some(text) = field(bytes, ends, index) {
                column.add(&text);
                if first.get(index).is_some_and(|header| *header == text) {
                    values_like_header.insert(index);
                }
            }
        }
        if records.input.count() > SAMPLE {
            complete = false;
            break;
        }
    }
    if number == 0 {
        return Err(DecodeError::NoRecords { first_fault: None }.into());
    }
    let unique: HashSet<&String> = first.iter().collect();
    let names_columns = first.iter().all(|name| {
        name.trim().starts_with(|c: char| c.is_alphabetic() || c == '_')
            && name.len() < 128
            && !Candidates::is_nothing(name.trim())
    }) && unique.len() == first.len()
        && values_like_header.is_empty();
    // A first record that fits the types of the rest is data, unless every column is text.
    let typed = columns.iter().any(|column| column.decide() != ColumnType::String);
    let misfit = first.iter().zip(&columns).any(|(text, column)| {
        let mut with_first = *column;
        with_first.add(text);
        with_first.decide() != column.decide()
    });
    let header = number > 1 && names_columns && (misfit || !typed);
    if !header {
        if columns.len() < first.len() {
            columns.resize(first.len(), Candidates::NEW);
        }
        for (text, column) in first.iter().zip(columns.iter_mut()) {
            column.add(text);
        }
    }
    let mut taken = HashSet::new();
    let mut schema = Vec::new();
    for (index, candidates) in columns.iter().enumerate() {
        let text = if header { first.get(index).map_or("", String::as_str) } else { "" };
        let name = column_name(text, index, &taken);
        taken.insert(name.clone());
        schema.push(Column {
            name: ColumnName::new(name).map_err(kusto_types::SchemaError::from)?,
            column_type: candidates.decide(),
        });
    }
    Ok(Inferred {
        schema: TableSchema::new(schema)?,
        header,
        first_record: first,
        properties: Vec::new(),
        format,
        sampled: number,
        complete,
    })
}

fn infer_json(input: Input, format: DataFormat) -> Result<Inferred, InferError> {
    let mut order: Vec<String> = Vec::new();
    let mut types: HashMap<String, Option<ColumnType>> = HashMap::new();
    let input = open(archive::first(input)?)?;
    let mut lines = None;
    let mut values = None;
    if format == DataFormat::Json {
        lines = Some(Lines::new(input));
    } else {
        values = Some(Values::new(input));
    }
    let mut sampled = 0;
    let mut complete = true;
    loop {
        let (record, count) = match (&mut lines, &mut values) {
            (Some(lines), _) => {
                let count = lines.input.count();
                (lines.next()?, count)
            }
            (_, Some(values)) => {
                let count = values.input.count();
                (values.next()?, count)
            }
            _ => (None, 0),
        };
        let Some(record) = record else { break };
        if count > SAMPLE {
            complete = false;
            break;
        }
        sampled += 1;
        if std::str::from_utf8(record).is_err() {
            return Err(InferError::NotUtf8 { record: sampled });
        }
        let parsed: Result<serde_json::Map<String, Value>, _> = serde_json::from_slice(record);
        let object = match parsed {
            Ok(object) => object,
            Err(error) => {
                return Err(DecodeError::Malformed { record: sampled, problem: error.to_string() }.into());
            }
        };
        for (name, value) in object {
            let next = json_type(&value);
            match types.get_mut(&name) {
                None => {
                    order.push(name.clone());
                    types.insert(name, next);
                }
                Some(current) => *current = merged(*current, next),
            }
        }
    }
    if sampled == 0 {
        return Err(DecodeError::NoRecords { first_fault: None }.into());
    }
    let mut schema = Vec::new();
    let mut taken: HashSet<String> = HashSet::new();
    for (index, property) in order.iter().enumerate() {
        let column_type = types.get(property).copied().flatten().unwrap_or(ColumnType::String);
        let name = if ColumnName::new(property.as_str()).is_ok() && !taken.contains(property) {
            property.clone()
        } else {
            column_name(property, index, &taken)
        };
        taken.insert(name.clone());
        schema.push(Column {
            name: ColumnName::new(name).map_err(kusto_types::SchemaError::from)?,
            column_type,
        });
    }
    if schema.is_empty() {
        return Err(
            DecodeError::NoRecords { first_fault: Some("the records have no property".to_owned()) }.into()
        );
    }
    Ok(Inferred {
        schema: TableSchema::new(schema)?,
        header: false,
        first_record: Vec::new(),
        properties: order,
        format,
        sampled,
        complete,
    })
}

fn json_type(value: &Value) -> Option<ColumnType> {
    match value {
        Value::Null => None,
        Value::Bool(_) => Some(ColumnType::Bool),
        Value::Number(number) if number.is_i64() => Some(ColumnType::Long),
        Value::Number(_) => Some(ColumnType::Real),
        Value::String(text) if Candidates::is_nothing(text.trim()) => None,
        Value::String(text) => {
            let is_instant =
                text.len() >= 10 && text.as_bytes()[4] == b'-' && DateTime::parse(text).is_some();
            if is_instant {
                Some(ColumnType::DateTime)
            } else if text.len() == 36 && canonical_guid(text).is_some() {
                Some(ColumnType::Guid)
            } else {
                Some(ColumnType::String)
            }
        }
        Value::Array(_) | Value::Object(_) => Some(ColumnType::Dynamic),
    }
}

fn merged(a: Option<ColumnType>, b: Option<ColumnType>) -> Option<ColumnType> {
    match (a, b) {
        (None, other) | (other, None) => other,
        (Some(a), Some(b)) if a == b => Some(a),
        (Some(ColumnType::Long | ColumnType::Real), Some(ColumnType::Long | ColumnType::Real)) => {
            Some(ColumnType::Real)
        }
        (
            Some(ColumnType::String | ColumnType::DateTime | ColumnType::Guid),
            Some(ColumnType::String | ColumnType::DateTime | ColumnType::Guid),
        ) => Some(ColumnType::String),
        _ => Some(ColumnType::Dynamic),
    }
}

fn infer_parquet(input: Input) -> Result<Inferred, InferError> {
    let (reader, _) = crate::parquet::reader(input)?;
    of_arrow(&arrow_array::RecordBatchReader::schema(&reader), DataFormat::Parquet)
}

fn infer_orc(input: Input) -> Result<Inferred, InferError> {
    let schema = crate::guarded(DataFormat::Orc, || crate::orc::schema(input))?;
    of_arrow(&schema, DataFormat::Orc)
}

fn infer_avro(input: Input, format: DataFormat) -> Result<Inferred, InferError> {
    let wrong =
        |error: arrow_schema::ArrowError| DecodeError::WrongFormat { format, problem: error.to_string() };
    let raw = crate::input::open(input)?;
    let reader = arrow_avro::reader::ReaderBuilder::new().build(raw).map_err(wrong)?;
    of_arrow(&reader.schema(), format)
}

/// The schema of a file that says its own.
fn of_arrow(schema: &Schema, format: DataFormat) -> Result<Inferred, InferError> {
    let mut columns = Vec::new();
    for field in schema.fields() {
        let name = ColumnName::new(field.name().as_str()).map_err(kusto_types::SchemaError::from)?;
        columns.push(Column { name, column_type: column_type_of(field.data_type()) });
    }
    Ok(Inferred {
        schema: TableSchema::new(columns)?,
        header: false,
        first_record: Vec::new(),
        properties: Vec::new(),
        format,
        sampled: 0,
        complete: true,
    })
}

fn column_type_of(data_type: &DataType) -> ColumnType {
    match data_type {
        DataType::Boolean => ColumnType::Bool,
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::UInt8 | DataType::UInt16 => {
            ColumnType::Int
        }
        DataType::Int64 | DataType::UInt32 | DataType::UInt64 => ColumnType::Long,
        DataType::Float16 | DataType::Float32 | DataType::Float64 => ColumnType::Real,
        DataType::Decimal128(_, _) | DataType::Decimal256(_, _) => ColumnType::Decimal,
        DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64 => ColumnType::DateTime,
        DataType::List(_) | DataType::LargeList(_) | DataType::Struct(_) | DataType::Map(_, _) => {
            ColumnType::Dynamic
        }
        // Avro's unions of several types: what a value is, is known only with the value.
        DataType::Union(_, _) => ColumnType::Dynamic,
        // A UUID of Avro.
        DataType::FixedSizeBinary(16) => ColumnType::Guid,
        _ => ColumnType::String,
    }
}
