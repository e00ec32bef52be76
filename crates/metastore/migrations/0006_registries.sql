-- A registry that is deleted keeps its rows and its name until it is purged: a mistake can be undone.
ALTER TABLE registry ADD COLUMN sku TEXT NOT NULL DEFAULT 'Premium';
-- A JSON object of text.
ALTER TABLE registry ADD COLUMN tags TEXT NOT NULL DEFAULT '{}';
ALTER TABLE registry ADD COLUMN deleted_ms INTEGER;

-- A registry that is deleted or restored changes what is said of each of its images.
CREATE TRIGGER change_registry_deleted AFTER UPDATE ON registry WHEN new.deleted_ms IS NOT old.deleted_ms BEGIN
  DELETE FROM change WHERE (repository_id, digest) IN (
    SELECT manifest.repository_id, manifest.digest FROM manifest
    JOIN repository ON repository.id = manifest.repository_id WHERE repository.registry_id = new.id);
  INSERT INTO change (repository_id, digest)
    SELECT manifest.repository_id, manifest.digest FROM manifest
    JOIN repository ON repository.id = manifest.repository_id WHERE repository.registry_id = new.id;
END;
