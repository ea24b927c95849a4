-- Version 5: data sets have a description and rules, and keep what their loads put aside.

ALTER TABLE dataset ADD COLUMN description TEXT;
ALTER TABLE dataset ADD COLUMN ruled INTEGER NOT NULL DEFAULT 0; -- the newest version that set the rules

-- What records must be; no row stands for no rules.
CREATE TABLE dataset_rules (
    dataset TEXT NOT NULL, -- dataset.folded
    version INTEGER NOT NULL, -- valid from here on
    rules   TEXT, -- JSON; NULL when there are none from here on
    PRIMARY KEY (dataset, version)
) STRICT, WITHOUT ROWID;

-- Records that the load of a version put aside: an object of JSON lines.
CREATE TABLE dataset_reject (
    dataset TEXT NOT NULL, -- dataset.folded
    version INTEGER NOT NULL,
    job     TEXT,
    path    TEXT NOT NULL,
    count   INTEGER NOT NULL,
    PRIMARY KEY (dataset, version)
) STRICT, WITHOUT ROWID;
