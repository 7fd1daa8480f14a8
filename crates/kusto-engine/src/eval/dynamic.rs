//! Dynamic values: members, arrays and bags. A dynamic column holds JSON texts.

use super::cast::{convert, texts};
use super::expr::longs;
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray, Float64Array, Int64Array};
use kusto_kql::Function;
use kusto_types::ColumnType;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::Arc;

fn json_at(array: &ArrayRef, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    serde_json::from_str(array.as_string::<i32>().value(row)).unwrap_or_default()
}

/// A value as `tostring()` gives it.
fn plain(value: Value) -> String {
    match value {
        Value::String(text) => text,
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Numbers before texts before the rest; nulls last.
fn order(a: &Value, b: &Value) -> Ordering {
    let rank = |value: &Value| match value {
        Value::Number(_) => 0,
        Value::String(_) => 1,
        Value::Bool(_) => 2,
        Value::Array(_) | Value::Object(_) => 3,
        Value::Null => 4,
    };
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ => a.as_f64().unwrap_or(f64::NAN).total_cmp(&b.as_f64().unwrap_or(f64::NAN)),
        },
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (a, b) => rank(a).cmp(&rank(b)).then_with(|| a.to_string().cmp(&b.to_string())),
    }
}

pub(super) fn call(function: Function, arrays: &[ArrayRef], types: &[ColumnType], rows: usize) -> ArrayRef {
    let list = |index: usize, row: usize| match json_at(&arrays[index], row) {
        Value::Array(items) => Some(items),
        _ => None,
    };
    let bag = |index: usize, row: usize| match json_at(&arrays[index], row) {
        Value::Object(bag) => Some(bag),
        _ => None,
    };
    let json = |value: &dyn Fn(usize) -> Option<Value>| {
        texts(rows, |row| {
            value(row).filter(|value| !value.is_null()).map(|value| Cow::Owned(value.to_string()))
        })
    };
    match function {
        Function::ArrayLength => {
            let lengths = (0..rows).map(|row| list(0, row).map(|items| items.len() as i64));
            Arc::new(lengths.collect::<Int64Array>())
        }
        Function::Member => member(&arrays[0], &arrays[1], types[1]),
        Function::PackArray => {
            json(&|row| Some((0..arrays.len()).map(|index| json_at(&arrays[index], row)).collect()))
        }
        Function::PackBag => json(&|row| {
            let mut bag = Map::new();
            for pair in arrays.chunks(2) {
                let value = pair.get(1).map_or(Value::Null, |value| json_at(value, row));
                bag.insert(plain(json_at(&pair[0], row)), value);
            }
            Some(Value::Object(bag))
        }),
        Function::BagKeys => {
            json(&|row| Some(bag(0, row)?.into_iter().map(|(key, _)| Value::String(key)).collect()))
        }
        Function::BagHasKey => {
            let keys = arrays[1].as_string::<i32>();
            let found = (0..rows).map(|row| Some(bag(0, row)?.contains_key(keys.value(row))));
            Arc::new(found.collect::<BooleanArray>())
        }
        Function::BagMerge => json(&|row| {
            let mut merged = Map::new();
            for index in 0..arrays.len() {
                for (key, value) in bag(index, row).unwrap_or_default() {
                    // Of a key in several bags the first counts.
                    merged.entry(key).or_insert(value);
                }
            }
            Some(Value::Object(merged))
        }),
        Function::BagRemoveKeys => json(&|row| {
            let mut left = bag(0, row)?;
            for key in list(1, row).unwrap_or_default() {
                left.shift_remove(&plain(key));
            }
            Some(Value::Object(left))
        }),
        Function::ArrayConcat => {
            json(&|row| Some((0..arrays.len()).filter_map(|index| list(index, row)).flatten().collect()))
        }
        Function::ArrayIndexOf => {
            let found = (0..rows).map(|row| {
                let wanted = json_at(&arrays[1], row);
                Some(list(0, row)?.iter().position(|item| *item == wanted).map_or(-1, |at| at as i64))
            });
            Arc::new(found.collect::<Int64Array>())
        }
        Function::SetHasElement => {
            let found = (0..rows).map(|row| Some(list(0, row)?.contains(&json_at(&arrays[1], row))));
            Arc::new(found.collect::<BooleanArray>())
        }
        Function::ArraySlice => json(&|row| {
            let items = list(0, row)?;
            let count = items.len() as i64;
            let place = |index: usize| {
                let at = longs(&arrays[index], ColumnType::Long).value(row);
                if at < 0 { (at + count).max(0) } else { at }
            };
            let (from, to) = (place(1), place(2));
            let taken = items.into_iter().enumerate().filter(|(at, _)| (from..=to).contains(&(*at as i64)));
            Some(taken.map(|(_, item)| item).collect())
        }),
        Function::ArraySum => {
            let sums = (0..rows).map(|row| {
                let items = list(0, row)?;
                Some(items.iter().filter_map(Value::as_f64).sum::<f64>())
            });
            Arc::new(sums.collect::<Float64Array>())
        }
        Function::ArraySortAscending | Function::ArraySortDescending => json(&|row| {
            let mut items = list(0, row)?;
            items.sort_by(|a, b| match (function, a.is_null() || b.is_null()) {
                (Function::ArraySortDescending, false) => order(b, a),
                _ => order(a, b),
            });
            Some(Value::Array(items))
        }),
        Function::ConcatenateArray => {
            let delimiters = arrays[1].as_string::<i32>();
            texts(rows, |row| {
                let items: Vec<String> = list(0, row)?.into_iter().map(plain).collect();
                Some(Cow::Owned(items.join(delimiters.value(row))))
            })
        }
        Function::TypeOfDynamic => texts(rows, |row| {
            Some(Cow::Borrowed(match json_at(&arrays[0], row) {
                Value::Null => "null",
                Value::Bool(_) => "bool",
                Value::Number(number) if number.is_f64() => "double",
                Value::Number(_) => "long",
                Value::String(_) => "string",
                Value::Array(_) => "array",
                Value::Object(_) => "dictionary",
            }))
        }),
        // InArray: the value comes as text, and so do the elements.
        _ => {
            let values = arrays[0].as_string::<i32>();
            let found = (0..rows).map(|row| {
                Some(
                    list(1, row).unwrap_or_default().into_iter().any(|item| plain(item) == values.value(row)),
                )
            });
            Arc::new(found.collect::<BooleanArray>())
        }
    }
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
