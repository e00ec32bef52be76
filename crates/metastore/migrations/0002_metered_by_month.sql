-- What a subscription is charged for: each image digest once a month, when it was first judged there in
-- that month (UTC, YYYY-MM). Stays when the image goes.
CREATE TABLE metered_by_month (
  subscription_id TEXT NOT NULL REFERENCES subscription (id),
  image TEXT NOT NULL,
  month TEXT NOT NULL,
  at_ms INTEGER NOT NULL,
  PRIMARY KEY (subscription_id, image, month)
) STRICT, WITHOUT ROWID;
INSERT INTO metered_by_month
  SELECT subscription_id, image, strftime('%Y-%m', at_ms / 1000, 'unixepoch'), at_ms FROM metered;
DROP TABLE metered;
ALTER TABLE metered_by_month RENAME TO metered;
CREATE INDEX metered_by_time ON metered (subscription_id, at_ms, image);
