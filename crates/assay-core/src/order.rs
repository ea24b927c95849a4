//! What crosses the border to an engine process: an order there, a completion back.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Attribute, Author, Column, Commit, CommitMode, CompactTask, DatasetName, Error, Format, HistoryTable, Limits,
    LivePart, ObjectsAccess, Part, Piece, Progress, ReadOptions, ResultData, RetypeTask, Rules, Seen, Snapshot,
    StoredResult, TableSchema, TypeHint, Usage, Version,
};

/// A table that an order reads, under the name by which its SQL or parameters call it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Input {
    pub name: String,
    pub schema: TableSchema,
    pub rows: u64,
    /// The attribute that identifies a row, when there is one.
    pub key: Option<String>,
    /// It holds not all the rows there were, so what is computed of it is not about all of them.
    pub truncated: bool,
    pub source: InputSource,
    /// Types that its columns have by declaration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub declared: Vec<(String, TypeHint)>,
}

/// Where the rows of an input are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputSource {
    /// In the parts of a data set, and beside them.
    Dataset {
        parts: Vec<LivePart>,
        /// The JSON texts of records that are in no part.
        #[serde(default)]
        hot: Vec<String>,
    },
    /// In the answer of a job: an Arrow stream.
    Answer(ResultData),
    /// In lines, one JSON array of values per row: a table of the history.
    Lines(ResultData),
}

impl Input {
    /// What the answer of a job is called as an input.
    pub const ANSWER: &'static str = "input";

    /// The answer of a job.
    #[must_use]
    pub fn answer(result: StoredResult) -> Self {
        let StoredResult {
            set,
            rows_json: _,
            data,
        } = result;
        let attribute = |column: Column| Attribute {
            name: column.name,
            kind: column.kind,
            seen: Seen::default(),
        };
        Self {
            name: Self::ANSWER.to_owned(),
            schema: TableSchema {
                attributes: set.columns.into_iter().map(attribute).collect(),
                ..TableSchema::default()
            },
            rows: set.rows,
            key: None,
            truncated: set.truncated,
            source: InputSource::Answer(data),
            declared: Vec::new(),
        }
    }

    /// A table of the history; `data` holds its lines.
    #[must_use]
    pub fn history(table: HistoryTable, rows: u64, truncated: bool, data: ResultData) -> Self {
        Self {
            name: table.as_str().to_owned(),
            schema: table.schema(),
            rows,
            key: None,
            truncated,
            source: InputSource::Lines(data),
            declared: Vec::new(),
        }
    }

    /// A table of the history without rows, for finding out whether a query could start.
    #[must_use]
    pub fn empty_history(table: HistoryTable) -> Self {
        Self::history(table, 0, false, ResultData::Inline(Vec::new()))
    }

    /// What it is and is called, for messages.
    #[must_use]
    pub fn described(&self) -> String {
        match self.source {
            InputSource::Dataset { .. } => format!("data set `{}`", self.name),
            InputSource::Answer(_) => "the answer that is the input".to_owned(),
            InputSource::Lines(_) => format!("table `{}`", self.name),
        }
    }
}

impl From<Snapshot> for Input {
    fn from(snapshot: Snapshot) -> Self {
        let Snapshot {
            name,
            key,
            version: _,
            schema,
            parts,
            hot,
            rows,
            bytes: _,
            created_at: _,
            written_by: _,
            declared,
        } = snapshot;
        Self {
            name: name.into(),
            schema,
            rows,
            key,
            truncated: false,
            declared,
            source: InputSource::Dataset {
                parts,
                hot: hot.into_iter().map(|record| record.json).collect(),
            },
        }
    }
}

