//! json (a record a line, a bad one is dropped), multijson and singlejson (a bad
//! record fails the source). Values are cut out of the record's text without building
//! a tree: numbers and sub-documents keep the text that they came with.

use crate::column::Columns;
use crate::input::{Input, open};
use crate::json_frame::{Lines, Values};
use crate::transform::{taken_below, without};
use crate::{DecodeError, DecodeReport, DecodeRequest, LastRecord};
use arrow_array::RecordBatch;
use kusto_types::{DataFormat, MappingSource, PathStep, Transform};
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

type Sink<'s> = &'s mut dyn FnMut(RecordBatch) -> Result<(), DecodeError>;

enum Origin {
    /// Taken from the record by the plan's top-level properties.
    Record(Option<Transform>),
    /// The whole record.
    Whole,
    /// The object at these steps without what other columns take of it.
    Rest(Vec<PathStep>, Vec<Vec<PathStep>>),
    Const(String),
    Location,
    LineNumber,
    Absent,
}

/// Which columns each top-level property fills, and by which steps below it.
struct Plan {
    origins: Vec<Origin>,
    properties: HashMap<String, Vec<(usize, Vec<PathStep>)>>,
}

fn plan(request: &DecodeRequest<'_>) -> Plan {
    let mut properties: HashMap<String, Vec<(usize, Vec<PathStep>)>> = HashMap::new();
    let mut origins = Vec::new();
    for (index, column) in request.schema.columns().iter().enumerate() {
        let Some(mapping) = request.mapping else {
            properties.entry(column.name.as_str().to_owned()).or_default().push((index, Vec::new()));
            origins.push(Origin::Record(None));
            continue;
        };
        let Some(element) = mapping.elements.iter().find(|element| element.column == column.name) else {
            origins.push(Origin::Absent);
            continue;
        };
        origins.push(match &element.source {
            MappingSource::Path(path) if element.transform == Some(Transform::DropMappedFields) => {
                Origin::Rest(path.steps().to_vec(), taken_below(mapping, element))
            }
            MappingSource::Path(path) => match path.steps().split_first() {
                None => Origin::Whole,
                Some((PathStep::Property(first), rest)) => {
                    properties.entry(first.clone()).or_default().push((index, rest.to_vec()));
                    Origin::Record(element.transform)
                }
                Some((PathStep::Index(_), _)) => Origin::Absent,
            },
            MappingSource::Const(text) => Origin::Const(text.clone()),
            MappingSource::SourceLocation => Origin::Location,
            MappingSource::SourceLineNumber => Origin::LineNumber,
            MappingSource::Ordinal(_) => Origin::Absent,
        });
    }
    Plan { origins, properties }
}

/// Fills the wanted values of one record.
struct RecordVisitor<'p, 'v, 'de> {
    plan: &'p Plan,
    values: &'v mut [Option<&'de str>],
}

impl<'de> Visitor<'de> for RecordVisitor<'_, '_, 'de> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            match self.plan.properties.get(key.as_ref()) {
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
                Some(targets) => {
                    let raw = map.next_value::<&'de RawValue>()?.get();
                    for (column, steps) in targets {
                        self.values[*column] = descend(raw, steps);
                    }
                }
            }
        }
        Ok(())
    }
}

/// The part of a JSON value that steps lead to.
fn descend<'de>(raw: &'de str, steps: &[PathStep]) -> Option<&'de str> {
    struct Child<'s>(&'s PathStep);
    impl<'de> Visitor<'de> for Child<'_> {
        type Value = Option<&'de str>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object or an array")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut found = None;
            while let Some(key) = map.next_key::<Cow<'de, str>>()? {
                let value = map.next_value::<&'de RawValue>()?;
                if matches!(self.0, PathStep::Property(name) if *name == key) {
                    found = Some(value.get());
                }
            }
            Ok(found)
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            let (mut found, mut at) = (None, 0);
            while let Some(value) = seq.next_element::<&'de RawValue>()? {
                if matches!(self.0, PathStep::Index(index) if *index == at) {
                    found = Some(value.get());
                }
                at += 1;
            }
            Ok(found)
        }
    }
    let mut current = raw;
    for step in steps {
        let mut parser = serde_json::Deserializer::from_str(current);
        current = parser.deserialize_any(Child(step)).ok().flatten()?;
    }
    Some(current)
}

