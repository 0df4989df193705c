import { CodedError, type Clock } from "@flowcatalyst/foundation";
import type { OpenRequest, WorkerReply, WorkerRequest } from "./store-worker-protocol.ts";

/**
 * The near side of one of the store's threads. It is started by the first request, takes requests one after another, and
 * does not keep the process alive. A request that is not answered in time is given up with SEARCH_TIMED_OUT: the thread
 * is ended and the next request starts another one. A thread that dies fails its request with STORE_UNAVAILABLE.
 */
export interface StoreThread {
  /** `timeoutMs` counts from now, waiting for earlier requests included. */
  ask(request: WorkerRequest, timeoutMs: number): Promise<WorkerReply & { readonly kind: "done" }>;
  /** Ends the thread after the request under way. Later requests fail with SHUTTING_DOWN. */
  close(): Promise<void>;
}

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
 * From source the worker is found beside this file. In a compiled executable there is one bundle and further entry points
 * by their path below the common folder of all (`packages/`), so it must be named that way.
 */
function workerLocation(): string {
  const here = import.meta.url;
  const compiled = here.includes("/$bunfs/") || here.includes("/~BUN/");
  return compiled ? "./server/src/stores/sqlite/store-worker.ts" : new URL("./store-worker.ts", here).href;
}

interface Job {
  readonly request: WorkerRequest;
  readonly deadlineMs: number;
  resolve(reply: WorkerReply & { readonly kind: "done" }): void;
  reject(error: CodedError): void;
}

export function createStoreThread(deps: StoreThreadDeps, config: StoreThreadConfig): StoreThread {
  const { clock } = deps;
  const waiting: Job[] = [];
  let worker: Worker | undefined;
  let busy = false;
  let closed = false;

  const next = (): void => {
    if (busy) return;
    const job = waiting.shift();
    if (job === undefined) return;
    busy = true;
    run(job)
      .then(job.resolve, job.reject)
      .finally(() => {
        busy = false;
        next();
      });
  };

  const run = async (job: Job): Promise<WorkerReply & { readonly kind: "done" }> => {
    if (clock.monotonicMs() >= job.deadlineMs) throw new CodedError("SEARCH_TIMED_OUT");
    if (worker === undefined) {
      worker = startWorker();
      await exchange(worker, { kind: "open", path: config.path, role: config.role }, job.deadlineMs);
    }
    const leftMs = Math.max(0, job.deadlineMs - clock.monotonicMs());
    const request = "timeoutMs" in job.request ? { ...job.request, timeoutMs: leftMs } : job.request;
    return exchange(worker, request, job.deadlineMs + storeThreadLimits.graceMs);
  };

  const drop = (failed: Worker): void => {
    if (worker === failed) worker = undefined;
    failed.terminate();
  };

  const exchange = (
    target: Worker,
    request: WorkerRequest,
    deadlineMs: number,
  ): Promise<WorkerReply & { readonly kind: "done" }> =>
    new Promise((resolve, reject) => {
      const fail = (error: CodedError): void => {
        stopTimer();
        drop(target);
        reject(error);
      };
      const stopTimer = clock.setTimer(Math.max(0, deadlineMs - clock.monotonicMs()), () =>
        fail(new CodedError("SEARCH_TIMED_OUT")),
      );
      target.onmessage = (message: MessageEvent<WorkerReply>) => {
        stopTimer();
        const reply = message.data;
        if (reply.kind === "done") resolve(reply);
        else reject(new CodedError(reply.code, { context: { detail: reply.detail } }));
      };
      target.onerror = (event) =>
        fail(new CodedError("STORE_UNAVAILABLE", { context: { role: config.role, detail: event.message } }));
      target.postMessage(request);
    });

  return {
    ask: (request, timeoutMs) => {
      if (closed) return Promise.reject(new CodedError("SHUTTING_DOWN"));
      if (waiting.length >= storeThreadLimits.waitingMax) {
        const retryAfterSeconds = storeThreadLimits.overloadedRetryAfterSeconds;
        return Promise.reject(new CodedError("OVERLOADED", { retryAfterSeconds }));
      }
      const { promise, resolve, reject } = Promise.withResolvers<WorkerReply & { readonly kind: "done" }>();
      waiting.push({ request, deadlineMs: clock.monotonicMs() + timeoutMs, resolve, reject });
      next();
      return promise;
    },
    close: async () => {
      if (closed) return;
      for (const job of waiting.splice(0)) job.reject(new CodedError("SHUTTING_DOWN"));
      if (worker !== undefined) {
        const { promise, resolve } = Promise.withResolvers<void>();
        const deadlineMs = clock.monotonicMs() + storeThreadLimits.closeTimeoutMs;
        waiting.push({ request: { kind: "close" }, deadlineMs, resolve: () => resolve(), reject: () => resolve() });
        next();
        closed = true;
        await promise;
        worker?.terminate();
      }
      closed = true;
    },
  };
}

function startWorker(): Worker {
  const worker = new Worker(workerLocation(), { smol: true });
  worker.unref();
  return worker;
}
