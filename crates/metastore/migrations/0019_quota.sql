-- How many bytes a registry holds, and how many it may: each blob once, however many of its repositories link it, and
-- each manifest in each repository. Kept up by whatever links and unlinks, in the same transaction.
ALTER TABLE registry ADD COLUMN used_bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE registry ADD COLUMN quota_bytes INTEGER;

UPDATE registry SET used_bytes =
    (SELECT coalesce(sum(size), 0) FROM blob WHERE digest IN (
       SELECT link.digest FROM repository_blob AS link
       JOIN repository ON repository.id = link.repository_id WHERE repository.registry_id = registry.id))
  + (SELECT coalesce(sum(length(manifest.bytes)), 0) FROM manifest
     JOIN repository ON repository.id = manifest.repository_id WHERE repository.registry_id = registry.id);

CREATE TRIGGER registry_quota BEFORE UPDATE OF used_bytes ON registry
WHEN NEW.used_bytes > NEW.quota_bytes AND NEW.used_bytes > OLD.used_bytes
BEGIN
  SELECT raise(ABORT, 'quota');
END;

CREATE TRIGGER repository_blob_linked AFTER INSERT ON repository_blob
BEGIN
  UPDATE registry SET used_bytes = used_bytes + (SELECT size FROM blob WHERE digest = NEW.digest)
  WHERE id = (SELECT registry_id FROM repository WHERE id = NEW.repository_id) AND NOT EXISTS (
    SELECT 1 FROM repository_blob AS other JOIN repository ON repository.id = other.repository_id
    WHERE other.digest = NEW.digest AND other.repository_id <> NEW.repository_id
      AND repository.registry_id = registry.id);
END;

CREATE TRIGGER repository_blob_unlinked AFTER DELETE ON repository_blob
BEGIN
  UPDATE registry SET used_bytes = used_bytes - (SELECT size FROM blob WHERE digest = OLD.digest)
  WHERE id = (SELECT registry_id FROM repository WHERE id = OLD.repository_id) AND NOT EXISTS (
    SELECT 1 FROM repository_blob AS other JOIN repository ON repository.id = other.repository_id
    WHERE other.digest = OLD.digest AND repository.registry_id = registry.id);
END;

CREATE TRIGGER manifest_stored AFTER INSERT ON manifest
BEGIN
  UPDATE registry SET used_bytes = used_bytes + length(NEW.bytes)
  WHERE id = (SELECT registry_id FROM repository WHERE id = NEW.repository_id);
END;

CREATE TRIGGER manifest_removed AFTER DELETE ON manifest
BEGIN
  UPDATE registry SET used_bytes = used_bytes - length(OLD.bytes)
  WHERE id = (SELECT registry_id FROM repository WHERE id = OLD.repository_id);
END;
