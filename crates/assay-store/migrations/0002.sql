-- Version 2: owners, shared runs, dependencies, deadlines, retention, hooks and notices, schedules.

ALTER TABLE job ADD COLUMN owner TEXT NOT NULL DEFAULT 'local';
-- The digest under which identical jobs share a run; absent when the job has one of its own.
ALTER TABLE job ADD COLUMN share_key TEXT;
-- The job whose run answers, or answered, this one.
ALTER TABLE job ADD COLUMN shares TEXT;
-- When the answer is removed; absent before the end, and once it was removed.
ALTER TABLE job ADD COLUMN expires_at INTEGER;
-- When the whole record is removed.
ALTER TABLE job ADD COLUMN forget_at INTEGER;
CREATE INDEX job_owner ON job (owner, id);
CREATE INDEX job_share ON job (share_key, seq) WHERE share_key IS NOT NULL;
CREATE INDEX job_expires ON job (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX job_forget ON job (forget_at) WHERE forget_at IS NOT NULL;
UPDATE job SET expires_at = finished_at + 604800000, forget_at = finished_at + 2592000000
    WHERE state IN ('succeeded', 'failed', 'canceled');

-- The owner of the job.
ALTER TABLE event ADD COLUMN owner TEXT NOT NULL DEFAULT 'local';

CREATE TABLE job_tag (
    name  TEXT NOT NULL,
    value TEXT NOT NULL,
    job   TEXT NOT NULL,
    PRIMARY KEY (name, value, job)
) STRICT, WITHOUT ROWID;
CREATE INDEX job_tag_job ON job_tag (job);
INSERT INTO job_tag (name, value, job)
    SELECT tag.key, tag.value, job.id FROM job, json_each(job.spec, '$.tags') AS tag;

CREATE INDEX job_dataset_job ON job_dataset (job);

-- Bytes an answer takes, here or in the object store; the bound on all of them together needs it.
ALTER TABLE result ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
UPDATE result SET bytes = coalesce(length(data), 0) + coalesce(length(rows_json), 0)
    + CASE WHEN path IS NULL THEN 0 ELSE coalesce(json_extract(set_json, '$.bytes'), 0) END;
-- Answers of shared runs lie at one path.
CREATE INDEX result_bytes ON result (bytes);
CREATE INDEX result_path ON result (path) WHERE path IS NOT NULL;

-- Jobs that a waiting job still waits for; a row goes when the parent ends.
CREATE TABLE dependency (
    parent TEXT NOT NULL,
    child  TEXT NOT NULL,
    PRIMARY KEY (parent, child)
) STRICT, WITHOUT ROWID;
CREATE INDEX dependency_child ON dependency (child);

-- Held by unfinished jobs only.
CREATE TABLE unique_key (
    owner TEXT NOT NULL,
    key   TEXT NOT NULL,
    job   TEXT NOT NULL,
    PRIMARY KEY (owner, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX unique_key_job ON unique_key (job);

CREATE TABLE share_limits (
    user        TEXT PRIMARY KEY,
    weight      INTEGER NOT NULL,
    max_running INTEGER NOT NULL,
    max_waiting INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE pause (
    analysis TEXT PRIMARY KEY, -- '' for all
    since    INTEGER NOT NULL,
    reason   TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE hook (
    id          TEXT PRIMARY KEY,
    owner       TEXT NOT NULL,
    url         TEXT NOT NULL,
    format      TEXT NOT NULL,
    secrets     TEXT NOT NULL, -- JSON
    states      TEXT NOT NULL, -- JSON
    analysis    TEXT,
    description TEXT NOT NULL,
    disabled    TEXT,
    created_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE signing_secret (
    user    TEXT PRIMARY KEY,
    secrets TEXT NOT NULL -- JSON
) STRICT, WITHOUT ROWID;

-- The outbox. `next_at` is absent when the notice has arrived or was given up; event and job are in a test of a hook.
CREATE TABLE delivery (
    id         INTEGER PRIMARY KEY,
    event      INTEGER,
    job        TEXT,
    owner      TEXT NOT NULL,
    hook       TEXT,
    target     TEXT, -- JSON
    state      TEXT NOT NULL,
    next_at    INTEGER,
    tries      INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    log        TEXT NOT NULL -- JSON
) STRICT;
CREATE INDEX delivery_due ON delivery (next_at) WHERE next_at IS NOT NULL;
CREATE INDEX delivery_settled ON delivery (created_at) WHERE next_at IS NULL;
CREATE INDEX delivery_hook ON delivery (hook, id) WHERE hook IS NOT NULL;
CREATE INDEX delivery_job ON delivery (job, id);
CREATE INDEX delivery_owner ON delivery (owner, id);

CREATE TABLE schedule (
    owner      TEXT NOT NULL,
    name       TEXT NOT NULL,
    cron       TEXT NOT NULL,
    time_zone  TEXT NOT NULL,
    job        TEXT NOT NULL, -- JSON
    misfire    TEXT NOT NULL,
    overlap    TEXT NOT NULL,
    paused     INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    next_at    INTEGER,
    last       TEXT, -- JSON
    PRIMARY KEY (owner, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX schedule_due ON schedule (next_at) WHERE next_at IS NOT NULL AND paused = 0;
