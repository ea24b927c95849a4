//! Errors as people see them: what was wrong, where, and what to try.

use assay_core::{Detail, Error};

use super::{Ink, Screen};

/// Longer lines of SQL are shown around the place only.
const LONGEST_LINE: usize = 100;

/// `error: …`, the places, `hint: …`. `source` is the text that line and column count in, the user's SQL.
pub fn render(error: &Error, source: Option<&str>, screen: &Screen) -> String {
    let mut text = format!("{} {}\n", screen.paint(Ink::Bad, "error:"), error.message);
    for detail in &error.errors {
        text.push_str(&place(detail, &error.message, source, screen));
    }
    if let Some(hint) = &error.hint {
        text.push_str(&format!("{} {hint}\n", screen.paint(Ink::Calm, "hint:")));
    }
    text
}

fn place(detail: &Detail, said: &str, source: Option<&str>, screen: &Screen) -> String {
    let Detail {
        message,
        pointer,
        line,
        column,
    } = detail;
    // The main message is not said twice.
    let more = if message.is_empty() || message == said {
        String::new()
    } else {
        format!(": {message}")
    };
    if let Some(line) = line {
        let at = column.map_or_else(
            || format!("line {line}"),
            |column| format!("line {line}, column {column}"),
        );
        let arrow = screen.paint(Ink::Calm, "-->");
        let quoted = source
            .and_then(|source| excerpt(source, *line, *column, screen))
            .unwrap_or_default();
        return format!("  {arrow} {at}{more}\n{quoted}");
    }
    match pointer {
        Some(pointer) => format!("  {} {pointer}{more}\n", screen.paint(Ink::Calm, "-->")),
        None if more.is_empty() => String::new(),
        None => format!("  - {message}\n"),
    }
}

/// The line with a caret under the column, both counted from 1.
fn excerpt(source: &str, line: u64, column: Option<u64>, screen: &Screen) -> Option<String> {
    let index = usize::try_from(line.checked_sub(1)?).ok()?;
    let letters: Vec<char> = source.lines().nth(index)?.chars().collect();
    let at = column.and_then(|column| usize::try_from(column.checked_sub(1)?).ok());
    let at = at.map(|at| at.min(letters.len()));
    let start = at.unwrap_or(0).saturating_sub(LONGEST_LINE / 2);
    let start = if letters.len() <= LONGEST_LINE { 0 } else { start };
    let end = letters.len().min(start + LONGEST_LINE);
    let before = if start > 0 { "…" } else { "" };
    let after = if end < letters.len() { "…" } else { "" };
    let shown: String = letters[start..end].iter().map(|letter| visible(*letter)).collect();
    let number = line.to_string();
    let margin = " ".repeat(number.len());
    let bar = screen.paint(Ink::Calm, "|");
    let mut text = format!(" {margin} {bar}\n {number} {bar} {before}{shown}{after}\n");
    if let Some(at) = at {
        let indent = before.chars().count() + at - start;
        let caret = screen.paint(Ink::Bad, "^");
        text.push_str(&format!(" {margin} {bar} {}{caret}\n", " ".repeat(indent)));
    }
    Some(text)
}

/// One character in one place, so that the caret stands where it should.
fn visible(letter: char) -> char {
    if letter.is_control() { ' ' } else { letter }
}

#[cfg(test)]
mod tests {
    use assay_core::Code;

    use super::*;

    const PLAIN: Screen = Screen {
        is_terminal: false,
        color: false,
        width: None,
    };

    #[test]
    fn a_caret_stands_under_the_place_in_the_sql() {
        let error = Error::new(Code::UnknownColumn, "column `boddy_mass_g` does not exist")
            .at(2, Some(8))
            .hint("did you mean `body_mass_g`?");
        let sql = "-- heaviest\nSELECT\tboddy_mass_g FROM penguins";
        assert_eq!(
            render(&error, Some(sql), &PLAIN),
            "error: column `boddy_mass_g` does not exist\n  --> line 2, column 8\n   |\n 2 | SELECT boddy_mass_g FROM penguins\n   \
             |        ^\nhint: did you mean `body_mass_g`?\n"
        );
    }

    #[test]
    fn long_lines_are_shown_around_the_place() {
        let sql = format!("SELECT {} + oops FROM t", "1 + ".repeat(100));
        let at = sql.find("oops").unwrap() as u64 + 1;
        let text = render(
            &Error::new(Code::UnknownColumn, "x").at(1, Some(at)),
            Some(&sql),
            &PLAIN,
        );
        let lines: Vec<Vec<char>> = text.lines().map(|line| line.chars().collect()).collect();
        let caret = lines[4].iter().position(|letter| *letter == '^').unwrap();
        assert_eq!(lines[3][caret..caret + 4], ['o', 'o', 'p', 's'], "{text}");
        assert!(lines[3].len() < 110, "{text}");
    }

    #[test]
    fn places_beyond_the_text_and_pointers_are_named() {
        let error = Error::new(Code::SqlSyntax, "the query ends too early").at(9, Some(1));
        let text = render(&error, Some("SELECT"), &PLAIN);
        assert_eq!(text, "error: the query ends too early\n  --> line 9, column 1\n");
        let detail = |message: &str| Detail {
            message: message.into(),
            pointer: Some("/params/bins".into()),
            ..Detail::default()
        };
        let error = Error::new(Code::InvalidParameter, "two parameters are wrong").detail(detail("0 is less than 1"));
        let text = render(&error, None, &PLAIN);
        assert_eq!(
            text,
            "error: two parameters are wrong\n  --> /params/bins: 0 is less than 1\n"
        );
    }

    #[test]
    fn a_column_at_the_end_of_the_line_has_its_caret_there() {
        let text = render(
            &Error::new(Code::SqlSyntax, "x").at(1, Some(99)),
            Some("SELECT"),
            &PLAIN,
        );
        assert!(text.ends_with(" 1 | SELECT\n   |       ^\n"), "{text}");
    }
}
