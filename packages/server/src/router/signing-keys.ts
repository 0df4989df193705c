import type { Clock } from "@flowcatalyst/foundation";
import type { DeliveryControl } from "../ports/delivery-control.ts";
import { withinTime } from "./within-time.ts";
import { signingKeyOf, type SigningKey } from "../domain/signature.ts";

export const signingKeyLimits = {
  /** So long a rotation or a revocation may go unnoticed while the control cannot be followed. */
  knownMs: 60_000,
  /** An unknown ref is asked for again sooner: somebody is likely to be creating it. */
  unknownMs: 5_000,
  maxRefs: 10_000,
  /** An answer that takes longer is given up, and the delivery held: its slot must not hang on a store. */
  askMs: 5_000,
} as const;

type Asked = Map<string, Promise<readonly SigningKey[] | null>>;
type Entry = { readonly keys: readonly SigningKey[] | null; readonly untilMs: number };

/**
 * Secrets by ref, decoded once and kept for a minute; at most 10,000, the one fetched longest ago goes first. Many
 * deliveries that miss at once share one question. All are forgotten when what operators have set changes, a rotated
 * secret included.
 */
export class SigningKeys {
  readonly #control: Pick<DeliveryControl, "secrets">;
  readonly #clock: Clock;
  readonly #entries = new Map<string, Entry>();
  #asked: Asked = new Map();

  constructor(control: Pick<DeliveryControl, "secrets">, clock: Clock) {
    this.#control = control;
    this.#clock = clock;
  }

  /** Null: the ref is unknown. Undefined: not at hand, call `fetch`. */
  atHand(ref: string, nowMs: number): readonly SigningKey[] | null | undefined {
    const entry = this.#entries.get(ref);
    return entry !== undefined && nowMs < entry.untilMs ? entry.keys : undefined;
  }

  /** Throws what the control port throws, and STORE_UNAVAILABLE when it does not answer in time. */
  fetch(ref: string): Promise<readonly SigningKey[] | null> {
    const asked = this.#asked.get(ref);
    if (asked !== undefined) return asked;
    const open = this.#asked;
    const answer = this.#fetch(ref, open).finally(() => open.delete(ref));
    open.set(ref, answer);
    return answer;
  }

  /** Every key is asked for again; answers under way are used by those who wait for them, and not kept. */
  forget(): void {
    this.#entries.clear();
    this.#asked = new Map();
  }

  async #fetch(ref: string, open: Asked): Promise<readonly SigningKey[] | null> {
    const secrets = await withinTime(this.#clock, signingKeyLimits.askMs, (signal) =>
      this.#control.secrets(ref, signal),
    );
    const decoded = secrets.map(signingKeyOf).filter((key) => key !== null);
    const keys = decoded.length > 0 ? decoded : null;
    if (open !== this.#asked) return keys;
    const ageMs = keys === null ? signingKeyLimits.unknownMs : signingKeyLimits.knownMs;
    this.#entries.delete(ref);
    this.#entries.set(ref, { keys, untilMs: this.#clock.monotonicMs() + ageMs });
    if (this.#entries.size > signingKeyLimits.maxRefs) {
      const oldest = this.#entries.keys().next().value;
      if (oldest !== undefined) this.#entries.delete(oldest);
    }
    return keys;
  }
}
