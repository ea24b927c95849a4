//! What the engine says went wrong, in the words of [`assay_core::Error`].
//!
//! Causes from inside, such as paths, go to the log and never into a message.

use std::sync::Arc;

use arrow::error::ArrowError;
use assay_core::{Code, Error, names};
use assay_formats::kinds::REST_NAME;
use assay_formats::store_fault;
use datafusion::common::{Column, DataFusionError, SchemaError};
use datafusion::sql::sqlparser::parser::ParserError;

use crate::session::Session;
use crate::sql;

/// The text of a query, for naming places in it.
#[derive(Debug, Clone)]
pub(crate) struct Text(Arc<str>);

impl Text {
    pub(crate) fn new(sql: &str) -> Self {
        Self(sql.into())
    }

    /// `error`, with the place where `word` stands first.
    fn place(&self, error: Error, word: &str) -> Error {
        match sql::find_word(&self.0, word) {
            Some((line, column)) => error.at(line, Some(column)),
            None => error,
        }
    }
}

/// A fault met while a query was understood.
pub(crate) fn of_plan(cause: &DataFusionError, text: &Text, session: &Session) -> Error {
    let error = match root(cause) {
        DataFusionError::SQL(cause, _) => of_parser(cause),
        DataFusionError::SchemaError(cause, _) => of_schema(cause, text),
        DataFusionError::Plan(message) => of_plan_message(message, text, session),
        _ => of_run(cause, text),
    };
    // Faults of types have their place beside the message, when columns are involved.
    let span = cause.diagnostic().and_then(|diagnostic| diagnostic.span);
    match span {
        Some(span) if error.errors.is_empty() && span.start.line > 0 => {
            error.at(span.start.line, Some(span.start.column))
        }
        _ => error,
    }
}

fn of_schema(cause: &SchemaError, text: &Text) -> Error {
    match cause {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let unqualified = valid_fields.iter().any(|valid| valid.name == field.name);
            let error = match &field.relation {
                Some(relation) if unqualified => unknown_relation(relation.table(), valid_fields),
                _ => unknown_column(&field.name, valid_fields.iter().map(Column::name)),
            };
            at_column(error, field, text)
        }
        SchemaError::AmbiguousReference { field } => {
            let message = format!("column `{}` is in more than one data set here", field.name);
            let hint = format!("write `data_set.{}` or use an alias", field.name);
            at_column(Error::new(Code::UnknownColumn, message).hint(hint), field, text)
        }
        SchemaError::DuplicateQualifiedField { name, .. } | SchemaError::DuplicateUnqualifiedField { name } => {
            let message = format!("column `{name}` comes twice in a part of the query");
            let hint = "give one of them another name with `AS`";
            text.place(Error::new(Code::SqlUnsupported, message).hint(hint), name)
        }
    }
}

fn unknown_relation(name: &str, valid_fields: &[Column]) -> Error {
    let mut known: Vec<&str> = valid_fields
        .iter()
        .filter_map(|valid| Some(valid.relation.as_ref()?.table()))
        .collect();
    known.sort_unstable();
    known.dedup();
    let message = format!("`{name}` is neither a data set nor an alias in this query");
    Error::new(Code::UnknownColumn, message).hint(names::suggest(name, known))
}

fn at_column(error: Error, field: &Column, text: &Text) -> Error {
    match field.spans.first() {
        Some(span) if span.start.line > 0 => error.at(span.start.line, Some(span.start.column)),
        _ => text.place(error, &field.name),
    }
}

pub(crate) fn unknown_column<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Error {
    let mut known: Vec<&str> = known.into_iter().collect();
    known.sort_unstable();
    known.dedup();
    let hint = match known.is_empty() {
        true => "there are no columns at this place; texts stand between single quotes".to_owned(),
        false if known.contains(&REST_NAME) => format!(
            "{}; attributes without a column are in `{REST_NAME}`: `json_get({REST_NAME}, '{name}')`",
            names::suggest(name, known)
        ),
        false => names::suggest(name, known),
    };
    Error::new(Code::UnknownColumn, format!("column `{name}` does not exist")).hint(hint)
}

fn of_plan_message(message: &str, text: &Text, session: &Session) -> Error {
    if let Some(name) =
        between(message, "Invalid function '", "'").or_else(|| between(message, "table function '", "'"))
    {
        let hint = names::suggest(name, session.function_names());
        let error = Error::new(Code::UnknownFunction, format!("function `{name}` does not exist")).hint(hint);
        return text.place(error, name);
    }
    if let Some(name) = between(message, "table '", "' not found") {
        let name = name.rsplit('.').next().unwrap_or(name);
        return text.place(session.unknown_dataset(name), name);
    }
    if message.contains("must be in GROUP BY") || message.contains("must appear in the GROUP BY") {
        let column = between(message, "column \"", "\"").and_then(|name| name.rsplit('.').next());
        let column = column.unwrap_or("one of the columns");
        let message = format!("`{column}` is neither in `GROUP BY` nor inside an aggregate");
        let hint = format!("add it to `GROUP BY`, or take `min({column})` or `first_value({column})`");
        return text.place(Error::new(Code::SqlSyntax, message).hint(hint), column);
    }
    if let Some(error) = of_signature(message) {
        let place = between(&error.message, "`", "`").map(ToOwned::to_owned);
        return text.place(error, place.as_deref().unwrap_or_default());
    }
    let of_types = ["coerc", "type", "comparison", "cast", "expects"];
    if of_types.iter().any(|word| message.contains(word)) {
        return Error::new(Code::TypeMismatch, plain(message)).hint("convert a value with `CAST(x AS …)`");
    }
    Error::new(Code::SqlUnsupported, plain(message)).hint("write the query in another way")
}

