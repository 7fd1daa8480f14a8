//! What a pipeline begins with: tables, rows of literals, ranges, unions, functions.

use crate::KqlError;
use crate::Parser;
use crate::ast::{Argument, LetValue, Pipeline, Source, Union, UnionColumns};
use crate::lexer::Token;

impl Parser<'_> {
    pub(super) fn source(&mut self) -> Result<Source, KqlError> {
        let at = self.at();
        let next = self.peek_at(1);
        let is_call = self.peek() == Token::Name && next == Token::Open;
        if self.is_word("print") {
            self.advance();
            return Ok(Source::Print(self.named_list()?));
        }
        if self.is_word("datatable") && is_call {
            return self.datatable();
        }
        if self.is_word("range") && next == Token::Name {
            return self.range();
        }
        if self.is_word("union") && matches!(next, Token::Name | Token::Open) {
            self.advance();
            return Ok(Source::Union(self.union()?));
        }
        if self.is_word("materialize") && is_call {
            self.skip(2);
            let inner = self.pipeline()?;
            self.expect(Token::Close, ")")?;
            return Ok(Source::Nested(Box::new(inner)));
        }
        if is_call && (self.is_word("table") || self.is_word("database")) {
            return self.named_table(at);
        }
        if is_call {
            let name = self.advance().to_owned();
            return Ok(Source::Call { name, arguments: self.arguments()?, at });
        }
        if self.eat(Token::Open) {
            let inner = self.pipeline()?;
            self.expect(Token::Close, ")")?;
            return Ok(Source::Nested(Box::new(inner)));
        }
        let table = self.name("a table, print, range, union or datatable")?;
        Ok(Source::Table { database: None, table, at })
    }

    /// `table("T")`, `database("d").T`, `database("d").table("T")`
    fn named_table(&mut self, at: usize) -> Result<Source, KqlError> {
        let is_database = self.is_word("database");
        self.skip(2);
        let name = if self.is_string() { Some(self.string("a name in quotes")?) } else { None };
        if let (None, false) = (&name, is_database) {
            // A parameter names the table: the check puts its value in.
            let parameter = self.name("a table name in quotes")?;
            self.expect(Token::Close, ")")?;
            return Ok(Source::Table { database: None, table: format!("{}{parameter}", Self::INDIRECT), at });
        }
        let name = name.ok_or_else(|| self.unexpected("a name in quotes"))?;
        self.expect(Token::Close, ")")?;
        if !is_database {
            return Ok(Source::Table { database: None, table: name, at });
        }
        self.expect(Token::Dot, ". and a table name")?;
        if self.is_word("table") && self.peek_at(1) == Token::Open {
            self.skip(2);
            let table = self.string("a table name in quotes")?;
            self.expect(Token::Close, ")")?;
            return Ok(Source::Table { database: Some(name), table, at });
        }
        let table = self.name("a table name")?;
        Ok(Source::Table { database: Some(name), table, at })
    }

    /// Stands before the name of a let or parameter whose value is the name of a table.
    pub(crate) const INDIRECT: char = '\u{1}';

    fn datatable(&mut self) -> Result<Source, KqlError> {
        self.advance();
        let columns = self.columns()?;
        self.expect(Token::OpenBracket, "[ before the values")?;
        let mut values = Vec::new();
        while !self.eat(Token::CloseBracket) {
            values.push(self.expr()?);
            if !self.eat(Token::Comma) && self.peek() != Token::CloseBracket {
                return Err(self.unexpected(", or ]"));
            }
        }
        Ok(Source::DataTable { columns, values })
    }

    /// `range x from 1 to 10 step 1`
    fn range(&mut self) -> Result<Source, KqlError> {
        self.advance();
        let name = self.name("a column name")?;
        let mut bound = |word: &str| match self.after_word(word)? {
            Some(expr) => Ok(expr),
            None => Err(self.unexpected(word)),
        };
        let bounds = Box::new([bound("from")?, bound("to")?, bound("step")?]);
        Ok(Source::Range { name, bounds })
    }

    /// `union` without its word: options, then the parts.
    pub(super) fn union(&mut self) -> Result<Union, KqlError> {
        let mut union = Union { columns: UnionColumns::Outer, with_source: None, parts: Vec::new() };
        loop {
            self.skip_hints();
            if self.peek() != Token::Name || self.peek_at(1) != Token::Assign {
                break;
            }
            let at = self.at();
            let option = self.advance().to_ascii_lowercase();
            self.advance();
            let value = self.name("a value")?;
            match (option.as_str(), value.to_ascii_lowercase().as_str()) {
                ("kind", "inner") => union.columns = UnionColumns::Inner,
                ("kind", "outer") => union.columns = UnionColumns::Outer,
                ("withsource", _) => union.with_source = Some(value),
                ("isfuzzy", "true" | "false") => {}
                _ => {
                    return Err(KqlError::syntax(
                        at,
                        format!(
                            "union does not take {option}={value}; kind, withsource and isfuzzy are known"
                        ),
                    ));
                }
            }
        }
        loop {
            union.parts.push(self.union_part()?);
            if !self.eat(Token::Comma) {
                return Ok(union);
            }
        }
    }

    fn union_part(&mut self) -> Result<Pipeline, KqlError> {
        let is_pattern = self.peek() == Token::Star
            || (self.peek() == Token::Name && self.peek_at(1) == Token::Star && self.position_follows(1));
        if is_pattern {
            let at = self.at();
            let table = self.name_pattern()?;
            return Ok(Pipeline {
                source: Source::Table { database: None, table, at },
                operators: Vec::new(),
            });
        }
        self.table_operand()
    }

    /// Arguments of a function: values or rows, in parentheses.
    fn arguments(&mut self) -> Result<Vec<Argument>, KqlError> {
        self.expect(Token::Open, "(")?;
        let mut arguments = Vec::new();
        while !self.eat(Token::Close) {
            self.enter()?;
            arguments.push(match self.let_value()? {
                LetValue::Scalar(expr) => Argument::Scalar(expr),
                LetValue::Tabular(pipeline) => Argument::Tabular(pipeline),
                LetValue::Function(_) => return Err(self.unexpected("a value")),
            });
            self.leave();
            if !self.eat(Token::Comma) && self.peek() != Token::Close {
                return Err(self.unexpected(", or )"));
            }
        }
        Ok(arguments)
    }
}
