import type { Migration } from "./migrations.ts";

/**
 * Dispatch jobs, their groups and feeds, attempts, tasks and replays. What the columns mean for scheduling is told in
 * job-store.ts; here is what the shape costs and why.
 *
 * `jobs` has two indexes, because every job pays for each of them (about 1 us a touch): by id, since reports and
 * references name ids, and `jobs_open` over what is not final, in the order of its group. Taking a job of an ordered
 * group from PENDING to QUEUED touches neither. Jobs of an event need no index: `stream_position` never goes down with
 * `position` (tasks are stamped with the newest one), so they are found by bisection.
 *
 * `sort_key` is the position for ordered groups; for unordered ones the due time while PENDING, and the time of
 * publication counted from -2^52 while QUEUED, so that one index gives either kind alone. `open` is 1 until the job is
 * final, then NULL: it stands apart from `status` so that the index does not have to be touched with it.
 *
 * `expires_clock` counts on the clock of the group, which stands still while the group or its feed is held.
 */
export const migration0002: Migration = {
  number: 2,
  name: "jobs",
  sql: `
CREATE TABLE stream_checkpoint (
  only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
  position INTEGER NOT NULL,
  ordinal INTEGER NOT NULL,
  frozen_profile_keys TEXT NOT NULL
) STRICT;
INSERT INTO stream_checkpoint VALUES (1, 0, 0, '[]');

CREATE TABLE poison_events (
  position INTEGER PRIMARY KEY,
  event_id TEXT NOT NULL,
  reason TEXT NOT NULL,
  at_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE delivery_profiles (
  id INTEGER PRIMARY KEY,
  key TEXT NOT NULL UNIQUE,
  body TEXT NOT NULL
) STRICT;

CREATE TABLE job_feeds (
  id INTEGER PRIMARY KEY,
  key TEXT NOT NULL UNIQUE,
  subscription_id TEXT,
  lane TEXT NOT NULL,
  ready_at INTEGER,
  window_full INTEGER,
  paused INTEGER NOT NULL DEFAULT 0,
  pool_held INTEGER NOT NULL DEFAULT 0,
  held_since INTEGER,
  held_total_ms INTEGER NOT NULL DEFAULT 0,
  pending INTEGER NOT NULL DEFAULT 0,
  queued INTEGER NOT NULL DEFAULT 0,
  completed INTEGER NOT NULL DEFAULT 0,
  failed INTEGER NOT NULL DEFAULT 0,
  cancelled INTEGER NOT NULL DEFAULT 0,
  expired INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX job_feeds_ready ON job_feeds (ready_at) WHERE ready_at IS NOT NULL AND held_since IS NULL;
CREATE INDEX job_feeds_held ON job_feeds (id) WHERE held_since IS NOT NULL;

CREATE TABLE held_pools (
  code TEXT PRIMARY KEY,
  held_since INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE job_groups (
  id INTEGER PRIMARY KEY,
  key TEXT NOT NULL UNIQUE,
  feed_id INTEGER NOT NULL,
  ordered INTEGER NOT NULL,
  ready_at INTEGER,
  outstanding INTEGER NOT NULL DEFAULT 0,
  queued_at INTEGER,
  run_from INTEGER,
  run_to INTEGER,
  held_reason TEXT,
  held_since INTEGER,
  blocked_position INTEGER,
  blocked_since INTEGER,
  blocked_total_ms INTEGER NOT NULL DEFAULT 0,
  used_at INTEGER NOT NULL
) STRICT;
CREATE INDEX job_groups_feed ON job_groups (feed_id);
CREATE INDEX job_groups_ready ON job_groups (feed_id, ready_at) WHERE ready_at IS NOT NULL;
CREATE INDEX job_groups_outstanding ON job_groups (queued_at) WHERE queued_at IS NOT NULL;
CREATE INDEX job_groups_held ON job_groups (id) WHERE held_reason IS NOT NULL;

CREATE TABLE jobs (
  position INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  stream_position INTEGER NOT NULL,
  task INTEGER NOT NULL,
  feed_id INTEGER NOT NULL,
  group_id INTEGER NOT NULL,
  profile_id INTEGER NOT NULL,
  client_id TEXT,
  message_group TEXT,
  status INTEGER NOT NULL,
  generation INTEGER NOT NULL,
  attempt_count INTEGER NOT NULL,
  generation_attempts INTEGER NOT NULL,
  unburnt_attempts INTEGER NOT NULL,
  due_at INTEGER NOT NULL,
  queued_at INTEGER,
  expires_clock INTEGER,
  replay_count INTEGER NOT NULL,
  payload_bytes INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  sort_key INTEGER NOT NULL,
  open INTEGER,
  last_error TEXT
) STRICT;
CREATE INDEX jobs_open ON jobs (group_id, sort_key) WHERE open = 1;

CREATE TABLE job_tasks (
  position INTEGER PRIMARY KEY,
  client_id TEXT NOT NULL,
  idempotency_key TEXT,
  event_id TEXT,
  subscription_id TEXT,
  code TEXT,
  metadata TEXT NOT NULL,
  content_type TEXT NOT NULL,
  payload TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX job_tasks_idempotency ON job_tasks (client_id, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX job_tasks_event ON job_tasks (event_id) WHERE event_id IS NOT NULL;

CREATE TABLE attempts (
  job_position INTEGER NOT NULL,
  generation INTEGER NOT NULL,
  number INTEGER NOT NULL,
  started_at INTEGER NOT NULL,
  duration_ms INTEGER NOT NULL,
  outcome INTEGER NOT NULL,
  status_code INTEGER,
  burnt INTEGER NOT NULL,
  signed INTEGER NOT NULL,
  error TEXT,
  response_body TEXT,
  PRIMARY KEY (job_position, generation, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE set_aside_reports (
  sequence INTEGER PRIMARY KEY,
  job_id TEXT NOT NULL,
  reason TEXT NOT NULL,
  report TEXT NOT NULL,
  at_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE replays (
  id TEXT PRIMARY KEY,
  client_id TEXT,
  anchor INTEGER NOT NULL,
  filter TEXT NOT NULL,
  total INTEGER NOT NULL,
  done INTEGER NOT NULL,
  status TEXT NOT NULL,
  jobs_per_second INTEGER NOT NULL,
  cursor INTEGER NOT NULL,
  last_position INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX replays_running ON replays (id) WHERE status = 'RUNNING';
`,
};
