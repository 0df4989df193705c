import type { Migration } from "./migrations.ts";

/**
 * The event log, settings, secrets, leases and idempotency keys.
 *
 * `events` has two indexes and no more, because every accepted event pays for each (about 1 us): by id, for lookups and
 * as the guard against an id given twice, and by time, because every search has or gets a time window. Both grow at
 * their right edge. All other filters are scans inside a window, off the delivering thread. `data` is the last column,
 * so that reading the rest of a large event does not touch its overflow pages.
 *
 * `event_dedup` holds '' for the platform's null client: NULLs are all different to a primary key. Its rows are
 * expired by walking the log, which knows the keys, rather than by an index of their own.
 *
 * Settings keep the whole entity as JSON in `body`; columns beside it are what is looked up, listed or unique.
 */
export const migration0001: Migration = {
  number: 1,
  name: "log-and-settings",
  sql: `
CREATE TABLE events (
  position INTEGER PRIMARY KEY,
  id TEXT NOT NULL,
  client_id TEXT,
  type TEXT NOT NULL,
  source TEXT NOT NULL,
  subject TEXT,
  time_ms INTEGER NOT NULL,
  message_group TEXT,
  correlation_id TEXT,
  causation_id TEXT,
  deduplication_id TEXT,
  sender_id TEXT,
  data_content_type TEXT NOT NULL,
  data_schema TEXT,
  data_kind TEXT NOT NULL,
  data_bytes INTEGER NOT NULL,
  context_data TEXT,
  extensions TEXT,
  created_at_ms INTEGER NOT NULL,
  data TEXT
) STRICT;
CREATE UNIQUE INDEX events_by_id ON events (id);
CREATE INDEX events_by_time ON events (time_ms);

CREATE TABLE event_dedup (
  client_id TEXT NOT NULL,
  dedup_id TEXT NOT NULL,
  position INTEGER NOT NULL,
  created_at_ms INTEGER NOT NULL,
  PRIMARY KEY (client_id, dedup_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE marks (
  name TEXT PRIMARY KEY,
  position INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE revisions (
  kind TEXT PRIMARY KEY,
  revision INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO revisions VALUES ('subscriptions', 1), ('dispatch-pools', 1), ('event-types', 1), ('control', 1);

CREATE TABLE subscriptions (
  id TEXT PRIMARY KEY,
  client_id TEXT,
  code TEXT,
  name TEXT NOT NULL,
  status TEXT NOT NULL,
  pool_code TEXT NOT NULL,
  lease_expires_at_ms INTEGER,
  version INTEGER NOT NULL,
  body TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX subscriptions_by_code ON subscriptions (coalesce(client_id, ''), code)
  WHERE code IS NOT NULL AND status <> 'ARCHIVED';
CREATE UNIQUE INDEX subscriptions_by_name ON subscriptions (coalesce(client_id, ''), name) WHERE status <> 'ARCHIVED';
CREATE INDEX subscriptions_by_pool ON subscriptions (pool_code) WHERE status <> 'ARCHIVED';
CREATE INDEX subscriptions_paused ON subscriptions (id) WHERE status = 'PAUSED';
CREATE INDEX subscriptions_by_lease ON subscriptions (lease_expires_at_ms)
  WHERE lease_expires_at_ms IS NOT NULL AND status <> 'ARCHIVED';

CREATE TABLE dispatch_pools (
  id TEXT PRIMARY KEY,
  client_id TEXT,
  code TEXT NOT NULL UNIQUE,
  status TEXT NOT NULL,
  version INTEGER NOT NULL,
  body TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE event_types (
  id TEXT PRIMARY KEY,
  client_id TEXT,
  code TEXT NOT NULL,
  application TEXT NOT NULL,
  status TEXT NOT NULL,
  version INTEGER NOT NULL,
  body TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX event_types_by_code ON event_types (coalesce(client_id, ''), code) WHERE status <> 'ARCHIVED';
CREATE INDEX event_types_by_any_code ON event_types (code, id);

CREATE TABLE secrets (
  ref TEXT NOT NULL,
  sequence INTEGER NOT NULL,
  sealed TEXT NOT NULL,
  valid_until_ms INTEGER,
  PRIMARY KEY (ref, sequence)
) STRICT, WITHOUT ROWID;

CREATE TABLE leases (
  name TEXT PRIMARY KEY,
  holder TEXT,
  epoch INTEGER NOT NULL UNIQUE,
  expires_at_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE lease_epochs (
  only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
  epoch INTEGER NOT NULL
) STRICT;
INSERT INTO lease_epochs VALUES (1, 0);

CREATE TABLE node_numbers (
  number INTEGER PRIMARY KEY,
  holder TEXT,
  expires_at_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE idempotency_keys (
  key TEXT PRIMARY KEY,
  body_digest TEXT NOT NULL,
  status INTEGER,
  headers TEXT,
  body TEXT,
  created_at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at_ms);

CREATE TABLE cancelled_jobs (
  sequence INTEGER PRIMARY KEY,
  job_id TEXT NOT NULL
) STRICT;
`,
};
