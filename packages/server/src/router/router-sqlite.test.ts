import { afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  createMetrics,
  createSecretBox,
  newAppKey,
  silentLogger,
  systemClock,
  systemRandom,
} from "@flowcatalyst/foundation";
import { Webhook } from "standardwebhooks";
import { createAddressPolicy } from "../domain/address-policy.ts";
import { profileOf } from "../domain/delivery-profile.ts";
import { eventGroupKey } from "../domain/group-key.ts";
import type { JobId } from "../domain/ids.ts";
import type { Subscription } from "../domain/subscription.ts";
import { anchorScope } from "../domain/scope.ts";
import { createDnsAddressGuard, createFetchTransport, systemResolveHost } from "../net/index.ts";
import { createSamples } from "../ports/sample-entities.fixture.ts";
import { createSqliteQueue } from "../queues/sqlite/index.ts";
import { createScheduler, schedulerDefaults } from "../scheduler/scheduler.ts";
import { createSqliteStore, openDatabase } from "../stores/sqlite/index.ts";
import { createRouter, routerDefaults } from "./router.ts";
import { testSecret } from "./router.fixture.ts";
import { Warnings } from "./warnings.ts";

/**
 * The router among its real neighbours: store, queue and scheduler on one SQLite file, real HTTP to a receiver that
 * verifies signatures with the published library.
 */

let cleanups: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.toReversed()) await cleanup();
  cleanups = [];
});

interface Received {
  readonly jobId: string;
  readonly group: string;
  readonly number: number;
}

type Decide = (jobId: string, seenBefore: number) => number;

function startReceiver(expected: number, decide: Decide) {
  const received: Received[] = [];
  const seen = new Map<string, number>();
  const accepted = new Set<string>();
  const all = Promise.withResolvers<void>();
  const webhook = new Webhook(testSecret);
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: async (request) => {
      const body = await request.text();
      const { group, n } = webhook.verify(body, Object.fromEntries(request.headers)) as { group: string; n: number };
      const jobId = request.headers.get("webhook-id") ?? "";
      const before = seen.get(jobId) ?? 0;
      seen.set(jobId, before + 1);
      received.push({ jobId, group, number: n });
      const status = decide(jobId, before);
      if (status === 200) accepted.add(jobId);
      if (accepted.size === expected) all.resolve();
      return new Response("", { status });
    },
  });
  cleanups.push(() => server.stop(true));
  return { url: `http://127.0.0.1:${server.port}/hook`, received, all: all.promise };
}

async function setup() {
  const directory = mkdtempSync(join(tmpdir(), "router-"));
  const [clock, random, logger, metrics] = [systemClock(), systemRandom(), silentLogger(), createMetrics()];
  const database = openDatabase({ path: join(directory, "flowcatalyst.db") }, { clock, pid: process.pid });
  const secretBox = createSecretBox(newAppKey());
  const store = createSqliteStore({ database, clock, logger, secretBox }, { dedupWindowMs: 3_600_000 });
  const queue = createSqliteQueue({ connection: database, clock });
  const transport = createFetchTransport({ clock }, { trustedCertificates: null, proxy: null });
  const policy = createAddressPolicy(["127.0.0.0/8"]);
  const guard = createDnsAddressGuard({ clock, policy, resolve: systemResolveHost });
  const warnings = new Warnings(clock, logger);
  const router = createRouter(
    {
      queues: [queue],
      deliveries: store.deliveryReader,
      control: store.control,
      sink: store.attemptSink,
      transport,
      guard,
      clock,
      random,
      logger,
      metrics,
      warnings,
    },
    { ...routerDefaults, userAgent: "FlowCatalyst/test" },
  );
  const scheduler = createScheduler(
    {
      claims: store.jobClaims,
      publisher: queue,
      leases: store.leases,
      queueMetrics: () => queue.metrics(),
      clock,
      random,
      logger,
      metrics: createMetrics(),
    },
    { ...schedulerDefaults, holder: "test" },
  );
  const stop = new AbortController();
  const running: Promise<void>[] = [];
  const stopAll = async (): Promise<void> => {
    stop.abort();
    await Promise.all(running.splice(0));
  };
  cleanups.push(async () => {
    await stopAll();
    queue.close();
    await store.close();
    rmSync(directory, { recursive: true, force: true });
  });
  return {
    store,
    router,
    warnings,
    queue,
    stopAll,
    start: () => running.push(router.run(stop.signal), scheduler.run(stop.signal)),
    addJobs: (subscription: Subscription, groups: readonly string[]) => addJobs(store, subscription, groups),
  };
}