enum Frames {
    Lines(Lines),
    Values(Values),
}

impl Frames {
    fn next(&mut self) -> Result<Option<&[u8]>, DecodeError> {
        match self {
            Self::Lines(lines) => lines.next(),
            Self::Values(values) => values.next(),
        }
    }
}

pub(crate) fn decode(
    input: Input,
    request: &DecodeRequest<'_>,
    sink: Sink<'_>,
) -> Result<DecodeReport, DecodeError> {
    let plan = plan(request);
    let mut columns = Columns::new(request.schema);
    let mut report = DecodeReport::default();
    let input = open(input)?;
    let mut frames = if request.format == DataFormat::Json {
        Frames::Lines(Lines::new(input))
    } else {
        Frames::Values(Values::new(input))
    };
    let drops_bad_records = request.format == DataFormat::Json;
    let mut number = 0;
    let forgives = request.last_record == LastRecord::MayBeInvalid;
    // The fault of a record that is forgiven if no other comes.
    let mut held: Option<DecodeError> = None;
    loop {
        let text = match (frames.next(), held.take()) {
            (Ok(None), None) => break,
            (Ok(None), Some(fault)) => {
                report.drop_record(fault);
                break;
            }
            (_, Some(fault)) => return Err(fault),
            (Ok(Some(record)), None) => String::from_utf8_lossy(record),
            (Err(fault @ DecodeError::CutOff { .. }), None) if forgives => {
                report.drop_record(fault);
                break;
            }
            (Err(fault), None) => return Err(fault),
        };
        number += 1;
        let mut values: Vec<Option<&str>> = vec![None; plan.origins.len()];
        let mut parser = serde_json::Deserializer::from_str(&text);
        let parsed = parser
            .deserialize_map(RecordVisitor { plan: &plan, values: &mut values })
            .and_then(|()| parser.end());
        if let Err(error) = parsed {
            let fault = DecodeError::Malformed { record: number, problem: error.to_string() };
            match drops_bad_records {
                true => report.drop_record(fault),
                false if forgives => held = Some(fault),
                false => return Err(fault),
            }
            continue;
        }
        for ((column, origin), value) in columns.columns.iter_mut().zip(&plan.origins).zip(values) {
            match (origin, value) {
                (Origin::Record(None), Some(raw)) => column.push_json(raw),
                (Origin::Record(Some(transform)), Some(raw)) => column.push_transformed(raw, *transform),
                (Origin::Record(_), None) | (Origin::Absent, _) => column.push_null(),
                (Origin::Whole, _) => column.push_json(&text),
                (Origin::Rest(steps, taken), _) => {
                    match descend(&text, steps).and_then(|raw| serde_json::from_str(raw).ok()) {
                        Some(value) => column.push_json(&without(value, taken).to_string()),
                        None => column.push_null(),
                    }
                }
                (Origin::Const(constant), _) => column.push_text(constant),
                (Origin::Location, _) => column.push_text(request.source_location),
                (Origin::LineNumber, _) => column.push_text(&number.to_string()),
            }
        }
        report.rows += 1;
        if columns.row_done(text.len()) {
            sink(columns.finish()?)?;
        }
    }
    if !columns.is_empty() {
        sink(columns.finish()?)?;
    }
    report.raw_bytes = match &frames {
        Frames::Lines(lines) => lines.input.count(),
        Frames::Values(values) => values.input.count(),
    };
    Ok(report)
}