/// A function that was called with types it does not take.
fn of_signature(message: &str) -> Option<Error> {
    let hint = "convert the value with `CAST(x AS …)`, or choose another column";
    let mismatch = |words: String| Some(Error::new(Code::TypeMismatch, words).hint(hint));
    // What our own functions say of their arguments.
    if let Some(words) = between(
        message,
        "user-defined coercion failed with: Error during planning: ",
        ". No function",
    ) {
        return mismatch(kind_words(words));
    }
    if let Some(name) = between(message, "Function '", "' failed to match any signature") {
        let found = between(message, "(DataType: ", ")").unwrap_or("another type");
        return mismatch(format!("function `{name}` does not take {}", kind_words(found)));
    }
    let (name, types) = between(message, "argument types '", "'.")?.split_once('(')?;
    let types = types.trim_end_matches(')');
    let types = if types.is_empty() {
        "no arguments".to_owned()
    } else {
        kind_words(types)
    };
    mismatch(format!("function `{name}` does not take {types}"))
}

/// A fault met while a query ran.
pub(crate) fn of_run(cause: &DataFusionError, text: &Text) -> Error {
    if let Some(error) = of_objects(cause) {
        return error;
    }
    match root(cause) {
        DataFusionError::SchemaError(cause, _) => of_schema(cause, text),
        DataFusionError::SQL(cause, _) => of_parser(cause),
        DataFusionError::NotImplemented(message) => {
            Error::new(Code::SqlUnsupported, plain(message)).hint("write the query in another way")
        }
        DataFusionError::Plan(message) if !is_inside(message) => {
            Error::new(Code::SqlUnsupported, plain(message)).hint("write the query in another way")
        }
        DataFusionError::ResourcesExhausted(message) => {
            tracing::info!(cause = %message, "a query went beyond its memory");
            memory_exceeded()
        }
        DataFusionError::Execution(message) if !is_inside(message) => evaluation(message),
        DataFusionError::ArrowError(cause, _) => of_arrow(cause),
        DataFusionError::External(cause) => of_other(cause.as_ref()),
        DataFusionError::ParquetError(cause) => {
            tracing::error!(error = %cause, "a part of a data set cannot be read");
            damaged()
        }
        cause => inside(cause),
    }
}

