-- Version 1 of the embedded store. Never edited once released: a change of format is a further file.
-- Times are milliseconds since 1970-01-01T00:00:00Z. Columns that hold JSON say so.

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE job (
    -- Order of submission: the age by which jobs of one priority are claimed.
    seq              INTEGER PRIMARY KEY,
    id               TEXT NOT NULL UNIQUE,
    analysis         TEXT NOT NULL,
    priority         INTEGER NOT NULL,
    -- JSON of what never changes: params, inputs, limits, retry, tags, upload.
    spec             TEXT NOT NULL,
    state            TEXT NOT NULL,
    cancel_requested INTEGER NOT NULL,
    revision         INTEGER NOT NULL,
    attempt          INTEGER NOT NULL,
    progress         TEXT NOT NULL, -- JSON
    submitted_at     INTEGER NOT NULL,
    run_at           INTEGER,
    started_at       INTEGER,
    finished_at      INTEGER,
    error            TEXT, -- JSON
    wrote_name       TEXT,
    wrote_version    INTEGER,
    usage            TEXT NOT NULL -- JSON
) STRICT;
CREATE INDEX job_state ON job (state, id);
CREATE INDEX job_analysis ON job (analysis, id);
CREATE INDEX job_live ON job (seq) WHERE state IN ('scheduled', 'queued', 'running');

-- Which jobs read or wrote a data set; names are folded.
CREATE TABLE job_dataset (
    dataset TEXT NOT NULL,
    job     TEXT NOT NULL,
    PRIMARY KEY (dataset, job)
) STRICT, WITHOUT ROWID;

-- The fence is unique, the number is not: a released attempt gives its number back.
CREATE TABLE attempt (
    job        TEXT NOT NULL,
    fence      INTEGER NOT NULL,
    number     INTEGER NOT NULL,
    worker     TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at   INTEGER,
    outcome    TEXT,
    error      TEXT, -- JSON
    usage      TEXT NOT NULL, -- JSON
    PRIMARY KEY (job, fence)
) STRICT, WITHOUT ROWID;

-- Answers of succeeded jobs. What a list needs stands before what can be long, so that a list never reads the rest.
CREATE TABLE result (
    job       INTEGER PRIMARY KEY, -- job.seq
    set_json  TEXT NOT NULL,
    path      TEXT,
    checksum  TEXT,
    rows_json TEXT,
    data      BLOB
) STRICT;

CREATE TABLE idempotency (
    key         TEXT PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    job         TEXT NOT NULL,
    at          INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_at ON idempotency (at);

-- Either a change of state (state, cancel_requested) or of progress.
CREATE TABLE event (
    id               INTEGER PRIMARY KEY,
    job              TEXT NOT NULL,
    at               INTEGER NOT NULL,
    revision         INTEGER NOT NULL,
    state            TEXT,
    cancel_requested INTEGER,
    progress         TEXT -- JSON
) STRICT;
CREATE INDEX event_job ON event (job, id);

CREATE TABLE dataset (
    folded     TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    key        TEXT,
    version    INTEGER NOT NULL,
    rows       INTEGER NOT NULL,
    bytes      INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE dataset_version (
    dataset    TEXT NOT NULL, -- dataset.folded
    version    INTEGER NOT NULL,
    name       TEXT NOT NULL,
    key        TEXT,
    schema     TEXT NOT NULL, -- JSON
    rows       INTEGER NOT NULL,
    bytes      INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    written_by TEXT NOT NULL,
    PRIMARY KEY (dataset, version)
) STRICT, WITHOUT ROWID;

-- A part belongs to the versions from `added` to the one before `removed`: appending many times stays linear.
CREATE TABLE dataset_part (
    id       INTEGER PRIMARY KEY,
    dataset  TEXT NOT NULL,
    added    INTEGER NOT NULL,
    removed  INTEGER,
    path     TEXT NOT NULL,
    rows     INTEGER NOT NULL,
    bytes    INTEGER NOT NULL,
    checksum TEXT NOT NULL,
    schema   TEXT NOT NULL -- JSON
) STRICT;
CREATE INDEX dataset_part_dataset ON dataset_part (dataset, id);
