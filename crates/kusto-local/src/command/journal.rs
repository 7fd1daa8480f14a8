//! Which commands change metadata, and what: each is noted in the journal once it is done.

use super::Context;
use crate::state::State;
use crate::store::journal::{Change, record};
use kusto_engine::Catalog;
use kusto_kql::{Command, CreateMode, FunctionCommand, PolicyAction, PolicyEntity, PrincipalChange};
use kusto_types::{DatabaseName, DateTime};
use rusqlite::Connection;

/// What a command is about to change, and how it looks before.
pub(super) struct Pending(Vec<Change>);

/// Event, entity, and what the entity is called afterwards.
type Subject = (String, String, String);

fn same(event: &str, entity: &str) -> Subject {
    (event.to_owned(), entity.to_owned(), entity.to_owned())
}

/// What a command changes; nothing for one that shows or ingests.
fn subjects(command: &Command) -> Vec<Subject> {
    match command {
        Command::CreateDatabase { name, .. } => vec![same("CREATE-DATABASE", name)],
        Command::CreateTables { tables, mode, .. } => {
            let event = match mode {
                CreateMode::Create | CreateMode::IfNotExists => "CREATE-TABLE",
                CreateMode::CreateMerge => "CREATE-MERGE-TABLE",
                CreateMode::Alter => "ALTER-TABLE",
                CreateMode::AlterMerge => "ALTER-MERGE-TABLE",
            };
            tables.iter().map(|table| same(event, &table.name)).collect()
        }
        Command::CreateLike { name, .. } => vec![same("CREATE-TABLE", name)],
        Command::PolicyOfTables { action: PolicyAction::Show, .. } => Vec::new(),
        Command::PolicyOfTables { tables, .. } => {
            tables.iter().map(|table| same("ALTER-POLICY", table)).collect()
        }
        Command::DropTables { names, .. } => names.iter().map(|name| same("DROP-TABLE", name)).collect(),
        Command::RenameTables { names } => {
            names.iter().map(|(old, new)| ("RENAME-TABLE".to_owned(), old.clone(), new.clone())).collect()
        }
        Command::ClearTable { name } => vec![same("CLEAR-TABLE-DATA", name)],
        Command::SetTableText { table, .. } | Command::SetColumnTexts { table, .. } => {
            vec![same("ALTER-TABLE-TEXT", table)]
        }
        Command::RenameColumns { table, .. } => vec![same("RENAME-COLUMN", table)],
        Command::DropColumns { table, .. } => vec![same("DROP-COLUMN", table)],
        Command::AlterColumnType { table, .. } => vec![same("ALTER-COLUMN-TYPE", table)],
        Command::Function(FunctionCommand::Define { name, .. }) => {
            vec![same("CREATE-OR-ALTER-FUNCTION", name)]
        }
        Command::Function(FunctionCommand::Drop { name, .. }) => vec![same("DROP-FUNCTION", name)],
        Command::CreateMapping { table, .. } => vec![same("CREATE-OR-ALTER-MAPPING", table)],
        Command::DropMapping { table, .. } => vec![same("DROP-MAPPING", table)],
        Command::Policy { action: PolicyAction::Show, .. }
        | Command::ClusterPolicy { action: PolicyAction::Show, .. } => Vec::new(),
        Command::Policy { entity, action, .. } => {
            vec![same(
                if *action == PolicyAction::Delete { "DELETE-POLICY" } else { "ALTER-POLICY" },
                named(entity),
            )]
        }
        Command::ClusterPolicy { policy, .. } => vec![same("ALTER-CLUSTER-POLICY", policy)],
        Command::ChangePrincipals { entity, change, .. } => {
            let event = match change {
                PrincipalChange::Add => "ADD-PRINCIPALS",
                PrincipalChange::Drop => "DROP-PRINCIPALS",
                PrincipalChange::Set => "SET-PRINCIPALS",
            };
            vec![same(event, named(entity))]
        }
        _ => Vec::new(),
    }
}

fn named(entity: &PolicyEntity) -> &str {
    match entity {
        PolicyEntity::Database(name) | PolicyEntity::Table(name) => name,
    }
}

/// The columns and texts of a table, if there is one of the name.
fn state_of(connection: &Connection, database: &DatabaseName, name: &str) -> String {
    let found = Catalog(connection).find_table(database, name);
    let found = found.ok().flatten();
    found.map(|table| table.schema_json().to_string()).unwrap_or_default()
}

/// Looks at what a command is going to change.
pub(super) fn before(state: &State, context: &Context<'_>, command: &Command, text: &str) -> Pending {
    let subjects = subjects(command);
    if subjects.is_empty() {
        return Pending(Vec::new());
    }
    let seen = state.store.read(|connection| {
        let database = crate::query::database_of(connection, context.database)?;
        // An empty name is that of the request's database.
        let named = |entity: String| if entity.is_empty() { database.to_string() } else { entity };
        let subjects = subjects.into_iter().map(|(event, old, new)| (event, named(old), named(new)));
        let changes = subjects.map(|(event, entity, updated_entity)| Change {
            before: state_of(connection, &database, &entity),
            event,
            database: database.to_string(),
            entity,
            updated_entity,
            command: crate::requests::without_secrets(text),
            principal: context.caller.principal.to_string(),
            client: context.client.to_owned(),
            ..Change::default()
        });
        Ok::<_, crate::ServiceError>(changes.collect())
    });
    // A database that is not there is the command's own error.
    Pending(seen.unwrap_or_default())
}

/// Notes what a command changed. The change is done, so that a fault here is only told.
pub(super) fn after(state: &State, pending: Pending) {
    if pending.0.is_empty() {
        return;
    }
    let noted = state.store.transact(|transaction| {
        for mut change in pending.0 {
            if let Ok(database) = DatabaseName::new(change.database.clone()) {
                change.after = state_of(transaction, &database, &change.updated_entity);
            }
            // A table that was there already, as it should be, has not changed.
            let is_table = change.event.ends_with("-TABLE");
            if is_table && change.before == change.after && change.entity == change.updated_entity {
                continue;
            }
            change.at = DateTime::now().ticks();
            record(transaction, &change)?;
        }
        Ok::<_, rusqlite::Error>(())
    });
    if let Err(error) = noted {
        tracing::error!(%error, "a change cannot be noted in the journal");
    }
}
