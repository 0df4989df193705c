import { describeError, type HealthResult } from "@flowcatalyst/foundation";
import type { PostgresDatabase } from "../../postgres/postgres-database.ts";
import { adHoc } from "../../postgres/statement.ts";
import type { ProcessContext } from "../process-context.ts";

const probeLeaseMs = 1_000;

const readRecovery = adHoc<{ standby: boolean }, []>("SELECT pg_is_in_recovery() AS standby");

/** Whether the server answers, and takes writes. Asked once a second at most, however often health is. */
export function writeProbe(
  database: PostgresDatabase,
  { clock }: Pick<ProcessContext, "clock">,
): () => Promise<HealthResult> {
  let last: HealthResult = { status: "UP" };
  let nextMs = 0;
  return async () => {
    const nowMs = clock.monotonicMs();
    if (nowMs < nextMs) return last;
    nextMs = nowMs + probeLeaseMs;
    try {
      const standby = (await database.one(readRecovery, []))?.standby === true;
      last = standby
        ? { status: "DOWN", data: { reason: "the server is a standby: it takes no writes" } }
        : { status: "UP" };
    } catch (error) {
      last = { status: "DOWN", data: { reason: describeError(error) } };
    }
    return last;
  };
}
