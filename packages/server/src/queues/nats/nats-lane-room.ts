import { describeError } from "@flowcatalyst/foundation";
import type { NatsLink } from "./nats-link.ts";
import type { NatsNames } from "./nats-names.ts";
import { natsQueueLimits } from "./nats-queue-config.ts";

/**
 * Whether a lane has as many unsettled messages as it may have (`max_ack_pending`) while others wait behind them.
 *
 * The server says nothing of it: a question is open until some are settled. Those that come back meanwhile, a delay
 * being over, are given out all the same, so that messages do come while the new ones wait for ever. Therefore the
 * consumer is looked at: once a minute while it gives something, and when a question brought nothing. A full lane is a
 * line of the log each minute, and the error of whoever got nothing of it for some seconds.
 */
export class LaneRoom {
  readonly #link: NatsLink;
  readonly #names: NatsNames;
  readonly #token: string;
  #lookedAtMs = Number.NEGATIVE_INFINITY;
  #toldAtMs = Number.NEGATIVE_INFINITY;
  #cameAtMs: number;
  #fault: string | null = null;

  constructor(link: NatsLink, names: NatsNames, token: string) {
    this.#link = link;
    this.#names = names;
    this.#token = token;
    this.#cameAtMs = this.#nowMs;
  }

  /** Something came; nobody waits for the look. */
  came(): void {
    this.#cameAtMs = this.#nowMs;
    if (this.#cameAtMs - this.#lookedAtMs >= natsQueueLimits.roomLookEveryMs) void this.#look();
  }

  /** Nothing came. Throws QUEUE_UNAVAILABLE when that is so for some seconds because the lane is full. */
  async nothingCame(): Promise<void> {
    if (this.#nowMs - this.#cameAtMs < natsQueueLimits.roomQuietMs) return;
    // One look tells of an idle lane until something comes or a minute has passed; a full one is looked at each time.
    const isKnown = this.#lookedAtMs > this.#cameAtMs + natsQueueLimits.roomQuietMs && this.#fault === null;
    if (!isKnown || this.#nowMs - this.#lookedAtMs >= natsQueueLimits.roomLookEveryMs) await this.#look();
    if (this.#fault !== null) throw this.#link.unavailable(this.#fault);
  }

  /** Never rejects: a look that fails tells nothing, and the questions say what is wrong. */
  async #look(): Promise<void> {
    const { manager, deps, where } = this.#link;
    this.#lookedAtMs = this.#nowMs;
    try {
      const info = await this.#link.call(() => manager.consumers.info(this.#names.stream, this.#token));
      const most = info.config.max_ack_pending ?? 0;
      const isFull = most > 0 && info.num_ack_pending >= most && info.num_pending > 0;
      this.#fault = isFull
        ? `the lane ${this.#token} has ${most} unsettled messages, its max_ack_pending: others wait for them`
        : null;
    } catch (error) {
      this.#fault = null;
      deps.logger.debug({ where, error: describeError(error) }, "NATS: a lane cannot be looked at");
    }
    if (this.#fault === null || this.#nowMs - this.#toldAtMs < natsQueueLimits.roomLookEveryMs) return;
    this.#toldAtMs = this.#nowMs;
    deps.logger.warn({ where, lane: this.#token }, `NATS: ${this.#fault}`);
  }

  get #nowMs(): number {
    return this.#link.deps.clock.monotonicMs();
  }
}
