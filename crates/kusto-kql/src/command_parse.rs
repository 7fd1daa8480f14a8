//! Reads management commands. Keywords in any case; names bare or quoted; policies and
//! mappings as any kind of string. Here are the verbs and the commands that bring data;
//! the other rooms are by what a command does.

mod define;
mod extents;
mod load;
mod policy;
mod principals;
mod show;

use crate::command::{Command, CommandText, Duplicated, Effect, Execution, FillMode, PrincipalChange};
use crate::lexer::Token;
use crate::{KqlError, Parser};

/// Parses a text that begins with a dot.
pub fn parse_command(text: &str) -> Result<CommandText, KqlError> {
    let mut parser = Parser::new(text);
    parser.expect(Token::Dot, "a command that begins with a dot")?;
    let command = parser.command()?;
    let pipe = if parser.peek() == Token::Pipe {
        let start = parser.at();
        while !matches!(parser.peek(), Token::Semicolon | Token::End) {
            parser.advance();
        }
        Some(text[start..parser.at()].to_owned())
    } else {
        None
    };
    while parser.eat(Token::Semicolon) {}
    // Queries may follow a `.show` that was piped, and give results of their own.
    let then = (pipe.is_some() && parser.peek() != Token::End).then(|| text[parser.at()..].to_owned());
    if then.is_none() {
        parser.expect(Token::End, "the end of the command")?;
    }
    Ok(CommandText { command, pipe, then })
}

