//! What people see: tables, charts, errors and progress, as text. Nothing here asks a server or decides an exit code.

pub mod chart;
pub mod csv;
pub mod errors;
pub mod progress;
pub mod table;
pub mod text;

use std::io::{IsTerminal as _, Write as _};

/// What a stream can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Screen {
    pub is_terminal: bool,
    pub color: bool,
    /// Characters in a line; absent when lines may be as long as they like.
    pub width: Option<u16>,
}

impl Screen {
    pub fn stdout(no_color: bool) -> Self {
        Self::of(std::io::stdout().is_terminal(), no_color)
    }

    pub fn stderr(no_color: bool) -> Self {
        Self::of(std::io::stderr().is_terminal(), no_color)
    }

    fn of(is_terminal: bool, no_color: bool) -> Self {
        let width = if is_terminal {
            // One that does not know its width says 0.
            comfy_table::Table::new().width().filter(|width| *width > 0)
        } else {
            None
        };
        Self {
            is_terminal,
            color: is_terminal && !no_color,
            width,
        }
    }

    /// Wraps `text` in an ANSI style when the stream shows colors.
    pub fn paint(&self, ink: Ink, text: &str) -> String {
        if !self.color {
            return text.to_owned();
        }
        format!("\u{1b}[{}m{text}\u{1b}[0m", ink.code())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ink {
    Strong,
    Bad,
    Good,
    Calm,
}

impl Ink {
    fn code(self) -> &'static str {
        match self {
            Ink::Strong => "1",
            Ink::Bad => "1;31",
            Ink::Good => "32",
            Ink::Calm => "36",
        }
    }
}

/// Writes to stdout at once, so that a reader who has gone is noticed as an error and not as a panic.
pub fn print(text: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// Writes a line to stderr. Nobody is left to be told when that fails.
pub fn talk(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
