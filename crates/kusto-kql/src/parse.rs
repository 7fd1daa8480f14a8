//! Recursive-descent and precedence parser of queries. Operators of the language
//! become calls by their own name; `operators.rs` reads the pipeline's operators.

use crate::ast::{Expr, ExprKind, Named, Parameter, Pipeline, Query, Source};
use crate::lexer::{Token, tokens};
use crate::literal::{integer, string_value};
use crate::{KqlError, Literal};
use kusto_types::{ColumnType, Timespan};
use std::ops::Range;

/// How deep expressions may nest, so that no text can overflow the stack.
const MAX_DEPTH: usize = 200;

/// A cursor over the tokens of a text.
pub struct Parser<'t> {
    pub(crate) text: &'t str,
    tokens: Vec<(Token, Range<usize>)>,
    position: usize,
    depth: usize,
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
            parser.advance();
            let name = parser.name("a name after let")?;
            parser.expect(Token::Assign, "= after the let name")?;
            query.lets.push((name, parser.expr()?));
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

impl<'t> Parser<'t> {
    /// Lexes the text.
    pub fn new(text: &'t str) -> Self {
        Self { text, tokens: tokens(text), position: 0, depth: 0 }
    }

    pub(crate) fn peek(&self) -> Token {
        self.tokens[self.position].0
    }

    pub(crate) fn peek_at(&self, ahead: usize) -> Token {
        self.tokens.get(self.position + ahead).map_or(Token::End, |token| token.0)
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
        self.expect(Token::Open, "( before the columns")?;
        let mut columns = Vec::new();
        while !self.eat(Token::Close) {
            let name = if self.is_string() { self.string("a name")? } else { self.name("a column name")? };
            self.expect(Token::Colon, ": between column and type")?;
            columns.push((name, self.column_type()?));
            if !self.eat(Token::Comma) && self.peek() != Token::Close {
                return Err(self.unexpected(", or )"));
            }
        }
        Ok(columns)
    }

