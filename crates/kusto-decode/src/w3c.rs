//! W3C extended log files, as IIS writes them: `#Fields:` names the fields of the lines
//! after it, a space is between values, `-` is none. Columns by the field's name.

use crate::column::Columns;
use crate::delimited::Records;
use crate::input::{Input, open};
use crate::origin::{Origin, origins};
use crate::{DecodeError, DecodeReport, DecodeRequest};
use arrow_array::RecordBatch;
use kusto_types::{DataFormat, MappingSource, PathStep};
use std::borrow::Cow;

/// The values of a line; one in quotes may have spaces, and two quotes stand for one.
fn values(line: &str) -> Option<Vec<Cow<'_, str>>> {
    let mut values = Vec::new();
    let mut rest = line.trim();
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut from = 0;
            let end = loop {
                let at = from + quoted[from..].find('"')?;
                if quoted[at + 1..].starts_with('"') {
                    from = at + 2;
                } else {
                    break at;
                }
            };
            values.push(Cow::Owned(quoted[..end].replace("\"\"", "\"")));
            rest = quoted[end + 1..].trim_start();
        } else {
            let end = rest.find([' ', '\t']).unwrap_or(rest.len());
            values.push(Cow::Borrowed(&rest[..end]));
            rest = rest[end..].trim_start();
        }
    }
    Some(values)
}

pub(crate) fn decode(
    input: Input,
    request: &DecodeRequest<'_>,
    sink: &mut dyn FnMut(RecordBatch) -> Result<(), DecodeError>,
) -> Result<DecodeReport, DecodeError> {
    let origins = origins(
        request,
        |_, name| name,
        |source| match source {
            MappingSource::Path(path) => match path.steps() {
                [PathStep::Property(name)] => Some(name.as_str()),
                _ => None,
            },
            _ => None,
        },
    );
    let mut columns = Columns::new(request.schema);
    let mut lines = Records::new(open(input)?, DataFormat::Txt);
    let mut report = DecodeReport::default();
    // Where each column's value is in a line; known once the fields are.
    let mut fields: Option<(usize, Vec<Option<usize>>)> = None;
    let mut number = 0;
    while let Some((bytes, _)) = lines.next()? {
        number += 1;
        let line = String::from_utf8_lossy(bytes);
        if let Some(directive) = line.strip_prefix('#') {
            let named =
                directive.split_once(':').filter(|(name, _)| name.trim().eq_ignore_ascii_case("fields"));
            if let Some((_, names)) = named {
                let names: Vec<&str> = names.split_whitespace().collect();
                let position = |origin: &Origin<'_, &str>| match origin {
                    Origin::Field(wanted, _) => names.iter().position(|name| name == wanted),
                    _ => None,
                };
                fields = Some((names.len(), origins.iter().map(position).collect()));
            }
            continue;
        }
        let malformed =
            |problem: &str| DecodeError::Malformed { record: number, problem: problem.to_owned() };
        let Some((width, positions)) = &fields else {
            return Err(malformed("no #Fields line says what the values are"));
        };
        let values = values(&line).ok_or_else(|| malformed("a quoted value is not closed"))?;
        if values.len() != *width {
            return Err(DecodeError::FieldCount { record: number, expected: *width, found: values.len() });
        }
        for ((column, origin), position) in columns.columns.iter_mut().zip(&origins).zip(positions) {
            origin.fill(column, request, number, |_| {
                position.map(|position| &values[position]).filter(|value| *value != "-")
            });
        }
        report.rows += 1;
        if columns.row_done(bytes.len()) {
            sink(columns.finish()?)?;
        }
    }
    if !columns.is_empty() {
        sink(columns.finish()?)?;
    }
    report.raw_bytes = lines.input.count();
    // A log of a quiet hour has its fields and no line.
    report.header_only = report.rows == 0 && fields.is_some();
    Ok(report)
}
