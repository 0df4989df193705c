import type { JobId } from "../../domain/ids.ts";
import type { LeaseEpoch } from "../../ports/lease.ts";
import type { PostgresSession } from "../../postgres/postgres-database.ts";
import { adHoc, statement } from "../../postgres/statement.ts";
import { storeLocks } from "./store-locks.ts";
import { finalCounters } from "./history-rows.ts";
import { historyTables, listPartitions, partitionLimits, type HistoryPartition } from "./history-partitions.ts";
import type { JobChanges } from "./job-changes.ts";
import type { JobWriter } from "./job-writer.ts";
import { fence } from "./lease-store.ts";

/**
 * Retention by whole months. A partition all of whose ids are older than the retention goes in two steps.
 *
 * First it is detached. In the same transaction, what is still needed of it moves to its table again, and so into
 * DEFAULT, as no other partition takes it: of jobs those that block their group, of tasks and attempts those of jobs
 * that are still there, of events those of such jobs and those the stream has not passed. For that to be true, the
 * month's jobs go before its tasks, attempts and events. Jobs that are not final are elsewhere anyway. A partition of
 * which more is needed than can be moved in a moment stays whole until less is: it costs room, and nothing else.
 *
 * Detaching needs the table for itself. Whoever uses it is waited for half a second; those that come meanwhile wait
 * behind. Then it is given up and tried again with the chore's next turn. It is the only lock of a table this
 * transaction takes that anybody has to wait for, and it is taken before any row of the table is, so there is no
 * deadlock with writers, who lock rows and hold several tables at once.
 *
 * Then the detached table, which nobody else knows, is cleared away in peace: feeds count final jobs, so those of jobs
 * are counted off, slice by slice, with a mark of how far that came in the same transaction; at last it is dropped.
 * `dropped_partitions` remembers it over a crash.
 */
export const partitionDropLimits = {
  /** Rows that are kept of a partition when it goes: moving takes some 10 us each, while its table is locked. */
  movedMax: 10_000,
  /** Jobs that are counted off in one transaction. */
  countedRows: 20_000,
} as const;

export interface PartitionStep {
  /** Rows that went. Of other tables than jobs it is an estimate, and 1 at least: nobody reads them to count them. */
  readonly removed: number;
  /** Nothing more can go now. */
  readonly finished: boolean;
}

const nothing: PartitionStep = { removed: 0, finished: true };

interface Dropped {
  readonly name: string;
  readonly history: string;
  readonly counted_to: string;
}

const readDropped = statement<Dropped>(
  "SELECT name, history, counted_to FROM dropped_partitions ORDER BY name LIMIT 1",
);
const lockDropped = statement<Dropped, [name: string]>(
  "SELECT name, history, counted_to FROM dropped_partitions WHERE name = $1 FOR UPDATE",
);
const addDropped = statement<never, [name: string, history: string]>(
  "INSERT INTO dropped_partitions (name, history) VALUES ($1, $2)",
);
const moveMark = statement<never, [name: string, countedTo: string]>(
  "UPDATE dropped_partitions SET counted_to = $2 WHERE name = $1",
);
const removeDropped = statement<never, [name: string]>("DELETE FROM dropped_partitions WHERE name = $1");
const lockPartitions = statement<never, [number]>("SELECT pg_advisory_xact_lock($1)");

/** What is needed, as the key of its table's rows, at most so many; $1 and $2 are the partition's bounds. */
type NeededStatement = (limit: string) => string;

const neededJobs: NeededStatement = (limit) => `
  SELECT blocked_job_id AS key FROM job_groups WHERE blocked_job_id >= $1 AND blocked_job_id < $2 ${limit}`;
const neededOfJobs: NeededStatement = (limit) => `
  (SELECT id AS key FROM open_jobs WHERE id >= $1 AND id < $2 ORDER BY id ${limit})
  UNION (SELECT id FROM jobs WHERE id >= $1 AND id < $2 ORDER BY id ${limit})`;
const neededEvents: NeededStatement = (limit) => `
  (SELECT DISTINCT event_id AS key FROM open_jobs WHERE event_id >= $1 AND event_id < $2 ORDER BY event_id ${limit})
  UNION (SELECT DISTINCT event_id FROM jobs WHERE event_id >= $1 AND event_id < $2 ORDER BY event_id ${limit})`;

const needed: Readonly<Record<string, NeededStatement>> = {
  jobs: neededJobs,
  job_tasks: neededOfJobs,
  attempts: neededOfJobs,
  events: neededEvents,
};

/** Events behind the stream are found in the partition itself. */
const notPassed = (name: string, limit: string): string => `
  SELECT id AS key FROM ${name} WHERE position > (SELECT position FROM stream_checkpoint WHERE only_row)
  ORDER BY position ${limit}`;

export class PartitionDrop {
  readonly #writer: JobWriter;
  /** Partitions of which too much is needed: not looked at again until the walk is at its end. */
  readonly #kept = new Set<string>();

  constructor(writer: JobWriter) {
    this.#writer = writer;
  }

