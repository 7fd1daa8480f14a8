//! Moves extents from table to table. The files stay where and as they are, so that both
//! tables must call their columns the same in their files.

use crate::{Catalog, EngineError, TableRecord};
use rusqlite::params;

impl Catalog<'_> {
    /// Moves extents of one table to another: the new ids, in the same order. All of them or
    /// none, in the caller's transaction.
    pub fn move_extents(
        &self,
        from: &TableRecord,
        to: &TableRecord,
        ids: &[String],
    ) -> Result<Vec<String>, EngineError> {
        self.check_columns(from, to)?;
        ids.iter()
            .map(|id| {
                let new = uuid::Uuid::new_v4().to_string();
                let moved = self.0.execute(
                    "UPDATE extents SET id = ?3, table_id = ?4 WHERE id = ?1 AND table_id = ?2",
                    params![id, from.id.0, new, to.id.0],
                )?;
                match moved {
                    1 => Ok(new),
                    _ => Err(EngineError::NotFound { kind: "extent", name: id.clone() }),
                }
            })
            .collect()
    }

    /// Whether the files of one table can be another's.
    fn check_columns(&self, from: &TableRecord, to: &TableRecord) -> Result<(), EngineError> {
        let refused = |why: String| {
            Err(EngineError::Refused(format!(
                "extents of {} cannot be moved to {}: {why}",
                from.name, to.name
            )))
        };
        if from.id == to.id {
            return refused("it is the same table".to_owned());
        }
        let kept: String = self
            .0
            .prepare_cached("SELECT stored FROM tables WHERE id = ?1")?
            .query_row([from.id.0], |row| row.get(0))?;
        let used = from.stored_schema().used(&kept)?;
        for (column, stored) in from.schema.columns().iter().zip(&from.stored_names) {
            let position = to.schema.position(column.name.as_str());
            let found = position.map(|at| (to.schema.columns()[at].column_type, &to.stored_names[at]));
            match found {
                None => return refused(format!("it has no column {}", column.name)),
                Some((other, _)) if other != column.column_type => {
                    return refused(format!(
                        "column {} is {} here and {other} there",
                        column.name, column.column_type
                    ));
                }
                Some((_, other)) if other != stored => {
                    return refused(format!(
                        "column {} has another name in its files since it was renamed or made anew; use .set-or-append {} <| {}",
                        column.name, to.name, from.name
                    ));
                }
                Some(_) => {}
            }
        }
        for (column, stored) in to.schema.columns().iter().zip(&to.stored_names) {
            if from.schema.position(column.name.as_str()).is_none() && used.contains(stored) {
                return refused(format!(
                    "column {} is another one in its files; use .set-or-append {} <| {}",
                    column.name, to.name, from.name
                ));
            }
        }
        Ok(())
    }
}
