-- Version 3: what a move of a job has to keep up to date is less, and jobs are found by their schedule.

-- Every unfinished job is in `job_state` as well, and a list of states in the condition of an index is evaluated by way
-- of a table of its own at each move.
DROP INDEX job_live;

-- The schedule that submitted the job.
ALTER TABLE job ADD COLUMN schedule TEXT;
UPDATE job SET schedule = json_extract(spec, '$.schedule') WHERE json_extract(spec, '$.schedule') IS NOT NULL;
CREATE INDEX job_schedule ON job (schedule, id) WHERE schedule IS NOT NULL;

-- What was asked never changes, so it lies apart from what each move writes anew.
CREATE TABLE job_spec (
    job  INTEGER PRIMARY KEY, -- job.seq
    spec TEXT NOT NULL -- JSON
) STRICT;
INSERT INTO job_spec (job, spec) SELECT seq, spec FROM job;
ALTER TABLE job DROP COLUMN spec;
