/**
 * From received messages to deliveries in their lines.
 *
 * In order, for one batch of one queue: copies are recognised (see pipeline); what does not fit is given back, and
 * once one message of a pool did not fit, those behind it neither, so that none overtakes; references are read from
 * the store in one call, and those that are stale need none; the rest gets its place. A message with nothing left to
 * deliver is acked.
 *
 * A message that carries whole deliveries is believed only when it is young and comes for the first time. Any other may
 * hold what was recorded, taken back, cancelled or recovered since: what of it is still owed, and after how many
 * attempts, is asked in one call, with the same answer as for references (docs/decisions/0018).
 *
 * When the store cannot be asked the whole batch is given back for a second: nothing is known of it yet.
 */
import type { Clock } from "@flowcatalyst/foundation";
import type { JobId } from "../domain/ids.ts";
import type { JobDelivery, JobItem, JobReference, PlatformMessage, StandaloneMessage } from "../domain/message.ts";
import type { DeliveryCheck, DeliveryReader, OwedDelivery } from "../ports/delivery-reader.ts";
import type { ReceivedMessage } from "../ports/queue.ts";
import { Delivery, Line, type InFlightMessage } from "./in-flight.ts";
import { jobKey, keyOf, pipelineLimits, type Pipeline } from "./pipeline.ts";
import { poolRunLimits, type Pool } from "./pool.ts";
import type { PoolRegistry } from "./pool-registry.ts";
import type { QueueLink } from "./queue-link.ts";
import type { Settlement } from "./settlement.ts";
import { standaloneRetryPolicy } from "./standalone-retries.ts";
import type { Warnings } from "./warnings.ts";

export const admissionLimits = {
  /** What a full pool gives back to a queue without lanes stays away for this long. */
  fullPoolDelayMs: 5_000,
  /** The batch comes again after this when its jobs could not be read. */
  unreadableDelayMs: 1_000,
  maxOrigins: 10_000,
  standaloneTimeoutSeconds: 30,
  /** A message that comes back this little before its time is tried all the same: clocks differ. */
  earlyMs: 50,
  /**
   * A message of deliveries that was published longer ago is asked about, and one from so far in the future: then the
   * clocks differ too much to tell its age.
   */
  believedMs: 30_000,
} as const;

export interface AdmissionDeps {
  readonly clock: Clock;
  readonly pipeline: Pipeline;
  readonly pools: PoolRegistry;
  readonly settlement: Settlement;
  readonly warnings: Warnings;
  /** Null: references cannot be resolved here. */
  readonly deliveries: DeliveryReader | null;
  /** Null: nobody knows more of a delivery than its message. */
  readonly check: DeliveryCheck | null;
  /** False: results of jobs could not be recorded, so jobs are not taken. */
  readonly takesJobs: boolean;
}

interface Candidate {
  readonly received: ReceivedMessage;
  readonly message: InFlightMessage;
  readonly pool: Pool;
  readonly nowMs: number;
}

export class Admission {
  readonly #deps: AdmissionDeps;
  readonly #origins = new Map<string, string>();

  constructor(deps: AdmissionDeps) {
    this.#deps = deps;
  }

  async admit(link: QueueLink, batch: readonly ReceivedMessage[]): Promise<void> {
    const candidates: Candidate[] = [];
    const fullPools = new Set<Pool>();
    const nowMs = this.#deps.clock.monotonicMs();
    let bytes = 0;
    let jobs = 0;
    for (const received of batch) {
      const candidate = this.#candidateOf(link, received, nowMs);
      if (candidate === null) continue;
      const size = sizeOf(received.message);
      const isFull =
        fullPools.has(candidate.pool) || candidate.pool.room <= jobs || !this.#deps.pipeline.fits(bytes + size.bytes);
      if (isFull) {
        fullPools.add(candidate.pool);
        this.#giveBackForLater(candidate);
        continue;
      }
      bytes += size.bytes;
      jobs += size.jobs;
      candidates.push(candidate);
    }
    if (candidates.length > 0) await this.#place(candidates, bytes);
  }

