//! The operators of a pipeline: what follows each `|`.

use crate::ast::{
    Expanded, JoinKind, MakeSeries, Named, Nulls, Operator, Order, Parse, ParseKind, ParsePiece, Reorder,
    RightKeys, SortKey, Unmatched, Visualization,
};
use crate::lexer::Token;
use crate::{KqlError, Parser};
use kusto_types::ColumnType;

/// What an error names when an operator is not one of these.
const KNOWN: &str = "where, project, project-away, project-keep, project-rename, project-reorder, extend, \
                     summarize, join, lookup, union, mv-expand, parse, make-series, sort, top, take, distinct, count, \
                     getschema, serialize, as and render";

impl Parser<'_> {
    /// `| operator` as often as it comes.
    pub(crate) fn operators(&mut self) -> Result<Vec<(usize, Operator)>, KqlError> {
        let mut operators = Vec::new();
        while self.eat(Token::Pipe) {
            let at = self.at();
            if let Some(operator) = self.operator()? {
                operators.push((at, operator));
            }
        }
        Ok(operators)
    }

    fn operator(&mut self) -> Result<Option<Operator>, KqlError> {
        let at = self.at();
        let (word, count) = self.peek_dashed();
        self.skip(count.max(1));
        Ok(Some(match word.as_str() {
            "where" | "filter" => Operator::Where(self.expr()?),
            "project" => Operator::Project(self.named_list()?),
            "extend" => Operator::Extend(self.named_list()?),
            "project-away" => Operator::ProjectAway(self.patterns()?),
            "project-keep" => Operator::ProjectKeep(self.patterns()?),
            "project-rename" => Operator::ProjectRename(self.renames()?),
            "project-reorder" => Operator::ProjectReorder(self.reorders()?),
            "count" => Operator::Count,
            "take" | "limit" => Operator::Take(self.expr()?),
            "distinct" => {
                self.skip_hints();
                if self.eat(Token::Star) {
                    Operator::Distinct(Vec::new())
                } else {
                    Operator::Distinct(self.named_list()?)
                }
            }
            "order" | "sort" => {
                self.skip_hints();
                self.expect_word("by")?;
                Operator::Sort(self.sort_keys()?)
            }
            "top" => {
                let count = self.expr()?;
                self.expect_word("by")?;
                Operator::Top(count, self.sort_keys()?)
            }
            "summarize" => self.summarize()?,
            "join" => self.join(JoinKind::InnerUnique, RightKeys::Shown)?,
            "lookup" => self.join(JoinKind::LeftOuter, RightKeys::Hidden)?,
            "union" => Operator::Union(self.union()?),
            "mv-expand" | "mvexpand" => self.mv_expand()?,
            "parse" => self.parse(Unmatched::Kept)?,
            "parse-where" => self.parse(Unmatched::Dropped)?,
            "make-series" => self.make_series()?,
            "getschema" => Operator::GetSchema,
            "serialize" => {
                let ends = matches!(self.peek(), Token::Pipe | Token::Semicolon | Token::End | Token::Close);
                if ends {
                    return Ok(None);
                }
                Operator::Extend(self.named_list()?)
            }
            "as" => {
                self.skip_hints();
                Operator::As(self.name("a name")?)
            }
            "render" => Operator::Render(self.visualization()?),
            "" => return Err(KqlError::syntax(at, "expected an operator after |")),
            other => {
                return Err(KqlError::syntax(at, format!("operator {other} is not known here; {KNOWN} are")));
            }
        }))
    }

    fn expect_word(&mut self, word: &str) -> Result<(), KqlError> {
        if self.eat_word(word) { Ok(()) } else { Err(self.unexpected(word)) }
    }

    fn patterns(&mut self) -> Result<Vec<String>, KqlError> {
        let mut patterns = vec![self.name_pattern()?];
        while self.eat(Token::Comma) {
            patterns.push(self.name_pattern()?);
        }
        Ok(patterns)
    }

    fn renames(&mut self) -> Result<Vec<(String, String)>, KqlError> {
        let mut renames = Vec::new();
        loop {
            let new = self.name("a new column name")?;
            self.expect(Token::Assign, "= between new and old name")?;
            renames.push((new, self.name("a column")?));
            if !self.eat(Token::Comma) {
                return Ok(renames);
            }
        }
    }

    fn reorders(&mut self) -> Result<Vec<Reorder>, KqlError> {
        let mut reorders = Vec::new();
        loop {
            let pattern = self.name_pattern()?;
            let order = if self.eat_word("asc") {
                Some(Order::Ascending)
            } else if self.eat_word("desc") {
                Some(Order::Descending)
            } else {
                None
            };
            reorders.push(Reorder { pattern, order });
            if !self.eat(Token::Comma) {
                return Ok(reorders);
            }
        }
    }

    fn summarize(&mut self) -> Result<Operator, KqlError> {
        self.skip_hints();
        let no_aggregates = self.is_word("by");
        let aggregates = if no_aggregates { Vec::new() } else { self.named_list()? };
        let by: Vec<Named> = if self.eat_word("by") { self.named_list()? } else { Vec::new() };
        Ok(Operator::Summarize { aggregates, by })
    }

    fn join(&mut self, default: JoinKind, right_keys: RightKeys) -> Result<Operator, KqlError> {
        let mut kind = default;
        self.skip_hints();
        if self.is_word("kind") && self.peek_at(1) == Token::Assign {
            self.skip(2);
            let at = self.at();
            let name = self.name("a kind of join")?;
            kind = join_kind(&name)
                .filter(|kind| {
                    right_keys == RightKeys::Shown || matches!(kind, JoinKind::LeftOuter | JoinKind::Inner)
                })
                .ok_or_else(|| KqlError::syntax(at, format!("{name} is not a kind of this operator")))?;
        }
        self.skip_hints();
        let right = Box::new(self.table_operand()?);
        self.expect_word("on")?;
        let mut on = vec![self.expr()?];
        while self.eat(Token::Comma) {
            on.push(self.expr()?);
        }
        Ok(Operator::Join { kind, right_keys, right, on })
    }

    fn mv_expand(&mut self) -> Result<Operator, KqlError> {
        let mut with_item_index = None;
        while self.peek() == Token::Name && self.peek_at(1) == Token::Assign {
            match self.slice().to_ascii_lowercase().as_str() {
                "with_itemindex" => {
                    self.skip(2);
                    with_item_index = Some(self.name("a column name")?);
                }
                "kind" | "bagexpansion" => {
                    self.skip(2);
                    let at = self.at();
                    if !self.name("bag")?.eq_ignore_ascii_case("bag") {
                        return Err(KqlError::syntax(
                            at,
                            "bags expand to bags here; kind=array is not known",
                        ));
                    }
                }
                _ => break,
            }
        }
        let mut items = Vec::new();
        loop {
            let item = self.named()?;
            let to = if self.eat_word("to") {
                self.expect_word("typeof")?;
                self.expect(Token::Open, "( before the type")?;
                let to = self.column_type()?;
                self.expect(Token::Close, ")")?;
                Some(to)
            } else {
                None
            };
            items.push(Expanded { item, to });
            if !self.eat(Token::Comma) {
                break;
            }
        }
        let limit = self.after_word("limit")?;
        Ok(Operator::MvExpand { items, with_item_index, limit })
    }

    /// `parse kind=simple text with * "a=" a:long ", b=" b *`
    fn parse(&mut self, unmatched: Unmatched) -> Result<Operator, KqlError> {
        let mut kind = ParseKind::Simple;
        if self.is_word("kind") && self.peek_at(1) == Token::Assign {
            self.skip(2);
            let at = self.at();
            kind = match self.name("simple, relaxed or regex")?.to_ascii_lowercase().as_str() {
                "simple" => ParseKind::Simple,
                "relaxed" => ParseKind::Relaxed,
                "regex" => ParseKind::Regex,
                other => return Err(KqlError::syntax(at, format!("{other} is not a kind of parse"))),
            };
        }
        let value = self.expr()?;
        self.expect_word("with")?;
        let mut pieces = Vec::new();
        loop {
            pieces.push(match self.peek() {
                Token::Star => {
                    self.advance();
                    ParsePiece::Any
                }
                Token::Name | Token::OpenBracket => {
                    let name = self.name("a column")?;
                    let column_type =
                        if self.eat(Token::Colon) { self.column_type()? } else { ColumnType::String };
                    ParsePiece::Column(name, column_type)
                }
                _ if self.is_string() => ParsePiece::Text(self.string("a text")?),
                _ if pieces.is_empty() => return Err(self.unexpected("*, a text or a column")),
                _ => return Ok(Operator::Parse(Parse { kind, unmatched, value, pieces })),
            });
        }
    }

    fn make_series(&mut self) -> Result<Operator, KqlError> {
        self.skip_hints();
        let mut aggregates = Vec::new();
        loop {
            let item = self.named()?;
            let default = if self.eat_word("default") {
                self.expect(Token::Assign, "= after default")?;
                Some(self.expr()?)
            } else {
                None
            };
            aggregates.push((item, default));
            if !self.eat(Token::Comma) {
                break;
            }
        }
        self.expect_word("on")?;
        let axis = self.named()?;
        let from = self.after_word("from")?;
        let to = self.after_word("to")?;
        let bounds = match (from, to) {
            (Some(from), Some(to)) => Some((from, to)),
            (None, None) => None,
            _ => return Err(self.unexpected("both from and to, or neither")),
        };
        let step = match self.after_word("step")? {
            Some(step) => step,
            None => return Err(self.unexpected("step")),
        };
        let by = if self.eat_word("by") { self.named_list()? } else { Vec::new() };
        Ok(Operator::MakeSeries(Box::new(MakeSeries { aggregates, axis, bounds, step, by })))
    }

    /// `render timechart with (title="x", ymin=0)`
    fn visualization(&mut self) -> Result<Visualization, KqlError> {
        let kind = self.name("a kind of chart")?;
        let in_parentheses = self.eat_word("with") && self.eat(Token::Open);
        let mut properties = Vec::new();
        while self.peek() == Token::Name && self.peek_at(1) == Token::Assign {
            let name = self.advance().to_owned();
            self.advance();
            let mut value = String::new();
            loop {
                if self.is_string() {
                    value.push_str(&self.string("a value")?);
                } else {
                    value.push_str(self.advance());
                }
                // A list of column names: a comma that no `name =` follows.
                let next_is_property = self.peek_at(1) == Token::Name && self.peek_at(2) == Token::Assign;
                if self.peek() != Token::Comma || next_is_property || self.peek_at(1) == Token::End {
                    break;
                }
                self.advance();
                value.push(',');
            }
            properties.push((name, value));
            self.eat(Token::Comma);
        }
        if in_parentheses {
            self.expect(Token::Close, ")")?;
        }
        Ok(Visualization { kind, properties })
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

fn join_kind(name: &str) -> Option<JoinKind> {
    Some(match name.to_ascii_lowercase().as_str() {
        "innerunique" => JoinKind::InnerUnique,
        "inner" => JoinKind::Inner,
        "leftouter" => JoinKind::LeftOuter,
        "rightouter" => JoinKind::RightOuter,
        "fullouter" => JoinKind::FullOuter,
        "leftsemi" => JoinKind::LeftSemi,
        "leftanti" | "anti" | "leftantisemi" => JoinKind::LeftAnti,
        "rightsemi" => JoinKind::RightSemi,
        "rightanti" | "rightantisemi" => JoinKind::RightAnti,
        _ => return None,
    })
}
