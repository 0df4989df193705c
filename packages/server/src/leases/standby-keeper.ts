/**
 * One active process among several: who may believe what, and for how long.
 *
 * A lease is a name that the keeper of the lease (Redis, or a row in the database) gives to one claim at a time and
 * takes back by itself when it is not renewed within its time to live. What follows from it for a process:
 *
 * ```
 *   ask ──────── answer                                   the keeper's side: the claim runs out no sooner than
 *    │             │                                      ask + ttl, because it began when the question arrived
 *    ├─────────────┴────────── trusted ───────────┤margin├───▶ anybody may take it
 *    │                                            │
 *  clock read BEFORE the question was sent        from here on this process is not active
 * ```
 *
 * **What is trusted.** Only the process's own clock, and only up to `asked + ttl - margin`. `asked` is read before the
 * question is sent, so that neither a slow network nor a pause of the process between question and answer can make
 * trust outlast the lease. The margin (a tenth of the ttl) is for clocks that do not run equally fast and for the time
 * between asking `isActive` and what is then done. Nobody's wall clock is compared with anybody else's.
 *
 * **Two clocks.** Durations are measured by the monotonic clock, which the wall clock's corrections do not touch. But
 * on some systems it stands still while the machine is suspended, and the keeper's does not. So the lease is trusted
 * only while *both* clocks say that its time is not over: a wall clock that was set forward costs a renewal, one that
 * was set back changes nothing.
 *
 * **In doubt: not active.** `isActive` reads the clocks each time, it is no flag that somebody has to reset. A process
 * that was stopped (SIGSTOP, a long pause, a suspended machine) for longer than its trust is passive at its first look,
 * before any timer or answer has had a chance to run. An unanswered or failed renewal changes nothing until the trust
 * runs out, and is tried again meanwhile; a denied one ends it at once.
 *
 * **Calls under way.** What began while active may end afterwards: an HTTP call cannot be taken back. So for the length
 * of one call (its timeout, 30 s) a former holder's call can overlap with its successor's work. That costs at most a
 * duplicate delivery, since order is kept by the group's line and its results are judged by the job's generation.
 * Nothing new begins.
 *
 * **The successor.** It can have the lease no sooner than a whole ttl after the last question of the former holder that
 * arrived, hence at least a margin after that one has stopped; it looks every fifth of the refresh interval. After an
 * orderly stop the lease is given back and the successor need not wait for it to run out.
 *
 * **Lost answers.** A question may be carried out although its answer never comes. Each claim is a text of its own
 * (this process's name and a random number), kept until it is denied: asked again, the same claim is recognised. A
 * claim that was denied is never used again, so that nothing late can prolong or give back somebody else's lease.
 *
 * **The keeper of the lease is gone**: whoever is active goes on until its trust is over, and nobody is active after
 * that. `state().error` says why. When it is back, one becomes active. What happens when it comes back without its
 * memory is the adapter's to say (leases/redis).
 */
import { CodedError, describeError, type Clock, type Logger, type Random } from "@flowcatalyst/foundation";
import type { StandbyState } from "@flowcatalyst/contracts";
import type { ClaimAnswer, Standby, StandbyLease } from "../ports/standby-lease.ts";

export interface StandbyKeeperDeps {
  readonly lease: StandbyLease;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

export interface StandbyKeeperConfig {
  /** How this process is called among those that compete; two of one name do not hurt each other, they only confuse. */
  readonly instanceId: string;
  readonly ttlMs: number;
  /** How often the lease is renewed; at most half of the ttl. */
  readonly refreshMs: number;
}

export interface StandbyKeeper extends Standby {
  /** Competes until told to stop, then gives the lease back. What needs it must have stopped before. */
  run(signal: AbortSignal): Promise<void>;
}

export const standbyKeeperLimits = {
  /** Of the ttl: not trusted at its end. */
  marginShare: 1 / 10,
  /**
   * Of the refresh interval: between two looks of one that waits, and between two tries of one whose renewal failed.
   */
  lookShare: 1 / 5,
  /** Of the ttl: how long an answer is waited for. */
  answerShare: 1 / 6,
  releaseMs: 2_000,
} as const;

const RANDOM_DIGITS = 36;
const CLAIM_RANGE = 2 ** 48;
/** Between the name and the random part of a claim. */
const CLAIM_SEPARATOR = "#";

export function createStandbyKeeper(deps: StandbyKeeperDeps, config: StandbyKeeperConfig): StandbyKeeper {
  return new Keeper(deps, config);
}

/** By both clocks, and when it began. */
interface Trust {
  readonly monotonicUntilMs: number;
  readonly wallUntilMs: number;
}

class Keeper implements StandbyKeeper {
  readonly #deps: StandbyKeeperDeps;
  readonly #config: StandbyKeeperConfig;
  readonly #listeners = new Set<() => void>();
  #claim: string;
  /** The claim was granted and not denied since, so it is renewed and not taken. */
  #isGranted = false;
  #trust: Trust | null = null;
  #cancelExpiry: () => void = () => undefined;
  /** As listeners were told. */
  #wasActive = false;
  #sinceMs: number;
  #holder: string | null = null;
  #error: string | null = null;

  constructor(deps: StandbyKeeperDeps, config: StandbyKeeperConfig) {
    this.#deps = deps;
    this.#config = config;
    this.#claim = this.#newClaim();
    this.#sinceMs = deps.clock.now();
  }

