/**
 * From received messages to deliveries in their lines.
 *
 * In order, for one batch of one lane: copies are recognised (see pipeline); for what has no room see below, and once
 * one message of a pool had none, those behind it neither, so that none overtakes; references are read from the store
 * in one call, and those that are stale need none; the rest gets its place. A message with nothing left to deliver is
 * acked.
 *
 * What has no room, because its pool is full or, where nothing can be kept away, its target has its part of the buffer
 * and is not well:
 *
 * - A lane of one pool that is looked at in turn: back to the queue; its intake leaves the lane alone.
 * - A lane of one pool of which a question was open: it waits here, in the lane's overflow.
 * - A lane of several pools, on a queue that can delay: back for 5 s, with a warning. Others pass it.
 * - A lane of several pools, on a queue that cannot: a nack would bring it again at once, for ever. It waits in the
 *   overflow, with a warning, because meanwhile nobody else's messages come through the lane either.
 *
 * Nothing is received from a lane while it has an overflow, so that holds at most what the questions open at a time
 * can bring. It counts among the bytes of the pipeline, is kept alive like everything held, and is placed in order.
 * Many lanes together could bring more than the pipeline may hold: beyond that, what the queue can delay goes back.
 *
 * A message that carries whole deliveries is believed only when it is young and comes for the first time, and was not
 * replayed from the dead letters. Any other may hold what was recorded, taken back, cancelled or recovered since: what
 * of it is still owed, and after how many attempts, is asked in one call, with the same answer as for references
 * (docs/decisions/0018).
 *
 * When the store cannot be asked the whole batch is given back for a second: nothing is known of it yet.
 */
import type { Clock } from "@flowcatalyst/foundation";
import type { JobId, PoolCode } from "../domain/ids.ts";
import type { JobDelivery, JobItem, JobReference, PlatformMessage, StandaloneMessage } from "../domain/message.ts";
import type { DeliveryCheck, DeliveryReader, OwedDelivery } from "../ports/delivery-reader.ts";
import { isSharedLane, type ReceivedMessage } from "../ports/queue.ts";
import { Delivery, Line, type InFlightMessage } from "./in-flight.ts";
import { bytesOf, groupOf, messageKeyOf, replayIdPrefix, sizeOf, standaloneJob } from "./message-shape.ts";
import { Overflow } from "./overflow.ts";
import { jobKey, pipelineLimits, standaloneKeyOf, type Pipeline } from "./pipeline.ts";
import { poolRunLimits, type Pool } from "./pool.ts";
import type { PoolRegistry } from "./pool-registry.ts";
import type { QueueLink } from "./queue-link.ts";
import { canDelay, type Settlement } from "./settlement.ts";
import type { Warnings } from "./warnings.ts";