/** The stream's part: events, and a job for each. */
async function addJobs(
  store: ReturnType<typeof createSqliteStore>,
  subscription: Subscription,
  groups: readonly string[],
): Promise<JobId[]> {
  const samples = createSamples();
  const nowMs = Date.now();
  const events = groups.map((group, n) => samples.event({ messageGroup: group, data: JSON.stringify({ group, n }) }));
  const appended = await store.events.append(events);
  const jobs = appended.map(({ event }, at) => ({
    kind: "EVENT" as const,
    id: `job_${String(at).padStart(13, "0")}` as JobId,
    clientId: null,
    eventId: event.id,
    eventPosition: event.position,
    code: event.type,
    messageGroup: event.messageGroup,
    groupKey: eventGroupKey(subscription.id, subscription.mode, event.messageGroup),
    profile: profileOf(subscription),
    dueAtMs: nowMs,
    payloadBytes: event.data?.length ?? 0,
    createdAtMs: nowMs,
  }));
  const from = await store.jobAppender.checkpoint();
  const lease = await store.leases.acquire("stream", "test", 60_000);
  const position = jobs.at(-1)?.eventPosition;
  if (lease === null || position === undefined) throw new Error("nothing to append under");
  const to = { position, ordinal: 0, frozenProfileKeys: [] };
  await store.jobAppender.append({ jobs, poison: [], from, to, epoch: lease.epoch });
  return jobs.map(({ id }) => id);
}

describe("on SQLite, over HTTP", () => {
  test("1,000 jobs of 50 groups: each delivered, signed, in order, although some calls fail", async () => {
    const t = await setup();
    const receiver = startReceiver(1_000, (jobId, before) =>
      before === 0 && Number(jobId.slice(4)) % 11 === 7 ? 500 : 200,
    );
    const subscription = createSamples().subscription({
      targetUrl: receiver.url,
      retry: { delaysMs: [5, 5], maxRetries: 2 },
    });
    await t.store.subscriptions.create(subscription);
    await t.store.secrets.put(`subscription:${subscription.id}`, testSecret, 0);
    const ids = await t.addJobs(
      subscription,
      Array.from({ length: 1_000 }, (_, at) => `g${at % 50}`),
    );
    t.start();
    await receiver.all;
    await t.stopAll();

    const stats = await t.store.jobs.stats(subscription.id);
    expect(stats.COMPLETED).toBe(1_000);
    for (let group = 0; group < 50; group++) {
      const numbers = receiver.received.filter((one) => one.group === `g${group}`).map(({ number }) => number);
      expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
    }
    const retried = await t.store.jobs.attempts(ids[7]!, { limit: 10, cursor: null }, anchorScope);
    expect(retried.items.map(({ outcome, statusCode }) => [outcome, statusCode])).toContainEqual(["SERVER_ERROR", 500]);
    expect(retried.items).toHaveLength(2);
    expect(await t.queue.metrics()).toMatchObject({ visible: 0, inFlight: 0, delayed: 0, dead: 0 });
  });

  test("a target that is gone pauses its subscription; nothing more is sent", async () => {
    const t = await setup();
    const firstCall = Promise.withResolvers<void>();
    const receiver = startReceiver(1_000, () => {
      firstCall.resolve();
      return 410;
    });
    const subscription = createSamples().subscription({ targetUrl: receiver.url });
    await t.store.subscriptions.create(subscription);
    await t.store.secrets.put(`subscription:${subscription.id}`, testSecret, 0);
    await t.addJobs(subscription, ["g", "g", "g"]);
    t.start();
    await firstCall.promise;
    await t.stopAll();
    const paused = await t.store.subscriptions.byId(subscription.id, anchorScope);
    expect(paused).toMatchObject({ status: "PAUSED", pauseReason: "TARGET_GONE" });
    const stats = await t.store.jobs.stats(subscription.id);
    expect(stats.FAILED).toBe(1);
    expect(stats.PENDING + stats.QUEUED).toBe(2);
  });
});
