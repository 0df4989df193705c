import { afterAll, beforeAll, expect, test } from "bun:test";
import type { EventId, JobId } from "../../domain/ids.ts";
import { sampleAttempt } from "../../ports/job-scenario.fixture.ts";
import { sampleTimeMs } from "../../ports/sample-entities.fixture.ts";
import type { PostgresDatabase } from "../../postgres/postgres-database.ts";
import { keepPlan, type QueryPlan } from "../../postgres/query-plan.fixture.ts";
import { adHoc, type SqlValue, type Statement } from "../../postgres/statement.ts";
import { describeWithPostgres } from "../../postgres/test-database.fixture.ts";
import { readAttempts, toAttemptJson } from "./attempt-rows.ts";
import { completeJobs } from "./attempt-sink.ts";
import { readDeliveries } from "./delivery-reader.ts";
import { readFullJob, readFullJobs, readJobsOfEvent } from "./full-job-row.ts";
import { countWaiting, readHeldFeeds, readHeldGroups } from "./held-groups.ts";
import { ensurePartitions, lowestIdAt } from "./history-partitions.ts";
import * as rowSql from "./history-rows.ts";
import { lockIdleGroups, readIdleGroups } from "./idle-group-drop.ts";
import * as changeSql from "./job-change-statements.ts";
import * as claimSql from "./job-claim-statements.ts";
import { findFeeds, findGroups, findProfiles } from "./job-directory.ts";
import { insertJobs } from "./job-inserts.ts";
import { readOwnedJob } from "./job-retry.ts";
import { readGroupsOfFeed, readPendingOfGroups } from "./pending-cancel.ts";
import { openTestStore, type TestStoreDatabase } from "./postgres-store.fixture.ts";
import { countSlice, readMatches, readSlice } from "./replay-store.ts";
import { readArchivedWithPending } from "./subscription-archiver.ts";

/**
 * Months 1 to 8 hold 3,000 final jobs each, with an event and an attempt. 20,000 jobs are open: 2,000 ordered groups of
 * nine and one unordered group of 2,000, half of them PENDING. 20,000 further groups are idle, 10,000 are held.
 */
const MONTHS = 8;
const JOBS_PER_MONTH = 3_000;
const ORDERED_GROUPS = 2_000;
const JOBS_PER_GROUP = 9;
const UNORDERED_JOBS = 2_000;
const IDLE_GROUPS = 20_000;
const HELD_GROUPS = 10_000;
const unorderedGroup = ORDERED_GROUPS + 1;
const dayMs = 86_400_000;
const nowMs = sampleTimeMs + 250 * dayMs;

const finalJob = (month: number, n: number): JobId =>
  lowestIdAt("job_", Date.UTC(2026, month, 2) + n * 60_000) as JobId;
const openJob = (n: number): JobId => lowestIdAt("job_", nowMs + n) as JobId;
const eventOf = (id: string): EventId => id.replace("job_", "evt_") as EventId;

/** A connection keeps a plan it has made until statistics are made anew, so all of these happen. */
const occasions = [
  "when tables are empty",
  "with statistics of empty tables",
  "with statistics of full tables",
] as const;

for (const occasion of occasions) {
  describeWithPostgres(`statements about jobs, planned ${occasion}`, () => {
    let store: TestStoreDatabase;
    const plans = new Map<string, () => Promise<QueryPlan>>();
    beforeAll(async () => {
      store = await openTestStore();
      const database = store.open(1);
      for (const month of [0, 4]) await ensurePartitions(database, Date.UTC(2026, month, 15));
      const plan = async (): Promise<void> => {
        for (const [name, { prepare }] of Object.entries(hotStatements)) plans.set(name, await prepare(database));
      };
      if (occasion === "with statistics of empty tables") await database.run(adHoc("ANALYZE"), []);
      if (occasion === "when tables are empty") await plan();
      await fill(database);
      if (occasion === "with statistics of full tables") await database.run(adHoc("ANALYZE"), []);
      if (occasion !== "when tables are empty") await plan();
    }, 60_000);
    afterAll(() => store.close());

    for (const [name, { maxRows }] of Object.entries(hotStatements)) {
      test(`${name} reads only what it needs`, async () => {
        const plan = await plans.get(name)!();
        expect(plan.text).not.toMatch(/Seq Scan|Bitmap|Hash|Merge Join|Materialize|Gather/);
        if (plan.rowsRead > maxRows) expect(`${plan.rowsRead} rows, not ${maxRows}:\n${plan.text}`).toBe("");
      });
    }
  });
}

