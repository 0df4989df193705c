import { CodedError, describeError } from "@flowcatalyst/foundation";
import type { Attempt, DeliveryReport, ReportVerdict } from "../../domain/attempt.ts";
import { jobLimits } from "../../domain/dispatch-job.ts";
import type { JobId } from "../../domain/ids.ts";
import { keyIs, statement, toJsonRows } from "../../postgres/statement.ts";
import type { AttemptSink } from "../../ports/attempt-sink.ts";
import {
  addAttempts,
  attemptColumns,
  attemptKey,
  attemptRecords,
  toAttemptJson,
  trimUnburntAttempts,
} from "./attempt-rows.ts";
import { countOutstanding } from "./group-rules.ts";
import type { JobChanges } from "./job-changes.ts";
import type { JobWriter } from "./job-writer.ts";
import { createSubscriptionPauses, type SubscriptionPauses } from "./subscription-pauses.ts";
import { statusCodes } from "../job-row.ts";

/**
 * Takes what routers report: one transaction a call, or one a report after something in the call could not be written.
 *
 * Nearly every report says that a job was delivered by its first attempt in this generation. Those need no look at the
 * job: one statement moves what is open in that generation to history and adds the attempts; the rule of the state
 * machine is in its WHERE. Whatever it leaves, and every other kind of report, goes the long way: the attempt is
 * inserted, whether it was new decides whether it counts, and the job moves by the state machine.
 *
 * A late report of a job that has moved on leaves its attempt behind and nothing else. A report of a job nobody knows,
 * or that cannot be written, is set aside, at most the last 10,000 of them.
 */
export const sinkLimits = {
  setAsideKept: 10_000,
} as const;

const unknownJob: ReportVerdict = { kind: "ignored", reason: "UNKNOWN_JOB" };
const delivered: ReportVerdict = { kind: "settled", status: "COMPLETED", holdsGroup: false };

interface DeliveredRow {
  readonly id: JobId;
  readonly group_id: number;
  readonly feed_id: number;
  readonly status: number;
}

/**
 * COMPLETED, as `transition` makes it of a report `delivered` with a burnt attempt that is new by its number. The
 * attempt comes out of the DELETE with the job: joining the two again would compare each with each.
 */
export const completeJobs = statement<DeliveredRow, [attempts: string, nowMs: number]>(`
  WITH done AS (
      DELETE FROM open_jobs o USING ${attemptRecords}
      WHERE ${keyIs("o.id", "r.job_id")} AND o.generation = r.generation AND o.status IN (0, 1)
        AND o.generation_attempts < r.number
      RETURNING o.id, o.position, o.event_id, o.task, o.feed_id, o.group_id, o.profile_id, o.client_id, o.message_group,
        o.code, o.status, o.generation, o.attempt_count, o.generation_attempts, o.unburnt_attempts, o.due_at,
        o.queued_at, o.expires_clock, o.replay_count, o.payload_bytes, o.created_at,
        r.number, r.started_at, r.duration_ms, r.outcome, r.status_code, r.burnt, r.signed, r.error, r.response_body
    ),
    kept AS (
      INSERT INTO jobs (id, position, event_id, task, feed_id, group_id, profile_id, client_id, message_group, code,
        status, generation, attempt_count, generation_attempts, unburnt_attempts, due_at, queued_at, expires_clock,
        replay_count, payload_bytes, created_at, updated_at, last_error)
      SELECT id, position, event_id, task, feed_id, group_id, profile_id, client_id, message_group, code,
        ${statusCodes.COMPLETED}, generation, attempt_count + 1, greatest(generation_attempts + 1, number),
        unburnt_attempts, due_at, queued_at, expires_clock, replay_count, payload_bytes, created_at, $2, NULL
      FROM done
    ),
    tried AS (
      INSERT INTO attempts (${attemptColumns})
      SELECT id, generation, number, started_at, duration_ms, outcome, status_code, burnt, signed, error, response_body
      FROM done
      ON CONFLICT DO NOTHING
    )
  SELECT id, group_id, feed_id, status FROM done`);

const insertSetAside = statement<never, [jobId: string, reason: string, report: string, atMs: number]>(
  "INSERT INTO set_aside_reports (job_id, reason, report, at_ms) VALUES ($1, $2, $3, $4)",
);
const trimSetAside = statement<never, [kept: number]>(
  "DELETE FROM set_aside_reports WHERE sequence <= (SELECT max(sequence) FROM set_aside_reports) - $1::bigint",
);

export function createAttemptSink(writer: JobWriter): AttemptSink {
  const context: SinkContext = { pauses: createSubscriptionPauses() };
  const recordTogether = (reports: readonly DeliveryReport[]): Promise<readonly ReportVerdict[]> =>
    writer.write({ nowMs: writer.clock.now() }, (changes) => recordAll(reports, changes, context));
  const recordAlone = async (report: DeliveryReport): Promise<ReportVerdict> => {
    try {
      return (await recordTogether([report]))[0] ?? unknownJob;
    } catch (error) {
      if (error instanceof CodedError) throw error;
      const reason = describeError(error);
      await writer.write({ nowMs: writer.clock.now() }, (changes) => setAside(report, reason, changes));
      return unknownJob;
    }
  };
  return {
    record: async (reports) => {
      try {
        return await recordTogether(reports);
      } catch (error) {
        // The store itself is fine, so it is one of the reports; its job is found lost later, and goes again.
        if (error instanceof CodedError) throw error;
        const verdicts: ReportVerdict[] = [];
        for (const report of reports) verdicts.push(await recordAlone(report));
        return verdicts;
      }
    },
  };
}