/// A fault of the place of the objects, wherever it was met. What is missing there is damage instead.
fn of_objects(cause: &DataFusionError) -> Option<Error> {
    let chain = std::iter::successors(Some(cause as &(dyn std::error::Error + 'static)), |cause| {
        cause.source()
    });
    let found = chain
        .filter_map(|cause| cause.downcast_ref::<object_store::Error>())
        .next()?;
    match found {
        object_store::Error::NotFound { .. } => {
            tracing::error!(error = %found, "a part of a data set is missing");
            Some(damaged())
        }
        found => Some(store_fault("reading the data set", found)),
    }
}

/// A fault of the columnar kernels.
pub(crate) fn of_arrow(cause: &ArrowError) -> Error {
    match cause {
        ArrowError::DivideByZero => evaluation("division by zero"),
        ArrowError::ArithmeticOverflow(message)
        | ArrowError::CastError(message)
        | ArrowError::ParseError(message)
        | ArrowError::ComputeError(message)
        | ArrowError::InvalidArgumentError(message)
            if !is_inside(message) =>
        {
            evaluation(message)
        }
        ArrowError::MemoryError(message) => {
            tracing::info!(cause = %message, "a query went beyond its memory");
            memory_exceeded()
        }
        ArrowError::ExternalError(cause) => of_other(cause.as_ref()),
        ArrowError::ParquetError(message) => {
            tracing::error!(error = %message, "a part of a data set cannot be read");
            damaged()
        }
        cause => inside(cause),
    }
}

/// A fault met while a text was parsed.
pub(crate) fn of_syntax(cause: &DataFusionError) -> Error {
    of_run(cause, &Text::new(""))
}

/// What the parser says, with its place taken out of its words.
fn of_parser(cause: &ParserError) -> Error {
    let message = match cause {
        ParserError::RecursionLimitExceeded => return sql::too_complex("the query is nested too deeply"),
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => message,
    };
    let (words, place) = match message.rsplit_once(" at Line: ") {
        Some((words, place)) => (words, place.split_once(", Column: ")),
        None => (message.as_str(), None),
    };
    let words = words
        .replace("Expected: ", "expected ")
        .replace(", found: ", ", found ");
    let words = match words.contains("infix parser") {
        true => "expected an operator or the end of the expression".to_owned(),
        false => words.replace("found EOF", "found the end of the text"),
    };
    let error = Error::new(Code::SqlSyntax, plain(&words)).hint("check the text at this place");
    match place.map(|(line, column)| (line.trim().parse(), column.trim().parse())) {
        Some((Ok(line), Ok(column))) => error.at(line, Some(column)),
        _ => error,
    }
}

fn of_other(cause: &(dyn std::error::Error + Send + Sync + 'static)) -> Error {
    if let Some(error) = cause.downcast_ref::<Error>() {
        return error.clone();
    }
    if let Some(cause) = cause.downcast_ref::<DataFusionError>() {
        return of_run(cause, &Text::new(""));
    }
    if let Some(cause) = cause.downcast_ref::<ArrowError>() {
        return of_arrow(cause);
    }
    inside(cause)
}

fn root(cause: &DataFusionError) -> &DataFusionError {
    match cause {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => root(inner),
        DataFusionError::Shared(inner) => root(inner),
        DataFusionError::Collection(all) => all.first().map_or(cause, root),
        DataFusionError::ArrowError(inner, _) => match inner.as_ref() {
            ArrowError::ExternalError(inner) => inner.downcast_ref::<DataFusionError>().map_or(cause, root),
            _ => cause,
        },
        DataFusionError::External(inner) => inner.downcast_ref::<DataFusionError>().map_or(cause, root),
        cause => cause,
    }
}

fn evaluation(message: &str) -> Error {
    let words = plain(message);
    let words = if words.to_lowercase().contains("divide by zero") {
        "division by zero".to_owned()
    } else {
        words
    };
    if words.contains("string size overflow") {
        return memory_exceeded();
    }
    let overflow = words.to_lowercase().contains("overflow");
    let hint = if overflow {
        "compute in doubles: `CAST(x AS DOUBLE)`"
    } else {
        "leave out the values that cannot be computed, with `WHERE`, `NULLIF` or `TRY_CAST`"
    };
    let words = if overflow && !words.starts_with("overflow") {
        format!("overflow: {words}")
    } else {
        words
    };
    Error::new(Code::EvaluationFailed, words).hint(hint)
}

fn memory_exceeded() -> Error {
    Error::new(Code::MemoryExceeded, "the query needs more memory than it may use")
        .hint("filter or group the data first, or raise the memory limit of the job")
}

fn damaged() -> Error {
    Error::new(
        Code::FileDamaged,
        "a part of the data set is damaged and cannot be read",
    )
    .hint("load the data set again, or read an older version")
}

fn inside(cause: &dyn std::error::Error) -> Error {
    tracing::error!(error = %cause, "the engine failed");
    Error::internal("running the query")
}

/// Whether a message speaks of things that are not the user's: files, addresses.
fn is_inside(message: &str) -> bool {
    ["assay:", "spill", ".parquet", "/tmp", "os error"]
        .iter()
        .any(|word| message.contains(word))
}

/// One line, lower case at the start, no full stop, kinds in our words, and nothing of the inside.
fn plain(message: &str) -> String {
    // A dump of a syntax tree or plan says nothing to who wrote the query.
    if ["Span(", "Ident {", "logical expression", "ast node"]
        .iter()
        .any(|word| message.contains(word))
    {
        return "a part of the query has a form that is not supported at its place".to_owned();
    }
    let line = message.lines().next().unwrap_or_default().trim();
    let prefixes = [
        "Error during planning: ",
        "sql parser error: ",
        "Internal error: ",
        "Execution error: ",
    ];
    let line = prefixes
        .iter()
        .fold(line, |line, prefix| line.strip_prefix(prefix).unwrap_or(line));
    let line = kind_words(line.trim_end_matches(['.', '(', ' ']));
    let mut letters = line.chars();
    match letters.next() {
        Some(first) if !line.chars().nth(1).is_some_and(char::is_uppercase) => {
            first.to_lowercase().chain(letters).collect()
        }
        _ => line,
    }
}

/// The engine's names of types in the words of `Kind`.
fn kind_words(text: &str) -> String {
    const WORDS: [(&str, &str); 8] = [
        ("LargeUtf8", "text"),
        ("Utf8View", "text"),
        ("Utf8", "text"),
        ("Boolean", "bool"),
        ("Float64", "double"),
        ("Int64", "int64"),
        ("Date32", "date"),
        ("Timestamp(µs, \"UTC\")", "timestamp"),
    ];
    let text = text.replace("UInt64", "uint64");
    WORDS
        .iter()
        .fold(text, |text, (theirs, ours)| text.replace(theirs, ours))
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(found, _)| found)
}
