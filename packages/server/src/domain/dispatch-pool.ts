import type { ClientId, PoolCode, PoolId } from "./ids.ts";

/** A named budget of the router: how many calls at once, how many a minute. */
export interface DispatchPool {
  readonly id: PoolId;
  readonly code: PoolCode;
  readonly name: string | null;
  readonly clientId: ClientId | null;
  readonly concurrency: number;
  readonly rateLimitPerMinute: number | null;
  /** Tokens the bucket holds; null: the concurrency. */
  readonly burst: number | null;
  readonly timeoutSeconds: number | null;
  readonly status: "ACTIVE" | "SUSPENDED";
  readonly version: number;
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
}

/** Takes jobs that name no pool, and those that name one that does not exist. */
export const defaultPoolCode = "DEFAULT-POOL" as PoolCode;

export const poolLimits = {
  concurrency: 10,
  defaultPoolConcurrency: 20,
  maxConcurrency: 4_096,
  maxPools: 10_000,
} as const;
