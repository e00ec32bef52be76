-- Subscriptions that were deleted: what they had used is told by their names.
CREATE TABLE ended_subscription (
  id TEXT PRIMARY KEY,
  display_name TEXT NOT NULL,
  created_ms INTEGER NOT NULL,
  ended_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- As before, but that the subscription may have ended.
CREATE TABLE metered_for_good (
  subscription_id TEXT NOT NULL,
  image TEXT NOT NULL,
  month TEXT NOT NULL,
  at_ms INTEGER NOT NULL,
  PRIMARY KEY (subscription_id, image, month)
) STRICT, WITHOUT ROWID;
INSERT INTO metered_for_good SELECT subscription_id, image, month, at_ms FROM metered;
DROP TABLE metered;
ALTER TABLE metered_for_good RENAME TO metered;
CREATE INDEX metered_by_time ON metered (subscription_id, at_ms, image);

-- A scope that is gone takes its rules with it, as groups and registries do.
CREATE TRIGGER rule_subscription_delete AFTER DELETE ON subscription BEGIN
  DELETE FROM rule WHERE subscription_id = old.id;
END;
