//! A join: the right side is held in a hash table by its keys, the left side streams.

use crate::eval::eval;
use crate::scan::absent;
use crate::{Chunk, EngineError};
use arrow_array::{Array, ArrayRef, UInt32Array};
use arrow_row::{RowConverter, SortField};
use arrow_select::concat::concat;
use arrow_select::take::take;
use kusto_kql::ast::JoinKind;
use kusto_kql::plan::{Join, Typed};
use kusto_types::arrow_type;
use std::collections::{HashMap, HashSet};

/// Rows of a result chunk at most: one key may match many.
const MOST_ROWS: usize = 10_000_000;

/// A join under way.
pub(super) struct JoinState<'p> {
    join: &'p Join,
    converter: RowConverter,
    right: Chunk,
    rows_of: HashMap<Box<[u8]>, Vec<u32>>,
    matched: Vec<bool>,
    seen: HashSet<Box<[u8]>>,
}

/// The keys of each row; `None` where one is null, since nulls equal nothing.
fn keys_of(
    keys: &[Typed],
    chunk: &Chunk,
    converter: &RowConverter,
) -> Result<Vec<Option<Box<[u8]>>>, EngineError> {
    let arrays = keys.iter().map(|key| eval(key, chunk)).collect::<Result<Vec<ArrayRef>, _>>()?;
    let rows = converter.convert_columns(&arrays)?;
    Ok(rows
        .iter()
        .enumerate()
        .map(|(index, row)| {
            let is_null = arrays.iter().any(|array| array.is_null(index));
            (!is_null).then(|| Box::from(row.as_ref()))
        })
        .collect())
}

impl<'p> JoinState<'p> {
    pub(super) fn new(join: &'p Join, right: Chunk) -> Result<Self, EngineError> {
        let fields = join.right_keys.iter().map(|key| SortField::new(arrow_type(key.column_type))).collect();
        let converter = RowConverter::new(fields)?;
        let mut rows_of: HashMap<Box<[u8]>, Vec<u32>> = HashMap::new();
        for (index, key) in keys_of(&join.right_keys, &right, &converter)?.into_iter().enumerate() {
            if let Some(key) = key {
                rows_of.entry(key).or_default().push(index as u32);
            }
        }
        let matched = vec![false; right.rows];
        Ok(Self { join, converter, right, rows_of, matched, seen: HashSet::new() })
    }

    /// The result of some rows of the left side.
    pub(super) fn push(&mut self, left: &Chunk) -> Result<Chunk, EngineError> {
        use JoinKind as K;
        let keys = keys_of(&self.join.left_keys, left, &self.converter)?;
        let mut left_rows: Vec<u32> = Vec::new();
        let mut right_rows: Vec<Option<u32>> = Vec::new();
        let kind = self.join.kind;
        for (index, key) in keys.into_iter().enumerate() {
            let index = index as u32;
            let found = key.as_ref().and_then(|key| self.rows_of.get(key)).map_or(&[][..], Vec::as_slice);
            if kind == K::InnerUnique {
                // Of rows of the left side with the same key, one is taken.
                let Some(key) = key else { continue };
                if !self.seen.insert(key) {
                    continue;
                }
            }
            match kind {
                K::LeftSemi | K::LeftAnti => {
                    if found.is_empty() == (kind == K::LeftAnti) {
                        left_rows.push(index);
                        right_rows.push(None);
                    }
                }
                K::RightSemi | K::RightAnti => {
                    for row in found {
                        self.matched[*row as usize] = true;
                    }
                }
                K::InnerUnique | K::Inner | K::LeftOuter | K::RightOuter | K::FullOuter => {
                    for row in found {
                        self.matched[*row as usize] = true;
                        left_rows.push(index);
                        right_rows.push(Some(*row));
                    }
                    if found.is_empty() && matches!(kind, K::LeftOuter | K::FullOuter) {
                        left_rows.push(index);
                        right_rows.push(None);
                    }
                }
            }
            if left_rows.len() > MOST_ROWS {
                return Err(EngineError::Evaluation(format!(
                    "the join gives more than {MOST_ROWS} rows for a part of its left side; make its keys more exact"
                )));
            }
        }
        let taken = UInt32Array::from(left_rows);
        let mut columns =
            left.columns.iter().map(|column| take(column, &taken, None)).collect::<Result<Vec<_>, _>>()?;
        columns.extend(self.right_columns(&right_rows)?);
        Ok(Chunk { rows: taken.len(), columns })
    }

    /// Rows of the right side by number; `None` is a row without a value.
    fn right_columns(&self, rows: &[Option<u32>]) -> Result<Vec<ArrayRef>, EngineError> {
        let none = self.right.rows as u32;
        let wanted: UInt32Array = rows.iter().map(|row| Some(row.unwrap_or(none))).collect();
        let output = &self.join.right.output;
        self.right
            .columns
            .iter()
            .zip(output)
            .map(|(column, (_, column_type))| {
                if rows.iter().all(Option::is_some) {
                    return Ok(take(column, &wanted, None)?);
                }
                let with_none = concat(&[column.as_ref(), absent(*column_type, 1).as_ref()])?;
                Ok(take(&with_none, &wanted, None)?)
            })
            .collect()
    }

    /// The rows of the right side that are due after the left side.
    pub(super) fn finish(&self) -> Result<Chunk, EngineError> {
        use JoinKind as K;
        let wanted = match self.join.kind {
            K::RightOuter | K::FullOuter | K::RightAnti => false,
            K::RightSemi => true,
            K::InnerUnique | K::Inner | K::LeftOuter | K::LeftSemi | K::LeftAnti => {
                return Ok(Chunk { rows: 0, columns: Vec::new() });
            }
        };
        let rows: Vec<Option<u32>> = self
            .matched
            .iter()
            .enumerate()
            .filter(|(_, matched)| **matched == wanted)
            .map(|(index, _)| Some(index as u32))
            .collect();
        let mut columns: Vec<ArrayRef> =
            self.join.left.iter().map(|(_, column_type)| absent(*column_type, rows.len())).collect();
        columns.extend(self.right_columns(&rows)?);
        Ok(Chunk { rows: rows.len(), columns })
    }
}
