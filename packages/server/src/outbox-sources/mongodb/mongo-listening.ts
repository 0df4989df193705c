import { MongoServerError } from "mongodb";
import { backoffMs, systemRandom, type Clock } from "@flowcatalyst/foundation";
import type { MongoTable } from "./mongo-database.ts";

/**
 * Wake-ups by a change stream on inserts. It comes back by itself after any fault. A server without replica set has no
 * change streams: then nothing wakes, and the processor polls.
 */
export async function listenTo(
  table: MongoTable,
  clock: Clock,
  { told, signal }: { readonly told: () => void; readonly signal: AbortSignal },
): Promise<void> {
  const random = systemRandom();
  for (let failures = 0; !signal.aborted; failures++) {
    try {
      await watch(table, signal, () => {
        failures = 0;
        told();
      });
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof MongoServerError && error.code === onlyOnReplicaSets) return untilAborted(signal);
    }
    if (!signal.aborted) await clock.sleep(backoffMs({ baseMs: 500, capMs: 30_000 }, failures, random), signal);
  }
}

const onlyOnReplicaSets = 40_573;

async function watch({ rows }: MongoTable, signal: AbortSignal, told: () => void): Promise<void> {
  const stream = rows.watch([{ $match: { operationType: "insert" } }, { $project: { _id: 1 } }]);
  const close = (): void => {
    // What breaks while it closes is nobody's concern any more.
    stream.close().catch(() => undefined);
  };
  signal.addEventListener("abort", close, { once: true });
  try {
    // The stream is there with its first answer; something may have come before.
    await stream.tryNext();
    told();
    while (!signal.aborted) {
      await stream.next();
      told();
    }
  } finally {
    signal.removeEventListener("abort", close);
    close();
  }
}

function untilAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
