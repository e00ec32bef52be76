-- A rule that came with a document that is attached to an image or an index: the document's manifest, in its repository, and what
-- it is attached to. It holds for that alone, and as long as the document is there.
ALTER TABLE rule ADD COLUMN vex_repository_id INTEGER;
ALTER TABLE rule ADD COLUMN vex_manifest TEXT;
ALTER TABLE rule ADD COLUMN vex_subject TEXT;
-- The document is gone: the rule ends as soon as somebody looks.
ALTER TABLE rule ADD COLUMN is_detached INTEGER NOT NULL DEFAULT 0;
CREATE INDEX rule_by_subject ON rule (vex_repository_id, vex_subject) WHERE vex_subject IS NOT NULL;
CREATE INDEX rule_by_document ON rule (vex_repository_id, vex_manifest) WHERE vex_manifest IS NOT NULL;
CREATE INDEX rule_detached ON rule (id) WHERE is_detached = 1;

CREATE TRIGGER rule_document_delete AFTER DELETE ON manifest BEGIN
  UPDATE rule SET is_detached = 1 WHERE vex_repository_id = old.repository_id AND vex_manifest = old.digest;
END;
