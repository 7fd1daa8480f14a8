//! Merges small extents into larger ones, so that a table of many small ingestions stays
//! quick to read. Which to merge is decided by size and day; the rows and the tags stay.

use crate::row_store::write_with_times;
use crate::{Catalog, EngineError, ExtentFile, ExtentRecord, ExtentScan, StoredSchema, TableId};
use kusto_types::{DateTime, TICKS_PER_DAY};
use rusqlite::Connection;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Extents of a size that are merged at once: fewer wait for more, so that a row is
/// written again once in each size and no more.
const LEAST: usize = 10;
/// Extents of one merge at most.
const MOST: usize = 500;
/// Rows of a merged extent at most: a row group's.
const ROWS: u64 = 1_048_576;
/// Bytes of files of one merge at most: bounds what is read and written at once.
const BYTES: u64 = 256 * 1024 * 1024;

/// The power of ten of an extent's rows: ten of one size make one of the next.
fn tier(extent: &ExtentRecord) -> u32 {
    extent.rows.max(1).ilog10()
}

/// Tags by which extents are dropped: extents of different ones never become one.
fn drop_by(extent: &ExtentRecord) -> BTreeSet<&str> {
    extent.tags.iter().map(String::as_str).filter(|tag| tag.starts_with("drop-by:")).collect()
}

/// The day that an extent was made on. Those of different days stay apart, so that retention
/// sees the age of the rows: on a cluster a merge spans no more than 24 hours either.
fn day(extent: &ExtentRecord) -> i64 {
    DateTime::parse(&extent.created).map_or(0, |made| made.ticks() / TICKS_PER_DAY)
}

/// The extents to merge next, oldest first; empty when there is nothing to gain.
pub fn choose(extents: &[ExtentRecord]) -> Vec<ExtentRecord> {
    let mut groups: BTreeMap<(u32, i64, BTreeSet<&str>), Vec<&ExtentRecord>> = BTreeMap::new();
    for extent in extents.iter().filter(|extent| extent.rows < ROWS / 2) {
        groups.entry((tier(extent), day(extent), drop_by(extent))).or_default().push(extent);
    }
    for group in groups.values().filter(|group| group.len() >= LEAST) {
        let (mut rows, mut bytes) = (0, 0);
        let fits = group.iter().take(MOST).take_while(|extent| {
            rows += extent.rows;
            bytes += extent.size;
            rows <= ROWS && bytes <= BYTES
        });
        let chosen: Vec<ExtentRecord> = fits.map(|extent| (*extent).clone()).collect();
        if chosen.len() >= 2 {
            return chosen;
        }
    }
    Vec::new()
}

/// Writes the rows of some extents into one new file, complete and synced; each row keeps
/// its time of ingestion.
pub fn write_merged(
    root: &Path,
    schema: &StoredSchema,
    extents: &[ExtentRecord],
    id: String,
) -> Result<ExtentFile, EngineError> {
    let scan = ExtentScan {
        root: root.to_owned(),
        schema: schema.clone(),
        extents: extents.to_vec(),
        streamed: Vec::new(),
    };
    write_with_times(&scan, "merged", id)
}

