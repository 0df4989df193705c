import { afterEach, beforeEach, expect, test } from "bun:test";
import { describeWith, testRedisUrl } from "../../packages/server/src/ports/needs-services.fixture.ts";
import { openTestPostgres } from "../../packages/server/src/postgres/test-database.fixture.ts";
import { callApi, subscribe } from "../harness/api.ts";
import { startCluster } from "../harness/cluster.ts";
import { eventually } from "../harness/eventually.ts";
import { startLedgerReceiver } from "../harness/ledger-receiver.ts";
import { publishAll } from "../harness/publisher.ts";
import { createRedisServer, type RedisServer } from "../harness/redis-server.ts";
import { createSandbox, type Sandbox } from "../harness/sandbox.ts";
import type { ServerProcess } from "../harness/server-process.ts";
import { sampleReceives, startMessageLoad, type Receive, type Routers } from "../harness/standby-load.ts";

/**
 * Two routers of which one is active, by a lease in Redis, on one queue of stand-alone messages. The active one is
 * stopped in the middle of its work (SIGSTOP) for longer than its lease lasts, and then let go on.
 */
const ttlSecs = 3;
const refreshSecs = 1;
const deadlineMs = 30_000;

let sandbox: Sandbox;
beforeEach(() => {
  sandbox = createSandbox();
});
afterEach(() => sandbox.end());

interface Standby {
  readonly active: boolean;
  readonly holder: string | null;
  readonly since: string;
  readonly error: string | null;
}

const get = <T>(server: Pick<ServerProcess, "routerUrl">, path: string): Promise<T> =>
  callApi<T>(server.routerUrl, { method: "GET", path });
const standbyOf = (server: Pick<ServerProcess, "routerUrl">): Promise<Standby> =>
  get<Standby>(server, "/monitoring/standby");

/** Two on one queue and one Redis, ready; neither need be active yet. */
async function startTwo(redisUrl = testRedisUrl ?? ""): Promise<Routers> {
  const database = await openTestPostgres([]);
  sandbox.defer(() => database.close());
  const env = {
    FC_QUEUE_URL: database.url,
    FC_ALLOWED_TARGET_CIDRS: "127.0.0.0/8",
    FC_ROUTER_VISIBILITY_TIMEOUT_SECS: "3",
    FC_STANDBY_ENABLED: "true",
    FC_STANDBY_REDIS_URL: redisUrl,
    FC_STANDBY_LOCK_KEY: `test:${process.pid}:${performance.now()}`,
    FC_STANDBY_LOCK_TTL_SECS: String(ttlSecs),
    FC_STANDBY_REFRESH_INTERVAL_SECS: String(refreshSecs),
  };
  const start = (name: string): Promise<ServerProcess> =>
    sandbox.start({ args: ["router", "--migrate"], env: { ...env, FC_STANDBY_INSTANCE_ID: name } });
  const one = await start("one");
  return { one, two: await start("two") };
}

async function activeOf(
  routers: Readonly<Record<string, Pick<ServerProcess, "routerUrl">>>,
  others: readonly string[] = [],
): Promise<string> {
  return eventually(
    "an active router",
    async () => {
      for (const [name, server] of Object.entries(routers)) {
        if (!others.includes(name) && (await standbyOf(server)).active) return name;
      }
      return undefined;
    },
    deadlineMs,
  );
}

/** Each router's receives as stretches of time, in order of time; a stretch ends where another router's begins. */
function stretchesOf(samples: readonly Receive[]): string[] {
  const byTime = samples.toSorted((a, b) => a.lastReceivedAtMs - b.lastReceivedAtMs);
  const stretches: string[] = [];
  for (const { router } of byTime) if (stretches.at(-1) !== router) stretches.push(router);
  return stretches;
}

describeWith(["postgres", "redis"], "two routers, one active", () => {
  test("the active one is stopped for longer than its lease, then goes on: never two receive", async () => {
    const routers = await startTwo();
    const first = await activeOf(routers);
    const second = first === "one" ? "two" : "one";
    const frozen = routers[first]!;
    const load = startMessageLoad(routers[second]!);
    sandbox.defer(() => load.end());
    const receives = sampleReceives(routers);
    await eventually("first deliveries", () => (load.arrived.size > 50 ? true : undefined), deadlineMs);
    process.kill(frozen.pid, "SIGSTOP");
    const frozenAtMs = Date.now();
    expect(await activeOf(routers, [first])).toBe(second);
    const before = load.arrived.size;
    await eventually("deliveries by the other", () => (load.arrived.size > before + 50 ? true : undefined), deadlineMs);
    process.kill(frozen.pid, "SIGCONT");
    const thawed = await eventually("an answer", () => standbyOf(frozen).catch(() => undefined), deadlineMs);
    expect(thawed.active).toBe(false);
    await eventually("the holder to be known", async () => (await standbyOf(frozen)).holder === second || undefined);
    const after = load.arrived.size;
    await eventually("deliveries go on", () => (load.arrived.size > after + 50 ? true : undefined), deadlineMs);
    await load.stop();
    await eventually("all of them", () => load.arrived.size === load.published.length || undefined, deadlineMs);
    await receives.stop();

    expect(stretchesOf(receives.samples)).toEqual([first, second]);
    const ofFirst = receives.samples.filter(({ router }) => router === first);
    expect(Math.max(...ofFirst.map(({ lastReceivedAtMs }) => lastReceivedAtMs))).toBeLessThanOrEqual(frozenAtMs);
    expect(Date.parse((await standbyOf(routers[second]!)).since)).toBeGreaterThan(frozenAtMs);
    expect([...load.arrived.keys()].toSorted()).toEqual(load.published.toSorted());
  }, 90_000);

  test("an orderly stop gives the lease back: the other takes over before it would have run out", async () => {
    const routers = await startTwo();
    const first = await activeOf(routers);
    const askedAt = performance.now();
    expect(await routers[first]!.stop()).toBe(0);
    await activeOf(routers, [first]);
    expect(performance.now() - askedAt).toBeLessThan(ttlSecs * 1_000);
  }, 60_000);
});

