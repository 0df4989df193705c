/**
 * What is in the pipeline, as plain mutable records: messages, the deliveries they carry, and the lines deliveries
 * stand in.
 *
 * ```mermaid
 * stateDiagram-v2
 *   direction LR
 *   [*] --> ready: admitted, or the one before was answered 2xx
 *   ready --> calling: slot, token and target allow it
 *   calling --> ready: delivered, and another one follows
 *   calling --> recording: anything but delivered
 *   ready --> recording: expired, or the target is blocked for long
 *   ready --> waiting: it came back before its time, or its pool is suspended, and it waits here
 *   recording --> ready: final, and the next may start
 *   recording --> waiting: to be tried again within 10 s, or a stand-alone message waits here
 *   waiting --> ready: the wait is over
 *   calling --> gone: delivered, nothing follows
 *   recording --> gone: parked, or nothing follows
 *   ready --> gone: released
 *   waiting --> gone: released
 * ```
 *
 * These are the states of a *line*: the FIFO of one message group in one pool, or a single ordered to nothing. Only
 * the head of a line is ever called. A delivered head leaves its line at once, although its record is still to be
 * written; it leaves the pipeline, and its message is acked, only afterwards.
 */
import type { JobDelivery, StandaloneMessage } from "../domain/message.ts";
import type { MessageId } from "../domain/ids.ts";
import type { Receipt } from "../ports/queue.ts";
import type { CallTicket } from "./circuit-breaker.ts";
import type { Pool } from "./pool.ts";
import type { QueueLink } from "./queue-link.ts";
import type { TargetShare } from "./target-share.ts";

export type LineState = "ready" | "calling" | "recording" | "waiting" | "gone";

/** A received message until it is settled with its queue. */
export interface InFlightMessage {
  readonly queue: QueueLink;
  /** What the queue knows it by: two with the same key are copies of one. */
  readonly key: string;
  readonly id: MessageId;
  /** The newest receipt: a copy that comes in brings a new one, and the old one is then as good as dead. */
  receipt: Receipt;
  readonly receiveCount: number;
  readonly standalone: StandaloneMessage | null;
  readonly traceparent: string | null;
  /** Deliveries of it that are not settled yet. */
  open: number;
  /** Until when the queue hides it from others, as far as we know; monotonic. */
  visibleAtMs: number;
  /** Its receipt was refused: it belongs to somebody else, and what is not started must not be. */
  lost: boolean;
}

/** One delivery owed, in the pipeline. */
export class Delivery {
  readonly job: JobDelivery;
  message: InFlightMessage;
  readonly bytes: number;
  readonly origin: string;
  readonly admittedAtMs: number;
  /** As stored: burnt attempts, and attempts recorded of this generation. */
  attemptCount: number;
  generationAttempts: number;
  line: Line | null = null;
  next: Delivery | null = null;
  share: TargetShare | null = null;
  isCalling = false;
  /** Its place among the calls under way of its share, and when its own began (monotonic). */
  olderCall: Delivery | null = null;
  newerCall: Delivery | null = null;
  callStartedMs = 0;
  ticket: CallTicket = "call";
  /** It came back before its time, and waits here for the rest (monotonic); 0: it may be called at once. */
  notBeforeMs = 0;

  constructor(job: JobDelivery, message: InFlightMessage, place: DeliveryPlace) {
    this.job = job;
    this.message = message;
    this.bytes = place.bytes;
    this.origin = place.origin;
    this.admittedAtMs = place.nowMs;
    this.attemptCount = job.attemptCount;
    this.generationAttempts = job.generationAttempts;
  }
}

export interface DeliveryPlace {
  readonly bytes: number;
  readonly origin: string;
  readonly nowMs: number;
}

/** A FIFO of deliveries of which one at a time is under way. */
export class Line {
  /** Null: a single, ordered to nothing. */
  readonly key: string | null;
  readonly pool: Pool;
  readonly isHighPriority: boolean;
  state: LineState = "ready";
  head: Delivery | null = null;
  tail: Delivery | null = null;
  /** How many of its deliveries count as resting in the pool; 0: it does not rest. */
  resting = 0;
  restsUntilMs = 0;

  constructor(pool: Pool, key: string | null, isHighPriority: boolean) {
    this.pool = pool;
    this.key = key;
    this.isHighPriority = isHighPriority;
  }

  /** Counted on demand: nobody asks while deliveries flow. */
  get length(): number {
    let length = 0;
    for (let at = this.head; at !== null; at = at.next) length++;
    return length;
  }

  append(delivery: Delivery): void {
    delivery.line = this;
    if (this.tail === null) this.head = delivery;
    else this.tail.next = delivery;
    this.tail = delivery;
  }

  /** Takes the head away; its next becomes the head. */
  shift(): void {
    const { head } = this;
    if (head === null) return;
    this.head = head.next;
    if (this.head === null) this.tail = null;
    head.next = null;
    head.line = null;
  }

  /** Takes everything behind the head away, in order. */
  cutRest(): Delivery[] {
    const rest = this.#unlink(this.head?.next ?? null);
    if (this.head !== null) this.head.next = null;
    this.tail = this.head;
    return rest;
  }

  /** Takes everything away, in order. */
  takeAll(): Delivery[] {
    const all = this.#unlink(this.head);
    this.head = null;
    this.tail = null;
    return all;
  }

  /** Takes away what belongs to the message; the head only if it is not under way. */
  takeOf(message: InFlightMessage): Delivery[] {
    const headStays = this.state === "calling" || this.state === "recording";
    const kept: Delivery[] = [];
    const taken: Delivery[] = [];
    for (let at = this.head; at !== null; at = at.next) {
      const stays = at.message !== message || (headStays && at === this.head);
      (stays ? kept : taken).push(at);
    }
    this.takeAll();
    for (const delivery of kept) this.append(delivery);
    return taken;
  }

  #unlink(from: Delivery | null): Delivery[] {
    const unlinked: Delivery[] = [];
    for (let at = from; at !== null;) {
      const { next } = at;
      at.next = null;
      at.line = null;
      unlinked.push(at);
      at = next;
    }
    return unlinked;
  }
}
