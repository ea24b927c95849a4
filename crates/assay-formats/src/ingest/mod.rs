//! Decoding an uploaded file into Parquet parts: JSON, CSV, spreadsheets, Parquet and Arrow, each also
//! compressed.
//!
//! One chunk after the other is read, checked and stored, so memory is bounded whatever the size of the file. It
//! publishes nothing, and takes back what it has written when it fails.

mod cells;
mod chunk;
mod counts;
mod csv;
mod detect;
mod encoding;
mod ipc;
mod json;
mod keys;
mod parquet;
mod parts;
mod pipeline;
mod refusals;
mod rest;
mod retype;
mod sheet;
mod source;
mod stored;
mod strict;
#[cfg(test)]
mod tests;
mod typed;
mod unpack;

use std::cell::RefCell;
use std::collections::HashSet;
use std::io::Read;
use std::sync::Arc;

use assay_core::{
    Code, Error, ImportFormat, ImportTask, OnError, Part, Ragged, Rejects, Result, RunControl, TableSchema, TypeHint,
};
use object_store::ObjectStore;

pub use self::chunk::Chunk;
use self::chunk::ChunkSize;
pub use self::counts::of_what_is_left;
use self::csv::Dialect;
use self::detect::{Found, TextFound};
use self::json::{Decoder, Hints, JsonLayout, JsonRecords};
pub use self::json::{array, decode, seen_in};
use self::keys::Keys;
pub use self::keys::{ColumnFault, of_column as key_texts};
pub use self::parts::{Parts, checksum};
use self::refusals::{Refusal, Refusals};
pub use self::rest::{Kept, MAX_ATTRIBUTES, folded};
pub use self::retype::Retyping;
use self::source::Upload;
use self::stored::{Stored, columns_of};
use self::strict::Strict;
use self::typed::TypedRecords;
use self::unpack::Packing;

const CHUNK: ChunkSize = ChunkSize {
    records: 131_072,
    bytes: 32 << 20,
};

/// What was made of a file.
#[derive(Debug)]
pub struct Imported {
    pub parts: Vec<Part>,
    pub schema: TableSchema,
    pub rows: u64,
    pub shape: FileShape,
    pub warnings: Vec<String>,
    /// Why attributes have their types, as far as their values do not tell.
    pub reasons: Vec<(String, String)>,
    /// How many records were left out, the first of them, and where they all are.
    pub rejected: u64,
    pub refusals: Vec<Refusal>,
    pub rejects: Option<Rejects>,
    /// Of the upload, as it was sent.
    pub bytes_read: u64,
}

/// How a file was read.
#[derive(Debug)]
pub struct FileShape {
    pub format: ImportFormat,
    pub compression: Option<&'static str>,
    /// Of a text.
    pub encoding: Option<String>,
    /// Where in a document the records were.
    pub record_path: Option<String>,
    /// Of CSV.
    pub delimiter: Option<char>,
    /// Whether the first row of a table named its columns.
    pub header: Option<bool>,
    /// Of a spreadsheet.
    pub sheet: Option<String>,
}

impl FileShape {
    fn of(format: ImportFormat) -> Self {
        Self {
            format,
            compression: None,
            encoding: None,
            record_path: None,
            delimiter: None,
            header: None,
            sheet: None,
        }
    }
}

/// Decodes the upload of `task` into parts under its folder, with at most `threads` threads beside that which reads.
///
/// # Errors
/// Whatever is wrong with the file, with its place; `Canceled`; those of the store.
pub async fn import(
    objects: Arc<dyn ObjectStore>,
    task: &ImportTask,
    threads: usize,
    control: &RunControl,
) -> Result<Imported> {
    let task = task.clone();
    let control = control.clone();
    let decoded = tokio::task::spawn_blocking(move || {
        let strict = Strict::of(&task)?;
        let upload = Upload::new(objects.clone(), &task.upload, task.upload_bytes, control.clone());
        load(&upload, || {
            Loading::new(objects.clone(), &task, strict.clone(), threads, control.clone())
        })
    });
    decoded.await.map_err(|error| {
        // Decoders of others may trip over bytes that no writer makes.
        tracing::error!(%error, "decoding an upload panicked");
        Error::new(Code::FileDamaged, "the file is damaged: it cannot be decoded")
            .hint("write it again, and load it again")
    })?
}

