/**
 * What becomes of a delivery after its call, or instead of one. Both kinds of message meet here and nowhere else.
 *
 * | | job of the platform | stand-alone message |
 * |---|---|---|
 * | delivered | the next of the line starts at once; recorded, then acked | acked |
 * | failed for good | recorded; the verdict says whether the next may start | dead-letter place, then the next |
 * | to be tried again | the verdict: wait here (10 s at most), or parked in the store | waits, see below |
 * | held (breaker, Retry-After, secret) | recorded as held; verdict as above | waits until then |
 * | released (stop, fairness, pause) | recorded as released: PENDING again | nack |
 *
 * Where a stand-alone message waits (docs/decisions/0025). On its queue, by a nack with the delay, if that keeps the
 * order: the queue holds the group back, or there is no group. Here, at the head of its line, so that what comes in of
 * its group lines up behind it, if the queue keeps no groups: for six minutes at most, and no more than a quarter of
 * the pool's buffer; what goes beyond is given back, the whole line with the delay. And always here if the queue cannot
 * delay: a nack would bring the message back at once, over and over. Such a queue may want it back in time, by refusing
 * an extension; then it goes on waiting when it comes again.
 *
 * The store decides over jobs, because the attempt count it holds survives a crash; this file obeys its verdicts. A
 * message is acked when the last of its deliveries is settled.
 */
import type { Clock, Random } from "@flowcatalyst/foundation";
import type { Attempt, DeliveryReport, DeliveryResult, ReportVerdict } from "../domain/attempt.ts";
import type { QueueConsumer } from "../ports/queue.ts";
import type { Delivery, InFlightMessage, Line } from "./in-flight.ts";
import { keyOf, standaloneKeyOf, type Pipeline } from "./pipeline.ts";
import type { Pool } from "./pool.ts";
import type { Recorder } from "./recorder.ts";
import { StandaloneRetries } from "./standalone-retries.ts";

export const waitLimits = {
  /** A queue that delays for less cannot keep a message waiting: it would come and go. */
  delaysFromMs: 5_000,
  /** For so long a group of a queue without groups waits here: the five minutes of the policy, and what jitter adds. */
  groupRestMaxMs: 360_000,
} as const;

export interface SettlementDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly pipeline: Pipeline;
  /** Null: this router serves stand-alone messages only. */
  readonly recorder: () => Recorder | null;
}

export class Settlement {
  /** From the stop on, and while another router is the active one, whatever would wait or start is released instead. */
  isReleasing = false;
  readonly retries = new StandaloneRetries();
  readonly #deps: SettlementDeps;
  readonly #touched = new Set<Pool>();

  constructor(deps: SettlementDeps) {
    this.#deps = deps;
  }

  /** A call has ended, or was found not to be needed: `attempt` is null when nothing was sent. */
  conclude(delivery: Delivery, attempt: Attempt | null, result: DeliveryResult): void {
    const { line } = delivery;
    const isDelivered = result.kind === "delivered";
    if (line !== null) {
      if (isDelivered) this.#advance(line);
      else line.state = "recording";
    }
    if (delivery.message.standalone !== null) this.#concludeStandalone(delivery, result);
    else this.#report(delivery, attempt, result);
  }

  /** The delivery is not wanted any more, and the store knows: the next of its line may go. */
  skip(delivery: Delivery): void {
    const { line } = delivery;
    this.finish(delivery);
    if (line !== null) this.#advance(line);
  }

  /** False: its queue cannot keep it waiting, so that it would come again at once. */
  mayGiveBack({ head }: Line): boolean {
    return head === null || head.message.standalone === null || canDelay(head.message.queue.consumer);
  }