export const admissionLimits = {
  /** What a full pool gives back to a queue without lanes stays away for this long. */
  fullPoolDelayMs: 5_000,
  /** The batch comes again after this when its jobs could not be read. */
  unreadableDelayMs: 1_000,
  maxOrigins: 10_000,
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

/** What became of a batch. */
export interface Admitted {
  /** Messages that found a place. */
  readonly placed: number;
  /** Messages that went back to the queue for want of room. */
  readonly givenBack: number;
  /** The pools that had no room; each says when it has. */
  readonly full: readonly Pool[];
}

interface Candidate {
  readonly received: ReceivedMessage;
  readonly message: InFlightMessage;
  readonly pool: Pool;
  readonly nowMs: number;
}

/** One batch on its way. */
interface Round {
  readonly link: QueueLink;
  readonly lane: PoolCode;
  readonly fitting: Candidate[];
  readonly kept: Candidate[];
  readonly full: Set<Pool>;
  /** Jobs that already fit, by pool. */
  readonly jobs: Map<Pool, number>;
  /** Messages that already fit, by pool and target; filled only where nothing can be kept away. */
  readonly ofTarget: Map<string, number>;
  readonly unwell: Set<string>;
  /** Of those that fit, and of those that are kept for later. */
  bytes: number;
  keptBytes: number;
  givenBack: number;
}

export class Admission {
  readonly #deps: AdmissionDeps;
  readonly #overflow: Overflow<Candidate>;
  readonly #origins = new Map<string, string>();

  constructor(deps: AdmissionDeps) {
    this.#deps = deps;
    this.#overflow = new Overflow(deps.pipeline);
  }

  hasOverflow(lane: PoolCode): boolean {
    return this.#overflow.has(lane);
  }

  /** What waits here for room goes back to the queue. */
  giveBackOverflow(): void {
    for (const { message } of this.#overflow.takeAll()) this.#deps.settlement.giveBackUntouched(message, 0);
  }

  /** Goes back as it came: that it was received counts for nothing. */
  notTaken(link: QueueLink, batch: readonly ReceivedMessage[]): void {
    for (const received of batch) {
      const key = messageKeyOf(link, received);
      if (received.message.kind !== "standalone" || link.messages.has(key)) continue;
      this.#deps.settlement.retries.givenBack(standaloneKeyOf({ queue: link, key }), received.receiveCount);
    }
  }

  /** First what waits here for room, then the batch. */
  async admit(link: QueueLink, lane: PoolCode, batch: readonly ReceivedMessage[]): Promise<Admitted> {
    const nowMs = this.#deps.clock.monotonicMs();
    const round: Round = {
      link,
      lane,
      fitting: [],
      kept: [],
      full: new Set(),
      jobs: new Map(),
      ofTarget: new Map(),
      unwell: new Set(),
      bytes: 0,
      keptBytes: 0,
      givenBack: 0,
    };
    for (const waiting of this.#overflow.take(lane)) if (!waiting.message.lost) this.#sort(round, waiting);
    for (const received of batch) {
      const candidate = this.#candidateOf(link, received, nowMs);
      if (candidate !== null) this.#sort(round, candidate);
    }
    const { fitting, kept, full } = round;
    this.#overflow.keep(lane, kept);
    for (const pool of full) pool.isStarved = true;
    const excess = fitting.length > 0 ? await this.#place(fitting, round.bytes) : 0;
    if (isSharedLane(link.consumer.capabilities, lane)) for (const pool of full) pool.shedExcess();
    return { placed: fitting.length - excess, givenBack: round.givenBack + excess, full: [...full] };
  }

  /** Finds out whether there is room for it, and what becomes of it if not. */
  #sort(round: Round, candidate: Candidate): void {
    const { pool, received } = candidate;
    const size = sizeOf(received.message);
    const jobs = round.jobs.get(pool) ?? 0;
    if (round.full.has(pool) || pool.room <= jobs || !this.#fits(round, size.bytes)) {
      round.full.add(pool);
      this.#giveBackForLater(round, candidate);
      return;
    }
    if (this.#isUnwell(round, candidate)) {
      this.#keepForLater(round, candidate, `the target ${this.#targetOf(candidate)} fills its part of the pool`);
      return;
    }
    round.bytes += size.bytes;
    round.jobs.set(pool, jobs + size.jobs);
    round.fitting.push(candidate);
  }

  #fits({ bytes, keptBytes }: Round, more: number): boolean {
    return this.#deps.pipeline.fits(more, bytes + keptBytes);
  }

  /** Where nothing can be kept away: whether its target has its part of the buffer already, and is not well. */
  #isUnwell(round: Round, { received, message, pool }: Candidate): boolean {
    if (received.message.kind !== "standalone" || canDelay(round.link.consumer)) return false;
    const { target } = received.message;
    const origin = this.#originOf(target);
    const key = `${pool.code}\n${origin}`;
    const before = round.ofTarget.get(key) ?? 0;
    const group = groupOf(message, received.message);
    const restsFull = group !== null && pool.restIsFullForMs(group) !== null;
    if (round.unwell.has(key) || restsFull || pool.isExcess(origin, group, before)) {
      // Those behind it neither, so that none overtakes.
      round.unwell.add(key);
      return true;
    }
    round.ofTarget.set(key, before + 1);
    return false;
  }

  #targetOf({ received }: Candidate): string {
    return received.message.kind === "standalone" ? this.#originOf(received.message.target) : "";
  }

  /** Null: a copy, or nothing this router can deliver. */
  #candidateOf(link: QueueLink, received: ReceivedMessage, nowMs: number): Candidate | null {
    const { message, receipt, receiveCount } = received;
    const visibleAtMs = nowMs + link.consumer.visibilityMs;
    const key = messageKeyOf(link, received);
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

  /** How many were given back all the same, being too many for their targets. */
  async #place(candidates: readonly Candidate[], bytes: number): Promise<number> {
    const { pipeline } = this.#deps;
    // Counted while they are read, so that two queues together can't exceed the limit.
    pipeline.bytes += bytes;
    const doubted = new Set(candidates.filter((candidate) => this.#isDoubtful(candidate)));
    let read: ReadonlyMap<JobId, JobDelivery>;
    let owed: ReadonlyMap<JobId, OwedDelivery>;
    try {
      [read, owed] = await Promise.all([this.#read(candidates), this.#owed(doubted)]);
    } catch (error) {
      for (const { message } of candidates) {
        this.#deps.settlement.giveBackUntouched(message, admissionLimits.unreadableDelayMs);
      }
      throw error;
    } finally {
      pipeline.bytes -= bytes;
    }
    const pools = new Set<Pool>();
    let excess = 0;
    for (const candidate of candidates) {
      const { message } = candidate.received;
      // Taken away while it was on its way here.
      if (candidate.message.lost) continue;
      const known = { read, owed: doubted.has(candidate) ? owed : null };
      const hasPlace =
        message.kind === "standalone"
          ? this.#placeStandalone(candidate, message)
          : this.#placeJobs(candidate, message, known);
      if (!hasPlace) excess++;
      pools.add(candidate.pool);
    }
    for (const pool of pools) pool.pump();
    return excess;
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
    const isReplayed = message.id.startsWith(replayIdPrefix);
    return (receiveCount > 1 || isOld || isReplayed) && message.jobs.some((job) => job.kind === "delivery");
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

  #placeJobs(candidate: Candidate, { jobs, groupKey }: PlatformMessage, known: Known): boolean {
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
    const hasPlace = this.#enterOrRelease({ pool, deliveries: mine, groupKey, isHighPriority: false });
    if (message.open === 0) message.queue.ack(message);
    return hasPlace;
  }

  #placeStandalone(candidate: Candidate, standalone: StandaloneMessage): boolean {
    const { message, pool } = candidate;
    const { settlement, pipeline, clock } = this.#deps;
    const key = standaloneKeyOf(message);
    const known = pipeline.find(key);
    if (known !== undefined) {
      this.#adopt(known, message);
      return true;
    }
    const groupKey = groupOf(message, standalone);
    const dueAtMs = settlement.retries.dueAtMs(key);
    const earlyMs = dueAtMs - clock.monotonicMs();
    const isEarly = earlyMs > admissionLimits.earlyMs;
    const { consumer } = message.queue;
    if (isEarly && !settlement.mayWaitHere(consumer, groupKey, earlyMs)) {
      message.queue.nack(message, earlyMs);
      return true;
    }
    const restsMs = groupKey === null || !canDelay(consumer) ? null : pool.restIsFullForMs(groupKey);
    if (restsMs !== null) {
      settlement.giveBackUntouched(message, Math.max(restsMs, poolRunLimits.excessMs));
      return false;
    }
    const job = standaloneJob(standalone, settlement.retries.attempts(key));
    const delivery = this.#deliveryOf(job, candidate, bytesOf(standalone.payload));
    if (isEarly) delivery.notBeforeMs = dueAtMs;
    pipeline.add(key, delivery);
    return this.#enterOrRelease({ pool, deliveries: [delivery], groupKey, isHighPriority: standalone.highPriority });
  }

  /** False: it went back, being too much for its target. */
  #enterOrRelease(entry: Entry): boolean {
    const { pool, deliveries, groupKey, isHighPriority } = entry;
    const first = deliveries[0];
    if (first === undefined) return true;
    const isKeptAway = first.message.standalone === null || canDelay(first.message.queue.consumer);
    if (isKeptAway && pool.isExcess(first.origin, groupKey)) {
      const line = new Line(pool, null, false);
      for (const delivery of deliveries) line.append(delivery);
      this.#deps.settlement.release(line, poolRunLimits.excessMs);
      return false;
    }
    if (groupKey !== null || deliveries.length === 1) {
      for (const delivery of deliveries) pool.add(delivery, groupKey, isHighPriority);
      return true;
    }
    // A run without a group is still delivered in order: it has a line of its own, under the name of its message.
    for (const delivery of deliveries) pool.add(delivery, `message\n${first.message.key}`, isHighPriority);
    return true;
  }

  /** The job is in the pipeline already. If its own message was lost, this one takes its place. */
  #adopt(delivery: Delivery, message: InFlightMessage): void {
    if (!delivery.message.lost || delivery.message === message) return;
    delivery.message.open--;
    delivery.message = message;
    message.open++;
  }

  #giveBackForLater(round: Round, candidate: Candidate): void {
    const { message, pool } = candidate;
    const { consumer } = round.link;
    const isShared = isSharedLane(consumer.capabilities, round.lane);
    const { longPoll } = consumer.capabilities;
    const fitsHere = this.#fits(round, sizeOf(candidate.received.message).bytes);
    const why = fitsHere ? "the pool is full" : "the memory for messages is full";
    if (canDelay(consumer) ? longPoll && !isShared && fitsHere : longPoll || isShared) {
      this.#keepForLater(round, candidate, why);
      return;
    }
    round.givenBack++;
    if (!isShared && !longPoll) {
      this.#deps.settlement.giveBackUntouched(message, 0);
      return;
    }
    const text = `${why}; messages wait on the queue`;
    this.#deps.warnings.add({ category: "POOL_CAPACITY", severity: "WARN", message: text, source: pool.code });
    this.#deps.settlement.giveBackUntouched(message, admissionLimits.fullPoolDelayMs);
  }

  #keepForLater(round: Round, candidate: Candidate, why: string): void {
    round.kept.push(candidate);
    round.keptBytes += sizeOf(candidate.received.message).bytes;
    const { consumer } = round.link;
    if (!isSharedLane(consumer.capabilities, round.lane)) return;
    const { name } = consumer;
    const consequence = `nothing is received from ${name} until there is room, because ${name} cannot delay messages`;
    const message = `${why}; ${consequence}: give what is slow a queue of its own`;
    this.#deps.warnings.add({ category: "POOL_CAPACITY", severity: "WARN", message, source: candidate.pool.code });
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
