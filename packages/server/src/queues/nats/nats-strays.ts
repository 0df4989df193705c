import { describeError } from "@flowcatalyst/foundation";
import type { NatsDeadLetters } from "./nats-dead-letters.ts";
import { isMissing, type NatsLink } from "./nats-link.ts";
import type { NatsNames } from "./nats-names.ts";
import { natsQueueLimits } from "./nats-queue-config.ts";

export interface NatsStraysDeps {
  readonly link: NatsLink;
  readonly names: NatsNames;
  readonly dead: NatsDeadLetters;
}

/**
 * Messages on subjects that name no lane (`flowcatalyst.lane.=zz`): no consumer is ever made for them, so they would
 * wait unseen for ever. They go to the dead letters, which is written before the message is removed, some at each look.
 * Where that fails (a user may not remove messages) it is told, and tried again a minute later.
 */
export class NatsStrays {
  readonly #deps: NatsStraysDeps;
  #isBusy = false;
  #notBeforeMs = Number.NEGATIVE_INFINITY;

  constructor(deps: NatsStraysDeps) {
    this.#deps = deps;
  }

  /** Never rejects. */
  async setAside(subjects: readonly string[]): Promise<void> {
    const { clock, logger } = this.#deps.link.deps;
    if (subjects.length === 0 || this.#isBusy || clock.monotonicMs() < this.#notBeforeMs) return;
    this.#isBusy = true;
    try {
      for (const subject of subjects.slice(0, natsQueueLimits.straysAtOnce)) await this.#setOneAside(subject);
    } catch (error) {
      this.#notBeforeMs = clock.monotonicMs() + natsQueueLimits.roomLookEveryMs;
      const told = { subject: subjects[0], count: subjects.length, error: describeError(error) };
      logger.warn(told, "NATS: messages wait on subjects that name no lane, and cannot be set aside");
    } finally {
      this.#isBusy = false;
    }
  }

  async #setOneAside(subject: string): Promise<void> {
    const { link, names, dead } = this.#deps;
    const { streams } = link.manager;
    // The oldest: a server of 2.9 finds no last one of a subject whose last one was removed.
    const oldest = { seq: 1, next_by_subj: subject };
    const stored = await link.call(() => streams.getMessage(names.stream, oldest));
    if (stored === null) return;
    const { seq, data: body, time } = stored;
    const reason = `MESSAGE_INVALID: the subject ${subject} names no lane; see the guide for how a pool's is written`;
    await dead.write({ seq, publishedAtMs: time.getTime(), id: null, lane: null, reason, body });
    // Another router may have been faster; both wrote the same letter.
    await link
      .call(() => streams.deleteMessage(names.stream, seq, true))
      .catch(async (error: unknown) => {
        const left = isMissing(error) ? null : await link.call(() => streams.getMessage(names.stream, { seq }));
        if (left !== null) throw error;
      });
  }
}
