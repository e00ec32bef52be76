-- Who is told of what happens in a registry.
CREATE TABLE webhook (
  -- Never used again: a delivery's row names it.
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  registry_id INTEGER NOT NULL REFERENCES registry (id) ON DELETE CASCADE,
  name TEXT NOT NULL COLLATE NOCASE,
  location TEXT NOT NULL,
  -- A JSON object of text.
  tags TEXT NOT NULL,
  service_uri TEXT NOT NULL,
  -- A JSON object of text: what is sent besides, often with a secret in it.
  headers TEXT NOT NULL,
  scope TEXT NOT NULL,
  -- Bits, by the order of the actions.
  actions INTEGER NOT NULL,
  form TEXT NOT NULL CHECK (form IN ('acr', 'cloudevents')),
  is_enabled INTEGER NOT NULL,
  disabled_because TEXT,
  secret TEXT NOT NULL,
  created_ms INTEGER NOT NULL,
  UNIQUE (registry_id, name)
) STRICT;

-- The outbox, and the log of what became of it: an event for a webhook.
CREATE TABLE delivery (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  webhook_id INTEGER NOT NULL REFERENCES webhook (id) ON DELETE CASCADE,
  event TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('waiting', 'delivered', 'dead')),
  attempts INTEGER NOT NULL DEFAULT 0,
  created_ms INTEGER NOT NULL,
  due_ms INTEGER NOT NULL,
  -- When it was last tried.
  tried_ms INTEGER,
  -- Why the last attempt failed.
  reason TEXT,
  -- JSON: what was sent and what came back, the last time; secrets left out.
  request TEXT,
  response TEXT
) STRICT;
CREATE INDEX delivery_due ON delivery (webhook_id, due_ms, id) WHERE state = 'waiting';
CREATE INDEX delivery_by_webhook ON delivery (webhook_id, id);