impl Parser<'_> {
    fn command(&mut self) -> Result<Command, KqlError> {
        let at = self.at();
        let (verb, count) = self.peek_dashed();
        self.skip(count);
        match verb.as_str() {
            "get" if self.eat_word("ingestion") => {
                self.keyword("resources")?;
                self.properties()?;
                Ok(Command::IngestionResources)
            }
            "get" => {
                self.keyword("kusto")?;
                self.keyword("identity")?;
                self.keyword("token")?;
                self.properties()?;
                Ok(Command::IdentityToken)
            }
            "show" => self.show(),
            "create" | "create-merge" | "create-or-alter" | "alter" | "alter-merge" | "delete" => {
                self.define(&verb, at)
            }
            "rename" => self.rename(at),
            "execute" => {
                self.eat_word("database");
                self.keyword("script")?;
                let properties = self.properties()?;
                let script = self.rest_after_input_pipe()?;
                Ok(Command::ExecuteScript { properties, script })
            }
            "add" => {
                let entity = self.principals_of()?.ok_or_else(|| self.unknown_command(at))?;
                self.change_principals(entity, PrincipalChange::Add)
            }
            "drop" => self.drop_entity(),
            "drop-pretend" => {
                self.keyword("extents")?;
                self.drop_extents(Effect::Pretended)
            }
            "dup-next-ingest" => self.duplicate(Duplicated::Next),
            "dup-next-failed-ingest" => self.duplicate(Duplicated::NextFailed),
            "ingest" => self.ingest(),
            "ingest-from-storage-queued" => self.load_queued(),
            "list" => {
                self.keyword("blobs")?;
                Ok(Command::ListBlobs(self.blob_listing()?))
            }
            "cancel" => self.cancel(at),
            "move" => self.move_extents(),
            "replace" => self.replace_extents(),
            "set" => match self.principals_of()? {
                Some(entity) => self.change_principals(entity, PrincipalChange::Set),
                None => self.fill(FillMode::Set),
            },
            "append" => self.fill(FillMode::Append),
            "set-or-append" => self.fill(FillMode::SetOrAppend),
            "set-or-replace" => self.fill(FillMode::SetOrReplace),
            "clear" | "refresh" => {
                if verb == "clear" && self.eat_word("table") {
                    let name = self.entity("a table")?;
                    if self.eat_word("data") {
                        return Ok(Command::ClearTable { name });
                    }
                }
                while !matches!(self.peek(), Token::End | Token::Semicolon | Token::Pipe) {
                    self.advance();
                }
                Ok(Command::CacheControl)
            }
            "flush" => {
                self.keyword("table")?;
                let table = self.entity("a table")?;
                self.keyword("ingestion")?;
                Ok(Command::FlushIngestion { table })
            }
            _ => Err(self.unknown_command(at)),
        }
    }

    pub(super) fn unknown_command(&self, at: usize) -> KqlError {
        let text: String = self.text.trim().chars().take(80).collect();
        KqlError::syntax(at, format!("command {text:?} is not known here; docs/compat.md lists the commands"))
    }

    pub(super) fn keyword(&mut self, word: &str) -> Result<(), KqlError> {
        if self.eat_word(word) { Ok(()) } else { Err(self.unexpected(word)) }
    }

    /// A table name, with or without its database in front of it.
    pub(super) fn entity(&mut self, wanted: &str) -> Result<String, KqlError> {
        let first = if self.is_string() { self.string(wanted)? } else { self.name(wanted)? };
        if self.peek() == Token::Dot {
            self.advance();
            return self.name(wanted);
        }
        Ok(first)
    }

    /// Words that must not be taken for an entity's name.
    pub(super) fn at_keyword(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.is_word(word))
    }

    /// `with (name=value, ...)`, values as text.
    pub(super) fn properties(&mut self) -> Result<Vec<(String, String)>, KqlError> {
        let mut properties = Vec::new();
        if !self.eat_word("with") {
            return Ok(properties);
        }
        self.expect(Token::Open, "( after with")?;
        while !self.eat(Token::Close) {
            let name = if self.is_string() { self.string("a property")? } else { self.name("a property")? };
            self.expect(Token::Assign, "= after the property")?;
            let value = if self.is_string() {
                self.string("a value")?
            } else {
                let start = self.at();
                let mut depth = 0usize;
                loop {
                    match self.peek() {
                        Token::End => return Err(self.unexpected(")")),
                        Token::Comma | Token::Close if depth == 0 => break,
                        Token::Open => depth += 1,
                        Token::Close => depth -= 1,
                        _ => {}
                    }
                    self.advance();
                }
                self.text[start..self.end_of_previous()].trim().to_owned()
            };
            properties.push((name, value));
            if !self.eat(Token::Comma) && self.peek() != Token::Close {
                return Err(self.unexpected(", or )"));
            }
        }
        Ok(properties)
    }

    fn execution(&mut self) -> Execution {
        if self.eat_word("async") { Execution::Async } else { Execution::Wait }
    }

    fn ingest(&mut self) -> Result<Command, KqlError> {
        if self.eat_word("inline") {
            self.keyword("into")?;
            self.keyword("table")?;
            let table = self.entity("a table")?;
            let properties = self.properties()?;
            let data = self.rest_after_input_pipe()?;
            return Ok(Command::IngestInline { table, properties, data });
        }
        let execution = self.execution();
        self.keyword("into")?;
        // Samples in the documentation leave the word out.
        self.eat_word("table");
        let table = self.entity("a table")?;
        let locators =
            self.parenthesised("( and the URLs of the data", |parser| parser.string("a URL in quotes"))?;
        let properties = self.properties()?;
        Ok(Command::IngestPull { table, locators, properties, execution })
    }

    fn fill(&mut self, mode: FillMode) -> Result<Command, KqlError> {
        let execution = self.execution();
        let table = self.entity("a table")?;
        let properties = self.properties()?;
        let query = self.rest_after_input_pipe()?;
        Ok(Command::Fill { table, mode, properties, query, execution })
    }

    pub(super) fn rest_after_input_pipe(&mut self) -> Result<String, KqlError> {
        if self.peek() != Token::InputPipe {
            return Err(self.unexpected("<| and the data"));
        }
        self.advance();
        let rest = self.text[self.end_of_previous()..].to_owned();
        self.skip_to(self.text.len());
        // Data on the next line is taken as it stands, leading white space and all; data on
        // the same line stands behind a space that is not part of it.
        let same_line = rest.trim_start_matches([' ', '\t']);
        let next_line = same_line.strip_prefix("\r\n").or_else(|| same_line.strip_prefix('\n'));
        Ok(next_line.unwrap_or(same_line).to_owned())
    }
}
