import type { DispatchJob, NewTaskJob } from "../../domain/dispatch-job.ts";
import type { JobId } from "../../domain/ids.ts";
import type { JobCommands } from "../../ports/job-store.ts";
import type { PostgresSession } from "../../postgres/postgres-database.ts";
import { keyIs, statement, toJsonRows } from "../../postgres/statement.ts";
import { groupRowKey, taskFeed } from "../feed-key.ts";
import { toDispatchJob } from "../whole-job.ts";
import { storable } from "./entity-table.ts";
import { readFullJobs } from "./full-job-row.ts";
import { numberOf } from "./job-appender.ts";
import { StaleDirectory, type JobChanges } from "./job-changes.ts";
import type { GroupKeyed } from "./job-directory.ts";
import { insertNewJobs } from "./job-inserts.ts";
import type { JobWriter } from "./job-writer.ts";

/**
 * Jobs created directly. They carry their payload, which lies beside the job, and an idempotency key by which a repeat
 * is recognised for as long as the first job is kept. All of a call is made or nothing.
 *
 * Keys are claimed before anything else, in sorted order, for the jobs the caller brings. A key that another call has
 * claimed and not yet committed makes this one wait, and find out; a claim on one that is taken fails, but keeps its
 * row locked to the end, so it stays what it was found to be. So of any number of equal calls, on any number of
 * instances, one makes the job and the others answer with it. A key whose job is gone is taken over.
 */
interface ClaimedKey {
  readonly client_id: string;
  readonly idempotency_key: string;
}

const keyColumns = "(client_id text, idempotency_key text, job_id text, created_at bigint)";

/** Ids are never given twice, so the condition is false; it is there for the lock. */
const claimKeys = statement<ClaimedKey, [rows: string]>(`
  INSERT INTO task_keys AS k (client_id, idempotency_key, job_id, created_at)
  SELECT client_id, idempotency_key, job_id, created_at FROM json_to_recordset($1::json) AS r ${keyColumns}
  ON CONFLICT (client_id, idempotency_key) DO UPDATE SET created_at = k.created_at WHERE k.job_id = excluded.job_id
  RETURNING client_id, idempotency_key`);

/** What the keys name that were not to be had. */
const readTaken = statement<ClaimedKey & { job_id: JobId }, [rows: string]>(`
  SELECT k.client_id, k.idempotency_key, k.job_id FROM json_to_recordset($1::json) AS r ${keyColumns}
  JOIN task_keys k ON ${keyIs("(k.client_id, k.idempotency_key)", "(r.client_id, r.idempotency_key)")}`);

const takeOver = statement<never, [rows: string]>(`
  UPDATE task_keys k SET job_id = r.job_id, created_at = r.created_at
  FROM json_to_recordset($1::json) AS r ${keyColumns}
  WHERE ${keyIs("(k.client_id, k.idempotency_key)", "(r.client_id, r.idempotency_key)")}`);

const addTasks = statement<never, [tasks: string]>(`
  INSERT INTO job_tasks (job_id, client_id, idempotency_key, subscription_id, metadata, content_type, base64, payload)
  SELECT i, c, k, s, m, t, b, p
  FROM json_to_recordset($1::json) AS r (i text, c text, k text, s text, m text, t text, b boolean, p text)`);

export function createTaskCreator(writer: JobWriter): JobCommands["createTasks"] {
  return async (given) => {
    if (given.length === 0) return [];
    const tasks = given.map(withStorableKeys);
    const nowMs = tasks.at(-1)?.createdAtMs ?? 0;
    return writer.write({ nowMs }, async (changes) => {
      const { session } = changes;
      const repeats = await claimIdempotency(tasks, session);
      await insertTasks(
        tasks.filter((task) => !repeats.has(task.id)),
        { changes, writer },
      );
      const jobs = await readJobs(
        tasks.map((task) => repeats.get(task.id) ?? task.id),
        session,
        nowMs,
      );
      return tasks.map((task) => {
        const first = repeats.get(task.id);
        const job = jobs.get(first ?? task.id);
        // Retention has taken it since it was found to be there: the key is free.
        if (job === undefined) throw new StaleDirectory(`No job ${first ?? task.id}`);
        return { kind: first === undefined ? ("created" as const) : ("repeated" as const), job };
      });
    });
  };
}

/** Rows are found again by these texts, so they must be as the database keeps them. */
function withStorableKeys(task: NewTaskJob): NewTaskJob {
  const { clientId, messageGroup, groupKey, idempotencyKey } = task;
  return {
    ...task,
    clientId: storableText(clientId),
    messageGroup: storableText(messageGroup),
    groupKey: storableText(groupKey),
    idempotencyKey: storableText(idempotencyKey),
  };
}

function storableText<Text extends string | null>(text: Text): Text {
  return (text === null ? null : storable(text.toWellFormed())) as Text;
}

