//! The commands that make, change, rename and drop databases, tables, mappings and
//! functions.

use crate::command::{
    Command, CreateMode, Effect, FunctionCommand, FunctionMode, MappingMode, NewTable, OtherTexts,
    PolicyEntity, PrincipalChange, Role, TableText, TagChange,
};
use crate::lexer::Token;
use crate::{KqlError, Parser};

impl Parser<'_> {
    pub(super) fn define(&mut self, verb: &str, at: usize) -> Result<Command, KqlError> {
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
        match self.peek_dashed().0.as_str() {
            "cluster" => {
                self.advance();
                return self.cluster_policy(verb, at);
            }
            "function" => {
                self.advance();
                return self.define_function(verb, at);
            }
            "tables" => {
                self.advance();
                if self.peek() == Token::Open {
                    return self.policy_of_tables(verb, at);
                }
                return self.define_tables(verb, at);
            }
            "tempstorage" if verb == "create" => {
                self.advance();
                return Ok(Command::ShowExportContainers);
            }
            "column" if verb == "alter" => {
                self.advance();
                return self.alter_column();
            }
            "extent" if verb == "alter" || verb == "alter-merge" => {
                self.advance();
                return self.change_extent_tags(verb, None);
            }
            _ => {}
        }
        if !self.eat_word("table") {
            return Err(self.unknown_command(at));
        }
        let name = self.entity("a table")?;
        if verb == "alter" || verb == "alter-merge" {
            let (word, count) = self.peek_dashed();
            if word == "extent" {
                self.advance();
                return self.change_extent_tags(verb, Some(name));
            }
            if matches!(word.as_str(), "column-docstrings" | "column-docstring") {
                self.skip(count);
                return self.column_texts(verb, name);
            }
            let text = match word.as_str() {
                "docstring" => Some(TableText::DocString),
                "folder" => Some(TableText::Folder),
                _ => None,
            };
            if let Some(text) = text {
                self.advance();
                let value = self.string("the text in quotes")?;
                return Ok(Command::SetTableText { table: name, text, value });
            }
        }
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
        let (word, count) = self.peek_dashed();
        if verb == "create" && word == "based-on" {
            self.skip(count);
            let like = self.entity("the table that it is like")?;
            let mode =
                if self.eat_word("ifnotexists") { CreateMode::IfNotExists } else { CreateMode::Create };
            let properties = self.properties()?;
            let (folder, docstring) = (property(&properties, "folder"), property(&properties, "docstring"));
            return Ok(Command::CreateLike { name, like, mode, folder, docstring });
        }
        let columns = self.columns()?;
        self.finish_tables(verb, at, vec![NewTable { name, columns }])
    }

    /// `.alter tables (A, B) policy caching hot = 3d`
    fn policy_of_tables(&mut self, verb: &str, at: usize) -> Result<Command, KqlError> {
        let tables = self.parenthesised("( and the tables", |parser| parser.entity("a table"))?;
        // One stands for all of them.
        let first = tables.first().cloned().ok_or_else(|| self.unknown_command(at))?;
        match self.policy(verb, PolicyEntity::Table(first))? {
            Command::Policy { policy, action, .. } => Ok(Command::PolicyOfTables { tables, policy, action }),
            other => Ok(other),
        }
    }

    /// `(a: "text", b: "text")`
    fn column_texts(&mut self, verb: &str, table: String) -> Result<Command, KqlError> {
        let texts = self.parenthesised("( and the columns", |parser| {
            let column = parser.name("a column")?;
            parser.expect(Token::Colon, ": between column and text")?;
            Ok((column, parser.string("the text in quotes")?))
        })?;
        let others = if verb == "alter" { OtherTexts::Clear } else { OtherTexts::Keep };
        Ok(Command::SetColumnTexts { table, texts, others })
    }

    /// `.create tables A (a:long), B (b:string) with (...)`
    fn define_tables(&mut self, verb: &str, at: usize) -> Result<Command, KqlError> {
        let mut tables = Vec::new();
        loop {
            let name = self.entity("a table")?;
            tables.push(NewTable { name, columns: self.columns()? });
            if !self.eat(Token::Comma) {
                return self.finish_tables(verb, at, tables);
            }
        }
    }

    fn finish_tables(&mut self, verb: &str, at: usize, tables: Vec<NewTable>) -> Result<Command, KqlError> {
        let mut mode = match verb {
            "create" => CreateMode::Create,
            "create-merge" => CreateMode::CreateMerge,
            "alter" => CreateMode::Alter,
            "alter-merge" => CreateMode::AlterMerge,
            _ => return Err(self.unknown_command(at)),
        };
        if self.eat_word("ifnotexists") {
            mode = CreateMode::IfNotExists;
        }
        let properties = self.properties()?;
        Ok(Command::CreateTables {
            tables,
            mode,
            folder: property(&properties, "folder"),
            docstring: property(&properties, "docstring"),
        })
    }

    /// `.create-or-alter function with (folder="x") F (a:long) { print a }`
    fn define_function(&mut self, verb: &str, at: usize) -> Result<Command, KqlError> {
        let mut mode = match verb {
            "create" => FunctionMode::Create,
            "create-or-alter" => FunctionMode::CreateOrAlter,
            "alter" => FunctionMode::Alter,
            _ => return Err(self.unknown_command(at)),
        };
        if self.eat_word("ifnotexists") {
            mode = FunctionMode::IfNotExists;
        }
        let properties = self.properties()?;
        let name = self.entity("a function")?;
        let start = self.at();
        self.function_def()?;
        let definition = &self.text[start..self.end_of_previous()];
        // The definition was read, so that its first brace begins the body.
        let body = definition.find('{').unwrap_or(definition.len());
        Ok(Command::Function(FunctionCommand::Define {
            name,
            parameters: definition[..body].trim().to_owned(),
            body: definition[body..].to_owned(),
            folder: property(&properties, "folder"),
            docstring: property(&properties, "docstring"),
            mode,
        }))
    }

    /// `.rename table A to B`, `.rename tables B = A, ...`, `.rename column T.a to b`
    pub(super) fn rename(&mut self, at: usize) -> Result<Command, KqlError> {
        if self.eat_word("table") {
            let old = self.entity("a table")?;
            self.keyword("to")?;
            let new = self.entity("the table's new name")?;
            return Ok(Command::RenameTables { names: vec![(old, new)] });
        }
        if self.eat_word("tables") {
            let mut names = Vec::new();
            loop {
                let new = self.entity("the table's new name")?;
                self.expect(Token::Assign, "= between the new name and the table")?;
                names.push((self.entity("a table")?, new));
                self.eat_word("ifexists");
                if !self.eat(Token::Comma) {
                    return Ok(Command::RenameTables { names });
                }
            }
        }
        if self.eat_word("column") {
            let (table, column) = self.table_column()?;
            self.keyword("to")?;
            let new = self.name("the column's new name")?;
            return Ok(Command::RenameColumns { table, names: vec![(column, new)] });
        }
        if self.eat_word("columns") {
            return self.rename_columns();
        }
        Err(self.unknown_command(at))
    }

    /// `b = T.a, a = T.b`: the new name, and the column that gets it
    fn rename_columns(&mut self) -> Result<Command, KqlError> {
        let mut found: Option<String> = None;
        let mut names = Vec::new();
        loop {
            let at = self.at();
            let new = self.name("the column's new name")?;
            self.expect(Token::Assign, "= between the new name and the column")?;
            let (table, old) = self.table_column()?;
            if found.as_ref().is_some_and(|known| *known != table) {
                return Err(KqlError::syntax(at, "the columns of one table are renamed at once"));
            }
            found = Some(table);
            names.push((old, new));
            if !self.eat(Token::Comma) {
                return Ok(Command::RenameColumns { table: found.unwrap_or_default(), names });
            }
        }
    }

    /// `T.c`, or `D.T.c`
    fn table_column(&mut self) -> Result<(String, String), KqlError> {
        let mut names = vec![self.name("a table")?];
        while self.eat(Token::Dot) {
            names.push(self.name("a column")?);
        }
        match (names.pop(), names.pop()) {
            (Some(column), Some(table)) => Ok((table, column)),
            _ => Err(self.unexpected(". and a column")),
        }
    }

    /// `.alter column T.c type=long`
    fn alter_column(&mut self) -> Result<Command, KqlError> {
        let (table, column) = self.table_column()?;
        self.keyword("type")?;
        self.expect(Token::Assign, "= and the type")?;
        let column_type = self.column_type()?;
        Ok(Command::AlterColumnType { table, column, column_type })
    }

    /// Exactly one string token: the mapping's name and its JSON stand side by side and
    /// must not be joined.
    pub(super) fn one_string(&mut self) -> Result<String, KqlError> {
        if self.is_string() {
            Ok(crate::literal::string_value(self.advance()))
        } else {
            Err(self.unexpected("a string"))
        }
    }

    pub(super) fn drop_entity(&mut self) -> Result<Command, KqlError> {
        let at = self.at();
        if self.eat_word("database") {
            let entity = PolicyEntity::Database(self.entity("a database")?);
            return self.change_principals(entity, PrincipalChange::Drop);
        }
        if self.eat_word("function") {
            let name = self.entity("a function")?;
            let if_exists = self.eat_word("ifexists");
            return Ok(Command::Function(FunctionCommand::Drop { name, if_exists }));
        }
        if self.eat_word("column") {
            let (table, column) = self.table_column()?;
            let if_exists = self.eat_word("ifexists");
            return Ok(Command::DropColumns { table, columns: vec![column], if_exists });
        }
        if self.eat_word("extents") {
            return self.drop_extents(Effect::Real);
        }
        if self.eat_word("extent") {
            return self.drop_extent(at);
        }
        if self.eat_word("tables") {
            let names = self.parenthesised("( and the tables", |parser| parser.entity("a table"))?;
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
        if self.eat_word("columns") {
            let columns = self.parenthesised("( and the columns", |parser| parser.name("a column"))?;
            return Ok(Command::DropColumns { table: name, columns, if_exists: false });
        }
        if self.eat_word("extent") {
            return self.extent_tags(TagChange::Drop, Some(name));
        }
        let if_exists = self.eat_word("ifexists");
        let (word, count) = self.peek_dashed();
        if word == "skip-seal" {
            self.skip(count);
        }
        Ok(Command::DropTables { names: vec![name], if_exists })
    }
}

/// A property of a `with (...)` list; empty when it is not there.
fn property(properties: &[(String, String)], wanted: &str) -> String {
    let found = properties.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
    found.map(|(_, value)| value.clone()).unwrap_or_default()
}
