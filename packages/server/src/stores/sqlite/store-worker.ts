import { CodedError, describeError, systemClock } from "@flowcatalyst/foundation";
import { openDatabase, type CheckpointResult, type SqliteDatabase } from "./database.ts";
import { runSearch } from "./search-runner.ts";
import type { WorkerReply, WorkerRequest } from "./store-worker-protocol.ts";

/**
 * Entry of the store's own threads: one makes searches on a connection that only reads, one writes the log back. Both
 * take one request at a time and answer each with one reply. This file is the whole program of such a thread, which is
 * why it acts when it is loaded; nothing imports it. A compiled executable must name it as a further entry point.
 */
declare const self: Worker;

/** Rounds of one checkpoint: each has to write back only what came during the one before. */
const CHECKPOINT_ROUNDS = 5;

function serve(): void {
  const clock = systemClock();
  let database: SqliteDatabase | undefined;
  const opened = (): SqliteDatabase => {
    if (database === undefined) throw new CodedError("INTERNAL", { context: { reason: "asked before open" } });
    return database;
  };
  const answer = (request: WorkerRequest): WorkerReply => {
    switch (request.kind) {
      case "open":
        database = openDatabase(
          {
            path: request.path,
            readOnly: request.role === "search",
            checkpointOnly: request.role === "checkpoint",
          },
          { clock, pid: process.pid },
        );
        return { kind: "done", result: null };
      case "checkpoint":
        return { kind: "done", result: checkpoint(opened()) };
      case "close":
        database?.close();
        return { kind: "done", result: null };
      case "events":
      case "jobs":
      case "filterOptions":
        return { kind: "done", result: runSearch(opened(), request, () => clock.monotonicMs()) };
    }
  };
  self.onmessage = (message: MessageEvent<WorkerRequest>) => {
    self.postMessage(guarded(() => answer(message.data)));
  };
}

function checkpoint(database: SqliteDatabase): CheckpointResult {
  let result = database.checkpoint("PASSIVE");
  for (let round = 1; round < CHECKPOINT_ROUNDS; round++) {
    if (result.busy || result.writtenBackPages >= result.logPages) break;
    result = database.checkpoint("PASSIVE");
  }
  return result;
}

function guarded(work: () => WorkerReply): WorkerReply {
  try {
    return work();
  } catch (error) {
    return {
      kind: "failed",
      code: error instanceof CodedError ? error.code : "INTERNAL",
      detail: describeError(error),
    };
  }
}

serve();