interface HotStatement {
  readonly prepare: (database: PostgresDatabase) => Promise<() => Promise<QueryPlan>>;
  readonly maxRows: number;
}

/** `maxRows`: in tables and indexes, one row for each that is given, and one ahead where partitions are merged. */
function hot<Row, Values extends readonly SqlValue[]>(
  statement: Statement<Row, Values>,
  values: NoInfer<Values>,
  maxRows: number,
): HotStatement {
  return { prepare: (database) => keepPlan(database, statement, values), maxRows };
}

const openIds = [1, 2, 3, 4, 5].map((n) => openJob(n * 100));
const finalIds = [0, 3, 7].map((month) => finalJob(month, 7));
const json = (value: unknown): string => JSON.stringify(value);
const changeOf = (id: JobId, status: number): object => ({
  id,
  group_id: 1,
  feed_id: 1,
  status,
  generation: 1,
  attempt_count: 1,
  generation_attempts: 1,
  unburnt_attempts: 0,
  due_at: 1,
  replay_count: 0,
  updated_at: 1,
  sort_key: 1,
});
const attemptOf = (jobId: JobId) => toAttemptJson({ jobId, generation: 1, attempt: sampleAttempt(nowMs, 1) });
const groupChange = { id: 5, outstanding: 0, head_from: 0, blocked_total_ms: 0 };
const noCounts = { pending: 0, queued: 0, completed: 0, failed: 0, cancelled: 0, expired: 0 };
const feedChange = { id: 1, ...noCounts, ready_at: null, window: null, recompute: true };
const newJob = { t: false, f: 1, g: 1, p: 1, d: 1, b: 1, a: 1, o: true };

