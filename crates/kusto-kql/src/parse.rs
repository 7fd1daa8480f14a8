//! Recursive-descent and precedence parser of queries: the cursor over the tokens, and
//! the statements. `parse/source.rs` reads what a pipeline begins with,
//! `parse/operators.rs` its operators, `parse/expr.rs` expressions.

mod expr;
mod operators;
mod source;

use crate::KqlError;
use crate::ast::{Expr, FunctionDef, FunctionParameter, LetValue, Parameter, Pipeline, Query};
use crate::lexer::{Token, tokens};
use crate::literal::string_value;
use kusto_types::ColumnType;
use std::ops::Range;

/// How deep expressions and pipelines may nest, so that no text can overflow the stack.
const MAX_DEPTH: usize = 200;
/// How often a text is read again as rows after it was no value, so that no text can make
/// the parser try for ever.
const MAX_RETRIES: usize = 1000;

/// A cursor over the tokens of a text.
pub struct Parser<'t> {
    pub(crate) text: &'t str,
    tokens: Vec<(Token, Range<usize>)>,
    position: usize,
    depth: usize,
    retries: usize,
}

/// Parses a whole query text.
pub fn parse_query(text: &str) -> Result<Query, KqlError> {
    let mut parser = Parser::new(text);
    let mut query = Query { parameters: Vec::new(), lets: Vec::new(), pipelines: Vec::new() };
    loop {
        while parser.eat(Token::Semicolon) {}
        if parser.peek() == Token::End {
            break;
        }
        if parser.is_word("declare") {
            parser.query_parameters(&mut query.parameters)?;
        } else if parser.is_word("let") {
            query.lets.push(parser.let_statement()?);
        } else if parser.is_word("set") {
            while !matches!(parser.peek(), Token::Semicolon | Token::End) {
                parser.advance();
            }
        } else {
            query.pipelines.push(parser.pipeline()?);
        }
        if !matches!(parser.peek(), Token::Semicolon | Token::End) {
            return Err(parser.unexpected("| or ; or the end of the query"));
        }
    }
    if query.pipelines.is_empty() {
        return Err(KqlError::syntax(text.len(), "the query has no tabular statement"));
    }
    Ok(query)
}

/// Parses a function's parameters and body: `(a:long) { print a }`.
pub fn parse_function(text: &str) -> Result<FunctionDef, KqlError> {
    let mut parser = Parser::new(text);
    let function = parser.function_def()?;
    parser.expect(Token::End, "the end of the function")?;
    Ok(function)
}

impl<'t> Parser<'t> {
    /// Lexes the text.
    pub fn new(text: &'t str) -> Self {
        Self { text, tokens: tokens(text), position: 0, depth: 0, retries: 0 }
    }

    pub(crate) fn peek(&self) -> Token {
        self.tokens[self.position].0
    }

    pub(crate) fn peek_at(&self, ahead: usize) -> Token {
        self.tokens.get(self.position + ahead).map_or(Token::End, |token| token.0)
    }

    /// Whether the token so far ahead follows the one before it without space.
    pub(crate) fn position_follows(&self, ahead: usize) -> bool {
        let index = self.position + ahead;
        self.tokens
            .get(index)
            .zip(self.tokens.get(index - 1))
            .is_some_and(|(token, before)| token.1.start == before.1.end)
    }

    /// Byte offset of the next token.
    pub(crate) fn at(&self) -> usize {
        self.tokens[self.position].1.start
    }

    pub(crate) fn end_of_previous(&self) -> usize {
        if self.position == 0 { 0 } else { self.tokens[self.position - 1].1.end }
    }