interface Health {
  readonly status: string;
  readonly checks: readonly { readonly name: string; readonly status: string }[];
}

describeWith(["postgres", "redis"], "a Redis of their own", () => {
  let redis: RedisServer;
  beforeEach(async () => {
    redis = await createRedisServer();
    sandbox.defer(() => redis.remove());
  });

  const readiness = async ({ metricsUrl }: ServerProcess): Promise<Health> =>
    (await (await fetch(`${metricsUrl}/q/ready`)).json()) as Health;
  const activeOnes = async (routers: Routers): Promise<string[]> => {
    const states = await Promise.all(Object.values(routers).map(standbyOf));
    return Object.keys(routers).filter((_, at) => states[at]?.active === true);
  };

  test("that stops answering: nobody is active once the lease has run out, and readiness says why", async () => {
    const routers = await startTwo(redis.url);
    const first = await activeOf(routers);
    redis.freeze();
    await eventually(
      "nobody active",
      async () => (await activeOnes(routers)).length === 0 || undefined,
      ttlSecs * 1_000,
    );
    for (const server of Object.values(routers)) {
      const health = await eventually("readiness to say so", async () => {
        const report = await readiness(server);
        return report.status === "DOWN" ? report : undefined;
      });
      expect(health.checks.filter(({ status }) => status === "DOWN").map(({ name }) => name)).toEqual(["standby"]);
    }
    expect((await standbyOf(routers[first]!)).error).not.toBeNull();
    redis.thaw();
    const next = await activeOf(routers);
    expect(await activeOnes(routers)).toEqual([next]);
    await eventually("readiness", async () => (await readiness(routers[next]!)).status === "UP" || undefined);
  }, 60_000);

  test("that is killed and forgets: nobody takes the lease while a former holder may trust it", async () => {
    const routers = await startTwo(redis.url);
    const first = await activeOf(routers);
    await redis.stop("kill");
    await redis.start();
    const startedAt = performance.now();
    // Seen by its holder, the empty key ends its work; seen by the other, it proves nothing yet.
    const next = await eventually(
      "another time of being active",
      async () => {
        const active = await activeOnes(routers);
        expect(active.length).toBeLessThanOrEqual(1);
        const [name] = active;
        if (name === undefined) return undefined;
        const isOld = name === first && performance.now() - startedAt < refreshSecs * 1_000 + 500;
        return isOld ? undefined : name;
      },
      deadlineMs,
    );
    // The server tells its age in whole seconds, rounded down.
    expect(performance.now() - startedAt).toBeGreaterThan((ttlSecs - 1) * 1_000);
    expect(["one", "two"]).toContain(next);
  }, 60_000);
});

describeWith(["postgres"], "a lease in the database", () => {
  test("one of two routers is active; killed, the other takes over and deliveries go on", async () => {
    const database = await openTestPostgres([]);
    sandbox.defer(() => database.close());
    const receiver = startLedgerReceiver();
    sandbox.defer(() => receiver.stop());
    const standby = {
      FC_STANDBY_ENABLED: "true",
      FC_STANDBY_LOCK_TTL_SECS: String(ttlSecs),
      FC_STANDBY_REFRESH_INTERVAL_SECS: String(refreshSecs),
    };
    const cluster = await startCluster({
      databaseUrl: database.url,
      counts: { platform: 1, stream: 1, scheduler: 1, router: 2 },
      env: { FC_DATABASE_POOL_SIZE: "5" },
      envOf: { router: standby },
    });
    sandbox.defer(() => cluster.end());
    receiver.target("t", { delayMs: 2 });
    const targetUrl = `${receiver.url}/t`;
    await subscribe(cluster.apiUrl(), { name: "t", eventTypes: ["standby.e"], targetUrl });
    const routers = Object.fromEntries(cluster.of("router").map((member) => [member.name, member]));
    const first = await activeOf(routers);
    const load = { type: "standby.e", groups: 20, events: 2_000, batch: 20, connections: 2 };
    const publishing = publishAll({ ...load, apiUrl: () => cluster.apiUrl(), pauseMs: () => 10 });
    await eventually("a part of them", () => receiver.delivered() > 200 || undefined, deadlineMs);
    await cluster.member(first).kill();
    expect(await activeOf(routers, [first])).not.toBe(first);
    await publishing;
    await eventually("all deliveries", () => receiver.delivered() === load.events || undefined, deadlineMs);
    expect(receiver.summary("t")).toMatchObject({ delivered: load.events, inverted: 0 });
  }, 90_000);
});
