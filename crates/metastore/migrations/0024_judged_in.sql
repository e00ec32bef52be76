-- Verdicts are shared by digest. This says in which registries an image was judged while the plan of the
-- registry's subscription was on: there, the verdict is shown after the plan went off, and nowhere else.
CREATE TABLE judged_in (
  registry_id INTEGER NOT NULL REFERENCES registry (id) ON DELETE CASCADE,
  image TEXT NOT NULL,
  -- When it was judged there for the first time.
  first_ms INTEGER NOT NULL,
  PRIMARY KEY (registry_id, image)
) STRICT, WITHOUT ROWID;
CREATE INDEX judged_in_by_image ON judged_in (image);

-- Who was charged for an image had it judged; so had those whose plan is on.
INSERT INTO judged_in (registry_id, image, first_ms)
  SELECT registry.id, image.digest, max(image.first_judged_ms, min(manifest.pushed_ms), registry.created_ms)
  FROM image
  JOIN manifest ON manifest.digest = image.digest
  JOIN repository ON repository.id = manifest.repository_id
  JOIN registry ON registry.id = repository.registry_id
  WHERE EXISTS (SELECT 1 FROM plan WHERE plan.subscription_id = registry.subscription_id AND tier = 'Standard')
     OR EXISTS (SELECT 1 FROM metered
                WHERE metered.subscription_id = registry.subscription_id AND metered.image = image.digest)
  GROUP BY registry.id, image.digest;

CREATE TRIGGER judged_in_manifest_delete AFTER DELETE ON manifest BEGIN
  DELETE FROM judged_in WHERE image = old.digest AND NOT EXISTS (
    SELECT 1 FROM manifest JOIN repository ON repository.id = manifest.repository_id
    WHERE manifest.digest = old.digest AND repository.registry_id = judged_in.registry_id);
END;

-- Since when no image of the registry is Unhealthy, as far as images tell that are gone.
ALTER TABLE registry ADD COLUMN left_ms INTEGER;