  /** Null: a copy, or nothing this router can deliver. */
  #candidateOf(link: QueueLink, received: ReceivedMessage, nowMs: number): Candidate | null {
    const { message, receipt, receiveCount } = received;
    const visibleAtMs = nowMs + link.consumer.visibilityMs;
    const key = brokerKeyOf(received);
    const known = link.messages.get(key);
    if (known !== undefined) {
      known.receipt = receipt;
      known.visibleAtMs = visibleAtMs;
      return null;
    }
    const standalone = message.kind === "standalone" ? message : null;
    const { id, traceparent } = message;
    const state = { open: 0, visibleAtMs, lost: false };
    const inFlight: InFlightMessage = {
      queue: link,
      key,
      id,
      receipt,
      receiveCount,
      standalone,
      traceparent,
      ...state,
    };
    link.hold(inFlight);
    const fault = message.kind === "platform" ? this.#faultOf(message) : null;
    if (fault !== null) {
      // One of these is a message that somebody made up; many are settings that do not fit those of the scheduler.
      const source = link.consumer.name;
      this.#deps.warnings.add({ category: "CONFIGURATION", severity: "ERROR", message: fault, source });
      void link.deadLetter(inFlight, fault);
      return null;
    }
    return { received, message: inFlight, pool: this.#deps.pools.forLane(message.lane), nowMs };
  }

  async #place(candidates: readonly Candidate[], bytes: number): Promise<void> {
    const { pipeline } = this.#deps;
    // Counted while they are read, so that two queues together can't exceed the limit.
    pipeline.bytes += bytes;
    const doubted = new Set(candidates.filter((candidate) => this.#isDoubtful(candidate)));
    let read: ReadonlyMap<JobId, JobDelivery>;
    let owed: ReadonlyMap<JobId, OwedDelivery>;
    try {
      [read, owed] = await Promise.all([this.#read(candidates), this.#owed(doubted)]);
    } catch (error) {
      for (const { message } of candidates) message.queue.nack(message, admissionLimits.unreadableDelayMs);
      throw error;
    } finally {
      pipeline.bytes -= bytes;
    }
    const pools = new Set<Pool>();
    for (const candidate of candidates) {
      const { message } = candidate.received;
      if (message.kind === "standalone") this.#placeStandalone(candidate, message);
      else this.#placeJobs(candidate, message, { read, owed: doubted.has(candidate) ? owed : null });
      pools.add(candidate.pool);
    }
    for (const pool of pools) pool.pump();
  }

  async #read(candidates: readonly Candidate[]): Promise<ReadonlyMap<JobId, JobDelivery>> {
    const { pipeline, deliveries } = this.#deps;
    const references: JobReference[] = [];
    for (const { received } of candidates) {
      if (received.message.kind === "standalone") continue;
      for (const job of received.message.jobs) {
        const isNeeded = job.kind === "reference" && pipeline.find(jobKey(job.jobId, job.generation)) === undefined;
        if (isNeeded) references.push(job);
      }
    }
    if (references.length === 0 || deliveries === null) return new Map();
    return deliveries.read(references);
  }

  /** Why this router cannot deliver the jobs; null: it can. */
  #faultOf({ jobs }: PlatformMessage): string | null {
    const { takesJobs, deliveries } = this.#deps;
    if (!takesJobs) return "this router has no platform to report the jobs to";
    const isReadable = deliveries !== null || jobs.every((job) => job.kind === "delivery");
    if (isReadable) return null;
    return (
      "the message only names jobs of a database, and this router has none: set FC_DATABASE_URL here, or an " +
      "FC_QUEUE_URL other than db: for the scheduler"
    );
  }

  /** Whether what it carries may have changed since it was published. */
  #isDoubtful({ received }: Candidate): boolean {
    const { message, receiveCount, publishedAtMs } = received;
    if (this.#deps.check === null || message.kind === "standalone") return false;
    const isOld = Math.abs(this.#deps.clock.now() - publishedAtMs) > admissionLimits.believedMs;
    return (receiveCount > 1 || isOld) && message.jobs.some((job) => job.kind === "delivery");
  }

  async #owed(doubted: ReadonlySet<Candidate>): Promise<ReadonlyMap<JobId, OwedDelivery>> {
    const { check, pipeline } = this.#deps;
    const jobs: JobDelivery[] = [];
    for (const { received } of doubted) {
      if (received.message.kind === "standalone") continue;
      for (const job of received.message.jobs) {
        const isKnown = pipeline.find(jobKey(job.jobId, job.generation)) !== undefined;
        if (job.kind === "delivery" && !isKnown) jobs.push(job);
      }
    }
    if (jobs.length === 0 || check === null) return new Map();
    return check.owed(jobs);
  }

  #placeJobs(candidate: Candidate, { jobs, groupKey }: PlatformMessage, known: Known): void {
    const { message, pool } = candidate;
    const mine: Delivery[] = [];
    for (const item of jobs) {
      const key = jobKey(item.jobId, item.generation);
      const present = this.#deps.pipeline.find(key);
      if (present !== undefined) {
        this.#adopt(present, message);
        continue;
      }
      const job = jobOf(item, known);
      if (job === null) continue;
      const bytes = item.kind === "reference" ? item.bytes : bytesOf(job.payload);
      const delivery = this.#deliveryOf(job, candidate, bytes);
      this.#deps.pipeline.add(key, delivery);
      mine.push(delivery);
    }
    this.#enterOrRelease({ pool, deliveries: mine, groupKey, isHighPriority: false });
    if (message.open === 0) message.queue.ack(message);
  }