/** Which tasks repeat an earlier one, of another call or of this one: their ids, and those of the first jobs. */
async function claimIdempotency(
  tasks: readonly NewTaskJob[],
  session: PostgresSession,
): Promise<ReadonlyMap<JobId, JobId>> {
  const firsts = new Map<string, KeyRow>();
  const keyed = tasks.flatMap((task) => toKeyRow(task) ?? []);
  for (const row of keyed) if (!firsts.has(keyOf(row))) firsts.set(keyOf(row), row);
  if (firsts.size === 0) return new Map();
  const sorted = [...firsts.values()].toSorted((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));
  const claimed = new Set((await session.query(claimKeys, [toJsonRows(sorted)])).map(keyOf));
  const holders = new Map([...firsts].map(([key, row]) => [key, row.job_id]));
  const refused = sorted.filter((row) => !claimed.has(keyOf(row)));
  if (refused.length > 0) {
    const taken = await session.query(readTaken, [toJsonRows(refused)]);
    const kept = await readJobs(
      taken.map((row) => row.job_id),
      session,
      0,
    );
    for (const row of taken) if (kept.has(row.job_id)) holders.set(keyOf(row), row.job_id);
    const orphans = refused.filter((row) => holders.get(keyOf(row)) === row.job_id);
    if (orphans.length > 0) await session.run(takeOver, [toJsonRows(orphans)]);
  }
  const repeats = new Map<JobId, JobId>();
  for (const row of keyed) {
    const holder = holders.get(keyOf(row)) ?? row.job_id;
    if (holder !== row.job_id) repeats.set(row.job_id, holder);
  }
  return repeats;
}

interface KeyRow extends ClaimedKey {
  readonly job_id: JobId;
  readonly created_at: number;
}

function toKeyRow(task: NewTaskJob): KeyRow | null {
  const { clientId, idempotencyKey, id, createdAtMs } = task;
  if (idempotencyKey === null) return null;
  return {
    client_id: clientId ?? "",
    idempotency_key: idempotencyKey,
    job_id: id,
    created_at: createdAtMs,
  };
}

function keyOf({ client_id, idempotency_key }: ClaimedKey): string {
  return JSON.stringify([client_id, idempotency_key]);
}

async function readJobs(
  ids: readonly JobId[],
  session: PostgresSession,
  nowMs: number,
): Promise<ReadonlyMap<JobId, DispatchJob>> {
  if (ids.length === 0) return new Map();
  const rows = await session.query(readFullJobs, [JSON.stringify([...new Set(ids)])]);
  return new Map(rows.map((row) => [row.id, toDispatchJob(row, nowMs)]));
}

interface InsertContext {
  readonly changes: JobChanges;
  readonly writer: JobWriter;
}

async function insertTasks(tasks: readonly NewTaskJob[], { changes, writer }: InsertContext): Promise<void> {
  if (tasks.length === 0) return;
  const { directory } = writer;
  const { session, nowMs } = changes;
  const profiles = new Map(tasks.map(({ profile }) => [profile.key, profile]));
  const profileIds = await directory.profileIds(session, profiles, nowMs);
  const feedOf = (task: NewTaskJob) => taskFeed(task.clientId, task.profile.poolCode);
  const feeds = new Map(tasks.map((task) => [feedOf(task).key, feedOf(task)]));
  const feedIds = await directory.feedIds(session, feeds, nowMs);
  const keyOfGroup = (task: NewTaskJob): string => groupRowKey(task.groupKey, feedOf(task).key);
  const groups = new Map(
    tasks.map((task): [string, GroupKeyed] => {
      const key = keyOfGroup(task);
      return [key, { key, feedId: numberOf(feedIds, feedOf(task).key), ordered: task.groupKey !== null }];
    }),
  );
  const groupIds = await directory.groupIds(session, groups, nowMs);
  await changes.lockGroups(groupIds.values());
  const jobs = tasks.map((task) => {
    const groupId = numberOf(groupIds, keyOfGroup(task));
    return {
      id: task.id,
      eventId: task.eventId,
      task: true,
      // A group of tasks may span lanes and still is scheduled as one: its jobs are counted where the group is.
      feedId: changes.feedOfGroup(groupId),
      groupId,
      ordered: task.groupKey !== null,
      profileId: numberOf(profileIds, task.profile.key),
      clientId: task.clientId,
      messageGroup: task.messageGroup,
      code: task.code,
      dueAtMs: task.dueAtMs,
      payloadBytes: Buffer.byteLength(task.payload),
      createdAtMs: task.createdAtMs,
    };
  });
  await insertNewJobs(jobs, changes);
  await session.run(addTasks, [toJsonRows(tasks.map(toTaskRow))]);
}

/** Text of PostgreSQL cannot hold NUL; such a payload is stored as the base64 of its UTF-8. */
function toStoredPayload(payload: string): { readonly b: boolean; readonly p: string } {
  if (!payload.includes("\0")) return { b: false, p: payload };
  return { b: true, p: Buffer.from(payload).toString("base64") };
}

export interface StoredPayload {
  readonly base64: boolean;
  readonly payload: string;
}

/** The payload as it was given. */
export function payloadOf({ base64, payload }: StoredPayload): string {
  return base64 ? Buffer.from(payload, "base64").toString() : payload;
}

function toTaskRow(task: NewTaskJob): object {
  return {
    i: task.id,
    c: task.clientId ?? "",
    k: task.idempotencyKey,
    s: task.subscriptionId,
    m: JSON.stringify(task.metadata),
    t: task.contentType,
    ...toStoredPayload(task.payload),
  };
}
