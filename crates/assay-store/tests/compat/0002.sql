-- What a store of format 2 held: an ended job, one that runs, one that waits for it, a schedule, a hook and a notice.
-- Never edited.
INSERT INTO meta (name, value) VALUES ('boot_epoch', 6);
INSERT INTO job (seq, id, analysis, priority, spec, state, cancel_requested, revision, attempt, progress, submitted_at,
                 run_at, started_at, finished_at, error, wrote_name, wrote_version, usage, owner, share_key, shares,
                 expires_at, forget_at)
VALUES
  (1, 'job_01jd8q2x5m7k9n3p4r6s8t0v31', 'describe', 5,
   '{"params":{},"inputs":[],"input_job":null,"limits":{"timeout_ms":600000,"memory_bytes":1073741824,"rows":1000000,"result_bytes":268435456},"retry":{"max_attempts":3,"base_ms":200,"max_ms":60000},"tags":{},"upload":null,"run_at":null,"deadline":null,"unique_key":null,"depends_on":[],"result_ttl_ms":604800000,"notify":[],"schedule":"nightly","retry_of":null}',
   'succeeded', 0, 3, 1, '{"stage":"","done":0,"total":null,"unit":"","rows":0}', 1732000000000, NULL, 1732000000100,
   1732000001000, NULL, NULL, NULL, '{"run_ms":900,"cpu_ms":700,"peak_bytes":1,"rows_read":0,"bytes_read":10}',
   'ada', NULL, NULL, 1732604801000, 1734592001000),
  (2, 'job_01jd8q2x5m7k9n3p4r6s8t0v32', 'describe', 5,
   '{"params":{},"inputs":[],"input_job":null,"limits":{"timeout_ms":600000,"memory_bytes":1073741824,"rows":1000000,"result_bytes":268435456},"retry":{"max_attempts":3,"base_ms":200,"max_ms":60000},"tags":{"team":"blue"},"upload":null,"run_at":null,"deadline":null,"unique_key":"one","depends_on":[],"result_ttl_ms":604800000,"notify":[],"schedule":"nightly","retry_of":null}',
   'running', 0, 2, 1, '{"stage":"","done":0,"total":null,"unit":"","rows":0}', 1732000002000, NULL, 1732000002100,
   NULL, NULL, NULL, NULL, '{"run_ms":0,"cpu_ms":0,"peak_bytes":0,"rows_read":0,"bytes_read":0}',
   'ada', 'same', NULL, NULL, NULL),
  (3, 'job_01jd8q2x5m7k9n3p4r6s8t0v33', 'sql', 5,
   '{"params":{},"inputs":[],"input_job":null,"limits":{"timeout_ms":600000,"memory_bytes":1073741824,"rows":1000000,"result_bytes":268435456},"retry":{"max_attempts":3,"base_ms":200,"max_ms":60000},"tags":{},"upload":null,"run_at":null,"deadline":null,"unique_key":null,"depends_on":["job_01jd8q2x5m7k9n3p4r6s8t0v32"],"result_ttl_ms":604800000,"notify":[],"schedule":null,"retry_of":null}',
   'scheduled', 0, 1, 0, '{"stage":"","done":0,"total":null,"unit":"","rows":0}', 1732000003000, NULL, NULL,
   NULL, NULL, NULL, NULL, '{"run_ms":0,"cpu_ms":0,"peak_bytes":0,"rows_read":0,"bytes_read":0}',
   'ada', NULL, NULL, NULL, NULL);
INSERT INTO attempt (job, fence, number, worker, started_at, ended_at, outcome, error, usage) VALUES
  ('job_01jd8q2x5m7k9n3p4r6s8t0v31', 25769803777, 1, 'worker-1', 1732000000100, 1732000001000, 'succeeded', NULL,
   '{"run_ms":900,"cpu_ms":700,"peak_bytes":1,"rows_read":0,"bytes_read":10}'),
  ('job_01jd8q2x5m7k9n3p4r6s8t0v32', 25769803778, 1, 'worker-1', 1732000002100, NULL, NULL, NULL,
   '{"run_ms":0,"cpu_ms":0,"peak_bytes":0,"rows_read":0,"bytes_read":0}');
INSERT INTO result (job, set_json, path, checksum, rows_json, data, bytes) VALUES
  (1, '{"columns":[],"rows":1,"truncated":false,"bytes":4}', NULL, NULL, '[{"rows":7}]', x'00010203', 4);
INSERT INTO event (id, job, at, revision, state, cancel_requested, progress, owner) VALUES
  (1, 'job_01jd8q2x5m7k9n3p4r6s8t0v31', 1732000000000, 1, 'queued', 0, NULL, 'ada'),
  (2, 'job_01jd8q2x5m7k9n3p4r6s8t0v31', 1732000000100, 2, 'running', 0, NULL, 'ada'),
  (3, 'job_01jd8q2x5m7k9n3p4r6s8t0v31', 1732000001000, 3, 'succeeded', 0, NULL, 'ada'),
  (4, 'job_01jd8q2x5m7k9n3p4r6s8t0v32', 1732000002000, 1, 'queued', 0, NULL, 'ada'),
  (5, 'job_01jd8q2x5m7k9n3p4r6s8t0v32', 1732000002100, 2, 'running', 0, NULL, 'ada'),
  (6, 'job_01jd8q2x5m7k9n3p4r6s8t0v33', 1732000003000, 1, 'scheduled', 0, NULL, 'ada');
INSERT INTO job_tag (name, value, job) VALUES ('team', 'blue', 'job_01jd8q2x5m7k9n3p4r6s8t0v32');
INSERT INTO unique_key (owner, key, job) VALUES ('ada', 'one', 'job_01jd8q2x5m7k9n3p4r6s8t0v32');
INSERT INTO dependency (parent, child) VALUES ('job_01jd8q2x5m7k9n3p4r6s8t0v32', 'job_01jd8q2x5m7k9n3p4r6s8t0v33');
INSERT INTO share_limits (user, weight, max_running, max_waiting) VALUES ('ada', 3, 10, 100);
INSERT INTO pause (analysis, since, reason) VALUES ('sql', 1732000004000, 'repairs');
INSERT INTO delivery (id, event, job, owner, hook, target, state, next_at, tries, created_at, log) VALUES
  (1, 3, 'job_01jd8q2x5m7k9n3p4r6s8t0v31', 'ada', 'hook_01jd8q2x5m7k9n3p4r6s8t0v39', NULL, 'waiting', 1732000001000, 0,
   1732000001000, '[]');
