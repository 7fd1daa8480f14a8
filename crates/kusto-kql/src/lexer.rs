//! Tokens of KQL. A piece of text that is no token becomes `Token::Other`, so that
//! literals such as `datetime(2020-01-01T00:00:00Z)` can be cut out of the source.

use logos::Logos;
use std::ops::Range;

#[derive(Logos, Debug, Clone, Copy, PartialEq, Eq)]
#[logos(skip r"[ \t\r\n\f\u{feff}]+")]
#[logos(skip(r"//[^\n]*", allow_greedy = true))]
pub(crate) enum Token {
    #[regex(r"[\p{L}_$][\p{L}\p{N}_$]*")]
    Name,
    #[regex(r"[0-9]+", priority = 5)]
    #[regex(r"0[xX][0-9a-fA-F]+")]
    Long,
    #[regex(r"[0-9]+\.[0-9]+([eE][+-]?[0-9]+)?")]
    #[regex(r"[0-9]+[eE][+-]?[0-9]+")]
    Real,
    #[regex(r"[0-9]+(\.[0-9]+)?(days|day|d|hours|hour|hrs|hr|h|minutes|minute|min|m|seconds|second|sec|s|milliseconds|millisecond|millis|milli|ms|microseconds|microsecond|micros|micro|ticks|tick)")]
    Timespan,
    #[regex(r#"[hH]?"([^"\\\n]|\\.)*""#)]
    #[regex(r"[hH]?'([^'\\\n]|\\.)*'")]
    Text,
    #[regex(r#"[hH]?@"([^"]|"")*""#)]
    #[regex(r"[hH]?@'([^']|'')*'")]
    Verbatim,
    #[token("```", block)]
    #[token("h```", block)]
    #[token("~~~", block)]
    Block,
    #[token("(")]
    Open,
    #[token(")")]
    Close,
    #[token("[")]
    OpenBracket,
    #[token("]")]
    CloseBracket,
    #[token("{")]
    OpenBrace,
    #[token("}")]
    CloseBrace,
    #[token("<|")]
    InputPipe,
    #[token("|")]
    Pipe,
    #[token(",")]
    Comma,
    #[token(";")]
    Semicolon,
    #[token(":")]
    Colon,
    #[token("..")]
    DotDot,
    #[token(".")]
    Dot,
    #[token("==")]
    Equal,
    #[token("!=")]
    #[token("<>")]
    NotEqual,
    #[token("=~")]
    EqualTilde,
    #[token("!~")]
    NotTilde,
    #[token("<=")]
    LessEqual,
    #[token(">=")]
    GreaterEqual,
    #[token("<")]
    Less,
    #[token(">")]
    Greater,
    #[token("=")]
    Assign,
    #[token("+")]
    Plus,
    #[token("-")]
    Minus,
    #[token("*")]
    Star,
    #[token("/")]
    Slash,
    #[token("%")]
    Percent,
    #[token("!")]
    Bang,
    Other,
    End,
}

/// Takes a block literal up to its closing fence.
fn block(lexer: &mut logos::Lexer<'_, Token>) -> bool {
    let fence = &lexer.slice()[lexer.slice().len() - 3..];
    match lexer.remainder().find(fence) {
        Some(end) => {
            lexer.bump(end + 3);
            true
        }
        None => false,
    }
}

/// The tokens of a text with their byte ranges, ended by `Token::End`.
pub(crate) fn tokens(text: &str) -> Vec<(Token, Range<usize>)> {
    let mut tokens: Vec<_> =
        Token::lexer(text).spanned().map(|(token, span)| (token.unwrap_or(Token::Other), span)).collect();
    tokens.push((Token::End, text.len()..text.len()));
    tokens
}