/// Puts a merged extent in the place of those it was made of, within a caller's
/// transaction; `false` when one of them is gone, and nothing was done.
pub fn replace(
    transaction: &Connection,
    table: TableId,
    extents: &[ExtentRecord],
    merged: &ExtentFile,
) -> Result<bool, EngineError> {
    let live: BTreeSet<String> =
        Catalog(transaction).extents(table)?.into_iter().map(|extent| extent.id).collect();
    if !extents.iter().all(|extent| live.contains(&extent.id)) {
        return Ok(false);
    }
    for extent in extents {
        transaction.prepare_cached("DELETE FROM extents WHERE id = ?1")?.execute([&extent.id])?;
    }
    let tags: BTreeSet<&str> =
        extents.iter().flat_map(|extent| extent.tags.iter().map(String::as_str)).collect();
    let latest =
        |time: fn(&ExtentRecord) -> &str| extents.iter().map(time).max().unwrap_or_default().to_owned();
    let record = ExtentRecord {
        id: merged.id.clone(),
        path: merged.path.clone(),
        rows: merged.rows,
        original_size: extents.iter().map(|extent| extent.original_size).sum(),
        size: merged.size,
        created: latest(|extent| &extent.created),
        tags: tags.into_iter().map(str::to_owned).collect(),
        ingested: latest(|extent| &extent.ingested),
    };
    Catalog(transaction).insert_extent(table, &record)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extents(rows: &[u64]) -> Vec<ExtentRecord> {
        let extent = |(index, rows): (usize, &u64)| ExtentRecord {
            id: index.to_string(),
            path: String::new(),
            rows: *rows,
            original_size: *rows,
            size: *rows,
            created: String::new(),
            ingested: String::new(),
            tags: Vec::new(),
        };
        rows.iter().enumerate().map(extent).collect()
    }

    #[test]
    fn many_of_a_size_are_merged_and_few_wait() {
        assert!(choose(&extents(&[1; LEAST - 1])).is_empty());
        assert_eq!(choose(&extents(&[1; LEAST])).len(), LEAST);
        assert_eq!(choose(&extents(&[1; 2 * MOST])).len(), MOST);
        // Nine small ones, nine middle ones.
        assert!(choose(&extents(&[&[5; 9][..], &[5000; 9]].concat())).is_empty());
        // Large ones stay, and what would grow too large waits.
        assert!(choose(&extents(&[ROWS; 50])).is_empty());
        let chosen = choose(&extents(&[400_000; 12]));
        assert_eq!(chosen.len(), 2);
    }

    #[test]
    fn extents_of_different_drop_by_tags_never_meet() {
        let mut some = extents(&[1; 2 * LEAST - 1]);
        for extent in &mut some[..LEAST - 1] {
            extent.tags = vec!["drop-by:a".to_owned(), "x".to_owned()];
        }
        let chosen = choose(&some);
        assert_eq!(chosen.len(), LEAST);
        assert!(chosen.iter().all(|extent| extent.tags.is_empty()));
    }

    #[test]
    fn extents_of_different_days_never_meet() {
        let mut some = extents(&[1; 2 * LEAST - 1]);
        for (number, extent) in some.iter_mut().enumerate() {
            let day = if number < LEAST { "2024-02-01" } else { "2024-02-02" };
            extent.created = format!("{day}T{number:02}:00:00Z");
        }
        let chosen = choose(&some);
        assert_eq!(chosen.len(), LEAST);
        assert!(chosen.iter().all(|extent| extent.created.starts_with("2024-02-01")));
    }

    #[test]
    fn each_row_is_written_again_a_few_times_only() {
        let mut table: Vec<ExtentRecord> = Vec::new();
        let (mut written, mut next) = (0, 0);
        for _ in 0..10_000 {
            let mut one = extents(&[10]);
            one[0].id = format!("e{next}");
            next += 1;
            table.append(&mut one);
            loop {
                let chosen = choose(&table);
                if chosen.is_empty() {
                    break;
                }
                let ids: BTreeSet<&str> = chosen.iter().map(|extent| extent.id.as_str()).collect();
                let rows: u64 = chosen.iter().map(|extent| extent.rows).sum();
                table.retain(|extent| !ids.contains(extent.id.as_str()));
                let mut one = extents(&[rows]);
                one[0].id = format!("m{next}");
                next += 1;
                table.append(&mut one);
                written += rows;
            }
        }
        assert_eq!(table.iter().map(|extent| extent.rows).sum::<u64>(), 100_000);
        assert!(table.len() < 40, "{} extents", table.len());
        assert!(written <= 500_000, "{written} rows written for 100,000");
    }
}
