//! Evaluates checked expressions column at a time, with Kusto's semantics for nulls,
//! text and time.

mod aggregate;
mod arithmetic;
mod calendar;
mod cast;
mod dynamic;
mod expr;
mod json;
mod sort;
mod text;

pub(crate) use aggregate::Grouping;
pub(crate) use cast::convert;
pub(crate) use expr::{eval, literal_array, value_at};
pub(crate) use json::json_rows;
pub(crate) use sort::sorted;
