/**
 * When nothing moves any more: every accepted event has reached everybody who wanted it, or visibly has not, and what
 * the store says of itself is true.
 */
import { unsettledOf } from "../../packages/server/src/ports/queue.ts";
import { anchorScope } from "../../packages/server/src/domain/scope.ts";
import type { SqliteDatabase } from "../../packages/server/src/stores/sqlite/index.ts";
import type { History } from "./history.ts";
import type { Incarnation } from "./incarnation.ts";
import { owedKey, type Ledger } from "./ledger.ts";
import type { KnownSubscription } from "./operator.ts";
import type { SentEvent } from "./publisher.ts";
import { wants, type Scenario } from "./scenario.ts";
import { Violation } from "./violation.ts";

export interface RestFacts {
  readonly process: Incarnation;
  readonly database: SqliteDatabase;
  readonly scenario: Scenario;
  readonly sent: readonly SentEvent[];
  readonly tasks: ReadonlySet<string>;
  readonly subscriptions: readonly KnownSubscription[];
  readonly history: History;
  readonly ledger: Ledger;
  readonly crashes: number;
  /** Something went wrong at some time, so calls may have been lost. */
  readonly wasDisturbed: boolean;
}

export async function isAtRest({ process, database }: RestFacts): Promise<boolean> {
  if (unsettledOf(await process.queue.metrics()) !== 0) return false;
  if (count(database, "SELECT count(*) AS n FROM jobs WHERE open = 1") > 0) return false;
  if (count(database, "SELECT count(*) AS n FROM job_groups WHERE blocked_position IS NOT NULL") > 0) return false;
  if (count(database, "SELECT count(*) AS n FROM replays WHERE status = 'RUNNING'") > 0) return false;
  const checkpoint = await process.store.jobAppender.checkpoint();
  return checkpoint.position === (await process.store.eventFeed.newest());
}

export async function checkAtRest(facts: RestFacts): Promise<void> {
  const jobs = readJobs(facts.database);
  checkEvents(facts);
  checkFanOut(facts, jobs);
  for (const job of jobs) checkJob(facts, job);
  checkTasks(facts, jobs);
  checkBooks(facts.database);
  const { dead } = await facts.process.queue.metrics();
  if (dead !== 0) throw new Violation("readable", `${dead} messages are dead letters`);
  const held = await facts.process.store.jobs.heldGroups({ limit: 10, cursor: null }, anchorScope);
  const wrong = held.items.find(({ reason }) => reason !== "SUBSCRIPTION_PAUSED");
  if (wrong !== undefined) throw new Violation("books", `${wrong.key} is held (${wrong.reason}) although all is done`);
}

interface JobRow {
  readonly id: string;
  readonly position: number;
  readonly status: number;
  readonly task: number;
  readonly attempt_count: number;
  readonly unburnt_attempts: number;
  readonly replay_count: number;
  readonly last_error: string | null;
  readonly event_id: string | null;
  readonly subscription_id: string | null;
  readonly burnt: number;
  readonly attempts: number;
  readonly max_retries: number;
  readonly max_age: number;
}

const [COMPLETED, FAILED, CANCELLED, EXPIRED] = [2, 3, 4, 5];

function readJobs(database: SqliteDatabase): readonly JobRow[] {
  return database
    .statement<JobRow>(`
      SELECT j.id, j.position, j.status, j.task, j.attempt_count, j.unburnt_attempts, j.replay_count, j.last_error,
        e.id AS event_id, f.subscription_id,
        (SELECT count(*) FROM attempts a WHERE a.job_position = j.position AND a.burnt = 1) AS burnt,
        (SELECT count(*) FROM attempts a WHERE a.job_position = j.position) AS attempts,
        p.body ->> '$.retry.maxRetries' AS max_retries, p.body ->> '$.maxAgeSeconds' AS max_age
      FROM jobs j JOIN job_feeds f ON f.id = j.feed_id JOIN delivery_profiles p ON p.id = j.profile_id
        LEFT JOIN events e ON e.position = j.stream_position AND j.task = 0
      ORDER BY j.position`)
    .all();
}

/** What was answered is there; what was sent once is there once. */
function checkEvents({ database, sent }: RestFacts): void {
  const rows = database.queryOnce<{ id: string; position: number; n: number }>(
    "SELECT id, position, data ->> '$.n' AS n FROM events ORDER BY position",
    [],
  );
  const numbers = new Map<number, string>();
  rows.forEach(({ id, position, n }, at) => {
    if (position !== at + 1) throw new Violation("positions", `event ${id} has position ${position}, not ${at + 1}`);
    if (numbers.has(n)) throw new Violation("deduplication", `event ${n} was accepted twice`);
    numbers.set(n, id);
  });
  for (const { number, id } of sent) {
    if (id !== null && numbers.get(number) !== id) throw new Violation("accepted", `event ${number} (${id}) is lost`);
  }
}

