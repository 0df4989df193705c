import { subscribe } from "../harness/api.ts";
import { startCluster, type Cluster, type ClusterPlan } from "../harness/cluster.ts";
import { failingOnce, startLedgerReceiver, type LedgerReceiver } from "../harness/ledger-receiver.ts";
import { createPostgresServer, type PostgresServer } from "../harness/postgres-server.ts";
import { publishAll } from "../harness/publisher.ts";

/**
 * What a chaos scenario happens to: a PostgreSQL of its own, two platforms, two streams, two schedulers, three routers,
 * and a load that goes on until it is told to stop, over three targets: one that answers at once, one that fails now
 * and then, and one without order.
 */
export interface ChaosWorld {
  readonly postgres: PostgresServer;
  readonly databaseUrl: string;
  readonly cluster: Cluster;
  readonly load: Load;
  readonly receiver: LedgerReceiver;
  /** Seeded: the same seed makes the same choices, at other times. */
  readonly random: { next(): number };
  end(): Promise<void>;
}

export interface Load {
  delivered(): number;
  /** The longest time so far in which nothing was delivered. */
  longestPauseMs(): number;
  /** Publishes without a pause for this long, so that there is a backlog. */
  burst(ms: number): Promise<void>;
  /** Stops publishing and waits for the rest. Gives what is wrong with the ledger; empty: nothing. */
  finish(): Promise<LoadResult>;
}

export interface LoadResult {
  readonly accepted: number;
  readonly duplicates: number;
  readonly problems: readonly string[];
}

export type ChaosPlan = Pick<ClusterPlan, "env" | "envOf" | "routersWithoutDatabase">;

const counts = { platform: 2, stream: 2, scheduler: 2, router: 3 };
/** Shorter than by default, so that what a lost router had in its hands comes back within the scenario. */
const env = { FC_ROUTER_VISIBILITY_TIMEOUT_SECS: "20" };

const eventType = "chaos.e";
const groups = 30;
const loadPlan = { type: eventType, groups, events: 10_000_000, batch: 10, connections: 3 };
const pauseMs = 60;
/** A refused batch is sent again until the longest outage is over. */
const giveUpAfterMs = 200_000;
const drainWithinMs = 150_000;
const sampleEveryMs = 50;
const failsEach = 50;
const targets = [
  { name: "quick", ordered: true, fails: false },
  { name: "failing", ordered: true, fails: true },
  { name: "free", ordered: false, fails: false },
] as const;

export async function openChaosWorld(plan: ChaosPlan, random: { next(): number }): Promise<ChaosWorld> {
  const undo: (() => Promise<void>)[] = [];
  const end = async (): Promise<void> => {
    for (const step of undo.splice(0).toReversed()) await step();
  };
  try {
    const postgres = await createPostgresServer({ settings: { max_connections: "200" } });
    undo.push(() => postgres.remove());
    const databaseUrl = await postgres.createDatabase("flowcatalyst");
    const receiver = startLedgerReceiver();
    undo.push(() => receiver.stop());
    const cluster = await startCluster({ databaseUrl, counts, ...plan, env: { ...env, ...plan.env } });
    undo.push(() => cluster.end());
    const load = await startLoad(cluster, receiver);
    undo.push(async () => load.abandon());
    return { postgres, databaseUrl, cluster, load, receiver, random, end };
  } catch (error) {
    await end();
    throw error;
  }
}

async function startLoad(cluster: Cluster, receiver: LedgerReceiver): Promise<Load & { abandon(): void }> {
  for (const target of targets) await addTarget(cluster, receiver, target);
  const stop = new AbortController();
  let bursting = false;
  const publishing = publishAll({
    ...loadPlan,
    pauseMs: () => (bursting ? 0 : pauseMs),
    giveUpAfterMs,
    apiUrl: () => cluster.apiUrl(),
    signal: stop.signal,
  });
  // Judged when it is waited for; until then a failure must not end the process.
  publishing.catch(() => {});
  const pauses = watchPauses(receiver);
  return {
    delivered: () => receiver.delivered(),
    longestPauseMs: () => pauses.longestMs(),
    burst: async (ms) => {
      bursting = true;
      await Bun.sleep(ms);
      bursting = false;
    },
    finish: async () => {
      stop.abort();
      const accepted = await publishing;
      const until = performance.now() + drainWithinMs;
      while (receiver.delivered() < accepted * targets.length && performance.now() < until) {
        await Bun.sleep(sampleEveryMs);
      }
      pauses.stop();
      return judge(receiver, accepted);
    },
    abandon: () => {
      stop.abort();
      pauses.stop();
    },
  };
}

async function addTarget(
  cluster: Cluster,
  receiver: LedgerReceiver,
  { name, ordered, fails }: (typeof targets)[number],
): Promise<void> {
  receiver.target(name, { ordered });
  const { secret } = await subscribe(cluster.apiUrl(), {
    name,
    eventTypes: [eventType],
    targetUrl: `${receiver.url}/${name}`,
    ...(ordered ? {} : { mode: "IMMEDIATE" }),
  });
  const answer = fails ? failingOnce(failsEach, 500) : () => 200;
  receiver.target(name, { secret, ordered, answer });
}

function judge(receiver: LedgerReceiver, accepted: number): LoadResult {
  const problems: string[] = [];
  let duplicates = 0;
  for (const { name } of targets) {
    const summary = receiver.summary(name);
    duplicates += summary.duplicates;
    if (summary.delivered !== accepted) problems.push(`${name}: ${accepted} accepted, ${summary.delivered} delivered`);
    if (summary.inverted > 0) problems.push(`${name}: ${summary.inverted} inverted (${summary.firstInversion})`);
    if (summary.badSignatures > 0) problems.push(`${name}: ${summary.badSignatures} bad signatures`);
  }
  if (accepted === 0) problems.push("nothing was accepted");
  return { accepted, duplicates, problems };
}

function watchPauses(receiver: LedgerReceiver): { longestMs(): number; stop(): void } {
  let longestMs = 0;
  let last = receiver.delivered();
  let movedAt = performance.now();
  const look = (): void => {
    const delivered = receiver.delivered();
    const now = performance.now();
    longestMs = Math.max(longestMs, now - movedAt);
    if (delivered === last) return;
    last = delivered;
    movedAt = now;
  };
  const watching = setInterval(look, sampleEveryMs);
  return { longestMs: () => longestMs, stop: () => clearInterval(watching) };
}
