import { describeError, type Clock, type Logger, type Random } from "@flowcatalyst/foundation";
import type { DeadLetter, DeadLetterKey } from "../../ports/queue.ts";
import type { AmqpDeadLetters } from "./amqp-dead-letters.ts";
import { amqpQueueLimits as limits } from "./amqp-limits.ts";
import type { Arrival } from "./lane-intake.ts";

export type Letter = Omit<DeadLetter, "key" | "atMs">;

export interface SetAsideDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly dead: AmqpDeadLetters;
  readonly signal: AbortSignal;
}

/**
 * Takes unreadable messages out of the way of the others: first written to the dead letters, then accepted here.
 *
 * So many at a time, in messages and bytes. What finds no room, and what the dead letters do not take, is kept for a
 * pause, without its text, and then given back: given back at once, it would be here again at once. A lane asks for
 * others meanwhile, so that what can be read is received, however many of these are before it.
 */
export class SetAside {
  readonly #deps: SetAsideDeps;
  #open = 0;
  #openBytes = 0;
  #warnedAtMs = Number.NEGATIVE_INFINITY;

  constructor(deps: SetAsideDeps) {
    this.#deps = deps;
  }

  /** Never rejects; when it is over, the message is the broker's again or is gone. */
  async take(letter: Letter, { link, delivery }: Omit<Arrival<unknown>, "content">): Promise<void> {
    try {
      const isSettled = await this.#write(bounded(letter));
      if (isSettled) {
        await link.settle([delivery], "accepted");
        return;
      }
    } catch (error) {
      this.#warn(error);
    }
    await this.#giveBack({ link, delivery });
  }

  async #giveBack({ link, delivery }: Pick<Arrival<unknown>, "link" | "delivery">): Promise<void> {
    const { clock, signal } = this.#deps;
    await clock.sleep(limits.setAsidePauseMs, signal);
    await link.settle([delivery], "unseen");
  }

  /** False: there is no room. */
  async #write(letter: Letter): Promise<boolean> {
    if (this.#open >= limits.maxSettingAside || this.#openBytes >= limits.maxSettingAsideBytes) return false;
    const { clock, dead, random } = this.#deps;
    this.#open += 1;
    this.#openBytes += letter.body.length;
    try {
      const key = Buffer.from(random.bytes(16)).toString("hex") as DeadLetterKey;
      await dead.put({ ...letter, key, atMs: clock.now() });
      return true;
    } finally {
      this.#open -= 1;
      this.#openBytes -= letter.body.length;
    }
  }

  #warn(error: unknown): void {
    const nowMs = this.#deps.clock.monotonicMs();
    if (nowMs < this.#warnedAtMs + limits.setAsidePauseMs) return;
    this.#warnedAtMs = nowMs;
    this.#deps.logger.warn({ reason: describeError(error) }, "unreadable messages cannot be set aside");
  }
}

/** Strangers name their messages as they like; a letter carries what fits. */
function bounded({ id, lane, reason, body }: Letter): Letter {
  return {
    id: (id?.slice(0, limits.maxLetterNameLength) ?? null) as Letter["id"],
    lane: (lane?.slice(0, limits.maxLetterNameLength) ?? null) as Letter["lane"],
    reason: reason.slice(0, limits.maxLetterReasonLength),
    body,
  };
}
