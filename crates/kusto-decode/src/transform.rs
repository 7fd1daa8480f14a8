//! Transforms of a mapping that take values apart: bags of arrays, and what is left of an
//! object when other columns have taken their parts.

use kusto_types::{IngestionMapping, MappingElement, MappingSource, PathStep};
use serde_json::{Map, Value};

/// `[{"a":1},{"b":2}]` as `{"a":1,"b":2}`; of a name that stands twice the last counts.
/// What is no array of bags stays as it is.
pub(crate) fn merged_bags(value: Value) -> Value {
    match value {
        Value::Array(items) if items.iter().all(Value::is_object) => {
            let bags = items.into_iter().filter_map(|item| match item {
                Value::Object(bag) => Some(bag),
                _ => None,
            });
            Value::Object(bags.flatten().collect::<Map<String, Value>>())
        }
        other => other,
    }
}

/// The paths below an element's own that other elements of its mapping take.
pub(crate) fn taken_below(mapping: &IngestionMapping, element: &MappingElement) -> Vec<Vec<PathStep>> {
    let MappingSource::Path(own) = &element.source else { return Vec::new() };
    let others = mapping.elements.iter().filter(|other| other.column != element.column);
    others
        .filter_map(|other| match &other.source {
            MappingSource::Path(path) => path.steps().strip_prefix(own.steps()).map(<[PathStep]>::to_vec),
            _ => None,
        })
        .filter(|steps| !steps.is_empty())
        .collect()
}

/// An object without the parts at some paths. Elements of arrays stay, so that the others
/// keep their places.
pub(crate) fn without(mut value: Value, taken: &[Vec<PathStep>]) -> Value {
    for steps in taken {
        let Some((PathStep::Property(last), way)) = steps.split_last() else { continue };
        let parent = way.iter().try_fold(&mut value, |value, step| match step {
            PathStep::Property(name) => value.get_mut(name),
            PathStep::Index(index) => value.get_mut(index),
        });
        if let Some(Value::Object(object)) = parent {
            object.shift_remove(last);
        }
    }
    value
}
