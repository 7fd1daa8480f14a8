//! Text: comparison, terms, patterns, encodings.

use super::cast::texts;
use super::expr::longs;
use crate::EngineError;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type};
use arrow_array::{Array, ArrayRef, BooleanArray, Int64Array, StringArray};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kusto_kql::Function;
use kusto_types::ColumnType;
use serde_json::Value;
use sha2::Digest;
use std::borrow::Cow;
use std::sync::Arc;
use twox_hash::XxHash64;

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
        Function::HasPrefixCs => has_term(text, needle, true, false),
        Function::HasSuffixCs => has_term(text, needle, false, true),
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
            let mut patterns = Patterns::default();
            let found = (0..rows)
                .map(|row| Ok(patterns.get(string(1).value(row))?.is_match(string(0).value(row))))
                .collect::<Result<Vec<bool>, EngineError>>()?;
            Arc::new(BooleanArray::from(found))
        }
        Function::Trim | Function::TrimStart | Function::TrimEnd => {
            trimmed(function, string(0), string(1), rows)?
        }
        Function::Extract | Function::ExtractAll | Function::ReplaceRegex => {
            by_pattern(function, arrays, rows)?
        }
        Function::HasAny | Function::HasAll => {
            let found = (0..rows).map(|row| {
                let text = string(0).value(row).to_lowercase();
                let mut terms = Vec::new();
                for (array, column_type) in arrays.iter().zip(types).skip(1) {
                    terms_of(array, *column_type, row, &mut terms);
                }
                let mut tests = terms.iter().map(|term| has_term(&text, &term.to_lowercase(), true, true));
                if function == Function::HasAny { tests.any(|found| found) } else { tests.all(|found| found) }
            });
            Arc::new(BooleanArray::from(found.collect::<Vec<bool>>()))
        }
        Function::Split => texts(rows, |row| {
            let (text, delimiter) = (string(0).value(row), string(1).value(row));
            let mut parts: Vec<&str> =
                if delimiter.is_empty() { vec![text] } else { text.split(delimiter).collect() };
            if let Some(index) = arrays.get(2).map(|index| longs(index, ColumnType::Long).value(row)) {
                let wanted = usize::try_from(index).ok().and_then(|index| parts.get(index).copied());
                parts = wanted.into_iter().collect();
            }
            Some(Cow::Owned(Value::from(parts).to_string()))
        }),
        Function::IndexOf => {
            let number = |index: usize, row: usize, default: i64| {
                arrays.get(index).map_or(default, |array| longs(array, ColumnType::Long).value(row))
            };
            let found = (0..rows).map(|row| {
                let place = (number(2, row, 0), number(3, row, -1), number(4, row, 1));
                index_of(string(0).value(row), string(1).value(row), place)
            });
            Arc::new(found.collect::<Int64Array>())
        }
        Function::CountOf => {
            let mut patterns = Patterns::default();
            let counts = (0..rows)
                .map(|row| {
                    let (text, part) = (string(0).value(row), string(1).value(row));
                    let is_regex =
                        arrays.get(2).is_some_and(|kind| kind.as_string::<i32>().value(row) == "regex");
                    if is_regex {
                        return Ok(patterns.get(part)?.find_iter(text).count() as i64);
                    }
                    // Overlapping ones count, each on its own.
                    let starts = text.char_indices().filter(|(at, _)| text[*at..].starts_with(part));
                    Ok(if part.is_empty() { 0 } else { starts.count() as i64 })
                })
                .collect::<Result<Vec<i64>, EngineError>>()?;
            Arc::new(Int64Array::from(counts))
        }
        Function::ConcatenateDelimited => texts(rows, |row| {
            let parts: Vec<&str> = (1..arrays.len()).map(|index| string(index).value(row)).collect();
            Some(Cow::Owned(parts.join(string(0).value(row))))
        }),
        Function::Repeat => {
            /// Longest text that a row may become, as on a cluster.
            const MOST: usize = 1024 * 1024;
            let times = longs(&arrays[1], ColumnType::Long);
            texts(rows, |row| {
                let (text, delimiter) =
                    (string(0).value(row), arrays.get(2).map_or("", |d| d.as_string::<i32>().value(row)));
                let times = usize::try_from(times.value(row)).unwrap_or(0).min(1024);
                let longest = MOST / (text.len() + delimiter.len()).max(1);
                Some(Cow::Owned(vec![text; times.min(longest)].join(delimiter)))
            })
        }
        Function::Reverse => {
            texts(rows, |row| Some(Cow::Owned(string(0).value(row).chars().rev().collect())))
        }
        Function::ToHex => {
            let numbers = longs(&arrays[0], ColumnType::Long);
            texts(rows, |row| {
                let width = arrays.get(1).map_or(0, |width| longs(width, ColumnType::Long).value(row));
                let width = usize::try_from(width).unwrap_or(0).min(64);
                (!numbers.is_null(row)).then(|| Cow::Owned(format!("{:0width$x}", numbers.value(row))))
            })
        }
        Function::Base64Encode => texts(rows, |row| Some(Cow::Owned(STANDARD.encode(string(0).value(row))))),
        Function::Base64Decode => texts(rows, |row| {
            let bytes = STANDARD.decode(string(0).value(row)).unwrap_or_default();
            Some(Cow::Owned(String::from_utf8(bytes).unwrap_or_default()))
        }),
        Function::UrlEncode => texts(rows, |row| {
            Some(Cow::Owned(percent_encoding::utf8_percent_encode(string(0).value(row), URL).to_string()))
        }),
        Function::UrlDecode => texts(rows, |row| {
            let decoded = percent_encoding::percent_decode_str(string(0).value(row)).decode_utf8_lossy();
            Some(Cow::Owned(decoded.into_owned()))
        }),
        Function::Hash => hashes(arrays, types[0]),
        Function::HashSha256 => texts(rows, |row| {
            let digest = sha2::Sha256::digest(string(0).value(row));
            Some(Cow::Owned(digest.iter().map(|byte| format!("{byte:02x}")).collect()))
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

/// What `url_encode` leaves as it is.
const URL: &percent_encoding::AsciiSet =
    &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// xxHash of the bytes that a value has in memory on a cluster, as its documentation's
/// examples show for text and datetime; with a modulus the remainder, from zero on.
fn hashes(arrays: &[ArrayRef], column_type: ColumnType) -> ArrayRef {
    let values = &arrays[0];
    let modulus = arrays.get(1).map(|modulus| longs(modulus, ColumnType::Long));
    let hash = |bytes: &[u8]| XxHash64::oneshot(0, bytes) as i64;
    let results = (0..values.len()).map(|row| {
        if values.is_null(row) {
            return None;
        }
        let value = match column_type {
            ColumnType::Bool => hash(&[u8::from(values.as_boolean().value(row))]),
            ColumnType::Int => hash(&values.as_primitive::<Int32Type>().value(row).to_le_bytes()),
            ColumnType::Long | ColumnType::DateTime | ColumnType::Timespan => {
                hash(&values.as_primitive::<Int64Type>().value(row).to_le_bytes())
            }
            ColumnType::Real => hash(&values.as_primitive::<Float64Type>().value(row).to_le_bytes()),
            ColumnType::Decimal | ColumnType::Guid | ColumnType::String | ColumnType::Dynamic => {
                hash(values.as_string::<i32>().value(row).as_bytes())
            }
        };
        match &modulus {
            Some(modulus) => value.checked_rem_euclid(modulus.value(row)),
            None => Some(value),
        }
    });
    Arc::new(results.collect::<Int64Array>())
}

/// The last regular expression, compiled: a pattern is mostly the same in every row.
#[derive(Default)]
struct Patterns(Option<(String, regex::Regex)>);

impl Patterns {
    fn get(&mut self, pattern: &str) -> Result<&regex::Regex, EngineError> {
        if self.0.as_ref().is_none_or(|(text, _)| text != pattern) {
            let compiled = regex::Regex::new(pattern).map_err(|error| {
                EngineError::Evaluation(format!("{pattern:?} is not a regular expression: {error}"))
            })?;
            self.0 = Some((pattern.to_owned(), compiled));
        }
        self.0
            .as_ref()
            .map(|(_, regex)| regex)
            .ok_or_else(|| EngineError::Evaluation(format!("{pattern:?} was not compiled")))
    }
}

/// Texts without what a pattern matches at their ends.
fn trimmed(
    function: Function,
    patterns: &StringArray,
    values: &StringArray,
    rows: usize,
) -> Result<ArrayRef, EngineError> {
    let (mut at_start, mut at_end) = (Patterns::default(), Patterns::default());
    let mut results = Vec::with_capacity(rows);
    for row in 0..rows {
        let (pattern, mut text) = (patterns.value(row), values.value(row));
        if matches!(function, Function::Trim | Function::TrimStart) {
            let found = at_start.get(&format!("^(?:{pattern})"))?.find(text);
            text = found.map_or(text, |found| &text[found.end()..]);
        }
        if matches!(function, Function::Trim | Function::TrimEnd) {
            let found = at_end.get(&format!("(?:{pattern})$"))?.find(text);
            text = found.map_or(text, |found| &text[..found.start()]);
        }
        results.push(text);
    }
    Ok(Arc::new(StringArray::from(results)))
}

fn by_pattern(function: Function, arrays: &[ArrayRef], rows: usize) -> Result<ArrayRef, EngineError> {
    let string = |index: usize, row: usize| arrays[index].as_string::<i32>().value(row);
    let mut patterns = Patterns::default();
    let mut results: Vec<Option<String>> = Vec::with_capacity(rows);
    for row in 0..rows {
        results.push(match function {
            Function::Extract => {
                let group = usize::try_from(longs(&arrays[1], ColumnType::Long).value(row)).ok();
                let found = patterns.get(string(0, row))?.captures(string(2, row));
                let group = found.and_then(|found| found.get(group?).map(|text| text.as_str().to_owned()));
                Some(group.unwrap_or_default())
            }
            Function::ReplaceRegex => {
                // Groups are \1 in Kusto, ${1} in the library.
                let new = string(2, row);
                let mut replacement = String::with_capacity(new.len());
                let mut chars = new.chars().peekable();
                while let Some(c) = chars.next() {
                    match (c, chars.peek()) {
                        ('\\', Some(digit)) if digit.is_ascii_digit() => {
                            replacement.push_str(&format!("${{{digit}}}"));
                            chars.next();
                        }
                        ('$', _) => replacement.push_str("$$"),
                        _ => replacement.push(c),
                    }
                }
                Some(patterns.get(string(1, row))?.replace_all(string(0, row), replacement).into_owned())
            }
            _ => {
                let pattern = patterns.get(string(0, row))?;
                let groups = pattern.captures_len();
                let mut found: Vec<Value> = Vec::new();
                for captures in pattern.captures_iter(string(1, row)) {
                    let text = |index: usize| captures.get(index).map_or("", |group| group.as_str());
                    found.push(match groups {
                        1 => Value::from(text(0)),
                        2 => Value::from(text(1)),
                        _ => Value::from((1..groups).map(text).collect::<Vec<_>>()),
                    });
                }
                if found.is_empty() { None } else { Some(Value::Array(found).to_string()) }
            }
        });
    }
    Ok(Arc::new(StringArray::from(results)))
}

/// The terms of an argument of `has_any`: a text, or the elements of an array.
fn terms_of(array: &ArrayRef, column_type: ColumnType, row: usize, terms: &mut Vec<String>) {
    let text = array.as_string::<i32>().value(row);
    if column_type != ColumnType::Dynamic {
        terms.push(text.to_owned());
        return;
    }
    match serde_json::from_str(text) {
        Ok(Value::Array(items)) => terms.extend(items.into_iter().map(|item| match item {
            Value::String(text) => text,
            other => other.to_string(),
        })),
        Ok(Value::String(text)) => terms.push(text),
        _ => terms.push(text.to_owned()),
    }
}

/// Where the n-th `part` begins, in characters; -1 when it is not there.
fn index_of(text: &str, part: &str, (start, length, occurrence): (i64, i64, i64)) -> Option<i64> {
    let chars: Vec<char> = text.chars().collect();
    let part: Vec<char> = part.chars().collect();
    let count = chars.len() as i64;
    let from = if start < 0 { (count + start).max(0) } else { start };
    let end = if length < 0 { count } else { (from + length).min(count) };
    if occurrence < 1 {
        return None;
    }
    let places = from..=(end - part.len() as i64);
    let is_there = |at: &i64| {
        let at = *at as usize;
        chars.get(at..at + part.len()).is_some_and(|found| found == part)
    };
    Some(places.filter(is_there).nth(occurrence as usize - 1).unwrap_or(-1))
}
