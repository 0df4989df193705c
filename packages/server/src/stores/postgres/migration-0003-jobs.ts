import type { Migration } from "../../postgres/migrations.ts";

/** What both tables of jobs hold. A job moves between them with all of it. */
const jobColumns = `
  id text COLLATE "C" NOT NULL,
  position bigint NOT NULL,
  event_id text COLLATE "C",
  task boolean NOT NULL,
  feed_id integer NOT NULL,
  group_id bigint NOT NULL,
  profile_id integer NOT NULL,
  client_id text COLLATE "C",
  message_group text,
  code text,
  status smallint NOT NULL,
  generation integer NOT NULL,
  attempt_count integer NOT NULL,
  generation_attempts integer NOT NULL,
  unburnt_attempts integer NOT NULL,
  due_at bigint NOT NULL,
  queued_at bigint,
  expires_clock bigint,
  replay_count integer NOT NULL,
  payload_bytes integer NOT NULL,
  created_at bigint NOT NULL,
  updated_at bigint NOT NULL,
  last_error text`;

/**
 * Dispatch jobs, their groups and feeds, attempts, tasks and replays. What the columns mean for scheduling is told in
 * job-store.ts; here is what the shape costs and why.
 *
 * A table whose rows are updated and deleted bloats, it and its indexes, and the more history it holds, the longer a
 * vacuum of it takes. So jobs are kept apart by what happens to them. `open_jobs` holds what is not final: it is small,
 * every row in it is updated about once and deleted, and vacuum passes over it in moments. A job that becomes final
 * moves to `jobs`, which is only ever added to (an operator's retry aside), and goes by whole partitions. Attempts and
 * tasks are added to as well. History therefore costs nothing but its room.
 *
 * `open_jobs` has three indexes: by id, since reports and references name ids, by event, and in the order of its group.
 * Taking a job of an ordered group from PENDING to QUEUED touches none, and finds room on its page (fillfactor), so it
 * is a heap-only update. `sort_key` is the position for ordered groups; for others the due time while PENDING, and the
 * time of publication counted from -2^52 while QUEUED. Deleted rows stay in an index until a vacuum has passed, and a
 * reader that starts at a group's lowest key would step over all of them; `job_groups.head_from` says below which key
 * there is nothing any more, so it starts there.
 *
 * Partitions are by id, whose leading bits are the time it was made (see history-partitions.ts). `jobs` has an index by
 * position for lists and replays, and one by event.
 *
 * Groups and feeds are few rows that change often. They leave room on their pages, and vacuum visits them after
 * hundreds of dead rows, not after a fifth of the table.
 */
