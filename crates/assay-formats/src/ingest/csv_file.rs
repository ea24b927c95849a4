//! Loading a file of CSV: once with types that are guessed, or twice.

use std::cell::RefCell;

use assay_core::{ImportFormat, OnError, Result};

use super::csv::{self, Dialect};
use super::imported::FileShape;
use super::spare::Spare;
use super::{CHUNK, Loading, Text, pipeline, refusals, stored, strict};

impl Loading {
    pub(super) fn csv(&mut self, text: &Text<'_>) -> Result<FileShape> {
        let mut options = self.task.read.clone();
        if self.task.format == Some(ImportFormat::Tsv) {
            options.delimiter.get_or_insert('\t');
        }
        let (key, declared) = (self.task.key.clone(), self.declared());
        let dialect = Dialect::find(&text.head, text.is_whole, &options);
        let layout = csv::Layout {
            has_header: options
                .header
                .unwrap_or_else(|| dialect.has_header(&text.head, text.is_whole)),
            dialect,
            options: &options,
            declared: &declared,
            key: key.as_deref(),
            keeps_raw: self.strict.is_some() && options.on_error == OnError::Quarantine,
        };
        let columns = match self.stored.mark().zip(self.refusals.mark()) {
            None => self.look_at_csv(text, &layout)?,
            Some(mark) => self.guess_csv(text, &layout, mark)?,
        };
        let reasons = columns.reasons().map(|(name, why)| (name.to_owned(), why.to_owned()));
        self.reasons.extend(reasons);
        self.warnings.extend(columns.warnings);
        let delimiter = char::from(layout.dialect.delimiter);
        let format = match delimiter {
            '\t' => ImportFormat::Tsv,
            _ => ImportFormat::Csv,
        };
        Ok(FileShape {
            delimiter: Some(delimiter),
            header: Some(layout.has_header),
            ..FileShape::of(format)
        })
    }

    /// Reads a CSV file once with types that are guessed, and once more when the guess was wrong or something is amiss
    /// that is told as ever: whether a column holds numbers is known only at its end.
    fn guess_csv(
        &mut self,
        text: &Text<'_>,
        layout: &csv::Layout<'_>,
        mark: (stored::Mark, refusals::Mark),
    ) -> Result<csv::Columns> {
        let reader = text.open("reading")?;
        let encoder = self.stored.parts.encoder();
        let refusals = RefCell::new(&mut self.refusals);
        let learned = csv::learn(
            reader,
            layout,
            (CHUNK, self.threads),
            csv::Attempt {
                faults: &refusals,
                is_wanted: true,
                work: |chunk| strict::encode(self.strict.as_ref(), &encoder, chunk),
                done: |judged| self.stored.add_sound(judged, &mut refusals.borrow_mut()),
            },
        )?;
        if !learned.is_done {
            self.stored.go_back(mark.0);
            self.refusals.go_back(mark.1);
            self.build_csv(text, layout, &learned.columns)?;
        }
        Ok(learned.columns)
    }

    fn look_at_csv(&mut self, text: &Text<'_>, layout: &csv::Layout<'_>) -> Result<csv::Columns> {
        let learned = csv::learn(
            text.open("looking at the columns")?,
            layout,
            (CHUNK, self.threads),
            csv::Attempt {
                faults: &RefCell::new(&mut layout.options.on_error.clone()),
                is_wanted: false,
                work: Ok,
                done: |_| Ok(()),
            },
        )?;
        self.build_csv(text, layout, &learned.columns)?;
        Ok(learned.columns)
    }

    fn build_csv(&mut self, text: &Text<'_>, layout: &csv::Layout<'_>, columns: &csv::Columns) -> Result<()> {
        let encoder = self.stored.parts.encoder();
        // The thread that reads also stores, in turns.
        let refusals = RefCell::new(&mut self.refusals);
        let mut records = csv::CsvRecords::open(text.open("reading")?, layout)?;
        let spare = Spare::default();
        pipeline::run(
            self.threads,
            || records.next(CHUNK, columns, &mut refusals.borrow_mut(), &spare),
            |mut rows| {
                let chunk = columns.chunk(&mut rows)?;
                spare.give(rows);
                strict::encode(self.strict.as_ref(), &encoder, chunk)
            },
            |judged| self.stored.add_sound(judged, &mut refusals.borrow_mut()),
        )
    }
}
