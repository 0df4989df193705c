import { backoffMs, type BackoffPolicy, type Clock, type Random } from "@flowcatalyst/foundation";
import { outboxProcessorLimits as limits } from "./outbox-limits.ts";

/**
 * Whether anything may be sent now.
 *
 * ```mermaid
 * stateDiagram-v2
 *   [*] --> OPEN
 *   OPEN --> CLOSED : no answer, 401, 429, 502, 503, 504
 *   CLOSED --> PROBING : the wait is over
 *   PROBING --> OPEN : any answer
 *   PROBING --> CLOSED : again none, and the wait doubles
 * ```
 *
 * After a fault of the other side (500) it stays open and rests a little, longer with each in a row.
 */
export interface GateDeps {
  readonly clock: Clock;
  readonly random: Random;
  /** The gate has closed, or has opened for more. */
  readonly changed: () => void;
}

const closedFor: BackoffPolicy = { baseMs: limits.awayFirstMs, capMs: limits.awayMaxMs, jitter: "none" };
const restFor: BackoffPolicy = { baseMs: 25, capMs: 1_000, jitter: "equal" };

export class Gate {
  readonly #deps: GateDeps;
  #state: "open" | "closed" | "probing" = "open";
  #closings = 0;
  #faults = 0;
  #isResting = false;
  #reason: string | null = null;
  #cancel: () => void = () => undefined;

  constructor(deps: GateDeps) {
    this.#deps = deps;
  }

  get state(): "open" | "closed" | "probing" {
    return this.#state;
  }

  /** Why it is not open; null: it is. */
  get reason(): string | null {
    return this.#reason;
  }

  /** Requests that may be under way. */
  capacity(concurrency: number): number {
    switch (this.#state) {
      case "open":
        return this.#isResting ? 0 : concurrency;
      case "probing":
        return 1;
      case "closed":
        return 0;
    }
  }

  /** The other side has answered and is well. */
  answered(): void {
    this.#faults = 0;
    this.#open();
  }

  /** It has answered that something is wrong with it. */
  faulted(): void {
    const { clock, random } = this.#deps;
    this.#open();
    if (this.#state === "closed") return;
    this.#isResting = true;
    this.#cancel();
    this.#cancel = clock.setTimer(backoffMs(restFor, this.#faults++, random), () => {
      this.#isResting = false;
      this.#deps.changed();
    });
  }

  /** It cannot be reached. */
  unreachable(reason: string, retryAfterMs: number | null): void {
    if (this.#state === "closed") return;
    const waitMs = retryAfterMs ?? backoffMs(closedFor, this.#closings, this.#deps.random);
    this.#closings++;
    this.#state = "closed";
    this.#reason = reason;
    this.#isResting = false;
    this.#cancel();
    this.#cancel = this.#deps.clock.setTimer(waitMs, () => {
      this.#state = "probing";
      this.#deps.changed();
    });
    this.#deps.changed();
  }

  stop(): void {
    this.#cancel();
  }

  #open(): void {
    // What was under way when it closed says nothing about now.
    if (this.#state !== "probing") return;
    this.#state = "open";
    this.#closings = 0;
    this.#reason = null;
    this.#deps.changed();
  }
}