  /** Gives back a whole line of which nothing is under way; what cannot be kept away waits here instead. */
  release(line: Line, delayMs: number): void {
    if (delayMs > 0 && !this.#isReleasing(line) && !this.mayGiveBack(line)) {
      line.pool.rest(line, delayMs);
      return;
    }
    line.pool.remove(line);
    const dueAtMs = this.#deps.clock.now() + delayMs;
    let waitMs = delayMs;
    for (const delivery of line.takeAll()) {
      if (delivery.message.standalone !== null) {
        // One that waits for its next try goes on waiting on the queue, and what stood behind it is not to overtake.
        waitMs = Math.max(waitMs, this.#dueInMs(delivery));
        this.#giveBack(delivery, waitMs);
      } else this.#report(delivery, null, { kind: "released", dueAtMs });
    }
  }

  /** The head of a stand-alone line may not be called for so long: it waits here if it may, else on its queue. */
  leaveAlone(line: Line, delayMs: number): void {
    if (this.#waitsHere(line, delayMs)) line.pool.rest(line, delayMs);
    else this.release(line, delayMs);
  }

  /** The store has taken a report in. */
  recorded(delivery: Delivery, report: DeliveryReport, verdict: ReportVerdict): void {
    const { line } = delivery;
    const isOver = report.result.kind === "delivered" || report.result.kind === "released";
    if (isOver || line === null) {
      this.finish(delivery);
      return;
    }
    this.#touched.add(line.pool);
    switch (verdict.kind) {
      case "wait":
        delivery.attemptCount = verdict.attemptCount;
        if (report.attempt !== null) delivery.generationAttempts = report.attempt.number;
        this.#await(line, verdict.delayMs);
        return;
      case "parked":
        this.#takeBack(delivery, line);
        return;
      case "settled":
        if (verdict.holdsGroup) this.#takeBack(delivery, line);
        else this.skip(delivery);
        return;
      case "ignored":
        this.#giveUp(delivery, line);
        return;
    }
  }

  /** Starts what the verdicts of a batch have made ready. */
  pumpTouched(): void {
    for (const pool of this.#touched) pool.pump();
    this.#touched.clear();
  }

  /** Messages belong to somebody else now: what is not under way is dropped, and nothing is acked. */
  lost(messages: ReadonlySet<InFlightMessage>): void {
    for (const message of messages) {
      message.lost = true;
      message.queue.messages.delete(message.key);
    }
    const theirs = [...this.#deps.pipeline.all()].filter(({ message }) => messages.has(message));
    for (const { line, message } of theirs) {
      if (line === null) continue;
      const isUnderWay = line.state === "calling" || line.state === "recording";
      for (const delivery of line.takeOf(message)) this.#deps.pipeline.remove(delivery);
      if (!isUnderWay) this.release(line, 0);
    }
  }

  /** The delivery leaves the pipeline, and its message the queue with the last one. */
  finish(delivery: Delivery): void {
    const { message } = delivery;
    const isLast = this.#deps.pipeline.remove(delivery);
    if (isLast && !message.lost) message.queue.ack(message);
  }

  #report(delivery: Delivery, attempt: Attempt | null, result: DeliveryResult): void {
    const { jobId, generation } = delivery.job;
    this.#deps.recorder()?.add(delivery, { jobId, generation, attempt, result });
  }

  #advance(line: Line): void {
    line.pool.advance(line);
    if (line.state === "ready" && this.#isReleasing(line)) this.release(line, 0);
  }

  #isReleasing({ head }: Line): boolean {
    return this.isReleasing || head?.message.queue.isLeaving === true;
  }

  #await(line: Line, delayMs: number): void {
    if (this.#isReleasing(line)) this.release(line, 0);
    else line.pool.await(line, delayMs);
  }

  /** The store has taken back the rest of the run; what stands behind it from other messages goes back as well. */
  #takeBack(delivery: Delivery, line: Line): void {
    const { message } = delivery;
    const rest = line.cutRest();
    line.shift();
    line.pool.remove(line);
    this.finish(delivery);
    const dueAtMs = this.#deps.clock.now();
    for (const other of rest) {
      if (other.message === message) this.finish(other);
      else this.#report(other, null, { kind: "released", dueAtMs });
    }
  }

  /**
   * The store has moved past this result: an operator has cancelled the job, or the result had come through before and
   * the answer was lost. Whether the group may go on only the store knows, so what stands behind goes back to it; what
   * the store has taken back already it will not be told twice.
   */
  #giveUp(delivery: Delivery, line: Line): void {
    const rest = line.cutRest();
    line.shift();
    line.pool.remove(line);
    this.finish(delivery);
    const dueAtMs = this.#deps.clock.now();
    for (const other of rest) this.#report(other, null, { kind: "released", dueAtMs });
  }