    pub(crate) fn slice(&self) -> &'t str {
        &self.text[self.tokens[self.position].1.clone()]
    }

    pub(crate) fn advance(&mut self) -> &'t str {
        let slice = self.slice();
        if self.position + 1 < self.tokens.len() {
            self.position += 1;
        }
        slice
    }

    /// Skips every token that begins before a byte offset.
    pub(crate) fn skip_to(&mut self, offset: usize) {
        while self.at() < offset && self.peek() != Token::End {
            self.advance();
        }
    }

    pub(crate) fn eat(&mut self, token: Token) -> bool {
        let found = self.peek() == token;
        if found {
            self.advance();
        }
        found
    }

    pub(crate) fn expect(&mut self, token: Token, wanted: &str) -> Result<(), KqlError> {
        if self.eat(token) { Ok(()) } else { Err(self.unexpected(wanted)) }
    }

    pub(crate) fn unexpected(&self, wanted: &str) -> KqlError {
        let found = if self.peek() == Token::End {
            "the end of the text".to_owned()
        } else {
            format!("{:?}", self.slice().chars().take(40).collect::<String>())
        };
        KqlError::syntax(self.at(), format!("expected {wanted}, found {found}"))
    }

    /// Whether the next token is this word, in any case.
    pub(crate) fn is_word(&self, word: &str) -> bool {
        self.peek() == Token::Name && self.slice().eq_ignore_ascii_case(word)
    }

    pub(crate) fn eat_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        if found {
            self.advance();
        }
        found
    }

    /// Words joined by hyphens without space: `project-away`, `create-or-alter`.
    pub(crate) fn peek_dashed(&self) -> (String, usize) {
        let mut word = String::new();
        let mut count = 0;
        if self.peek() != Token::Name {
            return (word, 0);
        }
        word.push_str(self.slice());
        count += 1;
        loop {
            let at = self.position + count;
            let adjacent = |index: usize| {
                self.tokens
                    .get(index)
                    .zip(self.tokens.get(index - 1))
                    .is_some_and(|(b, a)| b.1.start == a.1.end)
            };
            let joined = self.tokens.get(at).is_some_and(|t| t.0 == Token::Minus)
                && self.tokens.get(at + 1).is_some_and(|t| t.0 == Token::Name)
                && adjacent(at)
                && adjacent(at + 1);
            if !joined {
                return (word.to_ascii_lowercase(), count);
            }
            word.push('-');
            word.push_str(&self.text[self.tokens[at + 1].1.clone()]);
            count += 2;
        }
    }

    pub(crate) fn skip(&mut self, count: usize) {
        for _ in 0..count {
            self.advance();
        }
    }

    /// `(item, item, ...)`, maybe empty; `wanted` says what the parenthesis is of.
    pub(crate) fn parenthesised<T>(
        &mut self,
        wanted: &str,
        mut item: impl FnMut(&mut Self) -> Result<T, KqlError>,
    ) -> Result<Vec<T>, KqlError> {
        self.expect(Token::Open, wanted)?;
        let mut items = Vec::new();
        while !self.eat(Token::Close) {
            items.push(item(self)?);
            if !self.eat(Token::Comma) && self.peek() != Token::Close {
                return Err(self.unexpected(", or )"));
            }
        }
        Ok(items)
    }

    /// An entity name: bare or `['quoted']` or `["quoted"]`.
    pub(crate) fn name(&mut self, wanted: &str) -> Result<String, KqlError> {
        match self.peek() {
            Token::Name => Ok(self.advance().to_owned()),
            Token::OpenBracket if matches!(self.peek_at(1), Token::Text | Token::Verbatim) => {
                self.advance();
                let name = string_value(self.advance());
                self.expect(Token::CloseBracket, "]")?;
                Ok(name)
            }
            _ => Err(self.unexpected(wanted)),
        }
    }

    /// One or more adjacent string literals, joined.
    pub(crate) fn string(&mut self, wanted: &str) -> Result<String, KqlError> {
        if !self.is_string() {
            return Err(self.unexpected(wanted));
        }
        let mut value = String::new();
        while self.is_string() {
            value.push_str(&string_value(self.advance()));
        }
        Ok(value)
    }

    pub(crate) fn is_string(&self) -> bool {
        matches!(self.peek(), Token::Text | Token::Verbatim | Token::Block)
    }

    /// `name:type, ...` within parentheses.
    pub(crate) fn columns(&mut self) -> Result<Vec<(String, ColumnType)>, KqlError> {
        self.parenthesised("( before the columns", |parser| {
            let name =
                if parser.is_string() { parser.string("a name")? } else { parser.name("a column name")? };
            parser.expect(Token::Colon, ": between column and type")?;
            Ok((name, parser.column_type()?))
        })
    }

    pub(crate) fn column_type(&mut self) -> Result<ColumnType, KqlError> {
        let at = self.at();
        let name = self.name("a column type")?;
        ColumnType::parse(&name).map_err(|error| KqlError::semantic(at, error.to_string()))
    }

    fn query_parameters(&mut self, parameters: &mut Vec<Parameter>) -> Result<(), KqlError> {
        self.advance();
        if !self.eat_word("query_parameters") {
            return Err(self.unexpected("query_parameters after declare"));
        }
        self.expect(Token::Open, "(")?;
        while !self.eat(Token::Close) {
            let at = self.at();
            let name = self.name("a parameter name")?;
            self.expect(Token::Colon, ": between parameter and type")?;
            let column_type = self.column_type()?;
            let default = if self.eat(Token::Assign) { Some(self.expr()?) } else { None };
            parameters.push(Parameter { name, column_type, default, at });
            if !self.eat(Token::Comma) && self.peek() != Token::Close {
                return Err(self.unexpected(", or )"));
            }
        }
        Ok(())
    }

    /// `let name = value`
    fn let_statement(&mut self) -> Result<(String, LetValue), KqlError> {
        self.advance();
        let name = self.name("a name after let")?;
        self.expect(Token::Assign, "= after the let name")?;
        let value =
            if self.at_function() { LetValue::Function(self.function_def()?) } else { self.let_value()? };
        Ok((name, value))
    }

    /// Whether parameters and a body in braces come next.
    fn at_function(&self) -> bool {
        let open = usize::from(self.is_word("view"));
        self.peek_at(open) == Token::Open
            && ((self.peek_at(open + 1) == Token::Close && self.peek_at(open + 2) == Token::OpenBrace)
                || (self.peek_at(open + 1) == Token::Name && self.peek_at(open + 2) == Token::Colon))
    }

    /// `(a:long, b:string = "x", T:(*)) { body }`
    pub(crate) fn function_def(&mut self) -> Result<FunctionDef, KqlError> {
        self.eat_word("view");
        let parameters = self.function_parameters()?;
        self.expect(Token::OpenBrace, "{ before the body of the function")?;
        let mut lets = Vec::new();
        while self.is_word("let") {
            self.enter()?;
            lets.push(self.let_statement()?);
            self.leave();
            self.expect(Token::Semicolon, "; after let")?;
        }
        let body = Box::new(self.let_value()?);
        self.eat(Token::Semicolon);
        self.expect(Token::CloseBrace, "} after the body of the function")?;
        Ok(FunctionDef { parameters, lets, body })
    }

    /// The parameters of a function, in parentheses.
    fn function_parameters(&mut self) -> Result<Vec<FunctionParameter>, KqlError> {
        self.expect(Token::Open, "( before the parameters")?;
        let mut parameters = Vec::new();
        while !self.eat(Token::Close) {
            let name = self.name("a parameter name")?;
            self.expect(Token::Colon, ": between parameter and type")?;
            let column_type = if self.peek() == Token::Open {
                self.raw_parenthesised()?;
                None
            } else {
                Some(self.column_type()?)
            };
            let default = if self.eat(Token::Assign) { Some(self.expr()?) } else { None };
            parameters.push(FunctionParameter { name, column_type, default });
            if !self.eat(Token::Comma) && self.peek() != Token::Close {
                return Err(self.unexpected(", or )"));
            }
        }
        Ok(parameters)
    }

    /// A value or rows, whichever the text is.
    pub(crate) fn let_value(&mut self) -> Result<LetValue, KqlError> {
        if self.at_tabular_word() {
            return Ok(LetValue::Tabular(self.pipeline()?));
        }
        let (position, depth) = (self.position, self.depth);
        let scalar = self.expr();
        if scalar.is_ok() && self.peek() != Token::Pipe {
            return scalar.map(LetValue::Scalar);
        }
        self.retries += 1;
        if self.retries > MAX_RETRIES {
            return Err(KqlError::syntax(self.at(), "too many nested lists and calls"));
        }
        (self.position, self.depth) = (position, depth);
        match (self.pipeline(), scalar) {
            (Ok(pipeline), _) => Ok(LetValue::Tabular(pipeline)),
            (Err(tabular), Err(scalar)) if scalar.at > tabular.at => Err(scalar),
            (Err(tabular), _) => Err(tabular),
        }
    }

    /// Whether a word comes next that only rows begin with.
    fn at_tabular_word(&self) -> bool {
        let next = self.peek_at(1);
        (self.is_word("print") && next != Token::Open && next != Token::Close)
            || (self.is_word("range") && next == Token::Name)
            || (self.is_word("union") && (next == Token::Open || next == Token::Name))
            || (["datatable", "materialize", "table", "database"].iter().any(|word| self.is_word(word))
                && next == Token::Open)
    }

    /// Goes one level deeper.
    pub(crate) fn enter(&mut self) -> Result<(), KqlError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(KqlError::syntax(
                self.at(),
                format!("the expression nests deeper than {MAX_DEPTH} levels"),
            ));
        }
        Ok(())
    }

    /// Comes back from a level.
    pub(crate) fn leave(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    /// A source and the operators behind it.
    pub(crate) fn pipeline(&mut self) -> Result<Pipeline, KqlError> {
        self.enter()?;
        let source = self.source()?;
        let operators = self.operators()?;
        self.leave();
        Ok(Pipeline { source, operators })
    }

    /// A pipeline in parentheses, or the name of a table.
    pub(crate) fn table_operand(&mut self) -> Result<Pipeline, KqlError> {
        if self.eat(Token::Open) {
            let pipeline = self.pipeline()?;
            self.expect(Token::Close, ")")?;
            return Ok(pipeline);
        }
        self.enter()?;
        let source = self.source()?;
        self.leave();
        Ok(Pipeline { source, operators: Vec::new() })
    }

    /// The literal number or expression of rows behind a word, as `limit 5`.
    pub(crate) fn after_word(&mut self, word: &str) -> Result<Option<Expr>, KqlError> {
        if self.eat_word(word) { Ok(Some(self.expr()?)) } else { Ok(None) }
    }

    /// A column name in which `*` stands for any characters.
    pub(crate) fn name_pattern(&mut self) -> Result<String, KqlError> {
        if self.peek() != Token::Star {
            let name = self.name("a column")?;
            if self.peek() != Token::Star || self.end_of_previous() != self.at() {
                return Ok(name);
            }
            let rest = self.pattern_rest();
            return Ok(name + &rest);
        }
        Ok(self.pattern_rest())
    }

    /// Names and stars without space between them.
    fn pattern_rest(&mut self) -> String {
        let mut pattern = self.advance().to_owned();
        while matches!(self.peek(), Token::Star | Token::Name) && self.end_of_previous() == self.at() {
            pattern.push_str(self.advance());
        }
        pattern
    }

    /// Skips `hint.strategy = shuffle` and its kin: they change no row.
    pub(crate) fn skip_hints(&mut self) {
        while self.peek() == Token::Name
            && self.slice().eq_ignore_ascii_case("hint")
            && self.peek_at(1) == Token::Dot
        {
            // hint . name = value
            self.skip(5);
        }
    }
}
