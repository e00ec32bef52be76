-- Who principals are, to Azure's directory: people, or programs; and whose a program is that somebody made through it.
ALTER TABLE principal ADD COLUMN kind TEXT NOT NULL DEFAULT 'program' CHECK (kind IN ('person', 'program'));
ALTER TABLE principal ADD COLUMN owner TEXT REFERENCES principal (id) ON DELETE SET NULL;
CREATE INDEX principal_owner ON principal (owner);
-- Nobody had to say so far. The administrator is somebody, and programs have no mail.
UPDATE principal SET kind = 'person' WHERE name = 'admin' OR instr(name, '@') > 0;
