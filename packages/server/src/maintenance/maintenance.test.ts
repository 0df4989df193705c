import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { CodedError, createMetrics, seededRandom, silentLogger } from "@flowcatalyst/foundation";
import { profileOf } from "../domain/delivery-profile.ts";
import { eventGroupKey } from "../domain/group-key.ts";
import type { JobId } from "../domain/ids.ts";
import { anchorScope } from "../domain/scope.ts";
import type { Subscription } from "../domain/subscription.ts";
import type { Housekeeping } from "../ports/housekeeping.ts";
import { createSamples } from "../ports/sample-entities.fixture.ts";
import { createAttemptSink } from "../stores/sqlite/attempt-sink.ts";
import { createAuditLogs } from "../stores/sqlite/audit-logs.ts";
import { createEventLog } from "../stores/sqlite/event-log.ts";
import { createHousekeeping } from "../stores/sqlite/housekeeping.ts";
import { createJobAppender } from "../stores/sqlite/job-appender.ts";
import { createJobWriter } from "../stores/sqlite/job-writer.ts";
import { createLeaseStore } from "../stores/sqlite/lease-store.ts";
import { openTestDatabase } from "../stores/sqlite/sqlite-store.fixture.ts";
import { createSubscriptionRepository } from "../stores/sqlite/subscription-repository.ts";
import { createStoreWakes } from "../stores/sqlite/wake-signal.ts";
import { createMaintenance, maintenanceDefaults, type Maintenance, type MaintenanceConfig } from "./maintenance.ts";

const dayMs = 86_400_000;
const dedupWindowMs = 7 * dayMs;

/** Housekeeping over a real store with events and jobs in it. */
function setup() {
  const store = openTestDatabase();
  const { database, clock } = store;
  const wakes = createStoreWakes();
  const samples = createSamples();
  const log = createEventLog({ database, clock, appended: wakes.appended }, { dedupWindowMs });
  const writer = createJobWriter({ database, clock, wakes, random: seededRandom(1) });
  const subscriptions = createSubscriptionRepository({ database, wakes });
  const leases = createLeaseStore({ database, clock });
  const appender = createJobAppender(writer);
  const sink = createAttemptSink(writer);
  const housekeeping = createHousekeeping(writer, { dedupWindowMs });
  const metrics = createMetrics();
  const start = (config: Partial<MaintenanceConfig> = {}, chores: Housekeeping = housekeeping): Maintenance =>
    createMaintenance(
      { housekeeping: chores, leases, clock, logger: silentLogger(), metrics },
      { ...maintenanceDefaults, holder: "process-1", ...config },
    );
  let jobCount = 0;

  /** An event in a group of its own and its job, delivered if asked for. */
  const addJob = async (subscription: Subscription, isDelivered: boolean): Promise<void> => {
    const wanted = samples.event({
      messageGroup: `g${jobCount}`,
      deduplicationId: `d${jobCount}`,
      createdAtMs: clock.now(),
    });
    const [appended] = await log.appender.append([wanted]);
    const event = appended!.event;
    const id = `job_${String(++jobCount).padStart(13, "0")}` as JobId;
    const from = await appender.checkpoint();
    const lease = await leases.acquire("stream", "fixture", 1_000 * dayMs);
    await appender.append({
      jobs: [
        {
          kind: "EVENT",
          id,
          clientId: null,
          eventId: event.id,
          eventPosition: event.position,
          code: event.type,
          messageGroup: event.messageGroup,
          groupKey: eventGroupKey(subscription.id, subscription.mode, event.messageGroup),
          profile: profileOf(subscription),
          dueAtMs: clock.now(),
          payloadBytes: 7,
          createdAtMs: clock.now(),
        },
      ],
      poison: [],
      from,
      to: { position: event.position, ordinal: 0, frozenProfileKeys: [] },
      epoch: lease!.epoch,
    });
    if (isDelivered) await sink.record([{ jobId: id, generation: 1, attempt: null, result: { kind: "delivered" } }]);
  };
  const count = (table: "events" | "jobs" | "event_dedup" | "job_groups" | "delivery_profiles"): number =>
    database.statement<{ n: number }>(`SELECT count(*) AS n FROM ${table}`).get()?.n ?? 0;
  return {
    clock,
    samples,
    subscriptions,
    leases,
    housekeeping,
    metrics,
    start,
    addJob,
    count,
    store,
  };
}

let bench: ReturnType<typeof setup>;
beforeEach(() => {
  bench = setup();
});
afterEach(() => bench.store.close());

async function subscribe(changes?: Partial<Subscription>): Promise<Subscription> {
  const subscription = bench.samples.subscription(changes);
  await bench.subscriptions.create(subscription);
  return subscription;
}

async function drain(maintenance: Maintenance): Promise<number> {
  for (let passes = 1; ; passes++) {
    const result = await maintenance.pass();
    if (result.kind === "standby" || !result.more) return passes;
  }
}

