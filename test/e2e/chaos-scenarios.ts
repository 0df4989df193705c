import { withClient } from "../harness/postgres-server.ts";
import { createRedisServer } from "../harness/redis-server.ts";
import { startQueueBroker } from "../harness/queue-brokers.ts";
import type { ClusterMember } from "../harness/cluster.ts";
import { retention } from "./chaos-retention.ts";
import type { ChaosPlan, ChaosWorld } from "./chaos-world.ts";

/** A fault, and what must be true of it besides the ledger. It throws when something else happened. */
export interface ChaosScenario {
  readonly name: string;
  /** Makes what the scenario needs besides PostgreSQL. */
  prepare?(): Promise<{ readonly plan: ChaosPlan; readonly server: ChaosServer }>;
  readonly plan?: ChaosPlan;
  disturb(world: ChaosWorld, times: ChaosTimes, server: ChaosServer | null): Promise<void>;
}

/** A Redis or a broker that belongs to a scenario. */
export interface ChaosServer {
  kill(): Promise<void>;
  /** Again, on the same port and data. */
  start(): Promise<void>;
  remove(): Promise<void>;
}

export interface ChaosTimes {
  /** How long something is gone. */
  readonly outageMs: number;
  /** How long a fault is repeated. */
  readonly repeatMs: number;
}

/** Longer than any lease of a stage (10 s). */
const frozenMs = 15_000;
const deliversAgainWithinMs = 60_000;
const settleMs = 1_000;
const burstMs = 2_000;
const brokerGoneMs = 30_000;
const lookEveryMs = 50;
const leases = ["stream", "scheduler"] as const;
const standbyTtlSecs = 6;
const standbyRefreshSecs = 2;

/** Deliveries go on: more than what may have been under way has arrived since. */
export async function deliversAgain(world: ChaosWorld, what: string): Promise<void> {
  const goal = world.load.delivered() + 200;
  const until = performance.now() + deliversAgainWithinMs;
  while (world.load.delivered() < goal) {
    if (performance.now() > until) throw new Error(`nothing is delivered for a minute after ${what}`);
    await Bun.sleep(lookEveryMs);
  }
}

async function killEach(world: ChaosWorld): Promise<void> {
  for (const member of world.cluster.members) {
    await member.kill();
    await deliversAgain(world, `the end of ${member.name}`);
    await member.start();
    await Bun.sleep(settleMs);
  }
}

async function freezeHolders(world: ChaosWorld): Promise<void> {
  for (const lease of leases) {
    const holder = await holderOf(world, lease);
    await freeze(world, holder, () => deliversAgain(world, `${holder.name}, who holds the lease ${lease}, froze`));
    const next = await holderOf(world, lease);
    if (next.name === holder.name) throw new Error(`${holder.name} was frozen, and still has the lease ${lease}`);
  }
}

async function freezeRouter(world: ChaosWorld): Promise<void> {
  const [router] = world.cluster.of("router");
  if (router === undefined) throw new Error("there is no router");
  await freeze(world, router, () => deliversAgain(world, `${router.name} froze`));
}

/** Frozen for the whole time even if what is waited for comes sooner. */
async function freeze(world: ChaosWorld, member: ClusterMember, meanwhile: () => Promise<void>): Promise<void> {
  member.freeze();
  try {
    await Promise.all([Bun.sleep(frozenMs), meanwhile()]);
  } finally {
    member.thaw();
  }
  await deliversAgain(world, `${member.name} goes on`);
}

/** Who holds it by his own account; there may be nobody for the time of a lease. */
async function holderOf(world: ChaosWorld, lease: string): Promise<ClusterMember> {
  const until = performance.now() + deliversAgainWithinMs;
  for (;;) {
    for (const member of world.cluster.members) {
      if (member.pid !== null && (await holds(member, lease))) return member;
    }
    if (performance.now() > until) throw new Error(`nobody holds the lease ${lease}`);
    await Bun.sleep(lookEveryMs);
  }
}

async function holds(member: ClusterMember, lease: string): Promise<boolean> {
  const metrics = await (await fetch(`${member.metricsUrl}/metrics`)).text();
  return new RegExp(`^fc_lease_held\\{lease="${lease}"\\} 1$`, "m").test(metrics);
}

async function postgresGone(world: ChaosWorld, { outageMs }: ChaosTimes): Promise<void> {
  await world.postgres.stop("fast");
  await Bun.sleep(outageMs);
  await world.postgres.start();
  await deliversAgain(world, "PostgreSQL is back");
}

async function postgresCrashes(world: ChaosWorld): Promise<void> {
  for (const mode of ["immediate", "kill"] as const) {
    await world.postgres.stop(mode);
    await world.postgres.start();
    await deliversAgain(world, `PostgreSQL recovered from ${mode}`);
  }
}

