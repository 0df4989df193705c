import type { DispatchPoolOut } from "@flowcatalyst/contracts";
import { isoTime } from "@flowcatalyst/foundation";
import type { DispatchPool } from "../../domain/dispatch-pool.ts";

/** A pool as the API shows it. */
export function poolOut(pool: DispatchPool): DispatchPoolOut {
  return {
    id: pool.id,
    code: pool.code,
    name: pool.name,
    clientId: pool.clientId,
    concurrency: pool.concurrency,
    rateLimitPerMinute: pool.rateLimitPerMinute,
    burst: pool.burst,
    timeoutSeconds: pool.timeoutSeconds,
    status: pool.status,
    version: pool.version,
    createdAt: isoTime(pool.createdAtMs),
    updatedAt: isoTime(pool.updatedAtMs),
  };
}