/// Work for an engine process, complete in itself: the process sees neither catalog nor queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// Where in the object store this attempt may write, e.g. `results/job_…/7`.
    pub scratch: String,
    pub task: Task,
    pub limits: Limits,
    /// How many threads the order may keep busy.
    pub threads: usize,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Finds out whether the analysis could start: names, types, SQL. Runs nothing.
    Check {
        analysis: String,
        params: Value,
        inputs: Vec<Input>,
        known_datasets: Vec<String>,
    },
    /// Runs an analysis and stores its answer.
    Analyze {
        analysis: String,
        params: Value,
        inputs: Vec<Input>,
        known_datasets: Vec<String>,
    },
    /// Decodes uploaded files into parts.
    Import(Box<ImportTask>),
    /// Reads a page of records as they are, in `format`.
    Records(Box<RecordsTask>),
    /// Counts records.
    Count(Box<CountTask>),
    /// Finds the attributes of a data set, those of its hot records among them.
    Schema(Box<Input>),
    /// Makes fewer parts of many and of hot records.
    Compact(Box<CompactTask>),
    /// Writes records anew with other types.
    Retype(Box<RetypeTask>),
    /// Gives a stored answer out in another format.
    Export {
        data: ResultData,
        format: Format,
        offset: u64,
        limit: Option<u64>,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImportTask {
    /// What is loaded, in this order.
    pub files: Vec<ImportFile>,
    pub dataset: DatasetName,
    pub key: Option<String>,
    pub mode: CommitMode,
    /// Found from the bytes when absent.
    pub format: Option<ImportFormat>,
    /// JSON pointer to the records inside one JSON document; found by itself when absent.
    pub record_path: Option<String>,
    #[serde(default)]
    pub read: ReadOptions,
    /// What the version is to say of itself.
    #[serde(default)]
    pub author: Author,
    /// Where the parts go, e.g. `datasets/genes`.
    pub folder: String,
    /// The attributes that the data set has already, if it keeps its records.
    #[serde(default)]
    pub attributes: Vec<String>,
    /// What every record must be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<Rules>,
    /// The version that set these rules; 0 when none did.
    pub ruled: Version,
}

/// An uploaded file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportFile {
    /// What messages call it; absent when it is the only one and has no name.
    pub name: Option<String>,
    /// The objects that hold its bytes, one behind the other.
    pub pieces: Vec<Piece>,
}

impl ImportFile {
    /// A file in one object.
    #[must_use]
    pub fn of_object(path: String, bytes: u64) -> Self {
        Self {
            name: None,
            pieces: vec![Piece { path, bytes }],
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImportFormat {
    Ndjson,
    Json,
    Csv,
    Tsv,
    Parquet,
    Arrow,
    /// A spreadsheet of Excel, now and of old,
    Xlsx,
    Xls,
    /// and of OpenDocument.
    Ods,
}

/// A page of records. Filters, order and cursor are plain data: the engine builds the plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecordsTask {
    pub input: Input,
    /// Attributes to give; empty means all.
    pub select: Vec<String>,
    pub filters: Vec<RecordFilter>,
    /// A condition in SQL beside the filters.
    #[serde(default)]
    pub condition: Option<String>,
    /// Attribute and whether it descends.
    pub order: Vec<(String, bool)>,
    pub offset: u64,
    pub limit: u64,
    pub format: Format,
}

/// Records to be counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CountTask {
    pub input: Input,
    pub filters: Vec<RecordFilter>,
    /// A condition in SQL beside the filters.
    pub condition: Option<String>,
    /// Attributes whose values are counted.
    pub facets: Vec<String>,
}

/// What came of a [`CountTask`].
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Counted {
    pub rows: u64,
    pub facets: Vec<Facet>,
}

/// The commonest values of an attribute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Facet {
    pub attribute: String,
    pub values: Vec<FacetValue>,
    /// There are other values.
    pub more: bool,
}

/// A value, and how many records have it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FacetValue {
    pub value: Value,
    pub count: u64,
}

/// `attribute=op.value`, after PostgREST: `eq neq gt gte lt lte like ilike in is` and their `not.` forms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordFilter {
    pub attribute: String,
    pub negated: bool,
    pub operator: String,
    /// The text after the operator.
    pub value: String,
}

/// Frames to an engine process.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineMessage {
    /// Comes first and once: where the objects lie that orders are about.
    Open(ObjectsAccess),
    Run(Box<Order>),
    /// Stop the running order; it answers with `Failed`, code `canceled`.
    Cancel,
}

/// Frames from an engine process. Each order is answered by any number of `Progress` and then one of the other two.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineReply {
    /// Sent once, when the process has started.
    Ready,
    Progress(Progress),
    Completed(Box<Completion>),
    Failed(Error),
}

/// What came of an order.
#[expect(
    clippy::large_enum_variant,
    reason = "one exists for each order, and it is moved a few times"
)]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Completion {
    /// Of a check.
    Checked,
    /// Of an analysis or an import; an import brings the commit to publish.
    Stored {
        result: StoredResult,
        commit: Option<Commit>,
        usage: Usage,
    },
    Schema(TableSchema),
    Counted(Counted),
    /// The new parts, see [`Compacted`](crate::Compacted).
    Compacted {
        parts: Vec<Part>,
    },
    /// Of records and exports: the encoded bytes, and how many rows they hold.
    Encoded {
        data: ResultData,
        rows: u64,
    },
}
