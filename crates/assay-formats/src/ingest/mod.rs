//! Decoding uploaded files into Parquet parts: JSON, CSV, spreadsheets, Parquet and Arrow, each also
//! compressed.
//!
//! One chunk after the other is read, checked and stored, so memory is bounded whatever the size of the file. It
//! publishes nothing, and takes back what it has written when it fails.

mod cells;
mod chunk;
mod counts;
mod csv;
mod csv_file;
mod detect;
mod encoding;
mod imported;
mod ipc;
mod json;
mod keys;
mod layout;
mod meter;
mod options;
mod parquet;
mod parts;
mod pipeline;
mod refusals;
mod rest;
mod retype;
mod sheet;
mod source;
mod spare;
mod stored;
mod strict;
#[cfg(test)]
mod tests;
mod typed;
mod unpack;

use std::collections::HashSet;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use assay_core::{Code, Error, ImportFormat, ImportTask, OnError, Result, RunControl, TypeHint};
use object_store::ObjectStore;

pub use self::chunk::Chunk;
use self::chunk::ChunkSize;
pub use self::counts::of_what_is_left;
use self::detect::{Found, TextFound};
pub use self::imported::{FileShape, Imported, LoadedFile};
use self::json::{Decoder, Hints, JsonLayout, JsonRecords};
pub use self::json::{array, decode, seen_in};
pub use self::keys::{ColumnFault, of_column as key_texts};
use self::meter::Meter;
pub use self::parts::{Parts, checksum};
pub use self::refusals::Refusal;
use self::refusals::Refusals;
pub use self::rest::{Kept, MAX_ATTRIBUTES, folded};
pub use self::retype::Retyping;
use self::source::Upload;
use self::spare::Spare;
use self::stored::Stored;
use self::strict::Strict;
use self::typed::TypedRecords;
use self::unpack::Packing;

const CHUNK: ChunkSize = ChunkSize {
    records: 131_072,
    bytes: 32 << 20,
};

/// Decodes the uploads of `task` into parts under its folder, all of them or none, with at most `threads` threads beside
/// that which reads.
///
/// # Errors
/// Whatever is wrong with a file, with its place; `Canceled`; those of the store.
pub async fn import(
    objects: Arc<dyn ObjectStore>,
    task: &ImportTask,
    threads: usize,
    control: &RunControl,
) -> Result<Imported> {
    let task = task.clone();
    let meter = Meter::new(&task.files, control.clone());
    let decoded = tokio::task::spawn_blocking(move || {
        let strict = Strict::of(&task)?;
        let uploads = source::of_files(&objects, &task.files, &meter);
        load(&uploads, |guess| {
            Loading::new(objects.clone(), &task, strict.clone(), threads, guess, meter.clone())
        })
    });
    decoded.await.map_err(|error| {
        // Decoders of others may trip over bytes that no writer makes.
        tracing::error!(%error, "decoding an upload panicked");
        Error::new(Code::FileDamaged, "the file is damaged: it cannot be decoded")
            .hint("write it again, and load it again")
    })?
}

/// How the encoding of a text is found that names none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Guess {
    /// From its beginning. It may turn out in the middle that it is another.
    Head,
    /// From all of it. Where faulty records are left out no wrong byte would end the load, and of several files none is
    /// read twice for the sake of another.
    Whole,
    /// It is Windows-1252, as was seen.
    Windows1252,
}

/// Reads the files, and a single one once more when it turns out in the middle that it is not UTF-8 but can be another.
fn load(uploads: &[Upload], begin: impl Fn(Guess) -> Loading) -> Result<Imported> {
    let mut loading = begin(Guess::Head);
    options::refuse_hint_of_key(&loading.task)?;
    if uploads.len() > 1 || loading.task.read.on_error != OnError::Abort {
        loading.guess = Guess::Whole;
    }
    let is_guess = loading.guess == Guess::Head && loading.task.read.encoding.is_none();
    let loaded = loading.run(uploads);
    match (&loaded, uploads) {
        (Err(error), [upload]) if is_guess && error.code == Code::InvalidEncoding && is_other(upload)? => {
            begin(Guess::Windows1252).run(uploads)
        }
        _ => loaded,
    }
}

fn is_other(upload: &Upload) -> Result<bool> {
    encoding::is_windows_1252(upload.open("looking at the encoding")?)
}

/// The error with the name of the file where it was met. Faults that lie in no file stay as they are.
fn in_file(mut error: Error, name: Option<&str>) -> Error {
    if let Some(name) = name.filter(|_| error.code.is_fault_of_request()) {
        error.message = format!("`{name}`: {}", error.message);
        for detail in &mut error.errors {
            detail.message = format!("`{name}`: {}", detail.message);
        }
    }
    error
}

