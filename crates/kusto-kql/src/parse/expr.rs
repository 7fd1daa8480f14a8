//! Expressions: operators by precedence, members, calls, literals.

use super::MAX_DEPTH;
use crate::ast::{Expr, ExprKind, LetValue, Named};
use crate::lexer::Token;
use crate::literal::integer;
use crate::{KqlError, Literal, Parser};
use kusto_types::{ColumnType, Timespan};

impl<'t> Parser<'t> {
    /// `name = expression` items, comma-separated.
    pub(crate) fn named_list(&mut self) -> Result<Vec<Named>, KqlError> {
        let mut list = vec![self.named()?];
        while self.eat(Token::Comma) {
            list.push(self.named()?);
        }
        Ok(list)
    }

    pub(crate) fn named(&mut self) -> Result<Named, KqlError> {
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
        self.enter()?;
        let mut left = self.unary()?;
        while let Some((operator, precedence, tokens)) = self.binary_operator() {
            if precedence < minimum {
                break;
            }
            let at = self.at();
            self.skip(tokens);
            left = match operator.as_str() {
                "in" | "!in" | "in~" | "!in~" | "has_any" | "has_all" => {
                    self.list_operator(at, operator, left)?
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
        self.leave();
        Ok(left)
    }

    /// The list behind `in` and its kin, or the rows.
    fn list_operator(&mut self, at: usize, operator: String, value: Expr) -> Result<Expr, KqlError> {
        self.expect(Token::Open, "( before the list")?;
        let value = Box::new(value);
        let mut list = match self.let_value()? {
            LetValue::Tabular(table) => {
                self.expect(Token::Close, ")")?;
                return Ok(Expr { at, kind: ExprKind::InTable { operator, value, table: Box::new(table) } });
            }
            LetValue::Scalar(first) => vec![first],
            LetValue::Function(_) => return Err(self.unexpected("a value")),
        };
        while self.eat(Token::Comma) {
            list.push(self.expr()?);
        }
        self.expect(Token::Close, ", or )")?;
        Ok(Expr { at, kind: ExprKind::In { operator, value, list } })
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
            "in" | "between" | "has" | "has_cs" | "has_any" | "has_all" | "hasprefix" | "hasprefix_cs"
            | "hassuffix" | "hassuffix_cs" | "contains" | "contains_cs" | "startswith" | "startswith_cs"
            | "endswith" | "endswith_cs" => 3,
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
        if word == "toscalar" {
            let table = Box::new(self.table_operand()?);
            return Ok(Expr { at, kind: ExprKind::ToScalar(table) });
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
    pub(super) fn raw_parenthesised(&mut self) -> Result<&'t str, KqlError> {
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
