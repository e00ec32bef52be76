-- Which images changed, in the order of their last change: one row an image in a repository, kept when it is
-- gone. The row of repository 0 stands for subscriptions, groups, registries, plans and roles.
-- Triggers write it, so that no transaction can forget to. (Not by INSERT OR REPLACE: in a trigger the
-- conflict clause of the statement that fired it would win.)
CREATE TABLE change (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  repository_id INTEGER NOT NULL,
  digest TEXT NOT NULL,
  UNIQUE (repository_id, digest)
) STRICT;
INSERT INTO change (repository_id, digest) VALUES (0, '');

CREATE TRIGGER change_manifest_insert AFTER INSERT ON manifest BEGIN
  DELETE FROM change WHERE repository_id = new.repository_id AND digest = new.digest;
  INSERT INTO change (repository_id, digest) VALUES (new.repository_id, new.digest);
END;
-- When it was last pulled is no matter here.
CREATE TRIGGER change_manifest_update AFTER UPDATE OF kind, media_type, pushed_ms ON manifest BEGIN
  DELETE FROM change WHERE repository_id = new.repository_id AND digest = new.digest;
  INSERT INTO change (repository_id, digest) VALUES (new.repository_id, new.digest);
END;
CREATE TRIGGER change_manifest_delete AFTER DELETE ON manifest BEGIN
  DELETE FROM change WHERE repository_id = old.repository_id AND digest = old.digest;
  INSERT INTO change (repository_id, digest) VALUES (old.repository_id, old.digest);
END;
CREATE TRIGGER change_tag_insert AFTER INSERT ON tag BEGIN
  DELETE FROM change WHERE repository_id = new.repository_id AND digest = new.digest;
  INSERT INTO change (repository_id, digest) VALUES (new.repository_id, new.digest);
END;
CREATE TRIGGER change_tag_update AFTER UPDATE ON tag BEGIN
  DELETE FROM change WHERE repository_id = old.repository_id AND digest = old.digest;
  INSERT INTO change (repository_id, digest) VALUES (old.repository_id, old.digest);
  DELETE FROM change WHERE repository_id = new.repository_id AND digest = new.digest;
  INSERT INTO change (repository_id, digest) VALUES (new.repository_id, new.digest);
END;
CREATE TRIGGER change_tag_delete AFTER DELETE ON tag BEGIN
  DELETE FROM change WHERE repository_id = old.repository_id AND digest = old.digest;
  INSERT INTO change (repository_id, digest) VALUES (old.repository_id, old.digest);
END;
CREATE TRIGGER change_image_insert AFTER INSERT ON image BEGIN
  DELETE FROM change WHERE (repository_id, digest) IN (
    SELECT repository_id, digest FROM manifest WHERE digest = new.digest);
  INSERT INTO change (repository_id, digest)
    SELECT repository_id, digest FROM manifest WHERE digest = new.digest;
END;
CREATE TRIGGER change_image_update AFTER UPDATE ON image BEGIN
  DELETE FROM change WHERE (repository_id, digest) IN (
    SELECT repository_id, digest FROM manifest WHERE digest = new.digest);
  INSERT INTO change (repository_id, digest)
    SELECT repository_id, digest FROM manifest WHERE digest = new.digest;
END;
CREATE TRIGGER change_image_delete AFTER DELETE ON image BEGIN
  DELETE FROM change WHERE (repository_id, digest) IN (
    SELECT repository_id, digest FROM manifest WHERE digest = old.digest);
  INSERT INTO change (repository_id, digest)
    SELECT repository_id, digest FROM manifest WHERE digest = old.digest;
END;
-- A scan that failed makes its image Unverified.
CREATE TRIGGER change_job_update AFTER UPDATE ON job WHEN new.kind = 'scan' AND new.error IS NOT old.error BEGIN
  DELETE FROM change WHERE (repository_id, digest) IN (
    SELECT repository_id, digest FROM manifest WHERE digest = new.key);
  INSERT INTO change (repository_id, digest)
    SELECT repository_id, digest FROM manifest WHERE digest = new.key;
END;
CREATE TRIGGER change_job_delete AFTER DELETE ON job WHEN old.kind = 'scan' AND old.error IS NOT NULL BEGIN
  DELETE FROM change WHERE (repository_id, digest) IN (
    SELECT repository_id, digest FROM manifest WHERE digest = old.key);
  INSERT INTO change (repository_id, digest)
    SELECT repository_id, digest FROM manifest WHERE digest = old.key;
END;

-- A plan that is switched changes what is said of each image of its subscription.
CREATE TRIGGER change_plan_insert AFTER INSERT ON plan BEGIN
  DELETE FROM change WHERE repository_id = 0 AND digest = '';
  INSERT INTO change (repository_id, digest) VALUES (0, '');
  DELETE FROM change WHERE (repository_id, digest) IN (
    SELECT manifest.repository_id, manifest.digest FROM manifest
    JOIN repository ON repository.id = manifest.repository_id
    JOIN registry ON registry.id = repository.registry_id WHERE registry.subscription_id = new.subscription_id);
  INSERT INTO change (repository_id, digest)
    SELECT manifest.repository_id, manifest.digest FROM manifest
    JOIN repository ON repository.id = manifest.repository_id
    JOIN registry ON registry.id = repository.registry_id WHERE registry.subscription_id = new.subscription_id;
END;
CREATE TRIGGER change_plan_update AFTER UPDATE ON plan WHEN new.tier <> old.tier BEGIN
  DELETE FROM change WHERE repository_id = 0 AND digest = '';
  INSERT INTO change (repository_id, digest) VALUES (0, '');
  DELETE FROM change WHERE (repository_id, digest) IN (
    SELECT manifest.repository_id, manifest.digest FROM manifest
    JOIN repository ON repository.id = manifest.repository_id
    JOIN registry ON registry.id = repository.registry_id WHERE registry.subscription_id = new.subscription_id);
  INSERT INTO change (repository_id, digest)
    SELECT manifest.repository_id, manifest.digest FROM manifest
    JOIN repository ON repository.id = manifest.repository_id
    JOIN registry ON registry.id = repository.registry_id WHERE registry.subscription_id = new.subscription_id;
END;

CREATE TRIGGER change_registry_insert AFTER INSERT ON registry BEGIN
  DELETE FROM change WHERE repository_id = 0;
  INSERT INTO change (repository_id, digest) VALUES (0, '');
END;
CREATE TRIGGER change_registry_update AFTER UPDATE ON registry BEGIN
  DELETE FROM change WHERE repository_id = 0;
  INSERT INTO change (repository_id, digest) VALUES (0, '');
END;
CREATE TRIGGER change_registry_delete AFTER DELETE ON registry BEGIN
  DELETE FROM change WHERE repository_id = 0;
  INSERT INTO change (repository_id, digest) VALUES (0, '');
END;