const hotStatements: Readonly<Record<string, HotStatement>> = {
  readyFeeds: hot(claimSql.readReadyFeeds, [nowMs, 10], 10),
  readyGroups: hot(claimSql.readReadyGroups, [json([{ feed: 1, afterReadyAt: -1, afterId: 0 }]), nowMs, 20], 20),
  runs: hot(claimSql.readRuns, [json([1, 2, 3].map((id) => ({ id, headFrom: 0, max: 5 })))], 15),
  singles: hot(
    claimSql.readSingles,
    [json([{ id: unorderedGroup, afterKey: -1, afterPosition: 0, max: 50 }]), nowMs],
    50,
  ),
  nextFeedReady: hot(claimSql.readNextFeedReady, [nowMs - 10], 1),
  mark: hot(claimSql.markJobs, [json(openIds.map((i) => ({ i, g: 1, x: 1, o: true }))), nowMs, -1], 5),
  outstandingGroups: hot(claimSql.readOutstandingGroups, [nowMs, 10], 10),
  queuedUnordered: hot(claimSql.readQueuedUnordered, [unorderedGroup, 0, 50], 50),
  lockGroups: hot(changeSql.lockGroups, [json([1, 2, 3])], 6),
  lockGroupsOfJobs: hot(changeSql.lockGroupsOfJobs, [json(openIds)], 15),
  openJobs: hot(changeSql.readOpenJobs, [json(openIds)], 5),
  finalJobs: hot(changeSql.readFinalJobs, [json(finalIds)], 3),
  restOfRun: hot(changeSql.readRestOfRun, [1, 0, 5], 5),
  groupHeads: hot(changeSql.readGroupHeads, [json([1, 2, unorderedGroup].map((id) => ({ id, head_from: 0 })))], 3),
  rewriteOpenJobs: hot(changeSql.rewriteOpenJobs, [json(openIds.map((id) => changeOf(id, 0)))], 5),
  finishJobs: hot(changeSql.finishJobs, [json(openIds.map((id) => changeOf(id, 3)))], 5),
  reopenJobs: hot(changeSql.reopenJobs, [json(finalIds.map((id) => changeOf(id, 0)))], 3),
  writeGroups: hot(changeSql.writeGroups, [json([groupChange]), nowMs], 1),
  lockFeeds: hot(changeSql.lockFeeds, [json([1])], 1),
  writeFeeds: hot(changeSql.writeFeeds, [json([feedChange]), nowMs], 2),
  writeBoth: hot(changeSql.writeGroupsAndFeeds, [json([groupChange]), json([feedChange]), nowMs], 3),
  completeJobs: hot(completeJobs, [json(openIds.map(attemptOf)), nowMs], 5),
  deliveries: hot(readDeliveries, [json(openIds.map((i) => ({ i, g: 1 })))], 20),
  insertJobs: hot(insertJobs, [json([{ i: "job_new", ...newJob }])], 0),
  profilesByKey: hot(findProfiles, [json(["p"])], 1),
  feedsByKey: hot(findFeeds, [json(["feed 1", "feed 2"])], 2),
  groupsByKey: hot(findGroups, [json(["g1", "g2"])], 2),
  attempts: hot(readAttempts, [finalJob(2, 7), 10, 0, 20], 1),
  job: hot(readFullJob, [finalJob(2, 7)], 4),
  jobs: hot(readFullJobs, [json([...openIds, ...finalIds])], 35),
  ownedJob: hot(readOwnedJob, [openJob(7)], 1),
  jobsOfEvent: hot(readJobsOfEvent, [eventOf(finalJob(2, 7)), 0, null, 20], 1),
  heldFeeds: hot(readHeldFeeds, [0, 10], 11),
  heldGroups: hot(readHeldGroups, [0, 10], 30),
  waiting: hot(countWaiting, [json([1, unorderedGroup]), 50], 60),
  groupsOfFeed: hot(readGroupsOfFeed, [1, 0, 100], 200),
  pendingOfGroups: hot(readPendingOfGroups, [json([1, 2]), 10], 14),
  archivedWithPending: hot(readArchivedWithPending, [10], 2),
  replaySlice: hot(readSlice, [1_000, 1_000_000, 100], 100 + MONTHS),
  replayCount: hot(countSlice, [1_000, 1_100, [3], null, null, null, null, null], 100 + MONTHS),
  replayMatches: hot(readMatches, [1_000, 1_100, [3], null, null, null, null, null, 10], 100 + MONTHS),
  oldEvents: hot(rowSql.dropEvents, [json(finalIds.map(eventOf))], 6),
  // Each with its feed.
  dropJobs: hot(rowSql.dropJobs, [json(finalIds)], 6),
  blockedGroups: hot(rowSql.readBlockedGroups, [json([finalJob(0, 1)])], 3),
  idleGroups: hot(readIdleGroups, [nowMs, unorderedGroup + 10, 100], 100),
  lockIdleGroups: hot(lockIdleGroups, [nowMs, json([unorderedGroup + 10])], 1),
};