  isActive(): boolean {
    const { clock } = this.#deps;
    const trust = this.#trust;
    return trust !== null && clock.monotonicMs() < trust.monotonicUntilMs && clock.now() < trust.wallUntilMs;
  }

  onChange(told: () => void): () => void {
    this.#listeners.add(told);
    return () => this.#listeners.delete(told);
  }

  state(): StandbyState {
    const active = this.isActive();
    return {
      enabled: true,
      active,
      instanceId: this.#config.instanceId,
      holder: active ? this.#config.instanceId : this.#holder,
      since: new Date(this.#sinceMs).toISOString(),
      leaseUntil: active && this.#trust !== null ? new Date(this.#trust.wallUntilMs).toISOString() : null,
      error: this.#error,
    };
  }

  async run(signal: AbortSignal): Promise<void> {
    const { refreshMs } = this.#config;
    try {
      while (!signal.aborted) {
        const isSettled = await this.#ask();
        const waitMs = isSettled ? refreshMs : refreshMs * standbyKeeperLimits.lookShare;
        await this.#deps.clock.sleep(waitMs, signal);
      }
    } finally {
      await this.#giveBack();
    }
  }

  /** True: it holds the lease, and need not look again before the next renewal. */
  async #ask(): Promise<boolean> {
    const { clock, lease } = this.#deps;
    const { ttlMs } = this.#config;
    const claim = this.#claim;
    const askedAt = { monotonicMs: clock.monotonicMs(), wallMs: clock.now() };
    const question = this.#isGranted ? lease.renew(claim, ttlMs) : lease.acquire(claim, ttlMs);
    let answer: ClaimAnswer;
    try {
      answer = await this.#inTime(question, ttlMs * standbyKeeperLimits.answerShare);
    } catch (error) {
      this.#note(describeError(error));
      return false;
    }
    if (answer.kind === "denied") {
      this.#lose(answer.holder, null);
      return false;
    }
    this.#isGranted = true;
    this.#trustFrom(askedAt);
    this.#note(null);
    return true;
  }

  #trustFrom(askedAt: { readonly monotonicMs: number; readonly wallMs: number }): void {
    const { clock } = this.#deps;
    const trustedMs = this.#config.ttlMs * (1 - standbyKeeperLimits.marginShare);
    // Told of before it is forgotten: it may have lapsed since anybody looked.
    this.#tell();
    this.#trust = {
      monotonicUntilMs: askedAt.monotonicMs + trustedMs,
      wallUntilMs: askedAt.wallMs + trustedMs,
    };
    this.#cancelExpiry();
    const leftMs = Math.max(0, askedAt.monotonicMs + trustedMs - clock.monotonicMs());
    this.#cancelExpiry = clock.setTimer(leftMs, () => this.#tell());
  }

  /** `error`: why the lease cannot be asked for, if it cannot. */
  #lose(holder: string | null, error: string | null): void {
    this.#trust = null;
    this.#cancelExpiry();
    this.#isGranted = false;
    this.#claim = this.#newClaim();
    this.#holder = holder === null ? null : nameOf(holder);
    this.#note(error);
  }

  /** What the last question came to. */
  #note(error: string | null): void {
    const isNews = (error === null) !== (this.#error === null);
    if (error !== null) this.#holder = null;
    if (isNews && error !== null) this.#deps.logger.warn({ error }, "The standby lease cannot be asked for");
    if (isNews && error === null) this.#deps.logger.info({}, "The standby lease can be asked for again");
    this.#error = error;
    if (!this.#tell() && isNews) this.#callListeners();
  }

  /** True: whether this process is active has changed, and everybody knows. */
  #tell(): boolean {
    const { clock, logger } = this.#deps;
    const isActive = this.isActive();
    if (isActive === this.#wasActive) return false;
    this.#wasActive = isActive;
    this.#sinceMs = clock.now();
    const { instanceId } = this.#config;
    if (isActive) logger.info({ instanceId }, "This process is the active one");
    else logger.warn({ instanceId, error: this.#error }, "This process is not the active one any more");
    this.#callListeners();
    return true;
  }

  #callListeners(): void {
    for (const told of this.#listeners) told();
  }

  async #giveBack(): Promise<void> {
    const { lease, logger } = this.#deps;
    const claim = this.#claim;
    this.#lose(null, this.#error);
    try {
      // Asked even if it was never granted: a question whose answer was lost may have been carried out.
      await this.#inTime(lease.release(claim), standbyKeeperLimits.releaseMs);
    } catch (error) {
      logger.info({ error: describeError(error) }, "The standby lease could not be given back; it runs out by itself");
    }
  }

  async #inTime<T>(question: Promise<T>, maxMs: number): Promise<T> {
    const { promise: timeIsOver, reject } = Promise.withResolvers<never>();
    const message = `no answer within ${Math.round(maxMs)} ms`;
    const cancel = this.#deps.clock.setTimer(maxMs, () => reject(new CodedError("STORE_UNAVAILABLE", { message })));
    try {
      return await Promise.race([timeIsOver, question]);
    } finally {
      cancel();
    }
  }

  #newClaim(): string {
    const number = Math.floor(this.#deps.random.next() * CLAIM_RANGE).toString(RANDOM_DIGITS);
    return `${this.#config.instanceId}${CLAIM_SEPARATOR}${number}`;
  }
}

/** Whose claim it is. */
function nameOf(claim: string): string {
  const at = claim.lastIndexOf(CLAIM_SEPARATOR);
  return at < 0 ? claim : claim.slice(0, at);
}
