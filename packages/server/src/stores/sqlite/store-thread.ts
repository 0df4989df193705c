import { CodedError, type Clock } from "@flowcatalyst/foundation";
import type { OpenRequest, WorkerReply, WorkerRequest } from "./store-worker-protocol.ts";

/**
 * The near side of one of the store's threads. It is started by the first request, takes requests one after another,
 * and does not keep the process alive. A request that is not answered in time is given up with SEARCH_TIMED_OUT: the
 * thread is ended and the next request starts another one. A thread that dies fails its request with STORE_UNAVAILABLE.
 */
export interface StoreThread {
  /** `timeoutMs` counts from now, waiting for earlier requests included. */
  ask(request: WorkerRequest, timeoutMs: number): Promise<DoneReply>;
  /** Ends the thread after the request under way. Later requests fail with SHUTTING_DOWN. */
  close(): Promise<void>;
}

export type DoneReply = WorkerReply & { readonly kind: "done" };

export interface StoreThreadDeps {
  readonly clock: Pick<Clock, "monotonicMs" | "setTimer">;
}

export interface StoreThreadConfig {
  readonly path: string;
  readonly role: OpenRequest["role"];
}

export const storeThreadLimits = {
  /** Requests that may wait for the one under way; more are refused with OVERLOADED. */
  waitingMax: 64,
  /** A thread that ends searches itself at their deadline gets this much longer before it is ended by force. */
  graceMs: 500,
  closeTimeoutMs: 2_000,
  overloadedRetryAfterSeconds: 1,
} as const;

/**
 * From source the worker is found beside this file. In a compiled executable there is one bundle and further entry
 * points by their path below the common folder of all (`packages/`), so it must be named that way.
 */
function workerLocation(): string {
  const here = import.meta.url;
  const compiled = here.includes("/$bunfs/") || here.includes("/~BUN/");
  return compiled ? "./server/src/stores/sqlite/store-worker.ts" : new URL("./store-worker.ts", here).href;
}

interface Job {
  readonly request: WorkerRequest;
  readonly deadlineMs: number;
  readonly settle: PromiseWithResolvers<DoneReply>;
}

export function createStoreThread(deps: StoreThreadDeps, config: StoreThreadConfig): StoreThread {
  const { clock } = deps;
  const link = createLink(clock, config);
  const waiting: Job[] = [];
  let busy = false;
  let closed = false;

  const enqueue = (request: WorkerRequest, timeoutMs: number): Promise<DoneReply> => {
    const settle = Promise.withResolvers<DoneReply>();
    waiting.push({ request, deadlineMs: clock.monotonicMs() + timeoutMs, settle });
    if (!busy) void work();
    return settle.promise;
  };
  const work = async (): Promise<void> => {
    busy = true;
    for (let job = waiting.shift(); job !== undefined; job = waiting.shift()) {
      await link.exchange(job.request, job.deadlineMs).then(
        (reply) => job.settle.resolve(reply),
        (error: unknown) => job.settle.reject(error),
      );
    }
    busy = false;
  };

  return {
    ask: async (request, timeoutMs) => {
      if (closed) throw new CodedError("SHUTTING_DOWN");
      if (waiting.length >= storeThreadLimits.waitingMax) {
        throw new CodedError("OVERLOADED", { retryAfterSeconds: storeThreadLimits.overloadedRetryAfterSeconds });
      }
      return enqueue(request, timeoutMs);
    },
    close: async () => {
      if (closed) return;
      closed = true;
      for (const job of waiting.splice(0)) job.settle.reject(new CodedError("SHUTTING_DOWN"));
      // Whatever it comes to, the thread ends: the reply only tells that its connection is closed.
      if (busy || link.started())
        await enqueue({ kind: "close" }, storeThreadLimits.closeTimeoutMs).catch(() => undefined);
      link.end();
    },
  };
}

/** The thread itself: started when it is needed, dropped when it fails. One exchange at a time. */
interface Link {
  exchange(request: WorkerRequest, deadlineMs: number): Promise<DoneReply>;
  started(): boolean;
  end(): void;
}

function createLink(clock: StoreThreadDeps["clock"], config: StoreThreadConfig): Link {
  let worker: Worker | undefined;
  const end = (): void => {
    worker?.terminate();
    worker = undefined;
  };
  const send = async (target: Worker, request: WorkerRequest, deadlineMs: number): Promise<DoneReply> => {
    const { promise, resolve, reject } = Promise.withResolvers<WorkerReply>();
    const cancel = clock.setTimer(Math.max(0, deadlineMs - clock.monotonicMs()), () =>
      reject(new CodedError("SEARCH_TIMED_OUT")),
    );
    target.onmessage = (message: MessageEvent<WorkerReply>) => resolve(message.data);
    target.onerror = (event) => {
      reject(new CodedError("STORE_UNAVAILABLE", { context: { role: config.role, detail: event.message } }));
    };
    target.postMessage(request);
    const reply = await promise
      .catch((error: unknown) => {
        end();
        throw error;
      })
      .finally(cancel);
    if (reply.kind === "done") return reply;
    if (request.kind === "open") end();
    throw new CodedError(reply.code, { context: { detail: reply.detail } });
  };
  return {
    exchange: async (request, deadlineMs) => {
      if (clock.monotonicMs() >= deadlineMs) throw new CodedError("SEARCH_TIMED_OUT");
      if (worker === undefined) {
        worker = startWorker();
        await send(worker, { kind: "open", path: config.path, role: config.role }, deadlineMs);
      }
      const leftMs = Math.max(0, deadlineMs - clock.monotonicMs());
      const timed = "timeoutMs" in request ? { ...request, timeoutMs: leftMs } : request;
      return send(worker, timed, deadlineMs + storeThreadLimits.graceMs);
    },
    started: () => worker !== undefined,
    end,
  };
}

function startWorker(): Worker {
  const worker = new Worker(workerLocation(), { smol: true });
  worker.unref();
  return worker;
}
