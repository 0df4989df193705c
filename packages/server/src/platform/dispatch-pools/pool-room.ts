import { CodedError } from "@flowcatalyst/foundation";
import { defaultPoolCode, poolLimits, type DispatchPool } from "../../domain/dispatch-pool.ts";
import { anchorScope } from "../../domain/scope.ts";
import type { DispatchPoolRepository } from "../../ports/settings.ts";

/**
 * Whether one more pool, or a larger one, has room beside all the others, whoever they belong to. A router refuses to
 * start with more than it can serve, so the API must not let it come to that.
 */
export interface PoolRoom {
  /** Throws STATE_CONFLICT when there is none for the pool as it would be. */
  require(pool: DispatchPool): Promise<void>;
}

const pageSize = 1_000;

export function createPoolRoom(pools: DispatchPoolRepository, concurrencyMax: number): PoolRoom {
  return {
    async require(pool) {
      const others = (await allPools(pools)).filter(({ id }) => id !== pool.id);
      if (others.length >= poolLimits.maxPools) {
        throw new CodedError("STATE_CONFLICT", { message: `There are ${poolLimits.maxPools} pools already.` });
      }
      const all = [...others, pool];
      const implied = all.some(({ code }) => code === defaultPoolCode) ? 0 : poolLimits.defaultPoolConcurrency;
      const total = all.reduce((sum, { concurrency }) => sum + concurrency, implied);
      if (total <= concurrencyMax) return;
      const limit = `the router makes at most ${concurrencyMax} (FC_ROUTER_MAX_IN_FLIGHT)`;
      throw new CodedError("STATE_CONFLICT", {
        message: `With this concurrency all pools together would make ${total} calls at once; ${limit}.`,
      });
    },
  };
}

async function allPools(pools: DispatchPoolRepository): Promise<readonly DispatchPool[]> {
  const found: DispatchPool[] = [];
  let cursor: string | null = null;
  do {
    const page = await pools.list({ limit: pageSize, cursor }, anchorScope);
    found.push(...page.items);
    cursor = page.nextCursor;
  } while (cursor !== null);
  return found;
}