fn load(upload: &Upload, begin: impl Fn() -> Loading) -> Result<Imported> {
    let loading = begin();
    refuse_hint_of_key(&loading.task)?;
    let head = upload.head(detect::HEAD)?;
    match detect::kind(&head, loading.task.format)? {
        Found::Text => decode_text(upload, &head, begin, loading),
        Found::Parquet => loading.run(upload, |loading| {
            loading.typed(parquet::open(upload, CHUNK)?, ImportFormat::Parquet)
        }),
        Found::ArrowFile => loading.run(upload, |loading| {
            loading.typed(ipc::open_file(upload, CHUNK)?, ImportFormat::Arrow)
        }),
        Found::ArrowStream => loading.run(upload, |loading| {
            loading.typed(ipc::open_stream(upload, CHUNK)?, ImportFormat::Arrow)
        }),
        Found::Office => loading.run(upload, |loading| loading.sheet(upload)),
    }
}

/// A key is what is written: read as a date or a fraction, another text could be the same key.
fn refuse_hint_of_key(task: &ImportTask) -> Result<()> {
    let hint = task.read.types.iter().find(|(name, _)| Some(name) == task.key.as_ref());
    match hint {
        Some((name, hint)) if !matches!(hint, TypeHint::Text | TypeHint::Int64) => Err(Error::new(
            Code::InvalidParameter,
            format!("the key `{name}` cannot have the type {}", hint.kind()),
        )
        .hint("keys are text or whole numbers: name `text` or `int64`, or no type")),
        _ => Ok(()),
    }
}

/// Reads a text, and once more when it turns out in the middle that it is not UTF-8 but can be another.
fn decode_text(upload: &Upload, head: &[u8], begin: impl Fn() -> Loading, loading: Loading) -> Result<Imported> {
    let named = loading.task.read.encoding.clone();
    let encoding = encoding::find(head, named.as_ref());
    let text = |encoding| Text {
        upload,
        head: encoding::preview(head, encoding),
        is_whole: (head.len() as u64) < detect::HEAD,
        encoding,
    };
    let is_other = || encoding::is_windows_1252(upload.open("looking at the encoding")?);
    // Where faulty records are left out, no wrong byte would end the load.
    let aborts = loading.task.read.on_error == OnError::Abort;
    let is_known_other = !aborts && named.is_none() && encoding == encoding_rs::UTF_8 && is_other()?;
    if !is_known_other {
        let decoded = loading.run(upload, |loading| loading.text(&text(encoding)));
        let is_fault = |error: &Error| error.code == Code::InvalidEncoding && named.is_none() && aborts;
        if !decoded.as_ref().is_err_and(is_fault) || !is_other()? {
            return decoded;
        }
    }
    begin().run(upload, |loading| {
        let name = "the file is not UTF-8: it was read as windows-1252; `encoding=` names another one";
        loading.warnings.push(name.to_owned());
        loading.text(&text(encoding::windows_1252()))
    })
}

