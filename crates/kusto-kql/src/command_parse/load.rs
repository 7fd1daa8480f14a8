//! `.list blobs`, `.ingest-from-storage-queued`, and `.cancel`.

use crate::command::{
    Batching, BlobListing, Cancelled, Command, Duplicated, PathPart, QueuedLoad, QueuedSource,
};
use crate::lexer::Token;
use crate::{KqlError, Parser};

impl Parser<'_> {
    /// What is behind `.list blobs`.
    pub(super) fn blob_listing(&mut self) -> Result<BlobListing, KqlError> {
        let locators = self.parenthesised("( and a container or prefix", |parser| {
            parser.string("the URL of a container or prefix in quotes")
        })?;
        if locators.is_empty() {
            return Err(self.unexpected("the URL of a container or prefix in the parentheses"));
        }
        let mut listing = BlobListing { locators, suffix: None, max_files: None, path_format: Vec::new() };
        loop {
            let at = self.at();
            if self.eat_word("Suffix") {
                self.expect(Token::Assign, "= and the suffix")?;
                listing.suffix = Some(self.string("the suffix in quotes")?);
            } else if self.eat_word("MaxFiles") {
                self.expect(Token::Assign, "= and a number")?;
                let number = self.advance().parse();
                listing.max_files =
                    Some(number.map_err(|_| KqlError::syntax(at, "MaxFiles is not a number of files"))?);
            } else if self.eat_word("PathFormat") {
                self.expect(Token::Assign, "= and the format in parentheses")?;
                listing.path_format = self.path_format()?;
            } else {
                return Ok(listing);
            }
        }
    }

    /// `("a/" datetime_pattern("yyyy", creationTime) "/b")`
    fn path_format(&mut self) -> Result<Vec<PathPart>, KqlError> {
        self.expect(Token::Open, "( and the parts of the path")?;
        let mut parts = Vec::new();
        while !self.eat(Token::Close) {
            if self.is_string() {
                parts.push(PathPart::Text(self.one_string()?));
                continue;
            }
            self.keyword("datetime_pattern")?;
            self.expect(Token::Open, "( and the pattern")?;
            let pattern = self.string("the pattern in quotes")?;
            self.expect(Token::Comma, ", and creationTime")?;
            let name = self.name("creationTime")?;
            self.expect(Token::Close, ")")?;
            parts.push(PathPart::Time { pattern, name });
        }
        Ok(parts)
    }

    /// What is behind `.ingest-from-storage-queued`.
    pub(super) fn load_queued(&mut self) -> Result<Command, KqlError> {
        self.keyword("into")?;
        self.keyword("table")?;
        let database = if self.is_word("database") && self.peek_at(1) == Token::Open {
            self.skip(2);
            let name = self.string("a database in quotes")?;
            self.expect(Token::Close, ") after the database")?;
            self.expect(Token::Dot, ". and the table")?;
            Some(name)
        } else {
            None
        };
        let mut load = QueuedLoad {
            database,
            table: self.entity("a table")?,
            batching: Batching::ByPolicy,
            compression_factor: None,
            properties: Vec::new(),
            source: QueuedSource::Blobs(Vec::new()),
        };
        loop {
            let at = self.at();
            if self.is_word("with") {
                load.properties.extend(self.properties()?);
            } else if self.eat_word("EnableTracking") {
                // Every operation can be asked after here.
                self.flag()?;
            } else if self.eat_word("SkipBatching") {
                load.batching = if self.flag()? { Batching::Skip } else { Batching::ByPolicy };
            } else if self.eat_word("CompressionFactor") {
                self.expect(Token::Assign, "= and a number")?;
                let factor = self.advance().parse().ok().filter(|factor| *factor > 0.0);
                if factor.is_none() {
                    return Err(KqlError::syntax(at, "CompressionFactor is not a number above zero"));
                }
                load.compression_factor = factor;
            } else {
                break;
            }
        }
        self.expect(Token::InputPipe, "<| and the blobs, or .list blobs")?;
        load.source = if self.eat(Token::Dot) {
            self.keyword("list")?;
            self.keyword("blobs")?;
            QueuedSource::Listing(self.blob_listing()?)
        } else {
            let mut blobs = Vec::new();
            while self.is_string() {
                blobs.push(self.one_string()?);
                self.eat(Token::Comma);
            }
            if blobs.is_empty() {
                return Err(self.unexpected("the URL of a blob in quotes, or .list blobs"));
            }
            QueuedSource::Blobs(blobs)
        };
        Ok(Command::LoadQueued(load))
    }

    /// `=true` or `=false`
    fn flag(&mut self) -> Result<bool, KqlError> {
        self.expect(Token::Assign, "= and true or false")?;
        if self.eat_word("true") {
            Ok(true)
        } else if self.eat_word("false") {
            Ok(false)
        } else {
            Err(self.unexpected("true or false"))
        }
    }

    /// What is behind `.dup-next-ingest`: `into T to h'https://...'`
    pub(super) fn duplicate(&mut self, which: Duplicated) -> Result<Command, KqlError> {
        self.keyword("into")?;
        self.eat_word("table");
        let table = self.entity("a table")?;
        self.keyword("to")?;
        let container = self.string("the URL of a container in quotes")?;
        Ok(Command::DuplicateNext { table, container, which })
    }

    /// What is behind `.cancel`.
    pub(super) fn cancel(&mut self, at: usize) -> Result<Command, KqlError> {
        let what = if self.eat_word("queued") {
            self.keyword("ingestion")?;
            self.keyword("operation")?;
            Cancelled::QueuedIngestion(self.string("the operation id in quotes")?)
        } else if self.eat_word("operation") {
            Cancelled::Operation(self.operation_id()?)
        } else if self.eat_word("query") {
            Cancelled::Query(self.string("the client request id in quotes")?)
        } else {
            return Err(self.unknown_command(at));
        };
        let reason = self
            .properties()?
            .into_iter()
            .find(|(name, _)| name.eq_ignore_ascii_case("reason"))
            .map(|(_, value)| value)
            .unwrap_or_default();
        Ok(Command::Cancel { what, reason })
    }
}
