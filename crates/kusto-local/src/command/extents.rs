//! Commands on extents: drop them, move them, change their tags. Which ones is given by id, by table,
//! or by what a `.show extents` or a query gives.

use super::{Context, bad, show};
use crate::ServiceError;
use crate::access::Need;
use crate::running::Stop;
use crate::state::State;
use kusto_engine::{Catalog, TableRecord};
use kusto_kql::{Effect, ExtentChoice, TagChange};
use kusto_types::{ColumnType, DateTime};
use kusto_wire::{RequestProperties, ResultTable};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The ids of the extents that are meant; `None` for all of a table.
fn ids(state: &Arc<State>, context: &Context<'_>, query: &str) -> Result<BTreeSet<String>, ServiceError> {
    let query = query.trim();
    let tables = if query.starts_with('.') {
        super::run(state, query, context)?.tables()
    } else {
        let properties = RequestProperties::default();
        let results =
            crate::query::run(state, context.caller, context.database, query, &properties, &Stop::default())?;
        results.iter().map(crate::query::to_table).collect()
    };
    let table = tables.into_iter().next().ok_or_else(|| bad("the query gives no table"))?;
    let column = table
        .position("ExtentId")
        .or_else(|| table.columns.iter().position(|column| column.column_type == ColumnType::Guid))
        .ok_or_else(|| {
            bad("the query gives no column ExtentId; use .show table T extents, or extent_id()")
        })?;
    Ok(table.rows.iter().filter_map(|row| row[column].as_str()).map(str::to_owned).collect())
}