  #concludeStandalone(delivery: Delivery, result: DeliveryResult): void {
    const key = keyOf(delivery.job, delivery.message);
    switch (result.kind) {
      case "delivered":
        this.retries.forget(key);
        this.finish(delivery);
        return;
      case "permanent":
        this.#setAside(delivery, key, result.error);
        return;
      case "transient": {
        const { receiveCount } = delivery.message;
        const delayMs = this.retries.failed(key, receiveCount, this.#deps.random.next());
        if (delayMs === null) this.#setAside(delivery, key, `retries exhausted: ${result.error}`);
        else this.#sendBack(delivery, key, delayMs);
        return;
      }
      case "held":
        this.#sendBack(delivery, key, Math.max(0, result.untilMs - this.#deps.clock.now()));
        return;
      case "released":
        this.#sendBack(delivery, key, Math.max(0, result.dueAtMs - this.#deps.clock.now()));
        return;
      case "expired":
        this.#setAside(delivery, key, "expired");
        return;
    }
  }

  #dueInMs({ job, message }: Delivery): number {
    return this.retries.dueAtMs(keyOf(job, message)) - this.#deps.clock.monotonicMs();
  }

  #waitsHere(line: Line, delayMs: number): boolean {
    const { head, key, pool } = line;
    if (head === null || head.message.lost || this.#isReleasing(line)) return false;
    const { consumer } = head.message.queue;
    return this.mayWaitHere(consumer, key, delayMs) && (!canDelay(consumer) || pool.mayRest(line));
  }

  /** Whether a stand-alone message of this group waits in this process rather than on its queue, if there is room. */
  mayWaitHere(consumer: QueueConsumer, groupKey: string | null, delayMs: number): boolean {
    if (!canDelay(consumer)) return true;
    if (groupKey === null || consumer.capabilities.grouping === "strict") return false;
    return delayMs <= waitLimits.groupRestMaxMs;
  }

  /** Waits here or on the queue, and with it whatever was received behind it in its group. */
  #sendBack(delivery: Delivery, key: string, delayMs: number): void {
    const { line, message } = delivery;
    this.retries.waitUntil(key, this.#deps.clock.monotonicMs() + delayMs);
    if (line !== null && this.#waitsHere(line, delayMs)) {
      delivery.attemptCount = this.retries.attempts(key);
      delivery.generationAttempts = delivery.attemptCount;
      line.pool.rest(line, delayMs);
      return;
    }
    if (line !== null) {
      const rest = line.cutRest();
      line.shift();
      line.pool.remove(line);
      // A queue that keeps groups together holds the later ones behind the first by itself.
      const restDelayMs = message.queue.consumer.capabilities.grouping === "strict" ? 0 : delayMs;
      this.#giveBack(delivery, delayMs);
      for (const other of rest) this.#giveBack(other, restDelayMs);
    } else this.#giveBack(delivery, delayMs);
  }

  #giveBack(delivery: Delivery, delayMs: number): void {
    const { message } = delivery;
    this.#deps.pipeline.remove(delivery);
    this.giveBackUntouched(message, delayMs);
  }

  /** To the queue; that it was received counts for nothing. */
  giveBackUntouched(message: InFlightMessage, delayMs: number): void {
    if (message.lost) return;
    if (message.standalone !== null) this.retries.givenBack(standaloneKeyOf(message), message.receiveCount);
    message.queue.nack(message, delayMs);
  }

  #setAside(delivery: Delivery, key: string, reason: string): void {
    this.retries.forget(key);
    void this.#setAsideThenAdvance(delivery, reason);
  }

  async #setAsideThenAdvance(delivery: Delivery, reason: string): Promise<void> {
    const { message, line } = delivery;
    if (!message.lost) await message.queue.deadLetter(message, reason);
    this.#deps.pipeline.remove(delivery);
    if (line === null) return;
    this.#advance(line);
    line.pool.pump();
  }
}

/** Whether a nack with a delay keeps a message away. */
export function canDelay({ capabilities }: Pick<QueueConsumer, "capabilities">): boolean {
  return capabilities.maxDelayMs >= waitLimits.delaysFromMs;
}