/// A text to be read, which may happen several times.
struct Text<'u> {
    upload: &'u Upload,
    /// Its beginning as UTF-8.
    head: Vec<u8>,
    /// Nothing comes behind it.
    is_whole: bool,
    encoding: &'static encoding_rs::Encoding,
}

impl Text<'_> {
    fn open(&self, stage: &'static str) -> Result<Box<dyn Read + Send>> {
        encoding::open(self.upload.open(stage)?, self.encoding)
    }
}

/// The parts that come of the files, while they are read.
struct Loading {
    task: ImportTask,
    threads: usize,
    guess: Guess,
    stored: Stored,
    /// The rules of the data set.
    strict: Option<Strict>,
    refusals: Refusals,
    warnings: Vec<String>,
    reasons: Vec<(String, String)>,
    meter: Meter,
}

impl Loading {
    fn new(
        objects: Arc<dyn ObjectStore>,
        task: &ImportTask,
        strict: Option<Strict>,
        threads: usize,
        guess: Guess,
        meter: Meter,
    ) -> Self {
        meter.begin();
        Self {
            task: task.clone(),
            threads,
            guess,
            strict,
            refusals: Refusals::new(task.read.on_error, objects.clone(), &task.folder),
            stored: Stored::new(objects, task, meter.clone()),
            warnings: Vec::new(),
            reasons: Vec::new(),
            meter,
        }
    }

    /// Reads the files one after the other, and takes back what was written when one of them fails.
    fn run(mut self, uploads: &[Upload]) -> Result<Imported> {
        let read = uploads
            .iter()
            .map(|upload| self.file(upload).map_err(|error| in_file(error, upload.name())))
            .collect::<Result<Vec<_>>>();
        let read = read.and_then(|files| Ok((files, self.refusals.finish()?, self.stored.parts.take()?)));
        let (files, rejects, parts) = read.inspect_err(|_| {
            self.stored.parts.delete();
            self.refusals.delete();
        })?;
        Ok(Imported {
            parts,
            schema: self.stored.schema,
            rows: self.stored.rows,
            files,
            warnings: self.warnings,
            reasons: self.reasons,
            rejected: self.refusals.count(),
            refusals: self.refusals.told().to_vec(),
            rejects,
            bytes_read: uploads.iter().map(Upload::size).sum(),
        })
    }

    fn file(&mut self, upload: &Upload) -> Result<LoadedFile> {
        self.stored.begin_file();
        let (warned, rejected, told) = (self.warnings.len(), self.refusals.count(), self.refusals.told().len());
        self.refusals.enter(upload.name());
        let shape = self.read(upload)?;
        let rows = self.stored.rows_of_file();
        if rows == 0 {
            return Err(refusals::no_records(
                self.refusals.count() - rejected,
                self.refusals.told().get(told),
            ));
        }
        self.warnings.extend(options::unused(&self.task, shape.format));
        if let Some(name) = upload.name() {
            for warning in &mut self.warnings[warned..] {
                *warning = format!("`{name}`: {warning}");
            }
        }
        self.meter.leave(upload.size());
        Ok(LoadedFile {
            name: upload.name().map(ToOwned::to_owned),
            bytes: upload.size(),
            rows,
            rejected: self.refusals.count() - rejected,
            shape: FileShape {
                compression: upload.packing()?.map(Packing::as_str),
                ..shape
            },
        })
    }

    fn read(&mut self, upload: &Upload) -> Result<FileShape> {
        let head = upload.head(detect::HEAD)?;
        match detect::kind(&head, self.task.format)? {
            Found::Text => self.any_text(upload, &head),
            Found::Parquet => self.typed(parquet::open(upload, CHUNK)?, ImportFormat::Parquet),
            Found::ArrowFile => self.typed(ipc::open_file(upload, CHUNK)?, ImportFormat::Arrow),
            Found::ArrowStream => self.typed(ipc::open_stream(upload, CHUNK)?, ImportFormat::Arrow),
            Found::Office => self.sheet(upload),
        }
    }

    fn any_text(&mut self, upload: &Upload, head: &[u8]) -> Result<FileShape> {
        let named = self.task.read.encoding.clone();
        let mut encoding = encoding::find(head, named.as_ref());
        let is_windows_1252 = match self.guess {
            Guess::Windows1252 => true,
            Guess::Whole => named.is_none() && encoding == encoding_rs::UTF_8 && is_other(upload)?,
            Guess::Head => false,
        };
        if is_windows_1252 {
            let warning = "the file is not UTF-8: it was read as windows-1252; `encoding=` names another one";
            self.warnings.push(warning.to_owned());
            encoding = encoding::windows_1252();
        }
        self.text(&Text {
            upload,
            head: encoding::preview(head, encoding),
            is_whole: (head.len() as u64) < detect::HEAD,
            encoding,
        })
    }

