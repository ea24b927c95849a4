-- What the program of format 5 left: a strict data set with a description.
INSERT INTO meta (name, value) VALUES ('boot_epoch', 2);
INSERT INTO dataset (folded, name, key, version, rows, bytes, created_at, updated_at, layout, oldest, hot_rows, hot_bytes, description, ruled) VALUES
  ('genes', 'Genes', 'id', 2, 0, 0, 1733000000000, 1733000002000, 1, 1, 0, 0, 'Human genes', 2);
INSERT INTO dataset_version (dataset, version, name, key, rows, bytes, created_at, operation, created, replaced, deleted, job, author, message) VALUES
  ('genes', 1, 'Genes', 'id', 0, 0, 1733000001000, 'create', 0, 0, 0, NULL, 'anna', NULL),
  ('genes', 2, 'Genes', 'id', 0, 0, 1733000002000, 'declare', 0, 0, 0, NULL, 'anna', NULL);
INSERT INTO dataset_schema (dataset, version, schema) VALUES ('genes', 1, '{"attributes":[]}');
INSERT INTO dataset_rules (dataset, version, rules) VALUES ('genes', 2, '{"schema":{"type":"object"}}');
