import { CodedError, type Clock } from "@flowcatalyst/foundation";
import type { Delivery } from "rhea";
import type { DeadLetter, DeadLetterKey } from "../../ports/queue.ts";
import { amqpQueueLimits as limits } from "./amqp-limits.ts";
import type { AmqpLine } from "./amqp-line.ts";
import { decodeLetter, encodeLetter } from "./amqp-message.ts";
import type { ConfirmedSender } from "./confirmed-sender.ts";
import { ReceivingLink } from "./receiving-link.ts";

type Decide = (letter: DeadLetter) => Promise<"remove" | "keep">;

interface Look {
  readonly letter: DeadLetter;
  readonly delivery: Delivery;
}

/**
 * The dead letters of a queue are a queue of their own. Nothing there has a place that could be asked for, so a look
 * takes letters from the front, or browses where the broker can, and ends its link: what was not settled is where it
 * was. Looks of one process follow one another, since one would not see what another holds.
 */
export class AmqpDeadLetters {
  readonly #clock: Clock;
  readonly #line: AmqpLine;
  readonly #sender: ConfirmedSender;
  readonly #queue: string;
  #last: Promise<unknown> = Promise.resolve();

  constructor(deps: { clock: Clock; line: AmqpLine; sender: ConfirmedSender }, queue: string) {
    this.#clock = deps.clock;
    this.#line = deps.line;
    this.#sender = deps.sender;
    this.#queue = queue;
  }

  /** Throws if the broker does not take it. */
  async put(letter: DeadLetter): Promise<void> {
    const [result] = await this.#sender.send([() => encodeLetter(letter)]);
    if (result?.kind === "sent") return;
    throw new CodedError("QUEUE_UNAVAILABLE", { message: `a dead letter was not taken: ${result?.detail ?? ""}` });
  }

  list(limit: number): Promise<readonly DeadLetter[]> {
    return this.#inTurn(() => this.#look({ limit, browse: true }, async (seen) => seen.map(({ letter }) => letter)));
  }

  settle(keys: readonly DeadLetterKey[], decide: Decide): Promise<readonly ("removed" | "kept" | "missing")[]> {
    return this.#inTurn(async () => {
      const wanted = new Map<DeadLetterKey, "removed" | "kept" | "missing">();
      for (const key of keys) wanted.set(key, "missing");
      const isFound = (seen: readonly Look[]): boolean => {
        const found = new Set(seen.map(({ letter }) => letter.key));
        return keys.every((key) => found.has(key));
      };
      await this.#look({ limit: limits.maxDeadLettersSearched, browse: false, isFound }, async (seen, link) => {
        for (const { letter, delivery } of seen) {
          if (wanted.get(letter.key) !== "missing") continue;
          if ((await decide(letter)) === "keep") wanted.set(letter.key, "kept");
          else if ((await link.settle([delivery], "accepted"))[0] === "done") wanted.set(letter.key, "removed");
        }
      });
      return keys.map((key) => wanted.get(key) ?? "missing");
    });
  }

  /** Shows up to so many letters to `use`, while they are held. */
  async #look<Result>(
    options: { limit: number; browse: boolean; isFound?: (seen: readonly Look[]) => boolean },
    use: (seen: readonly Look[], link: ReceivingLink) => Promise<Result>,
  ): Promise<Result> {
    const live = this.#line.require();
    const seen: Look[] = [];
    const over = Promise.withResolvers<void>();
    let cancelTimer: () => void = () => undefined;
    const link = new ReceivingLink(
      { clock: this.#clock, live },
      { address: live.broker.addressOf(this.#queue), browse: options.browse && live.broker.browses },
      {
        message: (message, delivery) => {
          seen.push({ letter: decodeLetter(message), delivery });
          if (seen.length >= options.limit || options.isFound?.(seen) === true) over.resolve();
          else armTimer();
        },
        gone: (reason) => {
          over.reject(new CodedError("QUEUE_UNAVAILABLE", { message: `no look at the dead letters: ${reason}` }));
        },
        stuck: (reason) => this.#line.giveUp(reason),
      },
    );
    const armTimer = (): void => {
      cancelTimer();
      cancelTimer = this.#clock.setTimer(limits.deadLetterQuietMs, () => over.resolve());
    };
    try {
      link.addCredit(options.limit);
      armTimer();
      await over.promise;
      return await use(seen, link);
    } finally {
      cancelTimer();
      over.promise.catch(() => undefined);
      link.close();
    }
  }

  #inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const turn = this.#last.then(work, work);
    this.#last = turn.catch(() => undefined);
    return turn;
  }
}