/// The options that were said and mean nothing in a file of `format`.
fn unused(task: &ImportTask, format: ImportFormat) -> Option<String> {
    let is_csv = matches!(format, ImportFormat::Csv | ImportFormat::Tsv);
    let is_sheet = matches!(format, ImportFormat::Xlsx | ImportFormat::Xls | ImportFormat::Ods);
    let is_text = is_csv || matches!(format, ImportFormat::Json | ImportFormat::Ndjson);
    let options = &task.read;
    let said = [
        (
            "record_path",
            task.record_path.is_some() && format != ImportFormat::Json,
        ),
        ("encoding", options.encoding.is_some() && !is_text),
        ("delimiter", options.delimiter.is_some() && !is_csv),
        ("quote", options.quote.is_some() && !is_csv),
        ("comment", options.comment.is_some() && !is_csv),
        ("header", options.header.is_some() && !is_csv && !is_sheet),
        ("null", options.null.is_some() && !is_csv),
        ("decimal", options.decimal.is_some() && !is_csv),
        ("ragged", options.ragged != Ragged::Refuse && !is_csv),
        ("sheet", options.sheet.is_some() && !is_sheet),
        (
            "on_error",
            options.on_error != OnError::Abort && !is_text && !is_sheet && task.rules.is_none(),
        ),
    ];
    let names: Vec<String> = said
        .iter()
        .filter(|(_, unused)| *unused)
        .map(|(name, _)| format!("`{name}`"))
        .collect();
    (!names.is_empty()).then(|| format!("options without a meaning for this format: {}", names.join(", ")))
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

/// The parts that come of a file, while it is read.
struct Loading {
    task: ImportTask,
    threads: usize,
    stored: Stored,
    /// The rules of the data set.
    strict: Option<Strict>,
    refusals: Refusals,
    warnings: Vec<String>,
    reasons: Vec<(String, String)>,
}

impl Loading {
    fn new(
        objects: Arc<dyn ObjectStore>,
        task: &ImportTask,
        strict: Option<Strict>,
        threads: usize,
        control: RunControl,
    ) -> Self {
        Self {
            task: task.clone(),
            threads,
            strict,
            refusals: Refusals::new(task.read.on_error, objects.clone(), &task.folder),
            stored: Stored {
                kept: Kept::new(columns_of(task)),
                parts: Parts::new(objects, &task.folder, task.key.as_deref()),
                schema: TableSchema::default(),
                rows: 0,
                read: 0,
                keys: task.key.as_deref().map(Keys::new),
                control,
            },
            warnings: Vec::new(),
            reasons: Vec::new(),
        }
    }

    /// Lets `read` read the file, and takes back what it wrote when it fails.
    fn run(mut self, upload: &Upload, read: impl FnOnce(&mut Self) -> Result<FileShape>) -> Result<Imported> {
        let read = read(&mut self).and_then(|shape| {
            if self.stored.rows == 0 {
                return Err(self.no_records());
            }
            Ok((shape, self.refusals.finish()?))
        });
        let (shape, rejects) = read.inspect_err(|_| {
            self.stored.parts.delete();
            self.refusals.delete();
        })?;
        self.warnings.extend(unused(&self.task, shape.format));
        Ok(Imported {
            parts: self.stored.parts.take(),
            schema: self.stored.schema,
            rows: self.stored.rows,
            shape: FileShape {
                compression: upload.packing()?.map(Packing::as_str),
                ..shape
            },
            warnings: self.warnings,
            reasons: self.reasons,
            rejected: self.refusals.count(),
            refusals: self.refusals.told().to_vec(),
            rejects,
            bytes_read: upload.size(),
        })
    }

    fn no_records(&self) -> Error {
        match self.refusals.told().first() {
            None => Error::new(Code::NoRecords, "the file has no records").hint("load a file with at least one record"),
            Some(first) => {
                let message = format!(
                    "none of the {} records could be read; the first: {}",
                    self.refusals.count(),
                    first.reason
                );
                Error::new(Code::NoRecords, message)
                    .hint("look whether the options suit the file")
                    .at(first.line, None)
            }
        }
    }

    fn text(&mut self, text: &Text<'_>) -> Result<FileShape> {
        let shape = match detect::text(&text.head, self.task.format, self.task.record_path.is_some())? {
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
        };
        let encoder = self.stored.parts.encoder();
        let mut records = JsonRecords::new(reader, layout);
        let mut twice = Vec::new();
        pipeline::run(
            self.threads,
            || records.next(CHUNK, &decoder, &mut self.refusals),
            |texts| {
                let (chunk, twice) = decoder.chunk(&texts)?;
                drop(texts);
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

    /// A CSV file is read twice: whether a column holds numbers is known only at its end.
    fn csv(&mut self, text: &Text<'_>) -> Result<FileShape> {
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
        let columns = csv::infer(text.open("looking at the columns")?, &layout, CHUNK, self.threads)?;
        let encoder = self.stored.parts.encoder();
        // The thread that reads also stores, in turns.
        let refusals = RefCell::new(&mut self.refusals);
        let mut records = csv::CsvRecords::open(text.open("reading")?, &layout)?;
        pipeline::run(
            self.threads,
            || records.next(CHUNK, &columns, &mut refusals.borrow_mut()),
            |mut rows| strict::encode(self.strict.as_ref(), &encoder, columns.chunk(&mut rows)?),
            |judged| self.stored.add_sound(judged, &mut refusals.borrow_mut()),
        )?;
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
