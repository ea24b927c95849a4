-- Version 6: data sets may be linked to keys of a Redis server.

ALTER TABLE dataset ADD COLUMN source TEXT; -- JSON; NULL when it is not linked
