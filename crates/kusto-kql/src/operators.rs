//! The operators of a pipeline: what follows each `|`.

use crate::ast::{Named, Nulls, Operator, Order, SortKey};
use crate::lexer::Token;
use crate::{KqlError, Parser};

impl Parser<'_> {
    /// `| operator` as often as it comes.
    pub(crate) fn operators(&mut self) -> Result<Vec<(usize, Operator)>, KqlError> {
        let mut operators = Vec::new();
        while self.eat(Token::Pipe) {
            let at = self.at();
            let (word, count) = self.peek_dashed();
            self.skip(count.max(1));
            let operator = match word.as_str() {
                "where" | "filter" => Operator::Where(self.expr()?),
                "project" => Operator::Project(self.named_list()?),
                "extend" => Operator::Extend(self.named_list()?),
                "project-away" => {
                    let mut names = vec![self.name("a column")?];
                    while self.eat(Token::Comma) {
                        names.push(self.name("a column")?);
                    }
                    Operator::ProjectAway(names, at)
                }
                "count" => Operator::Count,
                "take" | "limit" => Operator::Take(self.expr()?),
                "distinct" => {
                    if self.eat(Token::Star) {
                        Operator::Distinct(Vec::new())
                    } else {
                        Operator::Distinct(self.named_list()?)
                    }
                }
                "order" | "sort" => {
                    if !self.eat_word("by") {
                        return Err(self.unexpected("by"));
                    }
                    Operator::Sort(self.sort_keys()?)
                }
                "top" => {
                    let count = self.expr()?;
                    if !self.eat_word("by") {
                        return Err(self.unexpected("by"));
                    }
                    Operator::Top(count, self.sort_keys()?)
                }
                "summarize" => self.summarize()?,
                "as" => {
                    self.name("a name")?;
                    continue;
                }
                "render" => {
                    while !matches!(self.peek(), Token::Pipe | Token::Semicolon | Token::End) {
                        self.advance();
                    }
                    continue;
                }
                "" => return Err(KqlError::syntax(at, "expected an operator after |")),
                other => {
                    return Err(KqlError::syntax(
                        at,
                        format!(
                            "operator {other} is not known here; where, project, project-away, extend, summarize, sort, order, top, take, limit, distinct, count and render are"
                        ),
                    ));
                }
            };
            operators.push((at, operator));
        }
        Ok(operators)
    }

    fn summarize(&mut self) -> Result<Operator, KqlError> {
        let no_aggregates = self.is_word("by");
        let aggregates = if no_aggregates { Vec::new() } else { self.named_list()? };
        let by: Vec<Named> = if self.eat_word("by") { self.named_list()? } else { Vec::new() };
        Ok(Operator::Summarize { aggregates, by })
    }

    fn sort_keys(&mut self) -> Result<Vec<SortKey>, KqlError> {
        let mut keys = Vec::new();
        loop {
            let expr = self.expr()?;
            let order = if self.eat_word("asc") {
                Order::Ascending
            } else {
                self.eat_word("desc");
                Order::Descending
            };
            let nulls = if self.eat_word("nulls") {
                if self.eat_word("first") {
                    Some(Nulls::First)
                } else if self.eat_word("last") {
                    Some(Nulls::Last)
                } else {
                    return Err(self.unexpected("first or last"));
                }
            } else {
                None
            };
            keys.push(SortKey { expr, order, nulls });
            if !self.eat(Token::Comma) {
                return Ok(keys);
            }
        }
    }
}
