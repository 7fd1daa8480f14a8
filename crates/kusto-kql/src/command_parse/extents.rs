//! The commands on extents: their tags, and which are dropped.

use crate::command::{Command, ExtentChoice, TagChange, TagCondition, TagTest};
use crate::lexer::Token;
use crate::{KqlError, Parser};

impl Parser<'_> {
    /// `where tags has "drop-by:x" and tags !contains "y"`
    pub(super) fn tag_conditions(&mut self) -> Result<Vec<TagCondition>, KqlError> {
        let mut conditions = Vec::new();
        if !self.eat_word("where") {
            return Ok(conditions);
        }
        loop {
            self.keyword("tags")?;
            let negated = self.eat(Token::Bang);
            let test = if self.eat_word("has") {
                TagTest::Is
            } else if self.eat_word("contains") {
                TagTest::Contains
            } else {
                return Err(self.unexpected("has, !has, contains or !contains"));
            };
            let tag = self.string("a tag in quotes")?;
            conditions.push(TagCondition { test, negated, tag });
            if !self.eat_word("and") {
                return Ok(conditions);
            }
        }
    }

    /// `.drop extents (id, ...) from T`, `.drop extents from T`, `.drop extents <| .show ...`
    pub(super) fn drop_extents(&mut self) -> Result<Command, KqlError> {
        if self.peek() == Token::InputPipe {
            let query = self.rest_after_input_pipe()?;
            return Ok(Command::DropExtents { extents: ExtentChoice::Query(query) });
        }
        if self.eat_word("from") {
            let table = self.entity("a table")?;
            return Ok(Command::DropExtents { extents: ExtentChoice::Table(table) });
        }
        let ids = self.extent_ids()?;
        if self.eat_word("from") {
            self.entity("a table")?;
        }
        Ok(Command::DropExtents { extents: ExtentChoice::Ids(ids) })
    }

    /// `.drop extent ID`, `.drop extent tags ("a") <| ...`
    pub(super) fn drop_extent(&mut self, at: usize) -> Result<Command, KqlError> {
        if self.is_word("tags") {
            return self.extent_tags(TagChange::Drop);
        }
        let id = self.extent_id()?;
        if id.is_empty() {
            return Err(self.unknown_command(at));
        }
        if self.eat_word("from") {
            self.entity("a table")?;
        }
        Ok(Command::DropExtents { extents: ExtentChoice::Ids(vec![id]) })
    }

    /// `.alter extent tags (...) <| ...`, `.alter-merge extent tags (...) <| ...`
    pub(super) fn change_extent_tags(&mut self, verb: &str) -> Result<Command, KqlError> {
        self.extent_tags(if verb == "alter" { TagChange::Set } else { TagChange::Add })
    }

    fn extent_tags(&mut self, change: TagChange) -> Result<Command, KqlError> {
        self.keyword("tags")?;
        let tags = self.parenthesised("( and the tags", |parser| parser.string("a tag in quotes"))?;
        let query = self.rest_after_input_pipe()?;
        Ok(Command::ChangeExtentTags { change, tags, extents: ExtentChoice::Query(query) })
    }

    /// `.move extents all from table A to table B`, `.move extents (id, ...) from table A to
    /// table B`, `.move extents to table B <| ...`
    pub(super) fn move_extents(&mut self) -> Result<Command, KqlError> {
        self.eat_word("async");
        self.keyword("extents")?;
        if self.eat_word("to") {
            self.eat_word("table");
            let to = self.entity("the table that they go to")?;
            self.properties()?;
            let query = self.rest_after_input_pipe()?;
            return Ok(Command::MoveExtents { from: None, to, extents: ExtentChoice::Query(query) });
        }
        let ids = if self.eat_word("all") { None } else { Some(self.extent_ids()?) };
        self.keyword("from")?;
        self.eat_word("table");
        let from = self.entity("the table that they are in")?;
        self.keyword("to")?;
        self.eat_word("table");
        let to = self.entity("the table that they go to")?;
        self.properties()?;
        let extents = ids.map_or_else(|| ExtentChoice::Table(from.clone()), ExtentChoice::Ids);
        Ok(Command::MoveExtents { from: Some(from), to, extents })
    }

    /// `.replace extents in table T <| {which go}, {which come}`
    pub(super) fn replace_extents(&mut self) -> Result<Command, KqlError> {
        self.eat_word("async");
        self.keyword("extents")?;
        self.keyword("in")?;
        self.eat_word("table");
        let table = self.entity("a table")?;
        self.properties()?;
        self.expect(Token::InputPipe, "<| and two queries in braces")?;
        let dropped = self.braced_query()?;
        self.expect(Token::Comma, ", and the query of the extents that come")?;
        let moved = self.braced_query()?;
        Ok(Command::ReplaceExtents { table, dropped, moved })
    }

    /// The text between a brace and the one that closes it.
    fn braced_query(&mut self) -> Result<String, KqlError> {
        self.expect(Token::OpenBrace, "{ and a query")?;
        let start = self.at();
        let mut depth = 0usize;
        loop {
            match self.peek() {
                Token::End => return Err(self.unexpected("}")),
                Token::CloseBrace if depth == 0 => break,
                Token::CloseBrace => depth -= 1,
                Token::OpenBrace => depth += 1,
                _ => {}
            }
            self.advance();
        }
        let query = self.text[start..self.at()].trim().to_owned();
        self.advance();
        Ok(query)
    }

    fn extent_ids(&mut self) -> Result<Vec<String>, KqlError> {
        let ids = self.parenthesised("( and the ids of extents", |parser| parser.extent_id())?;
        Ok(ids)
    }

    /// An id: bare or in quotes.
    fn extent_id(&mut self) -> Result<String, KqlError> {
        if self.is_string() {
            return self.string("an extent id");
        }
        let start = self.at();
        while !matches!(
            self.peek(),
            Token::End | Token::Semicolon | Token::Pipe | Token::Comma | Token::Close
        ) && !self.is_word("from")
        {
            self.advance();
        }
        Ok(self.text[start..self.at()].chars().filter(|c| !c.is_whitespace()).collect())
    }
}
