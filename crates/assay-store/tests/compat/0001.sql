-- What a store of format 1 held: a job of each kind of end, one that waits, and a data set. Never edited.
INSERT INTO meta (name, value) VALUES ('boot_epoch', 4);
INSERT INTO job (seq, id, analysis, priority, spec, state, cancel_requested, revision, attempt, progress, submitted_at,
                 run_at, started_at, finished_at, error, wrote_name, wrote_version, usage)
VALUES
  (1, 'job_01jd8q2x5m7k9n3p4r6s8t0v21', 'import', 5,
   '{"params":{"dataset":"genes"},"inputs":[],"limits":{"timeout_ms":600000,"memory_bytes":1073741824,"rows":1000000,"result_bytes":268435456},"retry":{"max_attempts":3,"base_ms":200,"max_ms":60000},"tags":{"team":"blue"},"upload":null}',
   'succeeded', 0, 3, 1, '{"stage":"","done":0,"total":null,"unit":"","rows":0}', 1732000000000, NULL, 1732000000100,
   1732000001000, NULL, 'genes', 1, '{"run_ms":900,"cpu_ms":700,"peak_bytes":1,"rows_read":0,"bytes_read":10}'),
  (2, 'job_01jd8q2x5m7k9n3p4r6s8t0v22', 'sql', 5,
   '{"params":{"sql":"SELECT x"},"inputs":[{"name":"genes","version":1}],"limits":{"timeout_ms":600000,"memory_bytes":1073741824,"rows":1000000,"result_bytes":268435456},"retry":{"max_attempts":3,"base_ms":200,"max_ms":60000},"tags":{},"upload":null}',
   'failed', 0, 3, 1, '{"stage":"","done":0,"total":null,"unit":"","rows":0}', 1732000002000, NULL, 1732000002100,
   1732000003000, '{"code":"unknown_column","message":"there is no column `x`"}', NULL, NULL,
   '{"run_ms":5,"cpu_ms":0,"peak_bytes":0,"rows_read":0,"bytes_read":0}'),
  (3, 'job_01jd8q2x5m7k9n3p4r6s8t0v23', 'describe', 2,
   '{"params":{},"inputs":[{"name":"genes","version":1}],"limits":{"timeout_ms":600000,"memory_bytes":1073741824,"rows":1000000,"result_bytes":268435456},"retry":{"max_attempts":3,"base_ms":200,"max_ms":60000},"tags":{},"upload":null}',
   'queued', 0, 1, 0, '{"stage":"","done":0,"total":null,"unit":"","rows":0}', 1732000004000, NULL, NULL, NULL, NULL, NULL,
   NULL, '{"run_ms":0,"cpu_ms":0,"peak_bytes":0,"rows_read":0,"bytes_read":0}');
INSERT INTO job_dataset (dataset, job) VALUES
  ('genes', 'job_01jd8q2x5m7k9n3p4r6s8t0v21'), ('genes', 'job_01jd8q2x5m7k9n3p4r6s8t0v22'),
  ('genes', 'job_01jd8q2x5m7k9n3p4r6s8t0v23');
INSERT INTO attempt (job, fence, number, worker, started_at, ended_at, outcome, error, usage) VALUES
  ('job_01jd8q2x5m7k9n3p4r6s8t0v21', 17179869185, 1, 'worker-1', 1732000000100, 1732000001000, 'succeeded', NULL,
   '{"run_ms":900,"cpu_ms":700,"peak_bytes":1,"rows_read":0,"bytes_read":10}'),
  ('job_01jd8q2x5m7k9n3p4r6s8t0v22', 17179869186, 1, 'worker-1', 1732000002100, 1732000003000, 'failed',
   '{"code":"unknown_column","message":"there is no column `x`"}',
   '{"run_ms":5,"cpu_ms":0,"peak_bytes":0,"rows_read":0,"bytes_read":0}');
INSERT INTO result (job, set_json, path, checksum, rows_json, data) VALUES
  (1, '{"columns":[],"rows":1,"truncated":false,"bytes":4}', NULL, NULL, '[{"rows":7}]', x'00010203');
INSERT INTO idempotency (key, fingerprint, job, at) VALUES ('k', 'f', 'job_01jd8q2x5m7k9n3p4r6s8t0v23', 1732000004000);
INSERT INTO event (id, job, at, revision, state, cancel_requested, progress) VALUES
  (1, 'job_01jd8q2x5m7k9n3p4r6s8t0v21', 1732000000000, 1, 'queued', 0, NULL),
  (2, 'job_01jd8q2x5m7k9n3p4r6s8t0v21', 1732000000100, 2, 'running', 0, NULL),
  (3, 'job_01jd8q2x5m7k9n3p4r6s8t0v21', 1732000001000, 3, 'succeeded', 0, NULL),
  (4, 'job_01jd8q2x5m7k9n3p4r6s8t0v22', 1732000002000, 1, 'queued', 0, NULL),
  (5, 'job_01jd8q2x5m7k9n3p4r6s8t0v22', 1732000002100, 2, 'running', 0, NULL),
  (6, 'job_01jd8q2x5m7k9n3p4r6s8t0v22', 1732000003000, 3, 'failed', 0, NULL),
  (7, 'job_01jd8q2x5m7k9n3p4r6s8t0v23', 1732000004000, 1, 'queued', 0, NULL);
INSERT INTO dataset (folded, name, key, version, rows, bytes, created_at, updated_at) VALUES
  ('genes', 'genes', NULL, 1, 7, 100, 1732000001000, 1732000001000);
INSERT INTO dataset_version (dataset, version, name, key, schema, rows, bytes, created_at, written_by) VALUES
  ('genes', 1, 'genes', NULL, '{"attributes":[]}', 7, 100, 1732000001000, 'job_01jd8q2x5m7k9n3p4r6s8t0v21');
INSERT INTO dataset_part (dataset, added, path, rows, bytes, checksum, schema) VALUES
  ('genes', 1, 'datasets/genes/1.parquet', 7, 100, 'ab', '{"attributes":[]}');