  /** One transaction: detaches a partition, or clears some of a detached one away. */
  async step(beforeMs: number, epoch: LeaseEpoch): Promise<PartitionStep> {
    const { database } = this.#writer;
    const dropped = await database.one(readDropped, []);
    if (dropped !== null) return { removed: await this.#clear(dropped.name, epoch), finished: false };
    const next = nextToGo(await listPartitions(database), beforeMs, this.#kept);
    if (next === null) {
      this.#kept.clear();
      return nothing;
    }
    const detached = await database.transaction((session) => detach(next, epoch, session));
    if (!detached) this.#kept.add(next.name);
    return { removed: 0, finished: false };
  }

  async #clear(name: string, epoch: LeaseEpoch): Promise<number> {
    const options = { nowMs: this.#writer.clock.now(), epoch, quiet: true };
    return this.#writer.write(options, async (changes) => {
      const { session } = changes;
      const dropped = await session.one(lockDropped, [name]);
      if (dropped === null) return 0;
      const counted = dropped.history === "jobs" ? await countOff(dropped, changes) : 0;
      if (counted > 0) return counted;
      const estimate = await session.one(readEstimate, [name]);
      await session.run(adHoc(`SET LOCAL lock_timeout = ${partitionLimits.lockTimeoutMs}`), []);
      await session.run(adHoc(`DROP TABLE IF EXISTS ${name}`), []);
      await session.run(removeDropped, [name]);
      return dropped.history === "jobs" ? 1 : Math.max(1, estimate?.rows ?? 0);
    });
  }
}

/** The next slice of a detached table of jobs; 0: there is none. */
async function countOff({ name, counted_to }: Dropped, changes: JobChanges): Promise<number> {
  const rows = await changes.session.query(countSlice(name), [counted_to]);
  const last = rows
    .map((row) => row.last)
    .toSorted()
    .at(-1);
  if (last === undefined) return 0;
  for (const row of rows) {
    const counter = finalCounters[row.status] ?? null;
    if (row.feed_exists && counter !== null) changes.count(row.feed_id, counter, -row.jobs);
  }
  await changes.session.run(moveMark, [name, last]);
  return rows.reduce((sum, row) => sum + row.jobs, 0);
}

/** A month's jobs first. DEFAULT partitions are not among those that are listed. */
function nextToGo(
  partitions: readonly HistoryPartition[],
  beforeMs: number,
  kept: ReadonlySet<string>,
): HistoryPartition | null {
  const old = partitions.filter(({ toMs }) => toMs <= beforeMs);
  const monthsWithJobs = new Set(old.filter(({ table }) => table === "jobs").map(({ fromMs }) => fromMs));
  const free = old.filter(({ table, fromMs, name }) => {
    return !kept.has(name) && (table === "jobs" || !monthsWithJobs.has(fromMs));
  });
  return free.toSorted((a, b) => a.fromMs - b.fromMs)[0] ?? null;
}

/** False: too much of it is needed. The names and bounds in these texts are made here, of letters and digits. */
async function detach(partition: HistoryPartition, epoch: LeaseEpoch, session: PostgresSession): Promise<boolean> {
  const { table, name, lowerId, upperId } = partition;
  const key = historyTables.find((history) => history.table === table)?.key ?? "id";
  const bounds = [lowerId, upperId] as const;
  await session.run(adHoc(`SET LOCAL lock_timeout = ${partitionLimits.lockTimeoutMs}`), []);
  await session.run(lockPartitions, [storeLocks.partitions]);
  await fence(session, epoch);
  // Another process may have been faster.
  if (!(await listPartitions(session)).some((present) => present.name === name)) return true;
  if ((await countNeeded(partition, session)) > partitionDropLimits.movedMax) return false;
  const asNeeded = (needed[table] ?? neededJobs)("");
  await session.run(adHoc(`ALTER TABLE ${table} DETACH PARTITION ${name}`), []);
  if (table === "events") {
    // First: one that the stream passes meanwhile has its jobs by the time the next statement looks.
    await session.run(
      adHoc(`
        WITH moved AS (
          DELETE FROM ${name} USING (${notPassed(name, "")}) AS n WHERE ${name}.id = n.key RETURNING ${name}.*)
        INSERT INTO ${table} SELECT * FROM moved`),
      [],
    );
  }
  await session.run(
    adHoc<never, readonly [string, string]>(`
      WITH moved AS (DELETE FROM ${name} USING (${asNeeded}) AS n WHERE ${name}.${key} = n.key RETURNING ${name}.*)
      INSERT INTO ${table} SELECT * FROM moved`),
    bounds,
  );
  await session.run(addDropped, [name, table]);
  return true;
}

/** Stops at one more than may be moved. */
async function countNeeded({ table, name, lowerId, upperId }: HistoryPartition, session: PostgresSession) {
  const limit = `LIMIT ${partitionDropLimits.movedMax + 1}`;
  const count = adHoc<{ total: number }, readonly [string, string]>(
    `SELECT count(*) AS total FROM (${(needed[table] ?? neededJobs)(limit)}) AS n`,
  );
  const total = (await session.one(count, [lowerId, upperId]))?.total ?? 0;
  if (table !== "events") return total;
  const behind = adHoc<{ total: number }>(`SELECT count(*) AS total FROM (${notPassed(name, limit)}) AS n`);
  return total + ((await session.one(behind, []))?.total ?? 0);
}

interface CountedRow {
  readonly feed_id: number;
  readonly feed_exists: boolean;
  readonly status: number;
  readonly jobs: number;
  readonly last: JobId;
}

const countSlice = (name: string) =>
  adHoc<CountedRow, readonly [string]>(`
    SELECT s.*, EXISTS (SELECT 1 FROM job_feeds f WHERE f.id = s.feed_id) AS feed_exists
    FROM (
      SELECT feed_id, status, count(*) AS jobs, max(id) AS last
      FROM (
        SELECT id, feed_id, status FROM ${name} WHERE id > $1 ORDER BY id LIMIT ${partitionDropLimits.countedRows}
      ) AS slice
      GROUP BY feed_id, status
    ) AS s`);

/** From the last vacuum; below zero if there was none. */
const readEstimate = adHoc<{ rows: number }, readonly [string]>(
  "SELECT reltuples::bigint AS rows FROM pg_class WHERE oid = to_regclass($1)",
);
