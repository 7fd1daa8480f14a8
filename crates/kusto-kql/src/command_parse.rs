//! Reads management commands. Keywords in any case; names bare or quoted; policies and
//! mappings as any kind of string.

use crate::command::{
    Command, CommandText, CreateMode, Execution, FillMode, MappingMode, PolicyAction, PolicyEntity,
    PolicyKind, PrincipalChange, Role, SchemaShape,
};
use crate::lexer::Token;
use crate::{KqlError, Parser};
use kusto_types::MappingKind;

/// Parses a text that begins with a dot.
pub fn parse_command(text: &str) -> Result<CommandText, KqlError> {
    let mut parser = Parser::new(text);
    parser.expect(Token::Dot, "a command that begins with a dot")?;
    let command = parser.command()?;
    let pipe = if parser.peek() == Token::Pipe {
        let rest = text[parser.at()..].to_owned();
        parser.skip_to(text.len());
        Some(rest)
    } else {
        None
    };
    while parser.eat(Token::Semicolon) {}
    parser.expect(Token::End, "the end of the command")?;
    Ok(CommandText { command, pipe })
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
            "add" => {
                let entity = self.principals_of()?.ok_or_else(|| self.unknown_command(at))?;
                self.change_principals(entity, PrincipalChange::Add)
            }
            "drop" => self.drop_entity(),
            "ingest" => self.ingest(),
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

    fn unknown_command(&self, at: usize) -> KqlError {
        let text: String = self.text.trim().chars().take(80).collect();
        KqlError::syntax(at, format!("command {text:?} is not known here; docs/compat.md lists the commands"))
    }

    fn keyword(&mut self, word: &str) -> Result<(), KqlError> {
        if self.eat_word(word) { Ok(()) } else { Err(self.unexpected(word)) }
    }

    /// A table name, with or without its database in front of it.
    fn entity(&mut self, wanted: &str) -> Result<String, KqlError> {
        let first = if self.is_string() { self.string(wanted)? } else { self.name(wanted)? };
        if self.peek() == Token::Dot {
            self.advance();
            return self.name(wanted);
        }
        Ok(first)
    }

    /// Words that must not be taken for an entity's name.
    fn at_keyword(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.is_word(word))
    }

    /// `with (name=value, ...)`, values as text.
    fn properties(&mut self) -> Result<Vec<(String, String)>, KqlError> {
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

    fn show(&mut self) -> Result<Command, KqlError> {
        let at = self.at();
        let (word, _) = self.peek_dashed();
        match word.as_str() {
            "version" => {
                self.advance();
                Ok(Command::ShowVersion)
            }
            "cluster" => {
                self.advance();
                self.eat_word("details");
                Ok(Command::ShowCluster)
            }
            "databases" => {
                self.advance();
                if self.eat_word("schema") {
                    return Ok(Command::ShowDatabaseSchema { shape: self.schema_shape()? });
                }
                self.eat_word("details");
                Ok(Command::ShowDatabases)
            }
            "schema" => {
                self.advance();
                Ok(Command::ShowDatabaseSchema { shape: self.schema_shape()? })
            }
            "operations" => {
                self.advance();
                self.show_operations()
            }
            "operation" => {
                self.advance();
                let id = self.operation_id()?;
                self.keyword("details")?;
                Ok(Command::ShowOperationDetails { id })
            }
            "capacity" => {
                self.advance();
                let resource = match self.peek() {
                    Token::End | Token::Semicolon | Token::Pipe => None,
                    _ => Some(self.peek_dashed().0),
                };
                if resource.is_some() {
                    let (_, count) = self.peek_dashed();
                    self.skip(count);
                }
                Ok(Command::ShowCapacity { resource })
            }
            "ingestion" => {
                self.advance();
                if self.eat_word("resources") {
                    self.properties()?;
                    Ok(Command::IngestionResources)
                } else if self.eat_word("failures") {
                    let properties = self.properties()?;
                    let operation = properties
                        .into_iter()
                        .find(|(name, _)| name.eq_ignore_ascii_case("OperationId"))
                        .map(|p| p.1);
                    Ok(Command::ShowIngestionFailures { operation })
                } else if self.eat_word("sources") {
                    Ok(Command::ShowIngestionSources)
                } else {
                    Err(self.unknown_command(at))
                }
            }
            "tables" => {
                self.advance();
                let mut names = Vec::new();
                if self.eat(Token::Open) {
                    while !self.eat(Token::Close) {
                        names.push(self.entity("a table")?);
                        if !self.eat(Token::Comma) && self.peek() != Token::Close {
                            return Err(self.unexpected(", or )"));
                        }
                    }
                }
                let details = self.eat_word("details");
                Ok(Command::ShowTables { names, details })
            }
            "table" => {
                self.advance();
                let name = self.entity("a table")?;
                self.show_table(name)
            }
            "database" => {
                self.advance();
                let name = if self.at_keyword(&[
                    "schema",
                    "policy",
                    "ingestion",
                    "cslschema",
                    "principals",
                    "extents",
                ]) {
                    None
                } else {
                    Some(self.entity("a database")?)
                };
                if self.eat_word("schema") {
                    Ok(Command::ShowDatabaseSchema { shape: self.schema_shape()? })
                } else if self.eat_word("policy") {
                    let entity = PolicyEntity::Database(name.unwrap_or_default());
                    Ok(Command::Policy { entity, policy: self.policy_kind()?, action: PolicyAction::Show })
                } else if self.eat_word("extents") {
                    Ok(Command::ShowExtents { table: None })
                } else if self.eat_word("principals") {
                    let entity = PolicyEntity::Database(name.unwrap_or_default());
                    Ok(Command::ShowPrincipals { entity })
                } else if self.eat_word("ingestion") {
                    self.show_mappings(None)
                } else {
                    Err(self.unknown_command(at))
                }
            }
            _ => Err(self.unknown_command(at)),
        }
    }

    fn schema_shape(&mut self) -> Result<SchemaShape, KqlError> {
        if !self.eat_word("as") {
            return Ok(SchemaShape::Columns);
        }
        if self.eat_word("json") {
            Ok(SchemaShape::Json)
        } else if self.eat_word("csl") {
            Ok(SchemaShape::Csl)
        } else {
            Err(self.unexpected("json or csl"))
        }
    }

    fn show_table(&mut self, name: String) -> Result<Command, KqlError> {
        if self.eat_word("schema") {
            let shape = match self.schema_shape()? {
                SchemaShape::Columns => SchemaShape::Json,
                other => other,
            };
            Ok(Command::ShowTable { name, shape })
        } else if self.eat_word("cslschema") {
            Ok(Command::ShowTable { name, shape: SchemaShape::Csl })
        } else if self.eat_word("principals") {
            Ok(Command::ShowPrincipals { entity: PolicyEntity::Table(name) })
        } else if self.eat_word("extents") {
            Ok(Command::ShowExtents { table: Some(name) })
        } else if self.eat_word("details") {
            Ok(Command::ShowTables { names: vec![name], details: true })
        } else if self.eat_word("policy") {
            let policy = self.policy_kind()?;
            Ok(Command::Policy { entity: PolicyEntity::Table(name), policy, action: PolicyAction::Show })
        } else if self.eat_word("ingestion") {
            self.show_mappings(Some(name))
        } else {
            Ok(Command::ShowTable { name, shape: SchemaShape::Columns })
        }
    }

    fn show_mappings(&mut self, table: Option<String>) -> Result<Command, KqlError> {
        if self.eat_word("mappings") {
            return Ok(Command::ShowMappings { table, kind: None, name: None });
        }
        let kind = self.mapping_kind()?;
        if self.eat_word("mappings") {
            return Ok(Command::ShowMappings { table, kind: Some(kind), name: None });
        }
        self.keyword("mapping")?;
        let name = self.string("the mapping's name in quotes")?;
        Ok(Command::ShowMappings { table, kind: Some(kind), name: Some(name) })
    }

    fn mapping_kind(&mut self) -> Result<MappingKind, KqlError> {
        let at = self.at();
        let name = self.name("csv, json, avro, parquet, orc or w3clogfile")?;
        MappingKind::parse(&name)
            .ok_or_else(|| KqlError::syntax(at, format!("{name} is not a kind of ingestion mapping")))
    }

    fn policy_kind(&mut self) -> Result<PolicyKind, KqlError> {
        if self.eat_word("ingestionbatching") {
            Ok(PolicyKind::IngestionBatching)
        } else if self.eat_word("streamingingestion") {
            Ok(PolicyKind::StreamingIngestion)
        } else {
            Err(KqlError::syntax(
                self.at(),
                format!(
                    "policy {} is not known here; ingestionbatching and streamingingestion are",
                    self.slice()
                ),
            ))
        }
    }

    fn define(&mut self, verb: &str, at: usize) -> Result<Command, KqlError> {
        if self.eat_word("database") {
            if verb == "create" || verb == "create-merge" {
                let name = self.entity("a database")?;
                let mut if_not_exists = verb == "create-merge";
                while !matches!(self.peek(), Token::End | Token::Semicolon | Token::Pipe) {
                    if_not_exists |= self.is_word("ifnotexists");
                    self.advance();
                }
                return Ok(Command::CreateDatabase { name, if_not_exists });
            }
            let name = if self.is_word("policy") { String::new() } else { self.entity("a database")? };
            return self.policy(verb, PolicyEntity::Database(name));
        }
        if !self.eat_word("table") {
            return Err(self.unknown_command(at));
        }
        let name = self.entity("a table")?;
        if self.eat_word("ingestion") {
            let mode = match verb {
                "create" => MappingMode::Create,
                "create-or-alter" => MappingMode::CreateOrAlter,
                "alter" => MappingMode::Alter,
                _ => return Err(self.unknown_command(at)),
            };
            let kind = self.mapping_kind()?;
            self.keyword("mapping")?;
            let mapping =
                if self.is_string() { self.one_string()? } else { self.name("the mapping's name")? };
            let json = self.string("the mapping as JSON in quotes")?;
            return Ok(Command::CreateMapping { table: name, kind, name: mapping, json, mode });
        }
        if self.is_word("policy") {
            return self.policy(verb, PolicyEntity::Table(name));
        }
        let mut mode = match verb {
            "create" => CreateMode::Create,
            "create-merge" | "alter-merge" => CreateMode::CreateMerge,
            _ => return Err(self.unknown_command(at)),
        };
        let columns = self.columns()?;
        if self.eat_word("ifnotexists") {
            mode = CreateMode::IfNotExists;
        }
        let properties = self.properties()?;
        let property = |wanted: &str| {
            properties
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
                .map(|(_, value)| value.clone())
                .unwrap_or_default()
        };
        Ok(Command::CreateTable {
            name,
            columns,
            mode,
            folder: property("folder"),
            docstring: property("docstring"),
        })
    }

    /// Exactly one string token: the mapping's name and its JSON stand side by side and
    /// must not be joined.
    fn one_string(&mut self) -> Result<String, KqlError> {
        if self.is_string() {
            Ok(crate::literal::string_value(self.advance()))
        } else {
            Err(self.unexpected("a string"))
        }
    }

    fn policy(&mut self, verb: &str, entity: PolicyEntity) -> Result<Command, KqlError> {
        self.keyword("policy")?;
        let policy = self.policy_kind()?;
        let action = match verb {
            "delete" => PolicyAction::Delete,
            "alter" | "alter-merge" => {
                let value = if self.eat_word("enable") {
                    r#"{"IsEnabled":true}"#.to_owned()
                } else if self.eat_word("disable") {
                    r#"{"IsEnabled":false}"#.to_owned()
                } else if self.peek() == Token::OpenBrace {
                    let start = self.at();
                    while !matches!(self.peek(), Token::End | Token::Semicolon) {
                        self.advance();
                    }
                    self.text[start..self.end_of_previous()].to_owned()
                } else {
                    self.string("the policy as JSON in quotes")?
                };
                if verb == "alter" { PolicyAction::Alter(value) } else { PolicyAction::AlterMerge(value) }
            }
            _ => return Err(self.unknown_command(0)),
        };
        Ok(Command::Policy { entity, policy, action })
    }

    fn drop_entity(&mut self) -> Result<Command, KqlError> {
        let at = self.at();
        if self.eat_word("database") {
            let entity = PolicyEntity::Database(self.entity("a database")?);
            return self.change_principals(entity, PrincipalChange::Drop);
        }
        if self.eat_word("tables") {
            self.expect(Token::Open, "( and the tables")?;
            let mut names = Vec::new();
            while !self.eat(Token::Close) {
                names.push(self.entity("a table")?);
                if !self.eat(Token::Comma) && self.peek() != Token::Close {
                    return Err(self.unexpected(", or )"));
                }
            }
            let if_exists = self.eat_word("ifexists");
            return Ok(Command::DropTables { names, if_exists });
        }
        if !self.eat_word("table") {
            return Err(self.unknown_command(at));
        }
        let name = self.entity("a table")?;
        if Role::ALL.iter().any(|(word, _)| self.is_word(word)) {
            return self.change_principals(PolicyEntity::Table(name), PrincipalChange::Drop);
        }
        if self.eat_word("ingestion") {
            let kind = self.mapping_kind()?;
            self.keyword("mapping")?;
            let mapping = self.string("the mapping's name in quotes")?;
            return Ok(Command::DropMapping { table: name, kind, name: mapping });
        }
        let if_exists = self.eat_word("ifexists");
        let (word, count) = self.peek_dashed();
        if word == "skip-seal" {
            self.skip(count);
        }
        Ok(Command::DropTables { names: vec![name], if_exists })
    }

    /// The database or table in front of a role; nothing is taken when there is none, as in
    /// `.set table <| query`.
    fn principals_of(&mut self) -> Result<Option<PolicyEntity>, KqlError> {
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

    fn change_principals(
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
        let mut principals = Vec::new();
        if change == PrincipalChange::Set && self.eat_word("none") {
            // The role is emptied.
        } else {
            self.expect(Token::Open, "( and the principals")?;
            while !self.eat(Token::Close) {
                principals.push(self.string("a principal in quotes")?);
                if !self.eat(Token::Comma) && self.peek() != Token::Close {
                    return Err(self.unexpected(", or )"));
                }
            }
        }
        let (word, count) = self.peek_dashed();
        if word == "skip-results" {
            self.skip(count);
        }
        let notes = if self.is_string() { self.string("a note")? } else { String::new() };
        Ok(Command::ChangePrincipals { entity, role, change, principals, notes })
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
        self.expect(Token::Open, "( and the URLs of the data")?;
        let mut locators = Vec::new();
        while !self.eat(Token::Close) {
            locators.push(self.string("a URL in quotes")?);
            if !self.eat(Token::Comma) && self.peek() != Token::Close {
                return Err(self.unexpected(", or )"));
            }
        }
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

    /// An operation id: bare or in quotes.
    fn operation_id(&mut self) -> Result<String, KqlError> {
        if self.is_string() {
            return self.string("an operation id");
        }
        let start = self.at();
        while !matches!(
            self.peek(),
            Token::End | Token::Semicolon | Token::Pipe | Token::Comma | Token::Close
        ) && !self.is_word("details")
        {
            self.advance();
        }
        let text: String = self.text[start..self.at()].chars().filter(|c| !c.is_whitespace()).collect();
        if text.is_empty() { Err(self.unexpected("an operation id")) } else { Ok(text) }
    }

    fn show_operations(&mut self) -> Result<Command, KqlError> {
        let mut ids = Vec::new();
        if self.eat(Token::Open) {
            while !self.eat(Token::Close) {
                ids.push(self.operation_id()?);
                if !self.eat(Token::Comma) && self.peek() != Token::Close {
                    return Err(self.unexpected(", or )"));
                }
            }
        } else if !matches!(self.peek(), Token::End | Token::Semicolon | Token::Pipe) {
            ids.push(self.operation_id()?);
        }
        Ok(Command::ShowOperations { ids })
    }

    fn rest_after_input_pipe(&mut self) -> Result<String, KqlError> {
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
