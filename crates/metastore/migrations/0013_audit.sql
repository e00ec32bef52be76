-- Who changed what, and who was refused what. Refusals that are alike are one row with a count.
CREATE TABLE audit (
  id INTEGER PRIMARY KEY,
  at_ms INTEGER NOT NULL,
  last_ms INTEGER NOT NULL,
  count INTEGER NOT NULL,
  principal_id TEXT NOT NULL,
  principal_name TEXT NOT NULL,
  action TEXT NOT NULL,
  scope TEXT NOT NULL,
  is_refused INTEGER NOT NULL,
  status INTEGER NOT NULL,
  request TEXT NOT NULL,
  request_id TEXT NOT NULL,
  address TEXT NOT NULL
) STRICT;
CREATE INDEX audit_by_time ON audit (is_refused, last_ms);