/** One job for each pair of an event and a subscription that wants it, and none else. */
function checkFanOut(facts: RestFacts, jobs: readonly JobRow[]): void {
  const made = new Map<string, JobRow>();
  for (const job of jobs) {
    if (job.task === 1) continue;
    const key = owedKey(job.id, job.event_id, job.subscription_id);
    if (job.event_id === null) throw new Violation("fan-out", `${job.id} has no event`);
    if (made.has(key)) throw new Violation("fan-out", `${key} has two jobs`);
    made.set(key, job);
  }
  let wanted = 0;
  const numberOf = new Map(
    facts.database
      .queryOnce<{ id: string; n: number }>("SELECT id, data ->> '$.n' AS n FROM events", [])
      .map(({ id, n }) => [n, id]),
  );
  for (const event of facts.sent) {
    const id = numberOf.get(event.number);
    if (id === undefined) continue;
    for (const known of facts.subscriptions) {
      const { subscription } = known;
      const isMade = made.has(owedKey("", id, subscription.id));
      if (isMade) wanted++;
      const isWanted = wants(subscription, event);
      if (isMade && !isWanted)
        throw new Violation("fan-out", `${id} went to ${subscription.id}, which does not want it`);
      const isCertain = isWanted && !known.mayBeArchived && event.sentAtMs > known.answeredMs;
      if (isCertain && !isMade) throw new Violation("fan-out", `${id} did not go to ${subscription.id}`);
    }
  }
  if (wanted !== made.size) throw new Violation("fan-out", `${made.size - wanted} jobs are of nothing that was sent`);
}

function checkJob(facts: RestFacts, job: JobRow): void {
  const { history, ledger, process, wasDisturbed } = facts;
  const key = owedKey(job.id, job.event_id, job.subscription_id);
  const wasTouched = history.touches(job.id) > 0 || job.replay_count > 0;
  const calls = ledger.callsOfJob(job.id);
  if (job.status === COMPLETED && !ledger.wasAcknowledged(key)) {
    throw new Violation("delivered", `${job.id} is COMPLETED, but no target has acknowledged it`);
  }
  if (history.isCancelled(job.id) && job.status !== CANCELLED) {
    throw new Violation("cancelled", `${job.id} was cancelled, and is not any more`);
  }
  const lastWord = ledger.acknowledgedBy(key) === process.life.number;
  if (lastWord && !wasTouched && (job.status === FAILED || job.status === EXPIRED)) {
    throw new Violation("delivered", `${job.id} was acknowledged, and its record says otherwise`);
  }
  if (job.attempts > calls) throw new Violation("attempts", `${job.id} has ${job.attempts} attempts of ${calls} calls`);
  if (!wasDisturbed && job.burnt + job.unburnt_attempts !== calls) {
    const recorded = `${job.burnt} + ${job.unburnt_attempts}`;
    throw new Violation("attempts", `${job.id} was called ${calls} times, and ${recorded} attempts are recorded`);
  }
  if (wasTouched) return;
  // Late results of a job that has moved on are kept as attempts, and change nothing.
  const mayBeLate = wasDisturbed || history.isCancelled(job.id);
  if (mayBeLate ? job.attempt_count > job.burnt : job.attempt_count !== job.burnt) {
    throw new Violation("attempts", `${job.id} counts ${job.attempt_count} burnt attempts, and has ${job.burnt}`);
  }
  if (job.attempt_count > job.max_retries + 1) {
    throw new Violation("attempts", `${job.id} has burnt ${job.attempt_count} attempts of ${job.max_retries + 1}`);
  }
  if (job.status === FAILED && (job.last_error ?? "") === "") {
    throw new Violation("visible", `${job.id} has failed without a reason`);
  }
  const jumpedMs = Math.max(0, facts.process.clock.now() - Date.UTC(2026, 0, 1));
  if (job.status === EXPIRED && job.max_age * 1_000 > jumpedMs) {
    throw new Violation("expiry", `${job.id} has expired before its time`);
  }
}

function checkTasks({ tasks }: RestFacts, jobs: readonly JobRow[]): void {
  const known = new Set(jobs.filter(({ task }) => task === 1).map(({ id }) => id));
  for (const id of tasks) if (!known.has(id)) throw new Violation("accepted", `task ${id} is lost`);
}

const FEED_COUNTS = ["pending", "queued", "completed", "failed", "cancelled", "expired"] as const;

/** Totals and marks that the store keeps beside its rows say what the rows say. */
function checkBooks(database: SqliteDatabase): void {
  for (const [status, name] of FEED_COUNTS.entries()) {
    const wrong = database.queryOnce<{ key: string; kept: number; real: number }>(
      `SELECT f.key, f.${name} AS kept,
         (SELECT count(*) FROM jobs j WHERE j.feed_id = f.id AND j.status = ${status}) AS real
       FROM job_feeds f`,
      [],
    );
    for (const { key, kept, real } of wrong) {
      if (kept !== real) throw new Violation("books", `feed ${key} counts ${kept} ${name} jobs and has ${real}`);
    }
  }
  const busy = database.queryOnce<Record<string, unknown>>(
    `SELECT * FROM job_groups WHERE outstanding <> 0 OR run_from IS NOT NULL OR run_to IS NOT NULL
       OR queued_at IS NOT NULL OR blocked_position IS NOT NULL`,
    [],
  )[0];
  if (busy !== undefined)
    throw new Violation("books", `a group is not idle although all is done: ${JSON.stringify(busy)}`);
  const aside = database.queryOnce<{ reason: string; job_id: string }>(
    "SELECT reason, job_id FROM set_aside_reports",
    [],
  );
  if (aside[0] !== undefined) throw new Violation("books", `a report of ${aside[0].job_id} was set aside`);
  const poison = database.queryOnce<{ reason: string }>("SELECT reason FROM poison_events", [])[0];
  if (poison !== undefined) throw new Violation("poison", poison.reason);
}

function count(database: SqliteDatabase, sql: string): number {
  return database.statement<{ n: number }>(sql).get()?.n ?? 0;
}
