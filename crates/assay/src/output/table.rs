//! Tables for terminals: numbers to the right, long cells cut, columns that do not fit left out and named.

use assay_client::{Column, Row};
use comfy_table::{Attribute, Cell, CellAlignment, ColumnConstraint, ContentArrangement, LineStyle, Table, TableStyle};

use super::{Screen, text};

const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─'));
/// A cell is never cut below this.
const NARROWEST: u16 = 10;
const PADDING: u16 = 2;
/// Even where lines are endless, a cell is not.
const WIDEST_CELL: usize = 200;

/// A heading and how its cells stand.
#[derive(Debug, Clone)]
pub struct Heading {
    pub name: String,
    pub is_number: bool,
    /// Its cells are never cut: what is cut cannot be copied into the next command.
    pub is_whole: bool,
}

impl Heading {
    pub fn text(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            is_number: false,
            is_whole: false,
        }
    }

    pub fn id(name: &str) -> Self {
        Self {
            is_whole: true,
            ..Self::text(name)
        }
    }

    pub fn number(name: &str) -> Self {
        Self {
            is_number: true,
            ..Self::text(name)
        }
    }
}

/// What is to be shown. `None` is null.
#[derive(Debug, Clone, Default)]
pub struct Sheet {
    pub headings: Vec<Heading>,
    pub rows: Vec<Vec<Option<String>>>,
}

/// A table as text, and the names of the columns for which there was no room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    pub text: String,
    pub left_out: Vec<String>,
}

impl Sheet {
    /// The rows of an answer. Doubles are rounded to six digits: a table is for eyes.
    pub fn of_answer(columns: &[Column], rows: &[Row]) -> Self {
        let headings = columns
            .iter()
            .map(|column| Heading {
                name: text::printable(&column.name),
                is_number: is_number(&column.kind),
                is_whole: false,
            })
            .collect();
        let cell = |column: &Column, row: &Row| {
            let shown = text::cell(row.find(&column.name)?)?;
            Some(if column.kind == "double" {
                text::rounded(&shown)
            } else {
                shown
            })
        };
        let rows = rows
            .iter()
            .map(|row| columns.iter().map(|column| cell(column, row)).collect())
            .collect();
        Self { headings, rows }
    }

    pub fn render(&self, screen: &Screen) -> Rendered {
        let shown = self.columns_that_fit(screen.width);
        let mut table = self.table(shown, screen);
        let left_out = self.headings[shown..]
            .iter()
            .map(|heading| heading.name.clone())
            .collect();
        for (heading, column) in self.headings.iter().zip(table.column_iter_mut()) {
            if heading.is_number {
                column.set_cell_alignment(CellAlignment::Right);
            }
            if heading.is_whole {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned() + "\n").collect();
        Rendered {
            text: lines.concat(),
            left_out,
        }
    }

    fn table(&self, shown: usize, screen: &Screen) -> Table {
        let mut table = Table::new();
        table.load_style(STYLE).force_no_tty().set_truncation_indicator("…");
        if screen.color {
            table.enforce_styling();
        }
        if let Some(width) = screen.width {
            table
                .set_content_arrangement(ContentArrangement::Dynamic)
                .set_width(width);
        }
        let bold = |heading: &Heading| Cell::new(&heading.name).add_attribute(Attribute::Bold);
        let mut header = comfy_table::Row::from(self.headings.iter().take(shown).map(bold).collect::<Vec<_>>());
        header.max_height(1);
        table.set_header(header);
        for row in &self.rows {
            let cells: Vec<Cell> = row
                .iter()
                .take(shown)
                .map(|cell| show(cell.as_deref(), screen))
                .collect();
            let mut row = comfy_table::Row::from(cells);
            row.max_height(1);
            table.add_row(row);
        }
        table
    }

    fn columns_that_fit(&self, width: Option<u16>) -> usize {
        let Some(width) = width else { return self.headings.len() };
        let mut taken = 0;
        for (index, heading) in self.headings.iter().enumerate() {
            let cells = self
                .rows
                .iter()
                .filter_map(|row| row.get(index)?.as_ref())
                .map(|cell| cell.chars().count());
            let natural = cells.chain([heading.name.chars().count()]).max().unwrap_or(0);
            let natural = u16::try_from(natural).unwrap_or(u16::MAX);
            let least = if heading.is_whole {
                natural
            } else {
                natural.min(NARROWEST)
            };
            taken = least.saturating_add(PADDING).saturating_add(taken);
            if taken > width && index > 0 {
                return index;
            }
        }
        self.headings.len()
    }
}

fn show(cell: Option<&str>, screen: &Screen) -> Cell {
    match cell {
        Some(text) if text.chars().count() > WIDEST_CELL => {
            Cell::new(text.chars().take(WIDEST_CELL - 1).collect::<String>() + "…")
        }
        Some(text) => Cell::new(text),
        // Without colors, `null` would look like a text of that name.
        None if screen.color => Cell::new("null").add_attribute(Attribute::Dim),
        None => Cell::new(""),
    }
}

fn is_number(kind: &str) -> bool {
    matches!(kind, "int64" | "double") || kind.starts_with("decimal")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Screen = Screen {
        is_terminal: false,
        color: false,
        width: None,
    };

    fn sheet(columns: &[(&str, &str)], rows: &str) -> Sheet {
        let columns: Vec<Column> = columns
            .iter()
            .map(|(name, kind)| Column {
                name: (*name).into(),
                kind: (*kind).into(),
            })
            .collect();
        Sheet::of_answer(&columns, &serde_json::from_str::<Vec<Row>>(rows).unwrap())
    }

    #[test]
    fn numbers_stand_to_the_right_and_nulls_are_blank() {
        let sheet = sheet(
            &[("species", "text"), ("n", "int64"), ("mass", "double")],
            r#"[{"species":"Adelie","n":152,"mass":3700.662251655629},{"species":"Gentoo","n":1240,"mass":null}]"#,
        );
        let rendered = sheet.render(&PLAIN);
        assert_eq!(
            rendered.text,
            concat!(
                " species     n     mass\n",
                "────────────────────────\n",
                " Adelie    152  3700.66\n",
                " Gentoo   1240\n",
            )
        );
    }

    #[test]
    fn ids_are_never_cut() {
        let id = "job_01m88a83fmpqy8pr6346m16ca5";
        let sheet = Sheet {
            headings: vec![Heading::id("id"), Heading::text("error"), Heading::text("more")],
            rows: vec![vec![Some(id.to_owned()), Some("e".repeat(90)), Some("m".repeat(90))]],
        };
        let rendered = sheet.render(&Screen {
            width: Some(50),
            ..PLAIN
        });
        assert!(rendered.text.contains(id), "{}", rendered.text);
        assert_eq!(rendered.left_out, ["more"]);
    }

    #[test]
    fn long_cells_are_cut_and_columns_without_room_are_named() {
        let sheet = sheet(
            &[("place", "text"), ("title", "text"), ("url", "text"), ("net", "text")],
            r#"[{"place":"191km SSE of Kodiak Station, Alaska","title":"M 6.4 - 19km NNE of Hualian, Taiwan","url":"https://earthquake.usgs.gov","net":"us"}]"#,
        );
        let rendered = sheet.render(&Screen {
            width: Some(36),
            ..PLAIN
        });
        assert_eq!(rendered.left_out, ["net"]);
        for line in rendered.text.lines() {
            assert!(line.chars().count() <= 36, "{line}");
        }
        assert_eq!(
            rendered.text.lines().count(),
            3,
            "one line to a row:\n{}",
            rendered.text
        );
        assert!(rendered.text.contains('…'), "{}", rendered.text);
    }
}
