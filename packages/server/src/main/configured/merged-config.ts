import { poolLimits, type DispatchPool } from "../../domain/dispatch-pool.ts";
import type { PoolCode, PoolId } from "../../domain/ids.ts";
import { queueKeyOf, untakenName } from "../router-queue.ts";
import type { ConfiguredPool, ConfiguredQueue, RouterConfigAnswer } from "./router-config-shapes.ts";

/** What one place says. */
export interface ToldConfig extends RouterConfigAnswer {
  /** Where it was told, without user and password. */
  readonly place: string;
}

export interface MergedConfig {
  readonly pools: readonly ConfiguredPool[];
  readonly queues: readonly ConfiguredQueue[];
  /** What was told in two ways, and which of them counts. */
  readonly conflicts: readonly string[];
}

/** What all places say together: pools by code, queues by name and by address. In a conflict the later place counts. */
export function mergedConfig(told: readonly ToldConfig[]): MergedConfig {
  const conflicts: string[] = [];
  const pools = new Map<PoolCode, { readonly pool: ConfiguredPool; readonly place: string }>();
  const queues = new Map<string, { readonly queue: ConfiguredQueue; readonly place: string }>();
  for (const { place, ...config } of told) {
    for (const pool of config.pools) {
      const known = pools.get(pool.code);
      if (known !== undefined && !isSame(known.pool, pool)) {
        conflicts.push(`the pool ${pool.code} is another one at ${known.place} than at ${place}, which counts`);
      }
      pools.set(pool.code, { pool, place });
    }
    for (const queue of config.queues) {
      const known = queues.get(queue.name);
      if (known !== undefined && !isSame(known.queue, queue)) {
        conflicts.push(`the queue ${queue.name} is another one at ${known.place} than at ${place}, which counts`);
      }
      queues.set(queue.name, { queue, place });
    }
  }
  return {
    pools: [...pools.values()].map(({ pool }) => pool),
    queues: withoutTwins([...queues.values()].map(({ queue }) => queue)),
    conflicts,
  };
}

/** One queue under two names would be received from twice, and its order lost. */
function withoutTwins(queues: readonly ConfiguredQueue[]): readonly ConfiguredQueue[] {
  const byUri = new Map<string, ConfiguredQueue>();
  for (const queue of queues) {
    const uri = queueKeyOf(queue.uri);
    if (!byUri.has(uri)) byUri.set(uri, queue);
  }
  return [...byUri.values()];
}

function isSame(left: object, right: object): boolean {
  return Bun.deepEquals(left, right, false);
}

/**
 * The queues that are not open anyway by FC_QUEUE_URL, each under a name that none of those has.
 */
export function besidesOwn(
  queues: readonly ConfiguredQueue[],
  own: readonly { readonly name: string; readonly uri: string }[],
): readonly ConfiguredQueue[] {
  const ownUris = new Set(own.map(({ uri }) => queueKeyOf(uri)));
  const taken = new Set(own.map(({ name }) => name));
  return queues
    .filter(({ uri }) => !ownUris.has(queueKeyOf(uri)))
    .map((queue) => ({ ...queue, name: untakenName(queue.name, taken) }));
}

/** The configured pools over those of the platform; what they leave open is as the platform has it. */
export function overlaidPools(
  home: readonly DispatchPool[],
  configured: readonly ConfiguredPool[],
): readonly DispatchPool[] {
  if (configured.length === 0) return home;
  const pools = new Map<PoolCode, DispatchPool>(home.map((pool) => [pool.code, pool]));
  for (const pool of configured) pools.set(pool.code, overlaidPool(pools.get(pool.code), pool));
  return [...pools.values()].slice(-poolLimits.maxPools);
}

function overlaidPool(below: DispatchPool | undefined, pool: ConfiguredPool): DispatchPool {
  const { code, concurrency, rateLimitPerMinute } = pool;
  return {
    id: below?.id ?? (`configured:${code}` as PoolId),
    name: null,
    clientId: null,
    status: "ACTIVE",
    version: 1,
    createdAtMs: 0,
    updatedAtMs: 0,
    ...below,
    code,
    concurrency,
    rateLimitPerMinute,
    burst: pool.burst ?? below?.burst ?? null,
    timeoutSeconds: pool.timeoutSeconds ?? below?.timeoutSeconds ?? null,
  };
}
