//! The roles that principals were granted, in the service's database.

use super::{Caller, Principal};
use kusto_kql::{PrincipalChange, Role};
use rusqlite::{Connection, params};

/// A grant on a database has no table.
pub(crate) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS grants (
    database TEXT NOT NULL, table_name TEXT NOT NULL, role TEXT NOT NULL, principal_key TEXT NOT NULL,
    principal TEXT NOT NULL, notes TEXT NOT NULL, PRIMARY KEY (database, table_name, role, principal_key));
";

/// A role of a principal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) role: Role,
    pub(crate) principal: Principal,
    pub(crate) notes: String,
}

/// Reads and changes grants.
pub(crate) struct Grants<'c>(pub(crate) &'c Connection);

fn grant(row: &rusqlite::Row<'_>) -> rusqlite::Result<Option<Grant>> {
    let (word, principal): (String, String) = (row.get(0)?, row.get(1)?);
    let role = Role::ALL.iter().find(|(known, _)| *known == word).map(|(_, role)| *role);
    let notes = row.get(2)?;
    Ok(role.zip(Principal::parse(&principal).ok()).map(|(role, principal)| Grant { role, principal, notes }))
}

impl Grants<'_> {
    /// The grants of a database (no table) or of a table.
    pub(crate) fn of(&self, database: &str, table: &str) -> rusqlite::Result<Vec<Grant>> {
        let mut statement = self.0.prepare_cached(
            "SELECT role, principal, notes FROM grants WHERE database = ?1 AND table_name = ?2 ORDER BY role, principal",
        )?;
        let found: Vec<Option<Grant>> =
            statement.query_map(params![database, table], grant)?.collect::<Result<_, _>>()?;
        Ok(found.into_iter().flatten().collect())
    }

    /// The caller's roles there.
    pub(crate) fn roles(&self, caller: &Caller, database: &str, table: &str) -> rusqlite::Result<Vec<Role>> {
        let grants = self.of(database, table)?;
        Ok(grants.into_iter().filter(|grant| caller.is(&grant.principal)).map(|grant| grant.role).collect())
    }

    /// Whether the caller has any role anywhere.
    pub(crate) fn has_any(&self, caller: &Caller) -> rusqlite::Result<bool> {
        let mut statement = self.0.prepare_cached("SELECT role, principal, notes FROM grants")?;
        let found: Vec<Option<Grant>> = statement.query_map([], grant)?.collect::<Result<_, _>>()?;
        Ok(found.into_iter().flatten().any(|grant| caller.is(&grant.principal)))
    }

    /// Whether the caller may ingest into the database or into a table of it.
    pub(crate) fn may_ingest(&self, caller: &Caller, database: &str) -> rusqlite::Result<bool> {
        let mut statement =
            self.0.prepare_cached("SELECT role, principal, notes FROM grants WHERE database = ?1")?;
        let found: Vec<Option<Grant>> = statement.query_map([database], grant)?.collect::<Result<_, _>>()?;
        let may =
            |grant: Grant| matches!(grant.role, Role::Ingestor | Role::Admin) && caller.is(&grant.principal);
        Ok(found.into_iter().flatten().any(may))
    }

    pub(crate) fn change(
        &self,
        (database, table): (&str, &str),
        role: Role,
        change: PrincipalChange,
        principals: &[Principal],
        notes: &str,
    ) -> rusqlite::Result<()> {
        if change == PrincipalChange::Set {
            self.0.execute(
                "DELETE FROM grants WHERE database = ?1 AND table_name = ?2 AND role = ?3",
                params![database, table, role.word()],
            )?;
        }
        for principal in principals {
            let key = principal.key();
            if change == PrincipalChange::Drop {
                self.0.execute(
                    "DELETE FROM grants WHERE database = ?1 AND table_name = ?2 AND role = ?3 AND principal_key = ?4",
                    params![database, table, role.word(), key],
                )?;
            } else {
                self.0.execute(
                    "INSERT OR REPLACE INTO grants (database, table_name, role, principal_key, principal, notes)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                    params![database, table, role.word(), key, principal.to_string(), notes],
                )?;
            }
        }
        Ok(())
    }

    /// Forgets the grants on a table, so that a later one of the name begins with none.
    pub(crate) fn forget_table(&self, database: &str, table: &str) -> rusqlite::Result<()> {
        self.0.execute(
            "DELETE FROM grants WHERE database = ?1 AND table_name = ?2",
            params![database, table],
        )?;
        Ok(())
    }

    /// Takes the grants on tables along to their new names, all at once.
    pub(crate) fn rename_tables(&self, database: &str, names: &[(&str, &str)]) -> rusqlite::Result<()> {
        let rename = |from: &str, to: &str| {
            self.0.execute(
                "UPDATE grants SET table_name = ?3 WHERE database = ?1 AND table_name = ?2",
                params![database, from, to],
            )
        };
        for (number, (old, _)) in names.iter().enumerate() {
            rename(old, &format!("\u{1}{number}"))?;
        }
        for (number, (_, new)) in names.iter().enumerate() {
            rename(&format!("\u{1}{number}"), new)?;
        }
        Ok(())
    }
}
