//! One line for each thing that is going on. On a terminal the lines move; elsewhere only their ends are told.

use std::time::Duration;

use assay_client::Job;
use indicatif::{MultiProgress, ProgressBar};

use crate::cli::Context;
use crate::output::{Ink, Screen, progress, talk};

const TICK: Duration = Duration::from_millis(100);

pub struct Board {
    lines: MultiProgress,
    screen: Screen,
    quiet: bool,
}

impl Board {
    pub fn new(context: &Context) -> Self {
        let lines = MultiProgress::with_draw_target(progress::target(context.quiet));
        Self {
            lines,
            screen: context.err,
            quiet: context.quiet,
        }
    }

    pub fn line(&self, label: &str) -> Line<'_> {
        let bar = self
            .lines
            .add(ProgressBar::no_length().with_style(progress::job_style()));
        bar.set_prefix(label.to_owned());
        bar.enable_steady_tick(TICK);
        Line {
            board: self,
            bar,
            label: label.to_owned(),
        }
    }

    /// Says something above the lines.
    pub fn say(&self, text: &str) {
        if self.quiet {
            return;
        }
        if self.screen.is_terminal {
            // When the terminal has gone there is nobody to tell.
            let _ = self.lines.println(text);
        } else {
            talk(text);
        }
    }
}

pub struct Line<'a> {
    board: &'a Board,
    bar: ProgressBar,
    label: String,
}

impl Line<'_> {
    pub fn show(&self, words: &str) {
        self.bar.set_message(words.to_owned());
    }

    pub fn job(&self, job: &Job) {
        self.show(&progress::describe(job));
    }

    /// A handle that may go where the bytes are counted.
    pub fn bar(&self) -> ProgressBar {
        self.bar.clone()
    }

    pub fn done(self, words: &str) {
        self.end(Ink::Good, "✓", words);
    }

    pub fn failed(self, words: &str) {
        self.end(Ink::Bad, "✗", words);
    }

    fn end(self, ink: Ink, mark: &str, words: &str) {
        let Line { board, bar, label } = self;
        let mark = board.screen.paint(ink, mark);
        bar.set_style(progress::ended_style());
        bar.set_prefix(mark.clone());
        bar.finish_with_message(format!("{label} {words}"));
        if !board.screen.is_terminal && !board.quiet {
            talk(&format!("{mark} {label} {words}"));
        }
    }
}
