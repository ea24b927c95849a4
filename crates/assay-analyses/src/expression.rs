//! The guard for SQL expressions that users give as parameters and that become part of a statement of ours.
//!
//! It makes sure that an expression stays the one expression it claims to be. Whether it is read-only, whether its
//! names exist and its types fit, the engine decides on the whole statement.

use assay_core::{Error, Result};

use crate::params::invalid;

/// Longer expressions belong into the analysis `sql`.
const MAX_BYTES: usize = 16 << 10;

/// Refuses text that could end the parentheses it is put into, or the statement around it.
///
/// Dialects differ in comments, escapes and special strings, so all of them are refused, and what is left means the
/// same to every reader.
pub(crate) fn guard(name: &str, text: &str) -> Result<()> {
    let refuse = |fault: &str| -> Error {
        invalid(format!("`{name}` {fault}"), format!("/params/{name}"))
            .hint("give one condition, such as `mag >= 4.5 AND type = 'earthquake'`")
    };
    if text.trim().is_empty() {
        return Err(refuse("is empty"));
    }
    if text.len() > MAX_BYTES {
        return Err(refuse("is longer than 16 KiB"));
    }
    scan(text).map_err(|fault| refuse(&fault))
}

fn scan(text: &str) -> Result<(), String> {
    let mut open = Vec::new();
    let mut rest = text.char_indices();
    while let Some((at, character)) = rest.next() {
        let next = text[at + character.len_utf8()..].chars().next();
        match character {
            '\'' | '"' | '`' => {
                if character == '\'' && has_prefix(&text[..at]) {
                    return Err("has a string with a prefix, such as `E'…'`".to_owned());
                }
                let length = quoted_length(&text[at..], character)?;
                while rest.offset() < at + length {
                    rest.next();
                }
            }
            '(' | '[' => open.push(character),
            ')' if open.pop() != Some('(') => return Err("closes a parenthesis that it did not open".to_owned()),
            ']' if open.pop() != Some('[') => return Err("closes a bracket that it did not open".to_owned()),
            ';' => return Err("has a semicolon; it is one condition, not a statement".to_owned()),
            '$' | '?' => return Err(format!("has a placeholder `{character}`; write the value itself")),
            '-' if next == Some('-') => return Err("has a comment `--`".to_owned()),
            '/' if next == Some('*') => return Err("has a comment `/*`".to_owned()),
            '#' | '{' | '}' | '\\' => return Err(format!("has a `{character}` outside of quotes")),
            '\0' => return Err("has a null character".to_owned()),
            _ => {}
        }
    }
    match open.pop() {
        Some(bracket) => Err(format!("leaves a `{bracket}` open")),
        None => Ok(()),
    }
}

/// Length of the quoted text at the beginning of `text`, its quotes included. A doubled quote does not end it.
fn quoted_length(text: &str, quote: char) -> Result<usize, String> {
    let mut characters = text.char_indices().skip(1).peekable();
    let mut after_backslash = false;
    while let Some((at, character)) = characters.next() {
        if character != quote {
            after_backslash = character == '\\';
            continue;
        }
        // To some dialects the backslash takes the quote's meaning away.
        if after_backslash {
            return Err("has a backslash before a quote".to_owned());
        }
        if characters.next_if(|(_, next)| *next == quote).is_none() {
            return Ok(at + 1);
        }
    }
    Err(format!("has an unclosed quote {quote}"))
}

/// Whether a string that begins after `before` is of a special kind: `E'…'`, `X'…'`, `U&'…'`, `Nq'…'`.
/// Longer words are types, as in `DATE'2020-01-01'`.
fn has_prefix(before: &str) -> bool {
    let word = before
        .chars()
        .rev()
        .take_while(|c| c.is_alphanumeric() || matches!(c, '_' | '&'));
    matches!(word.count(), 1 | 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_as_people_write_them_are_taken() {
        for good in [
            "mag >= 4.5",
            "species = 'Adelie' AND (island <> 'Dream' OR year IN (2007, 2008))",
            "name = 'O''Hare; -- (not a comment'",
            "\"pseudogene.org\" IS NOT NULL",
            "time > DATE'2020-01-01' AND time < TIMESTAMP '2021-01-01T00:00:00Z'",
            "coordinates[3] > 10 and name like '%100\\%%'",
            "name = 'Åland – Ω'",
        ] {
            assert!(guard("where", good).is_ok(), "{good}: {:?}", guard("where", good));
        }
    }

    #[test]
    fn text_that_would_leave_its_parentheses_is_refused_with_its_place() {
        for bad in [
            "",
            "  ",
            "true) UNION SELECT (1",
            "x = 1)",
            "(x = 1",
            "x[1",
            "x(1]",
            "true; DROP TABLE x",
            "true --",
            "true /* ",
            "x = 'a",
            "x = \"a",
            "x = `a",
            "x = E'\\'' ) UNION SELECT 1 WHERE ('' = '",
            "x = 'a\\' OR ('",
            "x = U&'\\0027'",
            "x = $$a$$",
            "x = $1",
            "x = ?",
            "x # y",
        ] {
            let error = guard("where", bad).unwrap_err();
            assert_eq!(error.code, assay_core::Code::InvalidParameter, "{bad}");
            assert_eq!(error.errors[0].pointer.as_deref(), Some("/params/where"), "{bad}");
        }
    }
}