/// Changes the extents that are meant, table by table, and shows them. The caller must be
/// allowed to change each table.
fn each(
    state: &Arc<State>,
    context: &Context<'_>,
    extents: ExtentChoice,
    change: impl Fn(&Catalog<'_>, &kusto_engine::ExtentRecord) -> Result<(), ServiceError>,
) -> Result<ResultTable, ServiceError> {
    let mut limit = usize::MAX;
    let mut before = None;
    let (wanted, only) = match extents {
        ExtentChoice::Ids(ids) => (Some(ids.iter().map(|id| id.to_lowercase()).collect()), None),
        ExtentChoice::Query(query) => (Some(ids(state, context, &query)?), None),
        ExtentChoice::All { table, older, limit: most } => {
            // Nothing is older than time itself: an age beyond it means none of them.
            before = older.map(|age| DateTime::now().ticks().saturating_sub(age.0));
            limit = most.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
            (None, table)
        }
    };
    state.store.transact(|transaction| {
        let database = crate::query::database_of(transaction, context.database)?;
        let catalog = Catalog(transaction);
        let tables = match &only {
            Some(name) => vec![catalog.table(&database, name)?],
            None => catalog.tables(&database)?,
        };
        let mut missing = wanted.clone().unwrap_or_default();
        let mut result = show::extent_table();
        for table in tables {
            let is_meant = |id: &String| wanted.as_ref().is_none_or(|wanted| wanted.contains(id));
            let mut meant = catalog.extents(table.id)?;
            meant.retain(|extent| is_meant(&extent.id));
            if let Some(before) = before {
                meant.retain(|extent| {
                    DateTime::parse(&extent.created).is_some_and(|made| made.ticks() < before)
                });
            }
            meant.sort_by_key(|extent| DateTime::parse(&extent.created));
            meant.truncate(limit);
            limit -= meant.len();
            if meant.is_empty() {
                continue;
            }
            let need = Need::ManageTable(database.to_string(), table.name.to_string());
            state.config.access.check(transaction, context.caller, &need)?;
            for extent in meant {
                missing.remove(&extent.id);
                change(&catalog, &extent)?;
                result = show::with_extent(result, &table, &extent);
            }
        }
        match missing.into_iter().next() {
            None => Ok(result),
            // Nothing was done: a merge may have put another extent in its place.
            Some(id) => Err(kusto_engine::EngineError::NotFound { kind: "extent", name: id }.into()),
        }
    })
}

/// `.drop extents`: all of them or none.
pub(super) fn drop(
    state: &Arc<State>,
    context: &Context<'_>,
    extents: ExtentChoice,
    effect: Effect,
) -> Result<ResultTable, ServiceError> {
    let gone = each(state, context, extents, |catalog, extent| match effect {
        Effect::Real => Ok(catalog.drop_extent(&extent.id)?),
        Effect::Pretended => Ok(()),
    })?;
    let mut result = ResultTable::new(
        "Table_0",
        [
            ("ExtentId", ColumnType::Guid),
            ("TableName", ColumnType::String),
            ("CreatedOn", ColumnType::DateTime),
        ],
    );
    let cells = ["ExtentId", "TableName", "MaxCreatedOn"].map(|name| gone.position(name).unwrap_or_default());
    for row in &gone.rows {
        result = result.with_row(cells.iter().map(|cell| row[*cell].clone()).collect());
    }
    Ok(result)
}

/// `.alter extent tags` and its kin.
pub(super) fn change_tags(
    state: &Arc<State>,
    context: &Context<'_>,
    change: TagChange,
    tags: &[String],
    extents: ExtentChoice,
) -> Result<ResultTable, ServiceError> {
    let changed = std::cell::RefCell::new(ResultTable::new(
        "Table_0",
        ["OriginalExtentId", "ResultExtentId", "ResultExtentTags", "Details"]
            .map(|name| (name, ColumnType::String)),
    ));
    each(state, context, extents, |catalog, extent| {
        let mut new = match change {
            TagChange::Set => Vec::new(),
            TagChange::Add | TagChange::Drop => extent.tags.clone(),
        };
        match change {
            TagChange::Drop => new.retain(|tag| !tags.contains(tag)),
            TagChange::Set | TagChange::Add => new.extend(tags.iter().cloned()),
        }
        new.sort();
        new.dedup();
        catalog.set_tags(&extent.id, &new)?;
        let id = extent.id.as_str();
        let row = vec![id.into(), id.into(), new.join("\r\n").into(), "".into()];
        changed.borrow_mut().rows.push(row);
        Ok(())
    })?;
    Ok(changed.into_inner())
}

/// What `.move extents` and `.replace extents` answer with.
fn moved_table() -> ResultTable {
    ResultTable::new(
        "Table_0",
        [
            ("OriginalExtentId", ColumnType::String),
            ("ResultExtentId", ColumnType::String),
            ("Details", ColumnType::String),
        ],
    )
}

/// Moves the extents of these ids from wherever they are to a table; rows of what was moved.
fn relocate(
    state: &State,
    context: &Context<'_>,
    catalog: &Catalog<'_>,
    (from, to): (&[TableRecord], &TableRecord),
    wanted: &BTreeSet<String>,
    mut result: ResultTable,
) -> Result<ResultTable, ServiceError> {
    let may = |table: &TableRecord| {
        let need = Need::ManageTable(table.database.to_string(), table.name.to_string());
        state.config.access.check(catalog.0, context.caller, &need)
    };
    may(to)?;
    let mut missing = wanted.clone();
    if catalog.extents(to.id)?.iter().any(|extent| missing.contains(&extent.id)) {
        return Err(bad(format!("extents of {} are in that table already", to.name)));
    }
    for table in from.iter().filter(|table| table.id != to.id) {
        let mut ids: Vec<String> = catalog.extents(table.id)?.into_iter().map(|extent| extent.id).collect();
        ids.retain(|id| missing.remove(id));
        if ids.is_empty() {
            continue;
        }
        may(table)?;
        for (old, new) in ids.iter().zip(catalog.move_extents(table, to, &ids)?) {
            result = result.with_row(vec![old.as_str().into(), new.into(), "".into()]);
        }
    }
    match missing.into_iter().next() {
        None => Ok(result),
        Some(id) => Err(kusto_engine::EngineError::NotFound { kind: "extent", name: id }.into()),
    }
}

/// `.move extents`: all of them or none.
pub(super) fn move_to(
    state: &Arc<State>,
    context: &Context<'_>,
    from: Option<&str>,
    to: &str,
    extents: ExtentChoice,
) -> Result<ResultTable, ServiceError> {
    let wanted = match extents {
        ExtentChoice::Ids(ids) => Some(ids.iter().map(|id| id.to_lowercase()).collect()),
        ExtentChoice::Query(query) => Some(ids(state, context, &query)?),
        ExtentChoice::All { .. } => None,
    };
    state.store.transact(|transaction| {
        let database = crate::query::database_of(transaction, context.database)?;
        let catalog = Catalog(transaction);
        let to = catalog.table(&database, to)?;
        let from = match from {
            Some(name) => vec![catalog.table(&database, name)?],
            None => catalog.tables(&database)?,
        };
        let wanted = match &wanted {
            Some(wanted) => wanted.clone(),
            None => {
                let mut all = BTreeSet::new();
                for table in &from {
                    all.extend(catalog.extents(table.id)?.into_iter().map(|extent| extent.id));
                }
                all
            }
        };
        relocate(state, context, &catalog, (&from, &to), &wanted, moved_table())
    })
}

/// `.replace extents`: some go and others come, at once.
pub(super) fn replace(
    state: &Arc<State>,
    context: &Context<'_>,
    table: &str,
    dropped: &str,
    moved: &str,
) -> Result<ResultTable, ServiceError> {
    let (dropped, moved) = (ids(state, context, dropped)?, ids(state, context, moved)?);
    state.store.transact(|transaction| {
        let database = crate::query::database_of(transaction, context.database)?;
        let catalog = Catalog(transaction);
        let table = catalog.table(&database, table)?;
        let there: BTreeSet<String> =
            catalog.extents(table.id)?.into_iter().map(|extent| extent.id).collect();
        let mut result = moved_table();
        for id in &dropped {
            if !there.contains(id) {
                return Err(kusto_engine::EngineError::NotFound { kind: "extent", name: id.clone() }.into());
            }
            catalog.drop_extent(id)?;
            result = result.with_row(vec![id.as_str().into(), "".into(), "".into()]);
        }
        relocate(state, context, &catalog, (&catalog.tables(&database)?, &table), &moved, result)
    })
}
