//! SQL texts of users: guarded before parsing, parsed, names and parameters resolved, traps refused.
//!
//! What comes out is a syntax tree that the engine plans as it stands; nothing is run here.

mod guard;
mod ignored;
mod labels;
mod names;
mod params;
mod traps;

use assay_core::{Code, Error, Input, Result};
use datafusion::sql::parser::{DFParserBuilder, Statement as ParsedStatement};
use datafusion::sql::sqlparser::ast::{SetExpr, Statement};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;

use crate::failure;
use crate::session::SqlParams;

pub(crate) use guard::{find_word, guard, too_complex};

/// The schema of the tables of the history. All other tables are called by their names alone.
pub(crate) const HISTORY: &str = "assay";

/// The part of a table's name that follows the schema of the history.
pub(crate) fn history_name(name: &str) -> Option<&str> {
    name.strip_prefix(HISTORY)?.strip_prefix('.')
}

/// Nested levels that the parser follows.
const PARSER_DEPTH: usize = 200;

pub(crate) struct Prepared {
    pub(crate) statement: ParsedStatement,
    /// Names for output columns as the user wrote them; `None` where the engine's name is right.
    pub(crate) labels: Vec<Option<String>>,
}

/// Parses `sql`, which must be one query, and resolves its names and placeholders.
pub(crate) fn prepare(sql: &str, params: &SqlParams, inputs: &[Input], known: &[String]) -> Result<Prepared> {
    let mut statement = parse(sql)?;
    let Statement::Query(query) = &statement else {
        return Err(at_begin(refuse(&statement), sql));
    };
    if let SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) = query.body.as_ref() {
        return Err(at_begin(refuse(&statement), sql));
    }
    let written = labels::written(query);
    params::bind(&mut statement, params)?;
    traps::check(&statement)?;
    ignored::check(&statement)?;
    names::resolve(&mut statement, inputs, known)?;
    let labels = match &mut statement {
        Statement::Query(query) => {
            labels::distinguish(&mut query.body);
            labels::resolved(query, written)
        }
        _ => Vec::new(),
    };
    Ok(Prepared {
        statement: ParsedStatement::Statement(Box::new(statement)),
        labels,
    })
}

fn parse(sql: &str) -> Result<Statement> {
    let parsed = DFParserBuilder::new(sql)
        .with_dialect(&GenericDialect {})
        .with_recursion_limit(PARSER_DEPTH)
        .build()
        .and_then(|mut parser| parser.parse_statements());
    let mut statements = parsed.map_err(|cause| at_end(failure::of_syntax(&cause), sql))?;
    let Some(first) = statements.pop_front() else {
        return Err(Error::new(Code::SqlSyntax, "the SQL is empty").hint("write a query, such as `SELECT 1`"));
    };
    if !statements.is_empty() {
        return Err(
            Error::new(Code::SqlUnsupported, "the text holds more than one statement").hint("send one query at a time"),
        );
    }
    match first {
        ParsedStatement::Statement(statement) => Ok(*statement),
        ParsedStatement::Explain(_) => Err(at_begin(not_supported("EXPLAIN"), sql)),
        ParsedStatement::CreateExternalTable(_) => Err(at_begin(not_read_only("`CREATE`"), sql)),
        ParsedStatement::CopyTo(_) => Err(at_begin(not_read_only("`COPY`"), sql)),
        ParsedStatement::Reset(_) => Err(at_begin(not_read_only("`RESET`"), sql)),
    }
}

/// Makes sure that `sql` is one expression, and nothing behind it.
pub(crate) fn expression(sql: &str) -> Result<()> {
    let mut parser = Parser::new(&GenericDialect {})
        .with_recursion_limit(PARSER_DEPTH)
        .try_with_sql(sql)
        .map_err(|cause| at_end(failure::of_syntax(&cause.into()), sql))?;
    parser
        .parse_expr()
        .map_err(|cause| at_end(failure::of_syntax(&cause.into()), sql))?;
    let next = parser.peek_token();
    if next.token == Token::EOF {
        return Ok(());
    }
    let (line, column) = (next.span.start.line, next.span.start.column);
    let error = Error::new(
        Code::SqlSyntax,
        format!("`{}` is not expected in a condition", next.token),
    );
    Err(error
        .hint("write one condition, such as `year >= 2008 AND sex IS NULL`")
        .at(line, Some(column)))
}

/// A statement that is refused as a whole is refused at its first word.
fn at_begin(error: Error, sql: &str) -> Error {
    match guard::first_word(sql) {
        Some((line, column)) => error.at(line, Some(column)),
        None => error,
    }
}

/// The parser names no place for what is missing at the end.
fn at_end(error: Error, sql: &str) -> Error {
    if error.code != Code::SqlSyntax || !error.errors.is_empty() {
        return error;
    }
    let last = sql.rsplit('\n').next().unwrap_or_default();
    let line = sql.matches('\n').count() + 1;
    error.at(line as u64, Some(last.chars().count() as u64 + 1))
}

fn refuse(statement: &Statement) -> Error {
    let text = statement.to_string();
    let word = text.split_whitespace().next().unwrap_or_default().to_uppercase();
    if ["SHOW", "EXPLAIN", "DESCRIBE", "DESC"].contains(&word.as_str()) {
        return not_supported(&word);
    }
    not_read_only(&format!("`{word}`"))
}

fn not_supported(word: &str) -> Error {
    Error::new(Code::SqlUnsupported, format!("`{word}` is not a query over data sets"))
        .hint("the API lists data sets and their schemas; SQL takes `SELECT`")
}

pub(crate) fn not_read_only(what: &str) -> Error {
    Error::new(
        Code::SqlNotReadOnly,
        format!("{what} is not allowed: SQL can only read data sets"),
    )
    .hint("use `SELECT`; data sets are written by loading")
}

/// `name` as an SQL identifier that means exactly this name.
#[must_use]
pub fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `text` as an SQL string.
#[must_use]
pub fn quote_literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
