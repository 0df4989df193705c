/**
 * What the router itself costs per delivered job: everything but HTTP, storage and the queue, which are in memory here
 * and answer at once. Prints CPU microseconds per job, with and without signing.
 *
 *   bun test/bench/micro/router-overhead.ts [jobs] [groups]
 */
import { databaseQueueCapabilities } from "../../../packages/server/src/queues/database-queue.ts";
import { createMetrics, silentLogger, systemClock, systemRandom } from "@flowcatalyst/foundation";
import type { DeliveryReport, ReportVerdict } from "../../../packages/server/src/domain/attempt.ts";
import type { GroupKey, JobId, MessageId, PoolCode, SubscriptionId } from "../../../packages/server/src/domain/ids.ts";
import type { JobDelivery, JobReference, PlatformMessage } from "../../../packages/server/src/domain/message.ts";
import type { QueueConsumer, ReceivedMessage, Receipt } from "../../../packages/server/src/ports/queue.ts";
import { createRouter, routerDefaults } from "../../../packages/server/src/router/router.ts";
import { Warnings } from "../../../packages/server/src/router/warnings.ts";

const jobsInAll = Number(process.argv[2] ?? 300_000);
const groups = Number(process.argv[3] ?? 100);
const concurrency = 64;
const headers = {};
const retry = { delaysMs: [1_000], maxRetries: 1 };
const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const payload = JSON.stringify({ a: "x".repeat(480) });
const lane = "bench" as PoolCode;

function delivery(reference: JobReference, secretRef: string | null): JobDelivery {
  return {
    kind: "delivery",
    jobId: reference.jobId,
    generation: 1,
    attemptCount: 0,
    generationAttempts: 0,
    clientId: null,
    subscriptionId: "sub_1" as SubscriptionId,
    target: "http://127.0.0.1:9999/hook",
    contentType: "application/json",
    format: "data",
    headers,
    payloadKind: "json",
    payload,
    timeoutSeconds: 30,
    retry,
    expiresAtMs: Number.MAX_SAFE_INTEGER,
    legacySignature: false,
    secretRef,
    event: {
      id: `evt_${reference.jobId}` as never,
      senderId: null,
      type: "order.created",
      source: "bench",
      subject: null,
      timeMs: 0,
      correlationId: null,
      causationId: null,
      messageGroup: "g",
      dataSchema: null,
      extensions: {},
    },
  };
}

/** Runs of eight jobs over the groups, one message of a group outstanding, as the scheduler publishes them. */
class MemoryQueue implements QueueConsumer {
  readonly name = "memory";
  readonly visibilityMs = 60_000;
  readonly parallelReceives = 1;
  readonly capabilities = {
    ...databaseQueueCapabilities,
    maxDelayMs: 1e9,
    dedupWindowMs: 0,
    maxMessageBytes: 1e6,
    maxBatch: 500,
    reportsOldest: false,
    carriesReferences: true,
  } as const;
  #made = 0;
  #next = 0;
  readonly #free: number[] = Array.from({ length: groups }, (_, at) => at);
  readonly #held = new Map<Receipt, ReceivedMessage>();
  readonly #back: ReceivedMessage[] = [];
  #wake: () => void = () => undefined;
  acked = 0;