    fn column_type(&mut self) -> Result<ColumnType, KqlError> {
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

    /// A source and the operators behind it.
    pub(crate) fn pipeline(&mut self) -> Result<Pipeline, KqlError> {
        let source = self.source()?;
        let operators = self.operators()?;
        Ok(Pipeline { source, operators })
    }

    fn source(&mut self) -> Result<Source, KqlError> {
        let at = self.at();
        let is_call = self.peek() == Token::Name && self.peek_at(1) == Token::Open;
        if self.is_word("print") {
            self.advance();
            return Ok(Source::Print(self.named_list()?));
        }
        if self.is_word("datatable") && is_call {
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
            return Ok(Source::DataTable { columns, values });
        }
        if is_call && (self.is_word("table") || self.is_word("database")) {
            let is_database = self.is_word("database");
            self.advance();
            self.advance();
            let name = self.string("a name in quotes")?;
            self.expect(Token::Close, ")")?;
            if !is_database {
                return Ok(Source::Table { database: None, table: name, at });
            }
            self.expect(Token::Dot, ". and a table name")?;
            let table = self.name("a table name")?;
            return Ok(Source::Table { database: Some(name), table, at });
        }
        if is_call {
            return Err(KqlError::syntax(at, format!("{} is not a table, print or datatable", self.slice())));
        }
        if self.eat(Token::Open) {
            let inner = self.source()?;
            self.expect(Token::Close, ")")?;
            return Ok(inner);
        }
        let table = self.name("a table, print or datatable")?;
        Ok(Source::Table { database: None, table, at })
    }

    /// `name = expression` items, comma-separated.
    pub(crate) fn named_list(&mut self) -> Result<Vec<Named>, KqlError> {
        let mut list = vec![self.named()?];
        while self.eat(Token::Comma) {
            list.push(self.named()?);
        }
        Ok(list)
    }

    fn named(&mut self) -> Result<Named, KqlError> {
        let is_named = match self.peek() {
            Token::Name => self.peek_at(1) == Token::Assign,
            Token::OpenBracket => {
                self.peek_at(1) == Token::Text
                    && self.peek_at(2) == Token::CloseBracket
                    && self.peek_at(3) == Token::Assign
            }
            _ => false,
        };
        let name = if is_named {
            let name = self.name("a name")?;
            self.expect(Token::Assign, "=")?;
            Some(name)
        } else {
            None
        };
        Ok(Named { name, expr: self.expr()? })
    }

    /// An expression.
    pub(crate) fn expr(&mut self) -> Result<Expr, KqlError> {
        self.binary(0)
    }

    fn binary(&mut self, minimum: u8) -> Result<Expr, KqlError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(KqlError::syntax(
                self.at(),
                format!("the expression nests deeper than {MAX_DEPTH} levels"),
            ));
        }
        let mut left = self.unary()?;
        while let Some((operator, precedence, tokens)) = self.binary_operator() {
            if precedence < minimum {
                break;
            }
            let at = self.at();
            self.skip(tokens);
            left = match operator.as_str() {
                "in" | "!in" | "in~" | "!in~" => {
                    self.expect(Token::Open, "( before the list")?;
                    let mut list = Vec::new();
                    while !self.eat(Token::Close) {
                        list.push(self.expr()?);
                        if !self.eat(Token::Comma) && self.peek() != Token::Close {
                            return Err(self.unexpected(", or )"));
                        }
                    }
                    Expr { at, kind: ExprKind::In { operator, value: Box::new(left), list } }
                }
                "between" | "!between" => {
                    self.expect(Token::Open, "( before the range")?;
                    let low = self.expr()?;
                    self.expect(Token::DotDot, ".. between the ends of the range")?;
                    let high = self.expr()?;
                    self.expect(Token::Close, ")")?;
                    Expr { at, kind: ExprKind::Call(operator, vec![left, low, high]) }
                }
                _ => {
                    let right = self.binary(precedence + 1)?;
                    Expr { at, kind: ExprKind::Call(operator, vec![left, right]) }
                }
            };
        }
        self.depth -= 1;
        Ok(left)
    }

    /// The binary operator that comes next: its name, precedence and token count.
    fn binary_operator(&self) -> Option<(String, u8, usize)> {
        let simple = |name: &str, precedence| Some((name.to_owned(), precedence, 1));
        match self.peek() {
            Token::Equal => simple("==", 3),
            Token::NotEqual => simple("!=", 3),
            Token::EqualTilde => simple("=~", 3),
            Token::NotTilde => simple("!~", 3),
            Token::Less => simple("<", 4),
            Token::LessEqual => simple("<=", 4),
            Token::Greater => simple(">", 4),
            Token::GreaterEqual => simple(">=", 4),
            Token::Plus => simple("+", 5),
            Token::Minus => simple("-", 5),
            Token::Star => simple("*", 6),
            Token::Slash => simple("/", 6),
            Token::Percent => simple("%", 6),
            Token::Name => self.word_operator(self.slice(), 0),
            Token::Bang if self.peek_at(1) == Token::Name => {
                let word = &self.text[self.tokens[self.position + 1].1.clone()];
                self.word_operator(word, 1)
                    .map(|(name, precedence, count)| (format!("!{name}"), precedence, count))
            }
            _ => None,
        }
    }

    fn word_operator(&self, word: &str, offset: usize) -> Option<(String, u8, usize)> {
        let word = word.to_ascii_lowercase();
        let precedence = match word.as_str() {
            "or" => 1,
            "and" => 2,
            "in" | "between" | "has" | "has_cs" | "hasprefix" | "hassuffix" | "contains" | "contains_cs"
            | "startswith" | "startswith_cs" | "endswith" | "endswith_cs" => 3,
            "matches" => {
                let next = self.tokens.get(self.position + offset + 1)?;
                let is_regex = self.text[next.1.clone()].eq_ignore_ascii_case("regex");
                return is_regex.then(|| ("matches regex".to_owned(), 3, offset + 2));
            }
            _ => return None,
        };
        let tilde = self.tokens.get(self.position + offset + 1);
        if word == "in" && tilde.is_some_and(|next| &self.text[next.1.clone()] == "~") {
            return Some(("in~".to_owned(), precedence, offset + 2));
        }
        Some((word, precedence, offset + 1))
    }

    fn unary(&mut self) -> Result<Expr, KqlError> {
        let at = self.at();
        match self.peek() {
            Token::Minus => {
                self.advance();
                // A minus in front of a number belongs to the number, so that the
                // smallest long can be written.
                if self.peek() == Token::Long && self.end_of_previous() == self.at() {
                    let digits = format!("-{}", self.slice());
                    if let Some(value) = integer(&digits) {
                        self.advance();
                        return Ok(Expr { at, kind: ExprKind::Literal(Literal::Long(Some(value))) });
                    }
                }
                self.depth += 1;
                if self.depth > MAX_DEPTH {
                    return Err(KqlError::syntax(at, "too many signs in a row"));
                }
                let operand = self.unary()?;
                self.depth -= 1;
                Ok(Expr { at, kind: ExprKind::Call("negate".to_owned(), vec![operand]) })
            }
            Token::Plus => {
                self.advance();
                self.depth += 1;
                if self.depth > MAX_DEPTH {
                    return Err(KqlError::syntax(at, "too many signs in a row"));
                }
                let operand = self.unary();
                self.depth -= 1;
                operand
            }
            _ => self.postfix(),
        }
    }

    fn postfix(&mut self) -> Result<Expr, KqlError> {
        let mut value = self.primary()?;
        loop {
            let at = self.at();
            if self.peek() == Token::Dot && self.peek_at(1) == Token::Name {
                self.advance();
                let name = self.advance().to_owned();
                let key = Expr { at, kind: ExprKind::Literal(Literal::String(name)) };
                value = Expr { at, kind: ExprKind::Member(Box::new(value), Box::new(key)) };
            } else if self.peek() == Token::OpenBracket {
                self.advance();
                let key = self.expr()?;
                self.expect(Token::CloseBracket, "]")?;
                value = Expr { at, kind: ExprKind::Member(Box::new(value), Box::new(key)) };
            } else {
                return Ok(value);
            }
        }
    }

    fn primary(&mut self) -> Result<Expr, KqlError> {
        let at = self.at();
        let literal = |literal| Ok(Expr { at, kind: ExprKind::Literal(literal) });
        match self.peek() {
            Token::Long => {
                let text = self.advance();
                let value = integer(text)
                    .ok_or_else(|| KqlError::syntax(at, format!("{text} does not fit a long")))?;
                literal(Literal::Long(Some(value)))
            }
            Token::Real => {
                let text = self.advance();
                literal(Literal::Real(Some(text.parse().map_err(|_| KqlError::syntax(at, "not a number"))?)))
            }
            Token::Timespan => {
                let text = self.advance();
                let value = Timespan::parse(text)
                    .ok_or_else(|| KqlError::syntax(at, format!("{text} is too long")))?;
                literal(Literal::Timespan(Some(value.0)))
            }
            Token::Text | Token::Verbatim | Token::Block => {
                let value = self.string("a string")?;
                literal(Literal::String(value))
            }
            Token::Star => {
                self.advance();
                Ok(Expr { at, kind: ExprKind::Star })
            }
            Token::Open => {
                self.advance();
                let inner = self.expr()?;
                self.expect(Token::Close, ")")?;
                Ok(inner)
            }
            Token::OpenBracket => {
                let name = self.name("a name or an expression")?;
                Ok(Expr { at, kind: ExprKind::Name(name) })
            }
            Token::Name => self.word(at),
            _ => Err(self.unexpected("an expression")),
        }
    }

    fn word(&mut self, at: usize) -> Result<Expr, KqlError> {
        let word = self.advance();
        let literal = |literal| Ok(Expr { at, kind: ExprKind::Literal(literal) });
        if self.peek() != Token::Open {
            return match word {
                "true" | "True" | "TRUE" => literal(Literal::Bool(Some(true))),
                "false" | "False" | "FALSE" => literal(Literal::Bool(Some(false))),
                _ => Ok(Expr { at, kind: ExprKind::Name(word.to_owned()) }),
            };
        }
        let typed = match word {
            "datetime" | "date" => Some(ColumnType::DateTime),
            "timespan" | "time" => Some(ColumnType::Timespan),
            "guid" => Some(ColumnType::Guid),
            "decimal" => Some(ColumnType::Decimal),
            "dynamic" => Some(ColumnType::Dynamic),
            "int" => Some(ColumnType::Int),
            "long" => Some(ColumnType::Long),
            "real" | "double" => Some(ColumnType::Real),
            "bool" | "boolean" => Some(ColumnType::Bool),
            _ => None,
        };
        if let Some(column_type) = typed {
            let inner = self.raw_parenthesised()?;
            return Literal::typed(column_type, inner)
                .map(|value| Expr { at, kind: ExprKind::Literal(value) })
                .ok_or_else(|| KqlError::syntax(at, format!("{inner:?} is not a {column_type} literal")));
        }
        self.advance();
        let mut arguments = Vec::new();
        while !self.eat(Token::Close) {
            arguments.push(self.named()?.expr);
            if !self.eat(Token::Comma) && self.peek() != Token::Close {
                return Err(self.unexpected(", or )"));
            }
        }
        Ok(Expr { at, kind: ExprKind::Call(word.to_owned(), arguments) })
    }

    /// The source text between the next ( and its ).
    fn raw_parenthesised(&mut self) -> Result<&'t str, KqlError> {
        let start = self.at() + 1;
        let mut depth = 0usize;
        loop {
            match self.peek() {
                Token::Open => depth += 1,
                Token::Close => {
                    depth -= 1;
                    if depth == 0 {
                        let inner = &self.text[start..self.at()];
                        self.advance();
                        return Ok(inner);
                    }
                }
                Token::End => return Err(self.unexpected(")")),
                _ => {}
            }
            self.advance();
        }
    }
}
