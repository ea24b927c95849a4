-- What the program of format 4 left: a data set in four versions, with a deleted row, a record beside the parts, and one
-- that was removed before.
INSERT INTO meta (name, value) VALUES ('boot_epoch', 3);
INSERT INTO dataset (folded, name, key, version, rows, bytes, created_at, updated_at, layout, oldest, hot_rows, hot_bytes) VALUES
  ('genes', 'Genes', 'id', 4, 7, 70, 1733000000000, 1733000004000, 2, 1, 1, 16);
INSERT INTO dataset_removed (folded, version) VALUES ('old', 9);
INSERT INTO dataset_version (dataset, version, name, key, rows, bytes, created_at, operation, created, replaced, deleted, job, author, message) VALUES
  ('genes', 1, 'Genes', 'id', 0, 0, 1733000001000, 'create', 0, 0, 0, NULL, 'anna', 'begin'),
  ('genes', 2, 'Genes', 'id', 7, 70, 1733000002000, 'replace', 7, 0, 0, 'job_01jd8q2x5m7k9n3p4r6s8t0v52', 'local', NULL),
  ('genes', 3, 'Genes', 'id', 6, 70, 1733000003000, 'write', 0, 0, 1, NULL, 'anna', NULL),
  ('genes', 4, 'Genes', 'id', 7, 70, 1733000004000, 'write', 1, 0, 0, NULL, 'local', NULL);
INSERT INTO dataset_schema (dataset, version, schema) VALUES
  ('genes', 1, '{"attributes":[]}'),
  ('genes', 2, '{"attributes":[{"name":"id","kind":"text","seen":{"null":0,"bool":0,"int":0,"wide_int":0,"float":0,"big":0,"text":7,"list":0,"object":0}}]}');
INSERT INTO dataset_part (id, dataset, added, removed, path, rows, bytes, checksum, schema, born, deleted, index_bytes, index_checksum) VALUES
  (1, 'genes', 2, NULL, 'datasets/genes/a', 7, 70, 'aa', '{"attributes":[{"name":"id","kind":"text","seen":{"null":0,"bool":0,"int":0,"wide_int":0,"float":0,"big":0,"text":7,"list":0,"object":0}}]}', 2, 1, NULL, NULL);
INSERT INTO part_deletion (part, version, whole, rows) VALUES
  (1, 3, 0, X'3A3000000100000000000000100000000200');
INSERT INTO record_deletion (dataset, version, key) VALUES ('genes', 3, 'HGNC:3');
INSERT INTO record (id, dataset, key, added, removed, written, json) VALUES
  (1, 'genes', 'HGNC:9', 4, NULL, 4, '{"id":"HGNC:9"}');
