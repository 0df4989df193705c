/**
 * The queues of this router: those it began with, and those that came since.
 *
 * Each has a link (what is held of it), an intake (what brings messages in) and a keeper (what extends them, a sixth
 * of the queue's visibility after the last time). None of them knows of the others; a queue out of reach costs another
 * one neither messages nor time.
 *
 * ```mermaid
 * stateDiagram-v2
 *   direction LR
 *   [*] --> receiving: added
 *   receiving --> leaving: removed
 *   leaving --> [*]: nothing of it is held, or the time is over
 * ```
 *
 * A queue that leaves is received from no more, at once. What has not started of it goes back; calls under way end,
 * and their messages are acked. Until the last of them is, it counts as one of the router's: it is extended, shown,
 * and waited for at a stop. What it holds beyond the time for calls and flushing it gets back by its visibility. A
 * queue of the same name may then be added; while the old one leaves, it is refused.
 *
 * Within a group nothing is overtaken by that: what goes back of a line goes back from its head on, or after its call
 * has ended, and a call that outlives its queue keeps its line until it ends.
 */
import { CodedError, createWakeUp, type Clock, type WakeUp } from "@flowcatalyst/foundation";
import type { QueueConsumer } from "../ports/queue.ts";
import type { Intake } from "./intake.ts";
import type { Pool } from "./pool.ts";
import type { QueueLink, QueueLinkListener } from "./queue-link.ts";

const queueKeepingLimits = {
  /**
   * A message is extended by the first sweep after a third of its visibility is over, so at half of it at the latest;
   * two tries that fail leave time for a third.
   */
  sweepsPerVisibility: 6,
  extendedFrom: 1 / 3,
} as const;

export interface RouterQueuesDeps {
  readonly clock: Clock;
  readonly createLink: (consumer: QueueConsumer, told: Pick<QueueLinkListener, "settled">) => QueueLink;
  readonly createIntake: (link: QueueLink) => Intake;
  /** Gives back all of it of which nothing is under way, and what waits for room. */
  readonly releaseIdle: (link: QueueLink) => void;
  /** What is still held when the time is over: it is somebody else's from now on. */
  readonly forsake: (link: QueueLink) => void;
  /** Something was given back or acked. */
  readonly settled: () => void;
  /** How long a queue may take to leave. */
  readonly leaveMs: number;
}

interface RouterQueue {
  readonly link: QueueLink;
  readonly intake: Intake;
  readonly stop: AbortController;
  readonly gone: AbortController;
  readonly settled: WakeUp;
  /** Its intake and, while the router runs, its keeper. */
  receiving: Promise<void>;
  keeping: Promise<void>;
  removal: Promise<void> | null;
}

/** One run of the router, as its queues see it. */
interface Life {
  readonly receiving: AbortSignal;
  readonly keeping: AbortSignal;
  readonly fault: (error: unknown) => void;
}

export class RouterQueues {
  readonly #deps: RouterQueuesDeps;
  readonly #queues = new Map<string, RouterQueue>();
  #life: Life | null = null;

  constructor(deps: RouterQueuesDeps, consumers: readonly QueueConsumer[]) {
    this.#deps = deps;
    for (const consumer of consumers) this.add(consumer);
  }

  /** Throws CONFIG_INVALID when there is one of that name, be it that it is just leaving. */
  add(consumer: QueueConsumer): void {
    const known = this.#queues.get(consumer.name);
    if (known !== undefined) {
      const message =
        known.removal === null
          ? `two queues are named ${consumer.name}: give each a name of its own`
          : `the queue ${consumer.name} is still being removed: wait for that before it is added again`;
      throw new CodedError("CONFIG_INVALID", { message });
    }
    const settled = createWakeUp(this.#deps.clock);
    const link = this.#deps.createLink(consumer, {
      settled: () => {
        if (link.isLeaving) settled.wake();
        this.#deps.settled();
      },
    });
    const idle = Promise.resolve();
    const intake = this.#deps.createIntake(link);
    const signals = { stop: new AbortController(), gone: new AbortController() };
    const queue: RouterQueue = { link, intake, ...signals, settled, receiving: idle, keeping: idle, removal: null };
    this.#queues.set(consumer.name, queue);
    this.#start(queue);
  }

  /** Resolves when nothing of it is held any more, or the time is over; also if there is none of that name. */
  remove(name: string): Promise<void> {
    const queue = this.#queues.get(name);
    if (queue === undefined) return Promise.resolve();
    queue.removal ??= this.#leave(queue);
    return queue.removal;
  }

  *links(): Generator<QueueLink> {
    for (const { link } of this.#queues.values()) yield link;
  }

  *intakes(): Generator<Intake> {
    for (const { intake } of this.#queues.values()) yield intake;
  }

  /** Of a pool that has room again, or all of them. */
  wake(pool?: Pool): void {
    for (const { intake } of this.#queues.values()) intake.wake(pool);
  }

  /** Receives until the signal; throws the fault of an intake or a keeper that nobody foresaw. */
  async receive(signal: AbortSignal, keeping: AbortSignal): Promise<void> {
    const fault = Promise.withResolvers<void>();
    const over = new AbortController();
    this.#life = { receiving: AbortSignal.any([signal, over.signal]), keeping, fault: fault.reject };
    for (const queue of this.#queues.values()) this.#start(queue);
    try {
      await Promise.race([fault.promise, aborted(signal)]);
    } finally {
      this.#life = null;
      over.abort();
      await Promise.all([...this.#queues.values()].map(({ receiving }) => receiving));
    }
  }

  /** Resolves when the keepers have ended, after the signal they were given. */
  async kept(): Promise<void> {
    await Promise.all([...this.#queues.values()].map(({ keeping }) => keeping));
  }

  get isEmpty(): boolean {
    for (const { link } of this.#queues.values()) if (link.messages.size > 0) return false;
    return true;
  }

  /** Nothing is sent any more. */
  abandon(): void {
    for (const { link } of this.#queues.values()) link.abandon();
  }

  #start(queue: RouterQueue): void {
    const life = this.#life;
    if (life === null) return;
    const { link, intake, stop, gone } = queue;
    if (!link.isLeaving) {
      queue.receiving = intake.run(AbortSignal.any([life.receiving, stop.signal])).catch(life.fault);
    }
    queue.keeping = this.#keep(link, AbortSignal.any([life.keeping, gone.signal])).catch(life.fault);
  }

  /** One pass over everything held of the queue, however much that is. */
  async #keep(link: QueueLink, signal: AbortSignal): Promise<void> {
    const { visibilityMs } = link.consumer;
    const { sweepsPerVisibility, extendedFrom } = queueKeepingLimits;
    while (!signal.aborted) {
      await this.#deps.clock.sleep(visibilityMs / sweepsPerVisibility, signal);
      if (!signal.aborted) await link.extendAged(visibilityMs * (1 - extendedFrom));
    }
  }

  async #leave(queue: RouterQueue): Promise<void> {
    const { clock, releaseIdle, forsake, leaveMs } = this.#deps;
    const { link, stop, gone, settled } = queue;
    link.isLeaving = true;
    stop.abort();
    releaseIdle(link);
    await queue.receiving;
    // Once more, for what came in while it was told to stop.
    releaseIdle(link);
    const untilMs = clock.monotonicMs() + leaveMs;
    while (link.messages.size > 0 && !link.isAbandoned && clock.monotonicMs() < untilMs) {
      await settled.wait(untilMs - clock.monotonicMs());
    }
    forsake(link);
    link.abandon();
    gone.abort();
    this.#queues.delete(link.consumer.name);
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
