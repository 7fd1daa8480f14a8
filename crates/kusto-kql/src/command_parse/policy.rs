//! The commands on policies. Short forms such as `hot = 7d` become the JSON that they mean.

use crate::command::{Command, PolicyAction, PolicyEntity, PolicyKind};
use crate::lexer::Token;
use crate::{KqlError, Parser};
use kusto_types::Timespan;

impl Parser<'_> {
    pub(super) fn policy_kind(&mut self) -> Result<PolicyKind, KqlError> {
        let found = PolicyKind::ALL.iter().find(|(word, _)| self.is_word(word));
        match found {
            Some((_, policy)) => {
                self.advance();
                Ok(*policy)
            }
            None => {
                let known: Vec<&str> = PolicyKind::ALL.iter().map(|(word, _)| *word).collect();
                Err(KqlError::syntax(
                    self.at(),
                    format!("policy {} is not known here; {} are", self.slice(), known.join(", ")),
                ))
            }
        }
    }

    pub(super) fn policy(&mut self, verb: &str, entity: PolicyEntity) -> Result<Command, KqlError> {
        self.keyword("policy")?;
        let policy = self.policy_kind()?;
        let action = match verb {
            "delete" => PolicyAction::Delete,
            "alter" => PolicyAction::Alter(self.policy_value(policy)?),
            "alter-merge" => PolicyAction::AlterMerge(self.policy_value(policy)?),
            _ => return Err(self.unknown_command(0)),
        };
        Ok(Command::Policy { entity, policy, action })
    }

    /// `policy capacity @'{...}'`, behind `.show cluster` and its kin
    pub(super) fn cluster_policy(&mut self, verb: &str, at: usize) -> Result<Command, KqlError> {
        self.keyword("policy")?;
        let policy = self.name("the name of a policy")?.to_ascii_lowercase();
        let action = match verb {
            "show" => PolicyAction::Show,
            "delete" => PolicyAction::Delete,
            "alter" => PolicyAction::Alter(self.cluster_value()?),
            "alter-merge" => PolicyAction::AlterMerge(self.cluster_value()?),
            _ => return Err(self.unknown_command(at)),
        };
        Ok(Command::ClusterPolicy { policy, action })
    }

    fn cluster_value(&mut self) -> Result<String, KqlError> {
        // Every short form but caching's belongs to policies of tables.
        let kind = if self.is_word("hot") { PolicyKind::Caching } else { PolicyKind::Sharding };
        self.policy_value(kind)
    }

    /// The JSON of a policy, or a short form of it.
    fn policy_value(&mut self, policy: PolicyKind) -> Result<String, KqlError> {
        for (word, value) in [("enable", true), ("true", true), ("disable", false), ("false", false)] {
            if self.eat_word(word) {
                return Ok(format!(r#"{{"IsEnabled":{value}}}"#));
            }
        }
        if matches!(self.peek(), Token::OpenBrace | Token::OpenBracket) {
            let start = self.at();
            while !matches!(self.peek(), Token::End | Token::Semicolon) {
                self.advance();
            }
            return Ok(self.text[start..self.end_of_previous()].to_owned());
        }
        match policy {
            PolicyKind::RowOrder if self.peek() == Token::Open => {
                let columns = self.parenthesised("( and the columns", |parser| {
                    let column = parser.name("a column")?.replace('\\', "\\\\").replace('"', "\\\"");
                    let order = if parser.eat_word("desc") {
                        "Descending"
                    } else {
                        parser.eat_word("asc");
                        "Ascending"
                    };
                    Ok(format!(r#"{{"ColumnName":"{column}","Order":"{order}"}}"#))
                })?;
                Ok(format!("[{}]", columns.join(",")))
            }
            PolicyKind::Caching if self.is_word("hot") => {
                self.advance();
                self.expect(Token::Assign, "= and the span")?;
                let span = self.span()?;
                Ok(format!(r#"{{"DataHotSpan":"{span}","IndexHotSpan":"{span}"}}"#))
            }
            PolicyKind::Retention if self.peek() == Token::Name => {
                let mut members = Vec::new();
                loop {
                    if self.eat_word("softdelete") {
                        self.expect(Token::Assign, "= and the span")?;
                        members.push(format!(r#""SoftDeletePeriod":"{}""#, self.span()?));
                    } else if self.eat_word("recoverability") {
                        self.expect(Token::Assign, "= and enabled or disabled")?;
                        let value = self.name("enabled or disabled")?;
                        let value =
                            if value.eq_ignore_ascii_case("enabled") { "Enabled" } else { "Disabled" };
                        members.push(format!(r#""Recoverability":"{value}""#));
                    } else {
                        break;
                    }
                }
                if members.is_empty() {
                    Err(self.unexpected("softdelete or recoverability"))
                } else {
                    Ok(format!("{{{}}}", members.join(",")))
                }
            }
            _ => self.string("the policy as JSON in quotes"),
        }
    }

    /// `7d`, `time(7.00:00:00)`
    fn span(&mut self) -> Result<Timespan, KqlError> {
        let at = self.at();
        let expr = self.expr()?;
        match expr.kind {
            crate::ast::ExprKind::Literal(crate::Literal::Timespan(Some(ticks))) => Ok(Timespan(ticks)),
            _ => Err(KqlError::syntax(at, "expected a span of time such as 7d")),
        }
    }
}
