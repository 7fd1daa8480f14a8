//! Where the values of columns come from in records of text fields, whichever way a format says
//! which field is meant.

use crate::DecodeRequest;
use crate::column::Column;
use kusto_types::{MappingSource, Transform};

/// Where the value of a column comes from; `F` tells which field of a record.
pub(crate) enum Origin<'r, F> {
    Field(F, Option<Transform>),
    Const(&'r str),
    Location,
    LineNumber,
    Absent,
}

/// The origin of each column: by the mapping, whose fields `mapped` reads, or without one by
/// what `plain` gives for the place and name of a column.
pub(crate) fn origins<'r, F>(
    request: &DecodeRequest<'r>,
    plain: impl Fn(usize, &'r str) -> F,
    mapped: impl Fn(&'r MappingSource) -> Option<F>,
) -> Vec<Origin<'r, F>> {
    let columns = request.schema.columns().iter();
    let Some(mapping) = request.mapping else {
        let plain = |(index, name)| Origin::Field(plain(index, name), None);
        return columns.map(|column| column.name.as_str()).enumerate().map(plain).collect();
    };
    columns
        .map(|column| match mapping.elements.iter().find(|element| element.column == column.name) {
            None => Origin::Absent,
            Some(element) => match &element.source {
                MappingSource::Const(text) => Origin::Const(text),
                MappingSource::SourceLocation => Origin::Location,
                MappingSource::SourceLineNumber => Origin::LineNumber,
                source @ (MappingSource::Ordinal(_) | MappingSource::Path(_)) => {
                    mapped(source).map_or(Origin::Absent, |field| Origin::Field(field, element.transform))
                }
            },
        })
        .collect()
}

impl<F> Origin<'_, F> {
    /// Adds the column's value of a record; `value` finds that of a field, if it has one.
    pub(crate) fn fill<V: AsRef<str>>(
        &self,
        column: &mut Column,
        request: &DecodeRequest<'_>,
        record: u64,
        value: impl FnOnce(&F) -> Option<V>,
    ) {
        match self {
            Self::Field(field, transform) => match (value(field), transform) {
                (Some(text), None) => column.push_text(text.as_ref()),
                (Some(text), Some(transform)) => column.push_transformed(text.as_ref(), *transform),
                (None, _) => column.push_null(),
            },
            Self::Const(text) => column.push_text(text),
            Self::Location => column.push_text(request.source_location),
            Self::LineNumber => column.push_text(&record.to_string()),
            Self::Absent => column.push_null(),
        }
    }
}