/** Written by statements: as many jobs through the ports would take minutes, and prove nothing more. */
async function fill(database: PostgresDatabase): Promise<void> {
  const run = (sql: string): Promise<number> => database.run(adHoc(sql), []);
  await run(`
    INSERT INTO delivery_profiles (key, body, used_at) VALUES ('p', '{}', 1);
    INSERT INTO job_feeds (key, subscription_id, lane, ready_at, held_since)
      SELECT 'feed ' || n, 'feed ' || n, 'lane', ${nowMs} - n % 5, CASE WHEN n > 190 THEN 1 END
      FROM generate_series(1, 200) AS n;
    INSERT INTO job_groups (key, feed_id, ordered, ready_at, queued_at, used_at)
      SELECT 'g' || n, 1, n < ${unorderedGroup}, ${nowMs} - n, CASE WHEN n % 20 = 0 THEN ${nowMs} - n END, ${nowMs}
      FROM generate_series(1, ${unorderedGroup}) AS n;
    INSERT INTO job_groups (key, feed_id, ordered, used_at)
      SELECT 'idle ' || n, 1 + n % 200, true, 0 FROM generate_series(1, ${IDLE_GROUPS}) AS n;
    INSERT INTO job_groups (key, feed_id, ordered, held_reason, held_since, blocked_job_id, used_at)
      SELECT 'held ' || n, 1 + n % 200, true, 'GROUP_BLOCKED', 1,
        CASE WHEN n = 1 THEN '${finalJob(0, 1)}' ELSE 'job_x' || n END, 0
      FROM generate_series(1, ${HELD_GROUPS}) AS n;`);
  for (let month = 0; month < MONTHS; month++) {
    await addHistory(
      database,
      Array.from({ length: JOBS_PER_MONTH }, (_, n) => finalJob(month, n)),
      month * JOBS_PER_MONTH,
    );
  }
  const ids = Array.from({ length: ORDERED_GROUPS * JOBS_PER_GROUP + UNORDERED_JOBS }, (_, n) => openJob(n));
  await addOpenJobs(database, ids);
}

const jobFields = `task, feed_id, group_id, profile_id, status, generation, attempt_count, generation_attempts,
  unburnt_attempts, due_at, replay_count, payload_bytes, created_at, updated_at`;

async function addHistory(database: PostgresDatabase, ids: readonly JobId[], position: number): Promise<void> {
  const values = [json(ids.map((id) => ({ id, event: eventOf(id) }))), position] as const;
  const rows = `(SELECT row_number() OVER () + $2::bigint AS position, r.* FROM json_to_recordset($1::json)
    AS r (id text, event text)) AS r`;
  const add = (sql: string) => database.run(adHoc<never, readonly [string, number]>(sql), values);
  await add(`
    INSERT INTO jobs (id, position, event_id, ${jobFields})
    SELECT id, position, event, false, 1, 1, 1, 2 + position % 4, 1, 1, 1, 0, 1, 0, 1, 1, 1 FROM ${rows}`);
  await add(`
    INSERT INTO events (id, position, type, source, time_ms, data_content_type, data_kind, data_bytes, created_at_ms)
    SELECT event, position, 't', 's', 1, 'c', 'json', 0, 1 FROM ${rows}`);
  await add(`
    INSERT INTO attempts (job_id, generation, number, started_at, duration_ms, outcome, burnt, signed)
    SELECT id, 1, 1, 1 + 0 * position, 1, 0, true, true FROM ${rows}`);
}

async function addOpenJobs(database: PostgresDatabase, ids: readonly JobId[]): Promise<void> {
  const first = MONTHS * JOBS_PER_MONTH;
  const orderedJobs = ORDERED_GROUPS * JOBS_PER_GROUP;
  await database.run(
    adHoc<never, readonly [string]>(`
      INSERT INTO open_jobs (id, position, event_id, ${jobFields}, sort_key)
      SELECT id, ${first} + n, event, false, 1, CASE WHEN n <= ${orderedJobs} THEN (n - 1) / ${JOBS_PER_GROUP} + 1
          ELSE ${unorderedGroup} END,
        1, CASE WHEN n <= ${orderedJobs} THEN 0 ELSE n % 2 END, 1, 0, 0, 0, 1, 0, 1, 1, 1,
        CASE WHEN n <= ${orderedJobs} THEN ${first} + n WHEN n % 2 = 1 THEN -n ELSE n END
      FROM ROWS FROM (json_to_recordset($1::json) AS (id text, event text)) WITH ORDINALITY AS r (id, event, n)`),
    [json(ids.map((id) => ({ id, event: eventOf(id) })))],
  );
}