async function connectionsCut(world: ChaosWorld, { repeatMs }: ChaosTimes): Promise<void> {
  const until = performance.now() + repeatMs;
  let cut = 0;
  await withClient(world.databaseUrl, async (client) => {
    while (performance.now() < until) {
      const { rowCount } = await client.query(
        `SELECT pg_terminate_backend(pid) FROM (
           SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
            ORDER BY random() LIMIT $1) AS chosen`,
        [1 + Math.floor(world.random.next() * 3)],
      );
      cut += rowCount ?? 0;
      await Bun.sleep(100 + world.random.next() * 900);
    }
  });
  if (cut === 0) throw new Error("no connection was cut");
  await deliversAgain(world, `${cut} connections were cut`);
}

async function redisGone(world: ChaosWorld, { outageMs }: ChaosTimes, redis: ChaosServer | null): Promise<void> {
  if (redis === null) throw new Error("there is no Redis");
  await redis.kill();
  // The active router may trust its lease for as long as it was given, and lets calls under way finish.
  const trustedMs = Math.min(standbyTtlSecs * 2_000, outageMs / 2);
  await Bun.sleep(trustedMs);
  const before = world.load.delivered();
  await Bun.sleep(outageMs - trustedMs);
  const meanwhile = world.load.delivered() - before;
  await redis.start();
  await deliversAgain(world, "Redis is back");
  if (outageMs > standbyTtlSecs * 4_000 && meanwhile > 0) {
    throw new Error(`${meanwhile} deliveries by a router whose lease had run out`);
  }
}

async function rollingRestart(world: ChaosWorld): Promise<void> {
  for (const member of world.cluster.members) {
    const exitCode = await member.stop();
    if (exitCode !== 0) throw new Error(`${member.name} was told to stop and ended with ${exitCode}`);
    await member.start();
    await deliversAgain(world, `${member.name} was restarted`);
  }
}

/** Routers without a database, whose platforms go away for a while. */
async function platformsGone(world: ChaosWorld, { outageMs }: ChaosTimes): Promise<void> {
  const platforms = world.cluster.of("platform");
  await world.load.burst(burstMs);
  await Promise.all(platforms.map((platform) => platform.kill()));
  await Bun.sleep(outageMs);
  await Promise.all(platforms.map((platform) => platform.start()));
  await deliversAgain(world, "the platforms are back");
}

/** A backlog lies on it when it goes, and events go on being accepted meanwhile. */
async function brokerGone(world: ChaosWorld, { outageMs }: ChaosTimes, broker: ChaosServer | null): Promise<void> {
  if (broker === null) throw new Error("there is no broker");
  await world.load.burst(burstMs);
  await broker.kill();
  await Bun.sleep(Math.min(outageMs, brokerGoneMs));
  for (const { name, metricsUrl } of world.cluster.of("router")) {
    const { status } = await fetch(`${metricsUrl}/q/ready`);
    if (status !== 503) throw new Error(`${name} cannot reach its queue, and its readiness answers ${status}`);
  }
  await broker.start();
  await deliversAgain(world, "the broker is back");
}

async function prepareNats(): Promise<{ plan: ChaosPlan; server: ChaosServer }> {
  const { server, queueUrl } = await startQueueBroker("nats");
  return { plan: { env: { FC_QUEUE_URL: queueUrl } }, server };
}

async function prepareStandby(): Promise<{ plan: ChaosPlan; server: ChaosServer }> {
  const redis = await createRedisServer();
  const env = {
    FC_STANDBY_ENABLED: "true",
    FC_STANDBY_REDIS_URL: redis.url,
    FC_STANDBY_LOCK_TTL_SECS: String(standbyTtlSecs),
    FC_STANDBY_REFRESH_INTERVAL_SECS: String(standbyRefreshSecs),
  };
  const server = { kill: () => redis.stop("kill"), start: () => redis.start(), remove: () => redis.remove() };
  return { plan: { envOf: { router: env } }, server };
}

export const chaosScenarios: readonly ChaosScenario[] = [
  { name: "kill each process", disturb: killEach },
  { name: "freeze the lease holders", disturb: freezeHolders },
  { name: "freeze a router", disturb: freezeRouter },
  { name: "PostgreSQL gone", disturb: postgresGone },
  { name: "PostgreSQL crashes", disturb: postgresCrashes },
  { name: "connections cut", disturb: connectionsCut },
  { name: "Redis gone", prepare: prepareStandby, disturb: redisGone },
  { name: "broker gone", prepare: prepareNats, disturb: brokerGone },
  { name: "platforms gone", plan: { routersWithoutDatabase: true }, disturb: platformsGone },
  { name: "rolling restart", disturb: rollingRestart },
  { name: "retention", disturb: retention },
];