    fn text(&mut self, text: &Text<'_>) -> Result<FileShape> {
        let mut found = detect::text(&text.head, self.task.format, self.task.record_path.is_some())?;
        let is_guess = self.task.format.is_none() && self.task.record_path.is_none() && !text.is_whole;
        if matches!(found, TextFound::Document)
            && is_guess
            && detect::is_one_line(&text.head)
            && json::are_lines(text.open("looking for a second record")?)
        {
            found = TextFound::Json(JsonLayout::Lines);
        }
        let shape = match found {
            TextFound::Json(layout) => {
                let format = match layout {
                    JsonLayout::Lines => ImportFormat::Ndjson,
                    _ => ImportFormat::Json,
                };
                self.json(text.open("reading")?, layout)?;
                FileShape::of(format)
            }
            TextFound::Document => {
                let path = self.task.record_path.as_deref();
                let place = json::locate(text.open("looking for the records")?, path)?;
                let pointer = place.pointer();
                self.json(text.open("reading")?, JsonLayout::Document(place))?;
                FileShape {
                    record_path: Some(pointer),
                    ..FileShape::of(ImportFormat::Json)
                }
            }
            TextFound::Csv => self.csv(text)?,
        };
        Ok(FileShape {
            encoding: Some(encoding::name(text.encoding)),
            ..shape
        })
    }

    fn json(&mut self, reader: impl Read, layout: JsonLayout) -> Result<()> {
        let types = self.task.read.types.clone();
        let declared = self.declared();
        let decoder = Decoder {
            key: self.task.key.as_deref(),
            hints: Hints::new(&types, &declared),
            kept: self.stored.kept.clone(),
            checker: self.strict.as_ref().map(|strict| &*strict.checker),
            are_flat: AtomicBool::new(true),
        };
        let encoder = self.stored.parts.encoder();
        let mut records = JsonRecords::new(reader, layout);
        let mut twice = Vec::new();
        let spare = Spare::default();
        pipeline::run(
            self.threads,
            || records.next(CHUNK, &decoder, &mut self.refusals, &spare),
            |texts| {
                let (chunk, twice) = decoder.chunk(&texts)?;
                spare.give(texts);
                Ok((encoder.encode(chunk)?, twice))
            },
            |(encoded, members)| {
                twice.extend(members);
                self.stored.add(encoded)
            },
        )?;
        self.warnings.extend(records.left_out());
        self.warn_of_double_members(twice);
        if self.stored.rows > 0 {
            let attributes = self.stored.schema.attributes.iter();
            let known: Vec<String> = attributes.map(|attribute| attribute.name.clone()).collect();
            csv::refuse_unknown_hints(&types, &known)?;
        }
        let named = |(name, _): (String, TypeHint)| (name, "named in `types`".to_owned());
        self.reasons.extend(types.into_iter().map(named));
        let declared = declared
            .into_iter()
            .map(|(name, _)| (name, "declared for the data set".to_owned()));
        self.reasons.extend(declared);
        Ok(())
    }

    /// The types that are declared for the data set.
    fn declared(&self) -> Vec<(String, TypeHint)> {
        self.strict
            .as_ref()
            .map_or_else(Vec::new, |strict| strict.declared.clone())
    }

    fn warn_of_double_members(&mut self, mut names: Vec<String>) {
        let mut known = HashSet::new();
        names.retain(|name| known.insert(name.clone()));
        let warning = |name| format!("member `{name}` came twice in a record: the later value was kept");
        self.warnings.extend(names.into_iter().map(warning));
    }

    fn typed(&mut self, mut records: TypedRecords, format: ImportFormat) -> Result<FileShape> {
        if !self.task.read.types.is_empty() {
            return Err(Error::new(
                Code::InvalidParameter,
                "the file has types of its own, so `types` cannot name others",
            )
            .hint("leave `types` out, and cast in SQL"));
        }
        let encoder = self.stored.parts.encoder();
        pipeline::run(
            self.threads,
            || records.next_chunk(),
            |chunk| strict::encode(self.strict.as_ref(), &encoder, chunk),
            |judged| self.stored.add_sound(judged, &mut self.refusals),
        )?;
        self.warnings.extend(records.into_warnings());
        Ok(FileShape::of(format))
    }

    /// A spreadsheet becomes lines of JSON, whose kinds are found as ever.
    fn sheet(&mut self, upload: &Upload) -> Result<FileShape> {
        let options = &self.task.read;
        let opened = sheet::open(upload, options.sheet.as_deref(), options.header)?;
        let sheet::Sheet {
            format,
            name,
            header,
            warnings,
            lines,
        } = opened;
        self.warnings.extend(warnings);
        self.json(lines, JsonLayout::Lines)?;
        Ok(FileShape {
            header: Some(header),
            sheet: Some(name),
            ..FileShape::of(format)
        })
    }
}
