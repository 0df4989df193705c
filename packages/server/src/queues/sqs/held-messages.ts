import type { Clock } from "@flowcatalyst/foundation";
import type { QueueMessage } from "../../domain/message.ts";
import type { Receipt } from "../../ports/queue.ts";
import { sqsLimits } from "./sqs-queue-limits.ts";

/** Names one receipt of one message to SQS. */
export interface SqsHandle {
  /** What SQS calls the receipt handle. */
  readonly receipt: Receipt;
  /** The queue of SQS it came from. */
  readonly url: string;
}

/** What was received and not settled. */
export interface HeldMessage extends SqsHandle {
  /** The same object that the receiver has, for the dead letters. */
  readonly message: QueueMessage;
  /** What SQS knows the message by, the same on each receipt. */
  readonly brokerId: string;
  /** As it was received, where a stranger made it so large that our own way of writing might not fit. */
  readonly body: string | null;
  /** When the call that brought it began: no later than SQS thinks. */
  readonly receivedAtMs: number;
  /** When it becomes visible, unless it is extended. */
  untilMs: number;
}

/**
 * Held until settled, or until its visibility ended so long ago that the receipt is worth nothing any more; so what a
 * receiver forgets does not stay for ever.
 */
export class HeldMessages {
  readonly #clock: Clock;
  readonly #forgetAfterMs: number;
  readonly #held = new Map<Receipt, HeldMessage>();
  #lookAtMs: number;

  constructor(clock: Clock, visibilityMs: number) {
    this.#clock = clock;
    this.#forgetAfterMs = visibilityMs;
    this.#lookAtMs = clock.monotonicMs() + visibilityMs;
  }

  hold(message: HeldMessage): void {
    this.#forgetOld();
    this.#held.set(message.receipt, message);
  }

  get(receipt: Receipt): HeldMessage | undefined {
    return this.#held.get(receipt);
  }

  let(receipt: Receipt): void {
    this.#held.delete(receipt);
  }

  all(): readonly Receipt[] {
    return [...this.#held.keys()];
  }

  /** Whole seconds that it may still be hidden, of all that SQS allows it since its receipt. */
  secondsLeft({ receivedAtMs }: HeldMessage): number {
    const heldSeconds = Math.ceil((this.#clock.monotonicMs() - receivedAtMs) / 1_000);
    return Math.max(0, sqsLimits.maxHiddenSeconds - heldSeconds);
  }

  #forgetOld(): void {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs < this.#lookAtMs) return;
    this.#lookAtMs = nowMs + this.#forgetAfterMs;
    for (const [receipt, { untilMs }] of this.#held) {
      if (untilMs + this.#forgetAfterMs < nowMs) this.#held.delete(receipt);
    }
  }
}