  #placeStandalone(candidate: Candidate, standalone: StandaloneMessage): void {
    const { message, pool } = candidate;
    const key = `${message.queue.consumer.name}\n${message.key}`;
    const known = this.#deps.pipeline.find(key);
    if (known !== undefined) {
      this.#adopt(known, message);
      return;
    }
    const { retries } = this.#deps.settlement;
    const earlyMs = retries.dueAtMs(key) - this.#deps.clock.monotonicMs();
    if (earlyMs > admissionLimits.earlyMs) {
      message.queue.nack(message, earlyMs);
      return;
    }
    const job = standaloneJob(standalone, retries.attempts(key));
    const delivery = this.#deliveryOf(job, candidate, bytesOf(standalone.payload));
    this.#deps.pipeline.add(keyOf(delivery.job, message), delivery);
    const { groupKey, highPriority } = standalone;
    // Groups of one name on two queues are two groups.
    const lineKey = groupKey === null ? null : `${message.queue.consumer.name}\n${groupKey}`;
    this.#enterOrRelease({ pool, deliveries: [delivery], groupKey: lineKey, isHighPriority: highPriority });
  }

  #enterOrRelease(entry: Entry): void {
    const { pool, deliveries, groupKey, isHighPriority } = entry;
    const first = deliveries[0];
    if (first === undefined) return;
    if (pool.isExcess(first.origin, groupKey)) {
      const line = new Line(pool, null, false);
      for (const delivery of deliveries) line.append(delivery);
      this.#deps.settlement.release(line, poolRunLimits.excessMs);
      return;
    }
    if (groupKey !== null || deliveries.length === 1) {
      for (const delivery of deliveries) pool.add(delivery, groupKey, isHighPriority);
      return;
    }
    // A run without a group is still delivered in order: it has a line of its own, under the name of its message.
    for (const delivery of deliveries) pool.add(delivery, `message\n${first.message.key}`, isHighPriority);
  }

  /** The job is in the pipeline already. If its own message was lost, this one takes its place. */
  #adopt(delivery: Delivery, message: InFlightMessage): void {
    if (!delivery.message.lost || delivery.message === message) return;
    delivery.message.open--;
    delivery.message = message;
    message.open++;
  }

  #giveBackForLater({ message, pool }: Candidate): void {
    if (message.queue.consumer.capabilities.lanes !== "none") {
      message.queue.nack(message, 0);
      return;
    }
    const text = `the pool is full; messages wait on the queue`;
    this.#deps.warnings.add({ category: "POOL_CAPACITY", severity: "WARN", message: text, source: pool.code });
    message.queue.nack(message, admissionLimits.fullPoolDelayMs);
  }

  #deliveryOf(job: JobDelivery, { message, nowMs }: Candidate, payloadBytes: number): Delivery {
    return new Delivery(job, message, {
      bytes: payloadBytes + pipelineLimits.overheadBytes,
      origin: this.#originOf(job.target),
      nowMs,
    });
  }

  /** Parsing is dear, and targets are few: bounded, and begun anew when full. */
  #originOf(target: string): string {
    const known = this.#origins.get(target);
    if (known !== undefined) return known;
    // What is no URL is a target of its own; the address guard will say what is wrong with it.
    const origin = URL.canParse(target) ? new URL(target).origin : target;
    if (this.#origins.size >= admissionLimits.maxOrigins) this.#origins.clear();
    this.#origins.set(target, origin);
    return origin;
  }
}

