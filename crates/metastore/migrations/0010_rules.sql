-- Rules that disable findings. An empty scope column stands for any.
CREATE TABLE rule (
  id INTEGER PRIMARY KEY,
  subscription_id TEXT NOT NULL,
  resource_group TEXT NOT NULL COLLATE NOCASE,
  registry TEXT NOT NULL COLLATE NOCASE,
  name TEXT NOT NULL COLLATE NOCASE,
  -- JSON.
  criteria TEXT NOT NULL,
  reason TEXT NOT NULL,
  expires_ms INTEGER,
  -- Set when its expiry has taken effect.
  is_expired INTEGER NOT NULL DEFAULT 0,
  created_ms INTEGER NOT NULL,
  created_by TEXT NOT NULL,
  changed_ms INTEGER NOT NULL,
  changed_by TEXT NOT NULL,
  UNIQUE (subscription_id, resource_group, registry, name)
) STRICT;
CREATE INDEX rule_by_expiry ON rule (expires_ms) WHERE is_expired = 0 AND expires_ms IS NOT NULL;

-- What rules make of an image in its repository. No row: no rule ever made a difference there.
CREATE TABLE ruled (
  repository_id INTEGER NOT NULL,
  digest TEXT NOT NULL,
  state TEXT NOT NULL,
  -- When that state last became another.
  changed_ms INTEGER NOT NULL,
  PRIMARY KEY (repository_id, digest),
  FOREIGN KEY (repository_id, digest) REFERENCES manifest (repository_id, digest) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- Which findings of it are disabled, and by which rule.
CREATE TABLE exemption (
  repository_id INTEGER NOT NULL,
  digest TEXT NOT NULL,
  position INTEGER NOT NULL,
  rule_id INTEGER NOT NULL REFERENCES rule (id) ON DELETE CASCADE,
  PRIMARY KEY (repository_id, digest, position),
  FOREIGN KEY (repository_id, digest) REFERENCES ruled (repository_id, digest) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX exemption_by_rule ON exemption (rule_id);

CREATE TRIGGER change_ruled_insert AFTER INSERT ON ruled BEGIN
  DELETE FROM change WHERE repository_id = new.repository_id AND digest = new.digest;
  INSERT INTO change (repository_id, digest) VALUES (new.repository_id, new.digest);
END;
CREATE TRIGGER change_ruled_update AFTER UPDATE ON ruled BEGIN
  DELETE FROM change WHERE repository_id = new.repository_id AND digest = new.digest;
  INSERT INTO change (repository_id, digest) VALUES (new.repository_id, new.digest);
END;

-- A scope that is gone takes its rules with it.
CREATE TRIGGER rule_registry_delete AFTER DELETE ON registry BEGIN
  DELETE FROM rule WHERE subscription_id = old.subscription_id AND resource_group = old.resource_group
    AND registry = old.name;
END;
CREATE TRIGGER rule_group_delete AFTER DELETE ON resource_group BEGIN
  DELETE FROM rule WHERE subscription_id = old.subscription_id AND resource_group = old.name;
END;

-- The advisory's id in capitals; NULL for one that has other names too. So a rule for some advisories looks
-- at the images that have them alone.
ALTER TABLE finding ADD COLUMN advisory TEXT;
UPDATE finding SET advisory = upper(json_extract(document, '$.id'))
  WHERE coalesce(json_array_length(document, '$.aliases'), 0) = 0;
CREATE INDEX finding_by_advisory ON finding (advisory, image);

-- The operating system, as in the inventory: JSON.
ALTER TABLE image ADD COLUMN distro TEXT;
UPDATE image SET distro = json_extract(CAST(inventory AS TEXT), '$.distro');
