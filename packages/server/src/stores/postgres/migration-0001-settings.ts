import type { Migration } from "../../postgres/migrations.ts";

/**
 * Settings, secrets, leases, idempotency keys, and what routers are told.
 *
 * Settings keep the whole entity as JSON in `body`; columns beside it are what is looked up, listed or unique. It is
 * text and not jsonb, because it is read back as it was written and never looked into here.
 *
 * `leases.epoch` has a unique index for a second reason besides looking epochs up: it makes a change of the epoch, and
 * only that, conflict with the locks of writers that are fenced by it (see lease-store.ts).
 *
 * Rows that change often, of leases, revisions and node numbers, have room left on their page, so that no index is
 * touched.
 */
export const migration0001: Migration = {
  number: 1,
  name: "settings",
  sql: `
CREATE FUNCTION flowcatalyst_now_ms() RETURNS bigint LANGUAGE sql VOLATILE
  AS 'SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint';

CREATE TABLE revisions (
  kind text COLLATE "C" PRIMARY KEY,
  revision bigint NOT NULL
) WITH (fillfactor = 20);
INSERT INTO revisions VALUES ('subscriptions', 1), ('dispatch-pools', 1), ('event-types', 1), ('control', 1);

CREATE TABLE subscriptions (
  id text COLLATE "C" PRIMARY KEY,
  client_id text COLLATE "C",
  code text COLLATE "C",
  name text COLLATE "C" NOT NULL,
  status text COLLATE "C" NOT NULL,
  pool_code text COLLATE "C" NOT NULL,
  lease_expires_at_ms bigint,
  version integer NOT NULL,
  body text NOT NULL
);
CREATE UNIQUE INDEX subscriptions_by_code ON subscriptions (coalesce(client_id, ''), code)
  WHERE code IS NOT NULL AND status <> 'ARCHIVED';
CREATE UNIQUE INDEX subscriptions_by_name ON subscriptions (coalesce(client_id, ''), name) WHERE status <> 'ARCHIVED';
CREATE INDEX subscriptions_by_pool ON subscriptions (pool_code) WHERE status <> 'ARCHIVED';
CREATE INDEX subscriptions_matching ON subscriptions (id) WHERE status IN ('ACTIVE', 'PAUSED');
CREATE INDEX subscriptions_paused ON subscriptions (id) WHERE status = 'PAUSED';
CREATE INDEX subscriptions_by_lease ON subscriptions (lease_expires_at_ms)
  WHERE lease_expires_at_ms IS NOT NULL AND status <> 'ARCHIVED';

CREATE TABLE dispatch_pools (
  id text COLLATE "C" PRIMARY KEY,
  client_id text COLLATE "C",
  code text COLLATE "C" NOT NULL UNIQUE,
  status text COLLATE "C" NOT NULL,
  version integer NOT NULL,
  body text NOT NULL
);

CREATE TABLE event_types (
  id text COLLATE "C" PRIMARY KEY,
  client_id text COLLATE "C",
  code text COLLATE "C" NOT NULL,
  application text COLLATE "C" NOT NULL,
  status text COLLATE "C" NOT NULL,
  version integer NOT NULL,
  body text NOT NULL
);
CREATE UNIQUE INDEX event_types_by_code ON event_types (coalesce(client_id, ''), code) WHERE status <> 'ARCHIVED';
CREATE INDEX event_types_by_any_code ON event_types (code, id);

CREATE TABLE secrets (
  ref text COLLATE "C" NOT NULL,
  sequence integer NOT NULL,
  sealed text NOT NULL,
  valid_until_ms bigint,
  PRIMARY KEY (ref, sequence)
);

CREATE SEQUENCE lease_epochs;
CREATE TABLE leases (
  name text COLLATE "C" PRIMARY KEY,
  holder text COLLATE "C",
  epoch bigint NOT NULL UNIQUE,
  expires_at_ms bigint NOT NULL
) WITH (fillfactor = 20);

CREATE TABLE node_numbers (
  number integer PRIMARY KEY,
  holder text COLLATE "C",
  expires_at_ms bigint NOT NULL
) WITH (fillfactor = 50);
CREATE UNIQUE INDEX node_numbers_by_holder ON node_numbers (holder) WHERE holder IS NOT NULL;

CREATE TABLE idempotency_keys (
  key text COLLATE "C" PRIMARY KEY,
  body_digest text NOT NULL,
  status integer,
  headers text,
  body text,
  expires_at_ms bigint NOT NULL
);
CREATE INDEX idempotency_keys_by_expiry ON idempotency_keys (expires_at_ms);

CREATE TABLE cancelled_jobs (
  sequence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  job_id text COLLATE "C" NOT NULL
);
`,
};
