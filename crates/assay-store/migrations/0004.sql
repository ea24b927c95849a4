-- Version 4: records are written one by one, versions tell how they came about, and old ones go.

ALTER TABLE dataset ADD COLUMN layout INTEGER NOT NULL DEFAULT 0; -- the newest version that changed the parts
ALTER TABLE dataset ADD COLUMN oldest INTEGER NOT NULL DEFAULT 1; -- the oldest version that is kept
ALTER TABLE dataset ADD COLUMN hot_rows INTEGER NOT NULL DEFAULT 0; -- records in no part
ALTER TABLE dataset ADD COLUMN hot_bytes INTEGER NOT NULL DEFAULT 0;
UPDATE dataset SET layout = version;

-- Where the numbers of a removed data set go on, should there be one of the name again.
CREATE TABLE dataset_removed (
    folded  TEXT PRIMARY KEY,
    version INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

ALTER TABLE dataset_part ADD COLUMN born INTEGER NOT NULL DEFAULT 0; -- the first version that had it
ALTER TABLE dataset_part ADD COLUMN deleted INTEGER NOT NULL DEFAULT 0; -- rows, as of the newest version
ALTER TABLE dataset_part ADD COLUMN index_bytes INTEGER; -- of the index of keys
ALTER TABLE dataset_part ADD COLUMN index_checksum TEXT;
UPDATE dataset_part SET born = added;
CREATE INDEX dataset_part_live ON dataset_part (dataset, id) WHERE removed IS NULL;
CREATE INDEX dataset_part_path ON dataset_part (path);

-- The types of the parts change with the parts only.
CREATE TABLE dataset_schema (
    dataset TEXT NOT NULL, -- dataset.folded
    version INTEGER NOT NULL, -- valid from here on
    schema  TEXT NOT NULL, -- JSON
    PRIMARY KEY (dataset, version)
) STRICT, WITHOUT ROWID;
INSERT INTO dataset_schema (dataset, version, schema) SELECT dataset, version, schema FROM dataset_version;

ALTER TABLE dataset_version RENAME TO dataset_version_3;
CREATE TABLE dataset_version (
    dataset    TEXT NOT NULL, -- dataset.folded
    version    INTEGER NOT NULL,
    name       TEXT NOT NULL,
    key        TEXT,
    rows       INTEGER NOT NULL,
    bytes      INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    operation  TEXT NOT NULL,
    created    INTEGER NOT NULL,
    replaced   INTEGER NOT NULL,
    deleted    INTEGER NOT NULL,
    job        TEXT,
    author     TEXT,
    message    TEXT,
    PRIMARY KEY (dataset, version)
) STRICT, WITHOUT ROWID;
INSERT INTO dataset_version (dataset, version, name, key, rows, bytes, created_at, operation, created, replaced, deleted, job)
    SELECT old.dataset, old.version, old.name, old.key, old.rows, old.bytes, old.created_at,
        CASE WHEN EXISTS (SELECT 1 FROM dataset_part AS part
                          WHERE part.dataset = old.dataset AND part.added < old.version
                            AND (part.removed IS NULL OR part.removed > old.version))
             THEN 'append' ELSE 'replace' END,
        (SELECT coalesce(sum(part.rows), 0) FROM dataset_part AS part
         WHERE part.dataset = old.dataset AND part.added = old.version),
        0,
        (SELECT coalesce(sum(part.rows), 0) FROM dataset_part AS part
         WHERE part.dataset = old.dataset AND part.removed = old.version),
        old.written_by
    FROM dataset_version_3 AS old;
DROP TABLE dataset_version_3;
CREATE INDEX dataset_version_time ON dataset_version (dataset, created_at);

-- Records that no part holds, in the versions from `added` to the one before `removed`.
CREATE TABLE record (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    dataset TEXT NOT NULL, -- dataset.folded
    key     TEXT,
    added   INTEGER NOT NULL,
    removed INTEGER,
    written INTEGER NOT NULL, -- the version that wrote it first
    json    TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX record_live ON record (dataset, key) WHERE removed IS NULL AND key IS NOT NULL;
CREATE INDEX record_hot ON record (dataset, id) WHERE removed IS NULL;
CREATE INDEX record_added ON record (dataset, added);
CREATE INDEX record_removed ON record (dataset, removed) WHERE removed IS NOT NULL;
CREATE INDEX record_key ON record (dataset, key, added);

-- Keys under which a version left nothing.
CREATE TABLE record_deletion (
    dataset TEXT NOT NULL,
    version INTEGER NOT NULL,
    key     TEXT NOT NULL,
    PRIMARY KEY (dataset, version, key)
) STRICT, WITHOUT ROWID;

-- Deleted rows of a part: those of the newest whole set up to a version, and of what was added since.
CREATE TABLE part_deletion (
    part    INTEGER NOT NULL, -- dataset_part.id
    version INTEGER NOT NULL,
    whole   INTEGER NOT NULL,
    rows    BLOB NOT NULL, -- a Roaring bitmap in the portable format
    PRIMARY KEY (part, version)
) STRICT, WITHOUT ROWID;
