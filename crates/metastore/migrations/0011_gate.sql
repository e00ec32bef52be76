-- What images must be to be pulled, by the repositories that a gate guards.
CREATE TABLE gate (
  registry_id INTEGER NOT NULL REFERENCES registry (id),
  name TEXT NOT NULL,
  repositories TEXT NOT NULL,
  -- JSON of its policy.
  policy TEXT NOT NULL,
  PRIMARY KEY (registry_id, name)
) STRICT, WITHOUT ROWID;

-- What is let through all the same. A NULL condition does not count.
CREATE TABLE gate_exemption (
  registry_id INTEGER NOT NULL REFERENCES registry (id),
  name TEXT NOT NULL,
  repositories TEXT NOT NULL,
  tags TEXT,
  digest TEXT,
  advisory TEXT,
  reason TEXT NOT NULL,
  expires_ms INTEGER,
  PRIMARY KEY (registry_id, name)
) STRICT, WITHOUT ROWID;

-- Azure's quarantine: what is pushed while it is on is hidden until somebody lets it pass.
ALTER TABLE registry ADD COLUMN quarantine INTEGER NOT NULL DEFAULT 0;
ALTER TABLE manifest ADD COLUMN quarantine TEXT;
ALTER TABLE manifest ADD COLUMN quarantine_details TEXT;
