//! Refuses texts that would kill or stall the parser or the planner, before either sees them.
//!
//! It knows tokens only: no grammar, no names, and no list of forbidden words.

use assay_core::{Code, Error, Result};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer, Word};

const MAX_BYTES: usize = 256 << 10;
const MAX_TOKENS: usize = 50_000;
/// Operators one after the other. Planning a chain takes time that grows with the square of its length.
const MAX_CHAIN: usize = 500;
/// Parentheses, brackets and `CASE` inside each other.
const MAX_DEPTH: usize = 100;
const MAX_SET_OPERATIONS: usize = 200;
const MAX_JOINS: usize = 64;
/// Queries in one text: common table expressions stack up without parentheses inside each other.
const MAX_SELECTS: usize = 300;

/// # Errors
/// `QueryTooComplex`; `SqlSyntax` when the text does not even consist of tokens.
pub(crate) fn guard(sql: &str) -> Result<()> {
    if sql.len() > MAX_BYTES {
        return Err(too_complex(&format!(
            "the query has {} bytes, more than {MAX_BYTES}",
            sql.len()
        )));
    }
    let tokens = Tokenizer::new(&GenericDialect {}, sql)
        .tokenize_with_location()
        .map_err(|cause| {
            let (line, column) = (cause.location.line, cause.location.column);
            Error::new(Code::SqlSyntax, cause.message.to_lowercase())
                .hint("check the quotes and comments at this place")
                .at(line, Some(column))
        })?;
    if tokens.len() > MAX_TOKENS {
        return Err(too_complex(&format!(
            "the query has more than {MAX_TOKENS} words and signs"
        )));
    }
    let mut shape = Shape::default();
    for token in &tokens {
        shape.see(&token.token)?;
    }
    Ok(())
}

pub(crate) fn too_complex(message: &str) -> Error {
    Error::new(Code::QueryTooComplex, message)
        .hint("split the query; long lists of values belong into `IN (…)`, many rows into a data set")
}

/// Line and column of the first word of a text.
pub(crate) fn first_word(sql: &str) -> Option<(u64, u64)> {
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location().ok()?;
    let found = tokens.iter().find(|token| matches!(token.token, Token::Word(_)))?;
    Some((found.span.start.line, found.span.start.column))
}

/// Line and column where `word` stands first, quoted or not.
pub(crate) fn find_word(sql: &str, word: &str) -> Option<(u64, u64)> {
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location().ok()?;
    let found = tokens.iter().find(|token| match &token.token {
        Token::Word(found) => found.value.eq_ignore_ascii_case(word),
        _ => false,
    })?;
    Some((found.span.start.line, found.span.start.column))
}

#[derive(Default)]
struct Shape {
    /// Operators since the last separator, per open parenthesis.
    chains: Vec<usize>,
    chain: usize,
    set_operations: usize,
    joins: usize,
    selects: usize,
}

impl Shape {
    fn see(&mut self, token: &Token) -> Result<()> {
        match token {
            Token::Whitespace(_) => Ok(()),
            Token::LParen | Token::LBrace => self.open(),
            // Each index is one more step of the chain it follows, and holds a text of its own.
            Token::LBracket => self.operator().and_then(|()| self.open()),
            Token::RParen | Token::RBracket | Token::RBrace => {
                self.close();
                Ok(())
            }
            Token::Comma | Token::SemiColon => {
                self.chain = 0;
                Ok(())
            }
            Token::Word(word) => self.word(word),
            Token::Number(_, _) | Token::SingleQuotedString(_) | Token::Placeholder(_) | Token::EOF => Ok(()),
            // Every other sign is an operator, or part of one.
            _ => self.operator(),
        }
    }

    fn word(&mut self, word: &Word) -> Result<()> {
        match word.keyword {
            Keyword::CASE => self.open(),
            Keyword::END => {
                self.close();
                Ok(())
            }
            Keyword::UNION | Keyword::INTERSECT | Keyword::EXCEPT | Keyword::MINUS => {
                self.chain = 0;
                self.set_operations += 1;
                bound(self.set_operations, MAX_SET_OPERATIONS, "set operations")
            }
            Keyword::JOIN => {
                self.chain = 0;
                self.joins += 1;
                bound(self.joins, MAX_JOINS, "joins")
            }
            Keyword::SELECT => {
                self.chain = 0;
                self.selects += 1;
                bound(self.selects, MAX_SELECTS, "queries inside it")
            }
            Keyword::FROM
            | Keyword::WHERE
            | Keyword::HAVING
            | Keyword::GROUP
            | Keyword::ORDER
            | Keyword::LIMIT
            | Keyword::ON
            | Keyword::WHEN
            | Keyword::THEN
            | Keyword::ELSE
            | Keyword::WITH => {
                self.chain = 0;
                Ok(())
            }
            Keyword::AND
            | Keyword::OR
            | Keyword::NOT
            | Keyword::XOR
            | Keyword::LIKE
            | Keyword::ILIKE
            | Keyword::IN
            | Keyword::IS
            | Keyword::BETWEEN
            | Keyword::DIV
            | Keyword::COLLATE
            | Keyword::AT => self.operator(),
            _ => Ok(()),
        }
    }

    fn operator(&mut self) -> Result<()> {
        self.chain += 1;
        bound(self.chain, MAX_CHAIN, "operators in one expression")
    }

    fn open(&mut self) -> Result<()> {
        self.chains.push(self.chain);
        self.chain = 0;
        bound(self.chains.len(), MAX_DEPTH, "levels of nesting")
    }

    fn close(&mut self) {
        // Without a partner it is a fault of syntax, which the parser names.
        self.chain = self.chains.pop().unwrap_or(0);
    }
}

fn bound(count: usize, most: usize, what: &str) -> Result<()> {
    if count > most {
        return Err(too_complex(&format!("the query has more than {most} {what}")));
    }
    Ok(())
}