  readyLanes() {
    const hasNew = this.#made < jobsInAll && this.#free.length > 0;
    return Promise.resolve(hasNew || this.#back.length > 0 ? [lane] : []);
  }

  receive(request: { max: number }): Promise<ReceivedMessage[]> {
    const batch: ReceivedMessage[] = [];
    while (batch.length < request.max && this.#back.length > 0) batch.push(...this.#back.splice(-1));
    while (batch.length < request.max && this.#made < jobsInAll) {
      const group = this.#free.pop();
      if (group === undefined) break;
      const jobs: JobReference[] = [];
      for (let at = 0; at < 8; at++) {
        jobs.push({
          kind: "reference",
          jobId: `job_${(this.#made++).toString(36)}` as JobId,
          generation: 1,
          bytes: 500,
        });
      }
      const id = `msg_${this.#next++}.${group}` as MessageId;
      const message: PlatformMessage = {
        kind: "platform",
        id,
        lane,
        groupKey: `g${group}` as GroupKey,
        jobs,
        traceparent: null,
      };
      const received = { message, receipt: id as unknown as Receipt, receiveCount: 1, publishedAtMs: 0 };
      this.#held.set(received.receipt, received);
      batch.push(received);
    }
    return Promise.resolve(batch);
  }

  ack(receipts: readonly Receipt[]) {
    this.acked += receipts.length;
    for (const receipt of receipts) this.#held.delete(receipt);
    for (const receipt of receipts) this.#free.push(Number(receipt.slice(receipt.indexOf(".") + 1)));
    this.#wake();
    return Promise.resolve(receipts.map(() => "done" as const));
  }

  nack(receipts: readonly Receipt[]) {
    for (const receipt of receipts) {
      const message = this.#held.get(receipt);
      if (message !== undefined) this.#back.push(message);
    }
    this.#wake();
    return Promise.resolve(receipts.map(() => "done" as const));
  }

  extend(receipts: readonly Receipt[]) {
    return Promise.resolve(receipts.map(() => "done" as const));
  }

  deadLetter() {
    return Promise.resolve("done" as const);
  }

  metrics() {
    return Promise.resolve({ visible: 0, inFlight: 0, delayed: 0, dead: 0, oldestUnsettledAtMs: null });
  }

  onAvailable(wake: () => void) {
    this.#wake = wake;
    return () => undefined;
  }
}

async function measure(secretRef: string | null): Promise<void> {
  const clock = systemClock();
  const queue = new MemoryQueue();
  const stop = new AbortController();
  let recorded = 0;
  const verdict: ReportVerdict = { kind: "settled", status: "COMPLETED", holdsGroup: false };
  const answer = { kind: "response", status: 200, retryAfter: null, body: "" } as const;
  const finished = Promise.withResolvers<void>();
  const router = createRouter(
    {
      queues: [queue],
      deliveries: {
        read: (references) => Promise.resolve(new Map(references.map((one) => [one.jobId, delivery(one, secretRef)]))),
      },
      control: {
        read: async (known, _waitMs, signal) => {
          if (known !== null) await clock.sleep(20_000, signal);
          const pool = { id: "pool_1", code: lane, name: null, clientId: null, concurrency, rateLimitPerMinute: null };
          const rest = {
            burst: null,
            timeoutSeconds: null,
            status: "ACTIVE",
            version: 1,
            createdAtMs: 0,
            updatedAtMs: 0,
          };
          return {
            revision: 1,
            pools: [{ ...pool, ...rest } as never],
            pausedSubscriptions: new Set<SubscriptionId>(),
            cancelledJobs: new Set<JobId>(),
          };
        },
        secrets: () => Promise.resolve([secret]),
      },
      sink: {
        record: (reports: readonly DeliveryReport[]) => {
          recorded += reports.length;
          if (recorded >= jobsInAll) finished.resolve();
          return Promise.resolve(reports.map(() => verdict));
        },
      },
      transport: { post: () => new Promise((resolve) => setImmediate(resolve, answer)) },
      guard: { check: () => Promise.resolve({ kind: "allowed", address: "127.0.0.1" }) },
      clock,
      random: systemRandom(),
      logger: silentLogger(),
      metrics: createMetrics(),
      warnings: new Warnings(clock, silentLogger()),
    },
    { ...routerDefaults, userAgent: "FlowCatalyst/bench", drainMs: 1_000 },
  );
  const before = process.cpuUsage();
  const beganMs = performance.now();
  const running = router.run(stop.signal);
  await finished.promise;
  const { user, system } = process.cpuUsage(before);
  const wallMs = performance.now() - beganMs;
  stop.abort();
  await running;
  const perJob = ((user + system) / jobsInAll).toFixed(2);
  const rate = Math.round((jobsInAll / wallMs) * 1_000);
  console.log(
    `${secretRef === null ? "unsigned" : "signed"}: ${perJob} us CPU a job, ${rate} jobs/s, ${queue.acked} acks`,
  );
}

await measure(null);
await measure("subscription:sub_1");
await measure(null);
await measure("subscription:sub_1");
