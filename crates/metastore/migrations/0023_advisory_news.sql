-- Findings that new advisory data brought to images judged before, until they are told by 'advisory' events.
CREATE TABLE advisory_news (
  registry_id INTEGER NOT NULL REFERENCES registry (id) ON DELETE CASCADE,
  advisory TEXT NOT NULL,
  repository_id INTEGER NOT NULL REFERENCES repository (id) ON DELETE CASCADE,
  image TEXT NOT NULL,
  severity TEXT NOT NULL,
  PRIMARY KEY (registry_id, advisory, repository_id, image)
) STRICT, WITHOUT ROWID;

-- Two more forms. A column's check cannot be changed, so the column is made anew.
ALTER TABLE webhook ADD COLUMN written_as TEXT NOT NULL DEFAULT 'acr'
  CHECK (written_as IN ('acr', 'cloudevents', 'slack', 'teams'));
UPDATE webhook SET written_as = form;
ALTER TABLE webhook DROP COLUMN form;
ALTER TABLE webhook RENAME COLUMN written_as TO form;