describe("what goes", () => {
  test("history past the retention, in steps; jobs that are not final stay with their events", async () => {
    const subscription = await subscribe();
    for (let n = 0; n < 30; n++) await bench.addJob(subscription, n % 10 !== 0);
    await bench.clock.advance(91 * dayMs);
    await bench.addJob(subscription, true);
    expect(await drain(bench.start({ stepMaxRows: 5 }))).toBeGreaterThan(5);
    expect([bench.count("events"), bench.count("jobs")]).toEqual([4, 4]);
  });

  test("nothing that is younger", async () => {
    const subscription = await subscribe();
    await bench.addJob(subscription, true);
    await bench.clock.advance(6 * dayMs);
    await drain(bench.start());
    expect([bench.count("events"), bench.count("jobs"), bench.count("event_dedup")]).toEqual([1, 1, 1]);
  });

  test("deduplication keys past their window, groups without jobs, profiles no job refers to", async () => {
    const old = await subscribe();
    for (let n = 0; n < 20; n++) await bench.addJob(old, true);
    await bench.clock.advance(91 * dayMs);
    await bench.addJob(await subscribe(), true);
    const maintenance = bench.start({ stepMaxRows: 7 });
    await drain(maintenance);
    // Profiles are looked at once an hour, and the first look came before their jobs were gone.
    await bench.clock.advance(3_600_000);
    await drain(maintenance);
    expect(bench.count("event_dedup")).toBe(1);
    expect(bench.count("job_groups")).toBeLessThanOrEqual(2);
    expect(bench.count("delivery_profiles")).toBe(1);
    expect(await bench.metrics.render()).toContain('fc_maintenance_rows_removed_total{kind="deduplication"} 20');
  });

  test("temporary subscriptions whose lease nobody renewed, within seconds", async () => {
    const leaseExpiresAtMs = bench.clock.now() + 60_000;
    const temporary = await subscribe({ leaseExpiresAtMs });
    const permanent = await subscribe();
    const stop = new AbortController();
    const running = bench.start().run(stop.signal);
    // A pass takes several turns of the event loop; the clock moves only while the loop waits for it.
    const pass = async (seconds: number): Promise<void> => {
      for (let second = 0; second < seconds; second++) {
        await bench.clock.whenTimers(1);
        await bench.clock.advance(1_000);
      }
    };
    await pass(59);
    expect((await bench.subscriptions.byId(temporary.id, anchorScope))?.status).toBe("ACTIVE");
    await pass(12);
    expect((await bench.subscriptions.byId(temporary.id, anchorScope))?.status).toBe("ARCHIVED");
    expect((await bench.subscriptions.byId(permanent.id, anchorScope))?.status).toBe("ACTIVE");
    stop.abort();
    await running;
  });
});

describe("audit logs", () => {
  test("go after a time of their own, in steps", async () => {
    const auditLogs = createAuditLogs(bench.store.database);
    const made = async (count: number): Promise<void> => {
      const createdAtMs = bench.clock.now();
      await auditLogs.append(Array.from({ length: count }, () => bench.samples.auditLog({ createdAtMs })));
    };
    const left = async (): Promise<number> =>
      (await auditLogs.list({}, { limit: 1_000, cursor: null }, anchorScope)).items.length;
    await made(25);
    await bench.clock.advance(300 * dayMs);
    await made(3);
    const maintenance = bench.start({ stepMaxRows: 10 });
    await drain(maintenance);
    expect(await left()).toBe(28);
    await bench.clock.advance(65 * dayMs + 1);
    expect(await drain(maintenance)).toBeGreaterThanOrEqual(3);
    expect(await left()).toBe(3);
    expect(await bench.metrics.render()).toContain('fc_maintenance_rows_removed_total{kind="auditLogs"} 25');
  });
});

describe("months to come", () => {
  test("are prepared at once and every hour, and count as nothing that went", async () => {
    const askedAtMs: number[] = [];
    const chores: Housekeeping = {
      ...bench.housekeeping,
      prepareHistory: async (nowMs) => askedAtMs.push(nowMs),
    };
    const maintenance = bench.start({}, chores);
    const startMs = bench.clock.now();
    expect(await maintenance.pass()).toEqual({ kind: "worked", rows: 0, more: false });
    await bench.clock.advance(3_599_999);
    await maintenance.pass();
    await bench.clock.advance(1);
    await maintenance.pass();
    expect(askedAtMs).toEqual([startMs, startMs + 3_600_000]);
  });
});

describe("failures", () => {
  test("of one chore leave the others alone, and it is tried again", async () => {
    const subscription = await subscribe();
    for (let n = 0; n < 3; n++) await bench.addJob(subscription, true);
    await bench.clock.advance(91 * dayMs);
    let down = true;
    const chores: Housekeeping = {
      ...bench.housekeeping,
      dropHistory: (beforeMs, maxRows, epoch) =>
        down
          ? Promise.reject(new CodedError("STORE_UNAVAILABLE"))
          : bench.housekeeping.dropHistory(beforeMs, maxRows, epoch),
    };
    const maintenance = bench.start({}, chores);
    await drain(maintenance);
    expect([bench.count("jobs"), bench.count("event_dedup")]).toEqual([3, 0]);
    down = false;
    expect(await maintenance.pass()).toMatchObject({ rows: 0 });
    await bench.clock.advance(3_600_000);
    await drain(maintenance);
    expect([bench.count("jobs"), bench.count("events")]).toEqual([0, 0]);
  });
});

describe("leases", () => {
  test("one instance works; another takes over", async () => {
    const first = bench.start({ holder: "a" });
    const second = bench.start({ holder: "b" });
    expect(await first.pass()).toEqual({ kind: "worked", rows: 0, more: false });
    expect(await second.pass()).toEqual({ kind: "standby" });
    await bench.clock.advance(maintenanceDefaults.leaseTtlMs);
    expect(await second.pass()).toMatchObject({ kind: "worked" });
  });

  test("starts and stops a hundred times", async () => {
    for (let round = 0; round < 100; round++) {
      const stop = new AbortController();
      const running = bench.start({ holder: `process-${round}` }).run(stop.signal);
      if (round % 2 === 0) await bench.clock.advance(0);
      stop.abort();
      await running;
    }
    expect(await bench.start({ holder: "last" }).pass()).toMatchObject({ kind: "worked" });
  });
});
