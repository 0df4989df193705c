import type { Msg, NatsConnection } from "@nats-io/transport-node";
import type { Clock } from "@flowcatalyst/foundation";

/** Answers to what was sent together, by position; null: none came in time, or the connection was lost. */
export interface ReplyBatch {
  /** Where the answer to the one at this position is to go. */
  subjectOf(position: number): string;
  readonly answers: Promise<readonly (Msg | null)[]>;
}

interface OpenBatch {
  readonly answers: (Msg | null)[];
  missing: number;
  readonly finish: () => void;
}

/**
 * Where answers come in: one subscription for all of them and one timer for all that were sent together. The library's
 * own `request` makes a timer, two promises and a place in a table for each, which is what publishing would mostly
 * consist of.
 */
export class ReplyBox {
  readonly #clock: Clock;
  readonly #prefix: string;
  readonly #open = new Map<number, OpenBatch>();
  #count = 0;

  constructor(connection: NatsConnection, clock: Clock, prefix: string) {
    this.#clock = clock;
    this.#prefix = prefix;
    connection.subscribe(`${prefix}.*`, { callback: (error, message) => this.#receive(error, message) });
  }

  expect(size: number, withinMs: number): ReplyBatch {
    const id = ++this.#count;
    const { promise, resolve } = Promise.withResolvers<readonly (Msg | null)[]>();
    const answers = Array.from<Msg | null>({ length: size }).fill(null);
    const finish = (): void => {
      cancel();
      this.#open.delete(id);
      resolve(answers);
    };
    const cancel = this.#clock.setTimer(withinMs, finish);
    this.#open.set(id, { answers, missing: size, finish });
    if (size === 0) finish();
    return { subjectOf: (position) => `${this.#prefix}.${id}-${position}`, answers: promise };
  }

  /** Nothing that was sent will be answered. */
  fail(): void {
    for (const { finish } of this.#open.values()) finish();
  }

  #receive(error: Error | null, message: Msg): void {
    if (error !== null) return;
    const [id, position] = message.subject
      .slice(this.#prefix.length + 1)
      .split("-")
      .map(Number);
    const batch = this.#open.get(id ?? 0);
    if (batch === undefined || position === undefined || batch.answers[position] !== null) return;
    batch.answers[position] = message;
    batch.missing -= 1;
    if (batch.missing === 0) batch.finish();
  }
}
