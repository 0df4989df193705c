import { describe, expect, test } from "bun:test";
import { systemClock } from "@flowcatalyst/foundation";
import type { DeliveryProfile } from "../../domain/dispatch-job.ts";
import { anchorScope } from "../../domain/scope.ts";
import { createSamples } from "../../ports/sample-entities.fixture.ts";
import { describeSearchConformance, type SearchableJob, type SearchFixture } from "../../ports/search.conformance.ts";
import { openDatabase, type SqliteDatabase } from "./database.ts";
import { createEventLog } from "./event-log.ts";
import { statusCodes } from "../job-row.ts";
import { findSliceEnd } from "./search-events.ts";
import { createSearches, searchesDefaults } from "./searches.ts";
import { openTestDatabase } from "./sqlite-store.fixture.ts";
import { createWakeSignal } from "./wake-signal.ts";

/** Straight into the tables: what searches read, without what scheduling does to it. */
function addJobs(database: SqliteDatabase, jobs: readonly SearchableJob[]): void {
  const feed = database.statement<{ id: number }, [string, string | null, string]>(`
    INSERT INTO job_feeds (key, subscription_id, lane) VALUES (?1, ?2, ?3)
    ON CONFLICT (key) DO UPDATE SET lane = lane RETURNING id`);
  const profile = database.statement<{ id: number }, [string, string]>(`
    INSERT INTO delivery_profiles (key, body) VALUES (?1, ?2)
    ON CONFLICT (key) DO UPDATE SET body = body RETURNING id`);
  const insert = database.statement<{ position: number }, (string | number | null)[]>(`
    INSERT INTO jobs (id, stream_position, task, feed_id, group_id, profile_id, client_id, message_group, status,
      generation, attempt_count, generation_attempts, unburnt_attempts, due_at, replay_count, payload_bytes, created_at,
      updated_at, sort_key)
    VALUES (?1, ?2, ?3, ?4, 0, ?5, ?6, ?7, ?8, 1, 0, 0, 0, ?9, 0, 2, ?9, ?9, 0) RETURNING position`);
  const task = database.statement<never, (string | number | null)[]>(`
    INSERT INTO job_tasks (position, client_id, event_id, subscription_id, code, metadata, content_type, payload)
    VALUES (?1, ?2, ?3, ?4, ?5, '{}', 'application/json', '{}')`);
  database.transaction(() => {
    for (const job of jobs) {
      const isTask = job.kind === "TASK";
      const subscriptionId = isTask ? null : job.subscriptionId;
      const feedId = feed.get(`${subscriptionId}:${job.poolCode}`, subscriptionId, job.poolCode)!.id;
      const body: Partial<DeliveryProfile> = { subscriptionId, poolCode: job.poolCode, mode: "IMMEDIATE" };
      const profileId = profile.get(`${subscriptionId}:${job.poolCode}`, JSON.stringify(body))!.id;
      const status = statusCodes[job.status];
      const { position } = insert.get(
        job.id,
        job.eventPosition,
        isTask ? 1 : 0,
        feedId,
        profileId,
        job.clientId,
        job.messageGroup,
        status,
        job.createdAtMs,
      )!;
      if (isTask) task.run(position, job.clientId ?? "", job.eventId, job.subscriptionId, job.code);
    }
  });
}

function fixtureOver(database: SqliteDatabase, close: () => Promise<void>): SearchFixture {
  const clock = systemClock();
  const deps = { database, clock };
  const searches = createSearches(deps);
  const hurried = createSearches(deps, { ...searchesDefaults, timeoutMs: 0 });
  const log = createEventLog({ ...deps, appended: createWakeSignal() }, { dedupWindowMs: 1 });
  return {
    searches,
    appender: log.appender,
    addJobs: async (jobs) => addJobs(database, jobs),
    hurried: () => hurried,
    close: async () => {
      await Promise.all([searches.close(), hurried.close()]);
      await close();
    },
  };
}

describeSearchConformance("sqlite, on a thread", async () => {
  const store = openTestDatabase();
  return fixtureOver(store.database, store.close);
});

describeSearchConformance("sqlite in memory", async () => {
  const database = openDatabase({ path: ":memory:" }, { clock: systemClock(), pid: process.pid });
  return fixtureOver(database, async () => database.close());
});

describe("sqlite searches", () => {
  test("walk the time index and never sort", () => {
    const database = openDatabase({ path: ":memory:" }, { clock: systemClock(), pid: process.pid });
    const plan = database.queryOnce<{ detail: string }>(`EXPLAIN QUERY PLAN ${findSliceEnd}`, [0, 0, 0, 0]);
    expect(plan.map((row) => row.detail)).toEqual([
      "SEARCH events USING COVERING INDEX events_by_time (time_ms>? AND time_ms<?)",
    ]);
    database.close();
  });

  test("after close they are refused, and closing twice is fine", async () => {
    const store = openTestDatabase();
    const searches = createSearches({ database: store.database, clock: systemClock() });
    await searches.events({}, { page: 0, size: 1 }, anchorScope);
    await searches.close();
    await searches.close();
    const fault = await searches.events({}, { page: 0, size: 1 }, anchorScope).catch((error: unknown) => error);
    expect(fault).toMatchObject({ code: "SHUTTING_DOWN" });
    await store.close();
  });

  test("threads can be started and stopped again and again", async () => {
    const store = openTestDatabase();
    const log = createEventLog({ ...store, appended: createWakeSignal() }, { dedupWindowMs: 1 });
    await log.appender.append([createSamples().event()]);
    for (let round = 0; round < 10; round++) {
      const searches = createSearches({ database: store.database, clock: systemClock() });
      const found = await searches.events({}, { page: 0, size: 1 }, anchorScope);
      expect(found.totalItems).toBe(1);
      await searches.close();
    }
    await store.close();
  });
});
