//! Commands on extents: drop them, change their tags. Which ones is given by id, by table,
//! or by what a `.show extents` or a query gives.

use super::{Context, bad, show};
use crate::ServiceError;
use crate::access::Need;
use crate::state::State;
use kusto_engine::Catalog;
use kusto_kql::{ExtentChoice, TagChange};
use kusto_types::ColumnType;
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
        let results = crate::query::run(state, context.caller, context.database, query, &properties)?;
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
    let (wanted, only) = match extents {
        ExtentChoice::Ids(ids) => (Some(ids.iter().map(|id| id.to_lowercase()).collect()), None),
        ExtentChoice::Query(query) => (Some(ids(state, context, &query)?), None),
        ExtentChoice::Table(table) => (None, Some(table)),
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
) -> Result<ResultTable, ServiceError> {
    each(state, context, extents, |catalog, extent| Ok(catalog.drop_extent(&extent.id)?))
}

/// `.alter extent tags` and its kin.
pub(super) fn change_tags(
    state: &Arc<State>,
    context: &Context<'_>,
    change: TagChange,
    tags: &[String],
    extents: ExtentChoice,
) -> Result<ResultTable, ServiceError> {
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
        Ok(catalog.set_tags(&extent.id, &new)?)
    })
}