export const migration0003: Migration = {
  number: 3,
  name: "jobs",
  sql: `
CREATE TABLE stream_checkpoint (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  position bigint NOT NULL,
  ordinal integer NOT NULL,
  frozen_profile_keys text NOT NULL
) WITH (fillfactor = 10);
INSERT INTO stream_checkpoint (position, ordinal, frozen_profile_keys) VALUES (0, 0, '[]');

CREATE TABLE poison_events (
  position bigint PRIMARY KEY,
  event_id text COLLATE "C" NOT NULL,
  reason text NOT NULL,
  at_ms bigint NOT NULL
);

CREATE TABLE delivery_profiles (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  key text COLLATE "C" NOT NULL UNIQUE,
  body text NOT NULL,
  used_at bigint NOT NULL
);

CREATE TABLE job_feeds (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  key text COLLATE "C" NOT NULL UNIQUE,
  subscription_id text COLLATE "C",
  lane text COLLATE "C" NOT NULL,
  ready_at bigint,
  window_full integer,
  paused boolean NOT NULL DEFAULT false,
  pool_held boolean NOT NULL DEFAULT false,
  held_since bigint,
  held_total_ms bigint NOT NULL DEFAULT 0,
  pending bigint NOT NULL DEFAULT 0,
  queued bigint NOT NULL DEFAULT 0,
  completed bigint NOT NULL DEFAULT 0,
  failed bigint NOT NULL DEFAULT 0,
  cancelled bigint NOT NULL DEFAULT 0,
  expired bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500,
  autovacuum_vacuum_cost_delay = 0);
CREATE INDEX job_feeds_ready ON job_feeds (ready_at) WHERE ready_at IS NOT NULL AND held_since IS NULL;
CREATE INDEX job_feeds_held ON job_feeds (id) WHERE held_since IS NOT NULL;
CREATE INDEX job_feeds_lane ON job_feeds (lane);
CREATE INDEX job_feeds_subscription ON job_feeds (subscription_id) WHERE subscription_id IS NOT NULL;

CREATE TABLE held_pools (
  code text COLLATE "C" PRIMARY KEY,
  held_since bigint NOT NULL
);

CREATE TABLE job_groups (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  key text COLLATE "C" NOT NULL UNIQUE,
  feed_id integer NOT NULL,
  ordered boolean NOT NULL,
  ready_at bigint,
  outstanding integer NOT NULL DEFAULT 0,
  queued_at bigint,
  run_from bigint,
  run_to bigint,
  head_from bigint NOT NULL DEFAULT 0,
  held_reason text,
  held_since bigint,
  blocked_job_id text COLLATE "C",
  blocked_since bigint,
  blocked_total_ms bigint NOT NULL DEFAULT 0,
  used_at bigint NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000,
  autovacuum_vacuum_cost_delay = 0);
CREATE INDEX job_groups_feed ON job_groups (feed_id);
CREATE INDEX job_groups_ready ON job_groups (feed_id, ready_at, id) WHERE ready_at IS NOT NULL;
CREATE INDEX job_groups_outstanding ON job_groups (queued_at) WHERE queued_at IS NOT NULL;
CREATE INDEX job_groups_held ON job_groups (id) WHERE held_reason IS NOT NULL;
CREATE INDEX job_groups_blocked ON job_groups (blocked_job_id) WHERE blocked_job_id IS NOT NULL;

CREATE SEQUENCE job_positions;

CREATE TABLE open_jobs (${jobColumns},
  sort_key bigint NOT NULL,
  PRIMARY KEY (id)
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000,
  autovacuum_vacuum_insert_scale_factor = 0.1, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX open_jobs_of_group ON open_jobs (group_id, sort_key, position);
CREATE INDEX open_jobs_of_event ON open_jobs (event_id) WHERE event_id IS NOT NULL;

CREATE TABLE jobs (${jobColumns},
  PRIMARY KEY (id)
) PARTITION BY RANGE (id);
CREATE INDEX jobs_by_position ON jobs (position);
CREATE INDEX jobs_of_event ON jobs (event_id) WHERE event_id IS NOT NULL;
CREATE INDEX jobs_not_completed ON jobs (id) WHERE status <> 2;
CREATE TABLE jobs_default PARTITION OF jobs DEFAULT;

CREATE TABLE job_tasks (
  job_id text COLLATE "C" NOT NULL,
  client_id text COLLATE "C" NOT NULL,
  idempotency_key text,
  subscription_id text COLLATE "C",
  metadata text NOT NULL,
  content_type text NOT NULL,
  base64 boolean NOT NULL,
  payload text NOT NULL,
  PRIMARY KEY (job_id)
) PARTITION BY RANGE (job_id);
CREATE TABLE job_tasks_default PARTITION OF job_tasks DEFAULT;

CREATE TABLE task_keys (
  client_id text COLLATE "C" NOT NULL,
  idempotency_key text NOT NULL,
  job_id text COLLATE "C" NOT NULL,
  created_at bigint NOT NULL,
  PRIMARY KEY (client_id, idempotency_key)
);
CREATE INDEX task_keys_by_age ON task_keys (created_at);

CREATE TABLE attempts (
  job_id text COLLATE "C" NOT NULL,
  generation integer NOT NULL,
  number integer NOT NULL,
  started_at bigint NOT NULL,
  duration_ms integer NOT NULL,
  outcome smallint NOT NULL,
  status_code integer,
  burnt boolean NOT NULL,
  signed boolean NOT NULL,
  error text,
  response_body text,
  PRIMARY KEY (job_id, generation, number)
) PARTITION BY RANGE (job_id);
CREATE TABLE attempts_default PARTITION OF attempts DEFAULT;

CREATE TABLE dropped_partitions (
  name text COLLATE "C" PRIMARY KEY,
  history text NOT NULL,
  counted_to text COLLATE "C" NOT NULL DEFAULT ''
);

CREATE TABLE set_aside_reports (
  sequence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  job_id text COLLATE "C" NOT NULL,
  reason text NOT NULL,
  report text NOT NULL,
  at_ms bigint NOT NULL
);

CREATE TABLE replays (
  id text COLLATE "C" PRIMARY KEY,
  client_id text COLLATE "C",
  anchor bigint NOT NULL,
  filter text NOT NULL,
  total bigint NOT NULL,
  done bigint NOT NULL,
  status text NOT NULL,
  jobs_per_second integer NOT NULL,
  cursor bigint NOT NULL,
  last_position bigint NOT NULL,
  created_at bigint NOT NULL,
  updated_at bigint NOT NULL
);
CREATE INDEX replays_running ON replays (id) WHERE status = 'RUNNING';
`,
};
