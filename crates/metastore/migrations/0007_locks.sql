-- What an attribute forbids, as bits: 1 deleting, 2 writing, 4 listing, 8 reading. 0: everything is allowed.
ALTER TABLE repository ADD COLUMN locks INTEGER NOT NULL DEFAULT 0;
ALTER TABLE manifest ADD COLUMN locks INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tag ADD COLUMN locks INTEGER NOT NULL DEFAULT 0;
