import type { Migration } from "../../postgres/migrations.ts";

/**
 * The event log and its deduplication.
 *
 * `events` is partitioned by id (history-partitions.ts) and has three indexes: by id, for look-ups and as the guard
 * against an id given twice; by position, for readers; and by time, because every search has or gets a time window,
 * with the position behind it so that equal times have an order without being sorted. All three grow at their right
 * edge. `data` is the last column; large ones are stored beside the row, so that reading the rest does not touch them.
 *
 * `event_log_head` is the newest position, and the lock that appends take (event-appender.ts). Its one row is updated
 * with every commit. It has room for the new version on its page, so its index is not touched.
 *
 * `event_dedup` is not partitioned, because a key must be unique whenever it was used. It holds '' for the platform's
 * null client: NULLs are all different to a primary key. A week of keys is a large table of which a little expires all
 * the time, so vacuum comes after a fiftieth.
 */
export const migration0002: Migration = {
  number: 2,
  name: "event-log",
  sql: `
CREATE TABLE event_log_head (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  newest bigint NOT NULL
) WITH (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500,
  autovacuum_vacuum_cost_delay = 0);
INSERT INTO event_log_head (newest) VALUES (0);

CREATE TABLE events (
  id text COLLATE "C" NOT NULL,
  position bigint NOT NULL,
  client_id text COLLATE "C",
  type text NOT NULL,
  source text NOT NULL,
  subject text,
  time_ms bigint NOT NULL,
  message_group text,
  correlation_id text,
  causation_id text,
  deduplication_id text,
  sender_id text,
  data_content_type text NOT NULL,
  data_schema text,
  data_kind text NOT NULL,
  data_bytes integer NOT NULL,
  context_data text,
  extensions text,
  created_at_ms bigint NOT NULL,
  data text,
  PRIMARY KEY (id)
) PARTITION BY RANGE (id);
CREATE INDEX events_by_position ON events (position);
CREATE INDEX events_by_time ON events (time_ms, position);
CREATE TABLE events_default PARTITION OF events DEFAULT;

CREATE TABLE event_dedup (
  client_id text COLLATE "C" NOT NULL,
  dedup_id text COLLATE "C" NOT NULL,
  event_id text COLLATE "C" NOT NULL,
  created_at_ms bigint NOT NULL,
  PRIMARY KEY (client_id, dedup_id)
) WITH (autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX event_dedup_by_age ON event_dedup (created_at_ms);
`,
};