interface SinkContext {
  readonly pauses: SubscriptionPauses;
}

async function recordAll(
  reports: readonly DeliveryReport[],
  changes: JobChanges,
  context: SinkContext,
): Promise<readonly ReportVerdict[]> {
  await changes.lockGroupsOfJobs(reports.map((report) => report.jobId));
  const completed = await complete(reports, changes);
  const rest = reports.filter((report) => !completed.has(report.jobId));
  const attempts = await prepareRest(rest, changes);
  const verdicts: ReportVerdict[] = [];
  for (const report of reports) {
    if (completed.has(report.jobId)) verdicts.push(delivered);
    else verdicts.push(await apply(report, { changes, context, attempts }));
  }
  await trimUnburntAttempts(changes.session, [...attempts.toTrim]);
  return verdicts;
}

/** The short way; answers which jobs took it. A job with several reports takes the long one. */
async function complete(reports: readonly DeliveryReport[], changes: JobChanges): Promise<ReadonlySet<JobId>> {
  const seen = new Map<JobId, number>();
  for (const { jobId } of reports) seen.set(jobId, (seen.get(jobId) ?? 0) + 1);
  const rows = reports.flatMap(({ jobId, generation, attempt, result }) =>
    result.kind === "delivered" && attempt?.burnt === true && seen.get(jobId) === 1
      ? [toAttemptJson({ jobId, generation, attempt })]
      : [],
  );
  if (rows.length === 0) return new Set();
  const done = await changes.session.query(completeJobs, [toJsonRows(rows), changes.nowMs]);
  for (const row of done) {
    const group = changes.group(row.group_id);
    const wasQueued = row.status === statusCodes.QUEUED;
    changes.count(row.feed_id, wasQueued ? "queued" : "pending", -1);
    changes.count(row.feed_id, "completed", 1);
    if (wasQueued) countOutstanding(group, { by: -1, from: 0, nowMs: changes.nowMs });
    if (group.blocked_job_id === row.id) changes.unblock(group);
  }
  return new Set(done.map((row) => row.id));
}

interface RestAttempts {
  /** Attempts that count once: whoever counts one takes it out, as a call may hold the same report twice. */
  readonly uncounted: Set<string>;
  readonly toTrim: Set<JobId>;
}

/** Loads the jobs of the long way and inserts their attempts. */
async function prepareRest(reports: readonly DeliveryReport[], changes: JobChanges): Promise<RestAttempts> {
  if (reports.length === 0) return { uncounted: new Set(), toTrim: new Set() };
  await changes.loadJobsOfLockedGroups([...new Set(reports.map((report) => report.jobId))]);
  const attempts = reports.flatMap(({ jobId, generation, attempt }) =>
    attempt === null || changes.job(jobId) === null ? [] : [{ jobId, generation, attempt }],
  );
  return { uncounted: await addAttempts(changes.session, attempts), toTrim: new Set() };
}

interface Applying {
  readonly changes: JobChanges;
  readonly context: SinkContext;
  readonly attempts: RestAttempts;
}

async function apply(report: DeliveryReport, applying: Applying): Promise<ReportVerdict> {
  const { changes, context, attempts } = applying;
  const row = changes.job(report.jobId);
  if (row === null) {
    await setAside(report, "UNKNOWN_JOB", changes);
    return unknownJob;
  }
  const { attempt, generation } = report;
  const isNew = attempt !== null && attempts.uncounted.delete(attemptKey(report.jobId, generation, attempt.number));
  const unburnt = countUnburnt(report.jobId, { count: row.unburnt_attempts, attempt, isNew }, attempts);
  const command = { kind: "report", generation, result: report.result, attempt, attemptIsNew: isNew } as const;
  const result = await changes.apply(report.jobId, command, unburnt);
  if (result.kind === "unchanged") {
    if (unburnt !== row.unburnt_attempts) changes.noteUnburnt(report.jobId, unburnt);
    return { kind: "ignored", reason: result.reason === "FINAL" ? "FINAL" : "STALE" };
  }
  if (result.verdict === null) throw new Error("A report has a verdict");
  if (report.result.kind === "permanent" && report.result.pauseSubscription !== null) {
    const { subscriptionId } = changes.profile(row);
    const reason = report.result.pauseSubscription;
    if (subscriptionId !== null) await context.pauses.pauseWithReason(subscriptionId, reason, changes);
  }
  return result.verdict;
}

interface Unburnt {
  readonly count: number;
  readonly attempt: Attempt | null;
  readonly isNew: boolean;
}

function countUnburnt(jobId: JobId, { count, attempt, isNew }: Unburnt, attempts: RestAttempts): number {
  if (!isNew || attempt?.burnt !== false) return count;
  if (count + 1 > jobLimits.unburntAttemptRows) attempts.toTrim.add(jobId);
  return count + 1;
}

async function setAside(report: DeliveryReport, reason: string, { session, nowMs }: JobChanges): Promise<void> {
  await session.run(insertSetAside, [report.jobId, reason, JSON.stringify(report), nowMs]);
  await session.run(trimSetAside, [sinkLimits.setAsideKept]);
}
