-- What was altered, row by row: JSON of `Alterations`, NULL if nothing is known of it.
ALTER TABLE audit ADD COLUMN alterations TEXT;
