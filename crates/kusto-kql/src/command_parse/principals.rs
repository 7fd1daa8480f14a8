//! The commands that give and take roles.

use crate::command::{Command, PolicyEntity, PrincipalChange, Role};
use crate::lexer::Token;
use crate::{KqlError, Parser};

impl Parser<'_> {
    /// The database or table in front of a role; nothing is taken when there is none, as in
    /// `.set table <| query`.
    pub(super) fn principals_of(&mut self) -> Result<Option<PolicyEntity>, KqlError> {
        let database = self.is_word("database");
        let entity = database || self.is_word("table");
        // A table may have one of the words for its name: `.set table with (...) <| ...`.
        if !entity || self.peek_at(1) == Token::InputPipe || self.peek_at(2) == Token::Open {
            return Ok(None);
        }
        self.advance();
        let name = self.entity("a database or table")?;
        Ok(Some(if database { PolicyEntity::Database(name) } else { PolicyEntity::Table(name) }))
    }

    pub(super) fn change_principals(
        &mut self,
        entity: PolicyEntity,
        change: PrincipalChange,
    ) -> Result<Command, KqlError> {
        let at = self.at();
        let word = self.name("a role")?;
        let role =
            Role::ALL.iter().find(|(known, _)| known.eq_ignore_ascii_case(&word)).map(|(_, role)| *role);
        let role = match (role, &entity) {
            (Some(role @ (Role::Admin | Role::Ingestor)), _) => role,
            (Some(role), PolicyEntity::Database(_)) => role,
            (_, PolicyEntity::Table(_)) => {
                return Err(KqlError::syntax(
                    at,
                    format!("{word} is no role of a table; admins and ingestors are"),
                ));
            }
            (None, _) => {
                let known: Vec<&str> = Role::ALL.iter().map(|(known, _)| *known).collect();
                return Err(KqlError::syntax(at, format!("{word} is no role; {} are", known.join(", "))));
            }
        };
        // With none the role is emptied.
        let principals = match change == PrincipalChange::Set && self.eat_word("none") {
            true => Vec::new(),
            false => {
                self.parenthesised("( and the principals", |parser| parser.string("a principal in quotes"))?
            }
        };
        let (word, count) = self.peek_dashed();
        if word == "skip-results" {
            self.skip(count);
        }
        let notes = if self.is_string() { self.string("a note")? } else { String::new() };
        Ok(Command::ChangePrincipals { entity, role, change, principals, notes })
    }
}
