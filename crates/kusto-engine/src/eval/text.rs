//! Text and dynamic functions.

use super::cast::{convert, texts};
use super::expr::longs;
use crate::EngineError;
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray, Int64Array, StringArray};
use kusto_kql::Function;
use kusto_types::ColumnType;
use serde_json::Value;
use std::borrow::Cow;
use std::sync::Arc;

/// Whether `needle` stands in `text` bounded, where asked, by the ends of terms.
fn has_term(text: &str, needle: &str, at_start: bool, at_end: bool) -> bool {
    if needle.is_empty() {
        return true;
    }
    text.match_indices(needle).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + needle.len()..].chars().next();
        (!at_start || before.is_none_or(|c| !c.is_alphanumeric()))
            && (!at_end || after.is_none_or(|c| !c.is_alphanumeric()))
    })
}

fn test(function: Function, text: &str, needle: &str) -> bool {
    let fold = |text: &str| text.to_lowercase();
    match function {
        Function::EqualIgnoreCase => fold(text) == fold(needle),
        Function::Contains => fold(text).contains(&fold(needle)),
        Function::ContainsCs => text.contains(needle),
        Function::StartsWith => fold(text).starts_with(&fold(needle)),
        Function::StartsWithCs => text.starts_with(needle),
        Function::EndsWith => fold(text).ends_with(&fold(needle)),
        Function::EndsWithCs => text.ends_with(needle),
        Function::Has => has_term(&fold(text), &fold(needle), true, true),
        Function::HasCs => has_term(text, needle, true, true),
        Function::HasPrefix => has_term(&fold(text), &fold(needle), true, false),
        _ => has_term(&fold(text), &fold(needle), false, true),
    }
}

pub(super) fn call(
    function: Function,
    arrays: &[ArrayRef],
    types: &[ColumnType],
    rows: usize,
) -> Result<ArrayRef, EngineError> {
    let string = |index: usize| arrays[index].as_string::<i32>();
    Ok(match function {
        Function::StringLength => Arc::new(
            string(0).iter().map(|text| text.map(|text| text.chars().count() as i64)).collect::<Int64Array>(),
        ),
        Function::ToLower => {
            Arc::new(string(0).iter().map(|text| text.map(str::to_lowercase)).collect::<StringArray>())
        }
        Function::ToUpper => {
            Arc::new(string(0).iter().map(|text| text.map(str::to_uppercase)).collect::<StringArray>())
        }
        Function::Substring => {
            let start = longs(&arrays[1], ColumnType::Long);
            let length = arrays.get(2).map(|length| longs(length, ColumnType::Long));
            texts(rows, |row| {
                let text = string(0).value(row);
                let size = text.chars().count() as i64;
                let from = start.value(row);
                let from = if from < 0 { (size + from).max(0) } else { from };
                let take = length.as_ref().map_or(i64::MAX, |length| length.value(row)).max(0);
                Some(Cow::Owned(
                    text.chars()
                        .skip(from as usize)
                        .take(usize::try_from(take).unwrap_or(usize::MAX))
                        .collect(),
                ))
            })
        }
        Function::Concatenate => texts(rows, |row| {
            Some(Cow::Owned((0..arrays.len()).map(|index| string(index).value(row)).collect::<String>()))
        }),
        Function::ReplaceString => texts(rows, |row| {
            let old = string(1).value(row);
            let text = string(0).value(row);
            Some(if old.is_empty() {
                Cow::Borrowed(text)
            } else {
                Cow::Owned(text.replace(old, string(2).value(row)))
            })
        }),
        Function::MatchesRegex => {
            let mut compiled: Option<(String, regex::Regex)> = None;
            let mut result = Vec::with_capacity(rows);
            for row in 0..rows {
                let pattern = string(1).value(row);
                if compiled.as_ref().is_none_or(|(text, _)| text != pattern) {
                    let regex = regex::Regex::new(pattern).map_err(|error| {
                        EngineError::Evaluation(format!("{pattern:?} is not a regular expression: {error}"))
                    })?;
                    compiled = Some((pattern.to_owned(), regex));
                }
                result.push(compiled.as_ref().is_some_and(|(_, regex)| regex.is_match(string(0).value(row))));
            }
            Arc::new(BooleanArray::from(result))
        }
        Function::ArrayLength => {
            let lengths = string(0).iter().map(|json| match serde_json::from_str(json?).ok()? {
                Value::Array(items) => Some(items.len() as i64),
                _ => None,
            });
            Arc::new(lengths.collect::<Int64Array>())
        }
        Function::Member => member(&arrays[0], &arrays[1], types[1]),
        Function::PackArray => texts(rows, |row| {
            let items: Vec<Value> = (0..arrays.len()).map(|index| json_at(&arrays[index], row)).collect();
            Some(Cow::Owned(Value::Array(items).to_string()))
        }),
        Function::PackBag => texts(rows, |row| {
            let mut bag = serde_json::Map::new();
            for pair in arrays.chunks(2) {
                let key = match json_at(&pair[0], row) {
                    Value::String(key) => key,
                    other => other.to_string(),
                };
                bag.insert(key, pair.get(1).map_or(Value::Null, |value| json_at(value, row)));
            }
            Some(Cow::Owned(Value::Object(bag).to_string()))
        }),
        _ => {
            let pairs = string(0).iter().zip(string(1));
            let tests = pairs.map(|(text, needle)| {
                Some(test(function, text.unwrap_or_default(), needle.unwrap_or_default()))
            });
            Arc::new(tests.collect::<BooleanArray>())
        }
    })
}

fn json_at(array: &ArrayRef, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    serde_json::from_str(array.as_string::<i32>().value(row)).unwrap_or_default()
}

/// `value.name`, `value["name"]`, `value[0]`; what is not there is null.
fn member(values: &ArrayRef, keys: &ArrayRef, key_type: ColumnType) -> ArrayRef {
    let key_text = convert(keys, key_type, ColumnType::String);
    texts(values.len(), |row| {
        let mut value = json_at(values, row);
        let found = match (key_type, &mut value) {
            (ColumnType::String, Value::Object(map)) => {
                map.remove(key_text.as_ref().ok()?.as_string::<i32>().value(row))
            }
            (ColumnType::Long, Value::Array(items)) => {
                let index = longs(keys, ColumnType::Long).value(row);
                let index = if index < 0 { index + items.len() as i64 } else { index };
                usize::try_from(index)
                    .ok()
                    .filter(|index| *index < items.len())
                    .map(|index| items.swap_remove(index))
            }
            _ => None,
        }?;
        if found.is_null() { None } else { Some(Cow::Owned(found.to_string())) }
    })
}