interface Entry {
  readonly pool: Pool;
  readonly deliveries: readonly Delivery[];
  readonly groupKey: string | null;
  readonly isHighPriority: boolean;
}

/** What the platform knows of the jobs of a message. */
interface Known {
  /** What references stand for. */
  readonly read: ReadonlyMap<JobId, JobDelivery>;
  /** Which deliveries are owed; null: the message is believed. */
  readonly owed: ReadonlyMap<JobId, OwedDelivery> | null;
}

/** Null: it is stale, its job is final or has moved on. */
function jobOf(item: JobItem, { read, owed }: Known): JobDelivery | null {
  if (item.kind === "reference") {
    const job = read.get(item.jobId);
    return job !== undefined && job.generation === item.generation ? job : null;
  }
  if (owed === null) return item;
  const job = owed.get(item.jobId);
  return job !== undefined && job.generation === item.generation ? { ...item, ...job } : null;
}

/** Senders may use an id twice; where the queue tells its messages apart by a key of its own, that one counts. */
function brokerKeyOf({ brokerId, message }: ReceivedMessage): string {
  return brokerId ?? message.id;
}

function sizeOf(message: ReceivedMessage["message"]): { readonly bytes: number; readonly jobs: number } {
  if (message.kind === "standalone") return { bytes: bytesOf(message.payload) + pipelineLimits.overheadBytes, jobs: 1 };
  let bytes = message.jobs.length * pipelineLimits.overheadBytes;
  for (const job of message.jobs) bytes += job.kind === "reference" ? job.bytes : bytesOf(job.payload);
  return { bytes, jobs: message.jobs.length };
}

function bytesOf(payload: string | null): number {
  return payload === null ? 0 : Buffer.byteLength(payload);
}

/** A stand-alone message in the shape of a job, so that both take the same way. */
function standaloneJob(message: StandaloneMessage, attempts: number): JobDelivery {
  return {
    kind: "delivery",
    jobId: message.id as string as JobId,
    generation: 1,
    attemptCount: attempts,
    generationAttempts: attempts,
    clientId: null,
    subscriptionId: null,
    target: message.target,
    contentType: message.contentType,
    format: "data",
    headers: message.headers,
    payloadKind: "text",
    payload: message.payload,
    timeoutSeconds: admissionLimits.standaloneTimeoutSeconds,
    retry: standaloneRetryPolicy,
    expiresAtMs: Number.POSITIVE_INFINITY,
    legacySignature: false,
    secretRef: message.secretRef,
    event: null,
  };
}
