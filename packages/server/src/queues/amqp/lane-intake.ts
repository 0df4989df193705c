import { CodedError, type Clock } from "@flowcatalyst/foundation";
import type { Delivery } from "rhea";
import { amqpQueueLimits as limits } from "./amqp-limits.ts";
import type { AmqpLine, LiveConnection } from "./amqp-line.ts";
import type { Incoming } from "./amqp-message.ts";
import { ReceivingLink } from "./receiving-link.ts";

/** A message that has come and was given to nobody yet, or is held by whom it was given to. */
export interface Arrival<Content> {
  readonly link: ReceivingLink;
  readonly delivery: Delivery;
  /** By the monotonic clock. */
  readonly atMs: number;
  readonly content: Content;
}

export interface LaneIntakeDeps<Content> {
  readonly clock: Clock;
  readonly line: AmqpLine;
  /** A promise: nobody is to have it, and when that is over it was dealt with. It never rejects. */
  read(message: Incoming, arrival: Omit<Arrival<Content>, "content">): Content | Promise<void>;
  /** These go back to the broker, and nobody has seen them. */
  unseen(arrivals: readonly Arrival<Content>[]): void;
  /** A link is gone: what came through it belongs to the broker. */
  gone(link: ReceivingLink): void;
}

interface Question<Content> {
  readonly max: number;
  readonly answer: (arrivals: readonly Arrival<Content>[]) => void;
  readonly fail: (error: unknown) => void;
}

/**
 * The receiving side of one queue of the broker.
 *
 * A question for so many messages gives the broker so much credit; what comes answers the questions in their order, a
 * turn of the event loop gathered. What comes after its question was given up waits for the next one.
 *
 * A lane that is not asked for a second takes no more, and closes its link as soon as nothing that came through it is
 * held by a receiver any more. That gives everything else back. Releasing it would not: ActiveMQ sends a released
 * message to the same link again, and RabbitMQ shares it out among all links that have credit, this one among them.
 */
export class LaneIntake<Content> {
  readonly #deps: LaneIntakeDeps<Content>;
  readonly #queue: string;
  readonly #maxCredit: number;
  #link: ReceivingLink | null = null;
  readonly #questions: Question<Content>[] = [];
  #waiting: Arrival<Content>[] = [];
  #unreadable = 0;
  #isGathering = false;
  #isIdle = false;
  #cancelIdle: (() => void) | null = null;

  constructor(deps: LaneIntakeDeps<Content>, options: { readonly queue: string; readonly maxCredit: number }) {
    this.#deps = deps;
    this.#queue = options.queue;
    this.#maxCredit = options.maxCredit;
  }

  /** Throws if the broker is away, or goes away while it waits. */
  receive(request: { max: number; waitMs: number }, signal: AbortSignal): Promise<readonly Arrival<Content>[]> {
    const live = this.#deps.line.require();
    if (signal.aborted) return Promise.resolve([]);
    this.#isIdle = false;
    this.#cancelIdle?.();
    this.#cancelIdle = null;
    this.#link ??= this.#attach(live);
    return this.#ask(request, signal);
  }

  #ask(request: { max: number; waitMs: number }, signal: AbortSignal): Promise<readonly Arrival<Content>[]> {
    const { promise, resolve, reject } = Promise.withResolvers<readonly Arrival<Content>[]>();
    const end = (): void => {
      const position = this.#questions.indexOf(question);
      if (position >= 0) this.#questions.splice(position, 1);
      cancelTimer();
      signal.removeEventListener("abort", giveUp);
      if (this.#questions.length === 0) this.#expectIdle();
    };
    const giveUp = (): void => question.answer([]);
    const question: Question<Content> = {
      max: request.max,
      answer: (arrivals) => {
        end();
        resolve(arrivals);
      },
      fail: (error) => {
        end();
        reject(error);
      },
    };
    const cancelTimer = this.#deps.clock.setTimer(request.waitMs, giveUp);
    signal.addEventListener("abort", giveUp, { once: true });
    this.#questions.push(question);
    this.#giveCredit();
    this.#gather();
    return promise;
  }

  /** A message that came through this lane was settled. */
  settled(): void {
    this.#closeIfIdle();
  }

  /** Ends waiting questions. */
  close(): void {
    this.#endQuestions((question) => question.answer([]));
    this.#cancelIdle?.();
    this.#link?.close();
  }

  #attach(live: LiveConnection): ReceivingLink {
    const { clock, line } = this.#deps;
    const address = live.broker.addressOf(this.#queue);
    const link: ReceivingLink = new ReceivingLink(
      { clock, live },
      { address },
      {
        message: (message, delivery) => this.#onMessage(link, message, delivery),
        gone: (reason) => this.#onGone(link, reason),
        stuck: (reason) => line.giveUp(reason),
      },
    );
    return link;
  }

  #onMessage(link: ReceivingLink, message: Incoming, delivery: Delivery): void {
    const arrival = { link, delivery, atMs: this.#deps.clock.monotonicMs() };
    const content = this.#deps.read(message, arrival);
    if (content instanceof Promise) void this.#afterwards(content);
    else this.#waiting.push({ ...arrival, content });
    this.#gather();
  }

  /** Others are asked for in its place: unreadable messages that cannot be set aside do not stop a lane. */
  async #afterwards(setAside: Promise<void>): Promise<void> {
    this.#unreadable += 1;
    this.#giveCredit();
    await setAside;
    this.#unreadable -= 1;
    this.#giveCredit();
    this.#closeIfIdle();
  }

  #onGone(link: ReceivingLink, reason: string): void {
    this.#deps.gone(link);
    if (link !== this.#link) return;
    this.#link = null;
    this.#waiting = [];
    const error = new CodedError("QUEUE_UNAVAILABLE", { message: `the queue ${this.#queue} gives nothing: ${reason}` });
    this.#endQuestions((question) => question.fail(error));
  }

  /** Whoever is answered is taken off the list. */
  #endQuestions(end: (question: Question<Content>) => void): void {
    for (const question of this.#questions.slice()) end(question);
  }

  #giveCredit(): void {
    const link = this.#link;
    if (link === null || (link.credit > 0 && !link.live.broker.countsCredit)) return;
    const wanted = this.#questions.reduce((sum, { max }) => sum + max, 0);
    const room = Math.max(0, limits.maxUnreadableHeld - this.#unreadable);
    link.addCredit(Math.min(wanted, this.#maxCredit, room) - link.credit - this.#waiting.length);
  }

  /** One turn of the event loop later, what has come by then answers the questions. */
  #gather(): void {
    if (this.#isGathering || this.#waiting.length === 0) return;
    this.#isGathering = true;
    setImmediate(() => {
      this.#isGathering = false;
      while (this.#waiting.length > 0) {
        const [question] = this.#questions;
        if (question === undefined) return;
        question.answer(this.#waiting.splice(0, question.max));
      }
    });
  }

  #expectIdle(): void {
    this.#cancelIdle ??= this.#deps.clock.setTimer(limits.creditKeptMs, () => {
      this.#cancelIdle = null;
      this.#onIdle();
    });
  }

  #onIdle(): void {
    const link = this.#link;
    if (link === null || this.#questions.length > 0) return;
    this.#isIdle = true;
    const drained = link.live.broker.drains ? link.drain() : Promise.resolve();
    void drained.then(() => this.#closeIfIdle());
  }

  #closeIfIdle(): void {
    const link = this.#link;
    if (!this.#isIdle || link === null || link.unsettled > this.#waiting.length) return;
    this.#deps.unseen(this.#waiting);
    link.close();
  }
}
