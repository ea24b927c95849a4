-- What the program of format 3 left: a data set in three versions.
INSERT INTO meta (name, value) VALUES ('boot_epoch', 2);
INSERT INTO dataset (folded, name, key, version, rows, bytes, created_at, updated_at) VALUES
  ('genes', 'Genes', 'id', 3, 9, 90, 1732000000000, 1732000003000);
INSERT INTO dataset_version (dataset, version, name, key, schema, rows, bytes, created_at, written_by) VALUES
  ('genes', 1, 'Genes', 'id', '{"attributes":[{"name":"id","kind":"text","seen":{"null":0,"bool":0,"int":0,"wide_int":0,"float":0,"big":0,"text":7,"list":0,"object":0}}]}',
   7, 70, 1732000001000, 'job_01jd8q2x5m7k9n3p4r6s8t0v41'),
  ('genes', 2, 'Genes', 'id', '{"attributes":[]}', 4, 40, 1732000002000, 'job_01jd8q2x5m7k9n3p4r6s8t0v42'),
  ('genes', 3, 'Genes', 'id', '{"attributes":[]}', 9, 90, 1732000003000, 'job_01jd8q2x5m7k9n3p4r6s8t0v43');
INSERT INTO dataset_part (id, dataset, added, removed, path, rows, bytes, checksum, schema) VALUES
  (1, 'genes', 1, 2, 'datasets/genes/a', 7, 70, 'aa', '{"attributes":[]}'),
  (2, 'genes', 2, NULL, 'datasets/genes/b', 4, 40, 'bb', '{"attributes":[]}'),
  (3, 'genes', 3, NULL, 'datasets/genes/c', 5, 50, 'cc', '{"attributes":[]}');
