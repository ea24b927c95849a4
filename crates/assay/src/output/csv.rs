//! Small lists as CSV (RFC 4180). Answers of jobs come as CSV from the server and do not pass here.

use super::table::Sheet;

pub fn render(sheet: &Sheet) -> String {
    let mut text = String::new();
    line(&mut text, sheet.headings.iter().map(|heading| heading.name.as_str()));
    for row in &sheet.rows {
        line(&mut text, row.iter().map(|cell| cell.as_deref().unwrap_or("")));
    }
    text
}

fn line<'a>(text: &mut String, cells: impl Iterator<Item = &'a str>) {
    for (index, cell) in cells.enumerate() {
        if index > 0 {
            text.push(',');
        }
        if cell.contains([',', '"', '\n', '\r']) {
            text.push('"');
            text.push_str(&cell.replace('"', "\"\""));
            text.push('"');
        } else {
            text.push_str(cell);
        }
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::super::table::Heading;
    use super::*;

    #[test]
    fn cells_with_commas_and_quotes_are_quoted() {
        let sheet = Sheet {
            headings: vec![Heading::text("a"), Heading::number("b")],
            rows: vec![vec![Some("x, \"y\"".into()), None]],
        };
        assert_eq!(render(&sheet), "a,b\n\"x, \"\"y\"\"\",\n");
    }
}
