//! The `.show` commands.

use crate::command::{
    Absent, Command, DatabaseView, ExtentsOf, FunctionCommand, PolicyAction, PolicyEntity, RequestLog,
    SchemaShape, StreamingLog,
};
use crate::lexer::Token;
use crate::{KqlError, Parser};
use kusto_types::MappingKind;

impl Parser<'_> {
    pub(super) fn show(&mut self) -> Result<Command, KqlError> {
        let at = self.at();
        let (word, _) = self.peek_dashed();
        match word.as_str() {
            "version" => {
                self.advance();
                Ok(Command::ShowVersion)
            }
            "cluster" => {
                self.advance();
                if self.eat_word("principals") {
                    return Ok(Command::ShowAbsent(Absent::ClusterPrincipals));
                }
                if self.is_word("policy") {
                    return self.cluster_policy("show", at);
                }
                if self.eat_word("extents") {
                    return self.shown_extents(ExtentsOf::Cluster);
                }
                if self.eat_word("databases") {
                    return Ok(Command::ShowDatabases { name: None, view: DatabaseView::Plain });
                }
                self.eat_word("details");
                Ok(Command::ShowCluster)
            }
            "databases" => {
                self.advance();
                if self.eat_word("schema") {
                    return Ok(Command::ShowDatabaseSchema { shape: self.schema_shape()? });
                }
                if self.eat_word("entities") {
                    return Ok(Command::ShowEntities);
                }
                let view = self.database_view().unwrap_or(DatabaseView::Plain);
                Ok(Command::ShowDatabases { name: None, view })
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
                } else if self.eat_word("batches") {
                    Ok(Command::ShowIngestionBatches)
                } else {
                    Err(self.unknown_command(at))
                }
            }
            "tables" => {
                self.advance();
                let names = match self.peek() {
                    Token::Open => {
                        self.parenthesised("( and the tables", |parser| parser.entity("a table"))?
                    }
                    _ => Vec::new(),
                };
                if self.eat_word("extents") {
                    return self.shown_extents(ExtentsOf::Tables(names));
                }
                let details = self.eat_word("details");
                Ok(Command::ShowTables { names, details })
            }
            "table" => {
                self.advance();
                if self.eat(Token::Star) {
                    self.keyword("policy")?;
                    let (policy, action) = (self.policy_kind()?, PolicyAction::Show);
                    return Ok(Command::PolicyOfTables { tables: Vec::new(), policy, action });
                }
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
                    "details",
                    "policies",
                    "datastats",
                    "identity",
                    "journal",
                ]) || matches!(self.peek(), Token::End | Token::Pipe | Token::Semicolon)
                {
                    None
                } else {
                    Some(self.entity("a database")?)
                };
                if let Some(view) = self.database_view() {
                    Ok(Command::ShowDatabases { name: Some(name.unwrap_or_default()), view })
                } else if self.eat_word("schema") {
                    if self.eat_word("violations") {
                        return Ok(Command::ShowAbsent(Absent::SchemaViolations));
                    }
                    Ok(Command::ShowDatabaseSchema { shape: self.schema_shape()? })
                } else if self.eat_word("policy") {
                    let entity = PolicyEntity::Database(name.unwrap_or_default());
                    Ok(Command::Policy { entity, policy: self.policy_kind()?, action: PolicyAction::Show })
                } else if self.eat_word("extents") {
                    self.shown_extents(ExtentsOf::Database(name))
                } else if self.eat_word("cslschema") {
                    Ok(Command::ShowDatabaseSchema { shape: SchemaShape::Script })
                } else if self.eat_word("journal") {
                    Ok(Command::ShowJournal { database: Some(name.unwrap_or_default()) })
                } else if self.eat_word("principals") {
                    let entity = PolicyEntity::Database(name.unwrap_or_default());
                    Ok(Command::ShowPrincipals { entity })
                } else if self.eat_word("ingestion") {
                    self.show_mappings(None)
                } else {
                    Err(self.unknown_command(at))
                }
            }
            "functions" => {
                self.advance();
                Ok(Command::Function(FunctionCommand::Show { name: None }))
            }
            "function" => {
                self.advance();
                let name = self.entity("a function")?;
                Ok(Command::Function(FunctionCommand::Show { name: Some(name) }))
            }
            "export" => {
                self.advance();
                self.keyword("containers")?;
                Ok(Command::ShowExportContainers)
            }
            "principal" => {
                self.advance();
                if self.eat_word("roles") {
                    return Ok(Command::ShowAbsent(Absent::PrincipalRoles));
                }
                self.keyword("access")?;
                Ok(Command::ShowPrincipalAccess { properties: self.properties()? })
            }
            "streamingingestion" => {
                self.advance();
                if self.eat_word("statistics") {
                    return Ok(Command::ShowStreaming(StreamingLog::Statistics));
                }
                self.keyword("failures")?;
                Ok(Command::ShowStreaming(StreamingLog::Failures))
            }
            "queued" => {
                self.advance();
                self.keyword("ingestion")?;
                self.keyword("operations")?;
                let ids = if self.peek() == Token::Open {
                    self.parenthesised("( and the ids", |parser| parser.one_string())?
                } else {
                    vec![self.string("the operation id in quotes")?]
                };
                let details = self.eat_word("details");
                Ok(Command::ShowQueuedOperations { ids, details })
            }
            "queries" | "commands" | "commands-and-queries" => {
                self.skip(if word.contains('-') { 5 } else { 1 });
                Ok(Command::ShowRequests(match word.as_str() {
                    "queries" => RequestLog::Queries,
                    "commands" => RequestLog::Commands,
                    _ => RequestLog::Both,
                }))
            }
            "running" => {
                self.advance();
                self.keyword("queries")?;
                Ok(Command::ShowRunningQueries)
            }
            "journal" => {
                self.advance();
                Ok(Command::ShowJournal { database: None })
            }
            "materialized-views" => {
                self.skip(3);
                Ok(Command::ShowAbsent(Absent::MaterializedViews))
            }
            "external" => {
                self.advance();
                self.keyword("tables")?;
                Ok(Command::ShowAbsent(Absent::ExternalTables))
            }
            "entity_groups" => {
                self.advance();
                Ok(Command::ShowAbsent(Absent::EntityGroups))
            }
            "workload_groups" => {
                self.advance();
                Ok(Command::ShowAbsent(Absent::WorkloadGroups))
            }
            _ => Err(self.unknown_command(at)),
        }
    }

    /// What `.show database` shows, when a word says so; nothing more means the plain view.
    fn database_view(&mut self) -> Option<DatabaseView> {
        if matches!(self.peek(), Token::End | Token::Pipe | Token::Semicolon) {
            return Some(DatabaseView::Plain);
        }
        for (word, view) in [
            ("details", DatabaseView::Details),
            ("policies", DatabaseView::Policies),
            ("datastats", DatabaseView::DataStats),
            ("identity", DatabaseView::Plain),
        ] {
            if self.eat_word(word) {
                return Some(view);
            }
        }
        None
    }

    fn schema_shape(&mut self) -> Result<SchemaShape, KqlError> {
        self.eat_word("details");
        // What changed since is shown with the rest.
        if self.eat_word("if_later_than") {
            self.string("a version in quotes")?;
        }
        if !self.eat_word("as") {
            return Ok(SchemaShape::Columns);
        }
        if self.eat_word("json") {
            Ok(SchemaShape::Json)
        } else if self.eat_word("csl") {
            let shape = if self.eat_word("script") { SchemaShape::Script } else { SchemaShape::Csl };
            self.properties()?;
            Ok(shape)
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
            self.shown_extents(ExtentsOf::Tables(vec![name]))
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

    pub(super) fn mapping_kind(&mut self) -> Result<MappingKind, KqlError> {
        let at = self.at();
        let name = self.name("csv, json, avro, parquet, orc or w3clogfile")?;
        MappingKind::parse(&name)
            .ok_or_else(|| KqlError::syntax(at, format!("{name} is not a kind of ingestion mapping")))
    }

    /// An operation id: bare or in quotes.
    pub(super) fn operation_id(&mut self) -> Result<String, KqlError> {
        if self.is_string() {
            return self.string("an operation id");
        }
        let start = self.at();
        while !matches!(
            self.peek(),
            Token::End | Token::Semicolon | Token::Pipe | Token::Comma | Token::Close
        ) && !self.at_keyword(&["details", "with"])
        {
            self.advance();
        }
        let text: String = self.text[start..self.at()].chars().filter(|c| !c.is_whitespace()).collect();
        if text.is_empty() { Err(self.unexpected("an operation id")) } else { Ok(text) }
    }

    fn show_operations(&mut self) -> Result<Command, KqlError> {
        let ids = match self.peek() {
            Token::Open => self.parenthesised("( and the ids", Self::operation_id)?,
            Token::End | Token::Semicolon | Token::Pipe => Vec::new(),
            _ => vec![self.operation_id()?],
        };
        Ok(Command::ShowOperations { ids })
    }
}
