import type { Msg, Subscription } from "@nats-io/transport-node";
import type { NatsLink } from "./nats-link.ts";
import { natsQueueLimits } from "./nats-queue-config.ts";

export interface PullRequest {
  /** Messages at most. */
  readonly max: number;
  readonly waitMs: number;
}

/**
 * `busy`: others are ahead; `gone`: nobody answers for the lane, its consumer is not there; `refused`: the consumer
 * does not take such a question, and will not take the next one either.
 */
export interface PullAnswer {
  readonly messages: readonly Msg[];
  readonly end: "done" | "busy" | "gone" | "lost" | "refused";
  /** What the server says to it; empty if it says nothing. */
  readonly detail: string;
}

const NS_PER_MS = 1_000_000;
const badRequest = 400;
const noResponders = 503;
const conflict = 409;
/** What a consumer says that may answer the same question soon. */
const passing = /exceeded maxwaiting|exceeded maxackpending|requests pending|leadership|shutdown/i;

interface Asked {
  readonly max: number;
  readonly messages: Msg[];
  readonly resolve: (answer: PullAnswer) => void;
  cancelTimer: () => void;
}

/**
 * One question after another to the consumer of a lane, on a subject of its own.
 *
 * `no_wait` together with `expires` is what makes a question come back with what is there now, or else with the first
 * that comes: the server ends it with a status as soon as it has given something and has no more. Then the subject is
 * used for the next question. Where the end is not known (aborted, nothing heard, no room for more unsettled messages)
 * the question is over here and this object with it: the server is told by the end of the subscription, and what it
 * had sent until then goes to `late`.
 */
export class PullQuestion {
  readonly #link: NatsLink;
  readonly #requestSubject: string;
  readonly #replySubject: string;
  readonly #late: (message: Msg) => void;
  readonly #subscription: Subscription;
  #asked: Asked | null = null;
  #isUsable = true;

  constructor(link: NatsLink, subjects: { request: string; reply: string }, late: (message: Msg) => void) {
    this.#link = link;
    this.#requestSubject = subjects.request;
    this.#replySubject = subjects.reply;
    this.#late = late;
    this.#subscription = link.connection.subscribe(subjects.reply, {
      callback: (error, message) => {
        if (error === null) this.#receive(message);
        else this.lose();
      },
    });
  }

  get isUsable(): boolean {
    return this.#isUsable;
  }

  /** Never rejects. One at a time. */
  ask({ max, waitMs }: PullRequest, signal: AbortSignal): Promise<PullAnswer> {
    const { connection, deps, maxPayloadBytes } = this.#link;
    const { promise, resolve } = Promise.withResolvers<PullAnswer>();
    const abort = (): void => this.#drop("done");
    const asked: Asked = {
      max,
      messages: [],
      resolve: (answer) => {
        asked.cancelTimer();
        signal.removeEventListener("abort", abort);
        resolve(answer);
      },
      cancelTimer: deps.clock.setTimer(waitMs + natsQueueLimits.questionSlackMs, () => this.#drop("lost")),
    };
    this.#asked = asked;
    signal.addEventListener("abort", abort, { once: true });
    const question = {
      batch: max,
      no_wait: true,
      max_bytes: Math.max(natsQueueLimits.receiveMaxBytes, maxPayloadBytes * 2),
      ...(waitMs > 0 ? { expires: Math.ceil(waitMs) * NS_PER_MS } : {}),
    };
    connection.publish(this.#requestSubject, JSON.stringify(question), { reply: this.#replySubject });
    return promise;
  }

  /** The connection is gone, and the question with it. */
  lose(): void {
    if (!this.#isUsable) return;
    this.#isUsable = false;
    this.#subscription.unsubscribe();
    this.#finish("lost");
  }

  /** The server is to forget the question; what it has sent already is late. */
  discard(): void {
    if (!this.#isUsable) return;
    this.#isUsable = false;
    // Fails when the connection does, which ends the subscription as well.
    this.#subscription.drain().catch(() => undefined);
  }

  #drop(end: PullAnswer["end"]): void {
    this.discard();
    this.#finish(end);
  }

  #finish(end: PullAnswer["end"], detail = ""): void {
    const asked = this.#asked;
    this.#asked = null;
    asked?.resolve({ messages: asked.messages, end, detail });
  }

  #receive(message: Msg): void {
    const asked = this.#asked;
    // Messages name the subject of their acks, statuses name none.
    const isStatus = message.reply === undefined || message.reply === "";
    if (asked === null) {
      if (!isStatus) this.#late(message);
      return;
    }
    if (isStatus) {
      this.#end(message);
      return;
    }
    asked.messages.push(message);
    if (asked.messages.length >= asked.max) this.#finish("done");
    else if (asked.messages.length === 1) {
      asked.cancelTimer();
      asked.cancelTimer = this.#link.deps.clock.setTimer(natsQueueLimits.graceMs, () => this.#drop("done"));
    }
  }

  #end({ headers }: Msg): void {
    const code = headers?.code ?? 0;
    const description = headers?.description ?? "";
    const isRefusal = code === badRequest || (code === conflict && /exceeded maxrequest|push based/i.test(description));
    if (code === noResponders) this.#finish("gone");
    else if (code === conflict && /consumer deleted|consumer not found/i.test(description)) this.#finish("gone");
    else if (isRefusal) this.#finish("refused", description);
    else if (passing.test(description)) this.#finish("busy");
    else if (code >= 400) this.#finish("done");
  }
}
