//! The commands on extents: their tags, and which are dropped.

use crate::command::{Command, Effect, ExtentChoice, ExtentsOf, TagChange, TagCondition, TagTest};
use crate::lexer::Token;
use crate::{KqlError, Parser};
use kusto_types::{TICKS_PER_DAY, Timespan};

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

    /// What is behind `.drop extents`: `(id, ...) from T`, `older 10 days from T`, `from all
    /// tables`, `<| .show ...`
    pub(super) fn drop_extents(&mut self, effect: Effect) -> Result<Command, KqlError> {
        let effect = if self.eat_word("whatif") { Effect::Pretended } else { effect };
        if self.peek() == Token::InputPipe {
            let query = self.rest_after_input_pipe()?;
            return Ok(Command::DropExtents { extents: ExtentChoice::Query(query), effect });
        }
        if !self.at_keyword(&["from", "older"]) {
            let ids = self.extent_ids()?;
            if self.eat_word("from") {
                self.entity("a table")?;
            }
            return Ok(Command::DropExtents { extents: ExtentChoice::Ids(ids), effect });
        }
        let older = if self.eat_word("older") { Some(self.age()?) } else { None };
        self.keyword("from")?;
        let table = if self.eat_word("all") {
            self.keyword("tables")?;
            None
        } else {
            Some(self.entity("a table")?)
        };
        if self.is_word("trim") {
            let what = "trim is not known here; drop extents by a query of .show table extents";
            return Err(KqlError::syntax(self.at(), what));
        }
        let limit = match self.eat_word("limit") {
            true => {
                let at = self.at();
                let number = self.advance().parse();
                Some(number.map_err(|_| KqlError::syntax(at, "limit is not a number of extents"))?)
            }
            false => None,
        };
        Ok(Command::DropExtents { extents: ExtentChoice::All { table, older, limit }, effect })
    }

    /// `10 days`, `3 hours`
    fn age(&mut self) -> Result<Timespan, KqlError> {
        let at = self.at();
        let number: i64 =
            self.advance().parse().map_err(|_| KqlError::syntax(at, "expected a number of days or hours"))?;
        let unit = if self.eat_word("days") || self.eat_word("day") {
            TICKS_PER_DAY
        } else if self.eat_word("hours") || self.eat_word("hour") {
            TICKS_PER_DAY / 24
        } else {
            return Err(self.unexpected("days or hours"));
        };
        Ok(Timespan(number.saturating_mul(unit)))
    }

    /// `.drop extent ID`, `.drop extent tags ("a") <| ...`
    pub(super) fn drop_extent(&mut self, at: usize) -> Result<Command, KqlError> {
        if self.is_word("tags") {
            return self.extent_tags(TagChange::Drop, None);
        }
        let id = self.extent_id()?;
        if id.is_empty() {
            return Err(self.unknown_command(at));
        }
        if self.eat_word("from") {
            self.entity("a table")?;
        }
        Ok(Command::DropExtents { extents: ExtentChoice::Ids(vec![id]), effect: Effect::Real })
    }

    /// What is behind `.show ... extents`: `(id, ...)`, `hot`, `where tags has "a"`
    pub(super) fn shown_extents(&mut self, of: ExtentsOf) -> Result<Command, KqlError> {
        let ids = if self.peek() == Token::Open { self.extent_ids()? } else { Vec::new() };
        // Everything is hot here.
        self.eat_word("hot");
        Ok(Command::ShowExtents { of, ids, tags: self.tag_conditions()? })
    }

    /// `.alter extent tags (...) <| ...` and of `.alter-merge`; of one table `.alter table T
    /// extent tags (...) <| ...`
    pub(super) fn change_extent_tags(
        &mut self,
        verb: &str,
        table: Option<String>,
    ) -> Result<Command, KqlError> {
        self.extent_tags(if verb == "alter" { TagChange::Set } else { TagChange::Add }, table)
    }

    pub(super) fn extent_tags(
        &mut self,
        change: TagChange,
        table: Option<String>,
    ) -> Result<Command, KqlError> {
        self.keyword("tags")?;
        let tags = self.parenthesised("( and the tags", |parser| parser.string("a tag in quotes"))?;
        self.properties()?;
        let extents = match (self.peek(), table) {
            (Token::InputPipe, _) | (_, None) => ExtentChoice::Query(self.rest_after_input_pipe()?),
            (_, table) => ExtentChoice::All { table, older: None, limit: None },
        };
        Ok(Command::ChangeExtentTags { change, tags, extents })
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
        let all = || ExtentChoice::All { table: Some(from.clone()), older: None, limit: None };
        let extents = ids.map_or_else(all, ExtentChoice::Ids);
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
