import { CodedError, type HealthResult } from "@flowcatalyst/foundation";
import type { LeaseStore } from "../../ports/lease.ts";
import { createSqliteQueue } from "../../queues/sqlite/index.ts";
import { countUsage, createSqliteStore, openDatabase } from "../../stores/sqlite/index.ts";
import type { OpenStore, StorePlan } from "../open-store.ts";
import type { ProcessContext } from "../process-context.ts";

const scheme = "sqlite:";
const healthLeaseMs = 1_000;

/**
 * Opens the SQLite store of FC_DATABASE_URL for this process alone, made and migrated if need be. Throws what opening
 * the file throws.
 */
export async function openSqliteStore(plan: StorePlan, context: ProcessContext): Promise<OpenStore> {
  const { clock, logger, random, metrics } = context;
  const database = openDatabase({ path: plan.databaseUrl.slice(scheme.length) }, { clock, pid: process.pid });
  try {
    const secretBox = plan.secretBox === null ? noSecrets() : plan.secretBox();
    countUsage(database, metrics);
    const { dedupWindowMs } = plan;
    const store = createSqliteStore({ database, clock, logger, random, secretBox }, { dedupWindowMs });
    return {
      ...store,
      place: database.path,
      services: [{ name: "checkpointer", run: (signal) => store.checkpointer.run(signal) }],
      probe: writeProbe(store.leases, context),
      openQueue: async ({ visibilityMs }) => {
        const queue = createSqliteQueue({ connection: database, clock }, { name: "db", visibilityMs });
        return { queue, uri: "db:", close: async () => queue.close() };
      },
      close: () => store.close(),
    };
  } catch (error) {
    database.close();
    throw error;
  }
}

function noSecrets(): never {
  throw new CodedError("INTERNAL", { context: { reason: "a process with its own file has the key of its secrets" } });
}

/** A full disk is seen here, and that it has room again; tried once a second at most. */
function writeProbe(leases: LeaseStore, { clock, holder }: ProcessContext): () => Promise<HealthResult> {
  let last: HealthResult = { status: "UP" };
  let nextMs = 0;
  return async () => {
    const nowMs = clock.monotonicMs();
    if (nowMs < nextMs) return last;
    nextMs = nowMs + healthLeaseMs;
    try {
      await leases.acquire("health", holder, healthLeaseMs);
      last = { status: "UP" };
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      last = { status: "DOWN", data: { reason } };
    }
    return last;
  };
}
