/**
 * The outbox processor: moves rows from an application's outbox table to the platform (or the router), in order per
 * group, at least once.
 *
 * ```
 *  table ── claim ──▶ lines in hand ── batches ──▶ platform ── answers ──▶ settle ──▶ table
 *    ▲  new, retries     one per group    one type, 10 at once   by position            │
 *    └───────────────────────────── released, recovered ◀───────────────────────────────┘
 * ```
 *
 * **Who.** One processor of all leads, by the lease in the source's own database; claims carry its epoch. With each
 * term all rows in progress go back to pending first, since nobody can be sending them any more (`term.ts`).
 *
 * **Finding rows** (`intake.ts`, `scan.ts`). Three looks: rows whose retry is due; the tail of the table, from the last
 * row seen 5 s ago; and a sweep over everything, window by window, which finds what the tail left behind. So a million
 * held rows cost a bounded number of looks per second. A wake-up (LISTEN/NOTIFY, change stream) makes the tail due, a
 * poll all three; polling alone is enough. Rows that a clock ahead of others has stamped do not hide what is new:
 * when a sweep finds rows, the tail begins before them for a while.
 *
 * **Order** (`hand.ts`). Of a group rows are claimed in order, none while others of it are in progress; in hand they
 * stand in line, and no two batches under way share a group. When a row fails and will be tried again, those behind it
 * go back to the table unsent, and the source holds them there (unless FC_OUTBOX_BLOCK_ON_ERROR is false).
 *
 * **What an answer means** (`sending.ts`, `gate.ts`):
 *
 * | answer | rows | counts as a retry |
 * |---|---|---|
 * | item SUCCESS | success | |
 * | item BAD_REQUEST, FORBIDDEN | refused: final, and hold nobody | |
 * | item INTERNAL_ERROR | wait; 1 s, doubling to 60 s | yes |
 * | 400, 413, 422 | the batch is halved until the one row is found, which is refused | |
 * | 403 | refused | |
 * | 401 | wait; nothing is sent for a while | no |
 * | 500 and what nobody expects | wait; the next batches are half as large | if the batch was of one row |
 * | no answer, 429, 502, 503, 504 | wait; nothing is sent for 1 s, doubling to 60 s, then one batch probes | no |
 *
 * So an outage of the platform uses up nobody's retries.
 *
 * **At least once, and once where it shows.** A row is final only after the other side said so. A crash between its
 * answer and our note sends the row again, with the same deduplication id (the row's own).
 *
 * **Failures.** The source is away: claims and notes are tried again for ever; the lease runs out meanwhile, and the
 * term ends with all that is in hand. If only claims fail, the term goes on, and after three of them health is DOWN. A
 * claim whose answer was lost may have taken rows: when the hand is empty, all that is in progress goes back. The
 * process is stopped: requests under way may end within 3 s, everything else goes back, the lease is given up. It is
 * killed: the next leader begins within the lease's 5 s.
 */
import {
  backoffMs,
  describeError,
  type BackoffPolicy,
  type Clock,
  type HealthResult,
  type Logger,
  type Metrics,
  type Random,
} from "@flowcatalyst/foundation";
import { showLease } from "../ports/lease.ts";
import type { OutboxPublisher } from "../ports/outbox-publisher.ts";
import type { OutboxRetryRule, OutboxSource } from "../ports/outbox-source.ts";
import { Leadership } from "./leadership.ts";
import { outboxProcessorLimits as limits } from "./outbox-limits.ts";
import { createOutboxMeters, type OutboxMeters } from "./outbox-meters.ts";
import { Term } from "./term.ts";
import { Upkeep } from "./upkeep.ts";

export interface OutboxProcessor {
  run(signal: AbortSignal): Promise<void>;
  /** Whether the source can be asked, and who leads. */
  sourceHealth(): HealthResult;
  /** Whether the platform or router takes rows. Never DOWN: what is away there is not this process. */
  targetHealth(): HealthResult;
}

export interface OutboxProcessorDeps {
  readonly source: OutboxSource;
  readonly publisher: OutboxPublisher;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

export interface OutboxProcessorConfig extends OutboxRetryRule {
  /** Names this process in the lease; unique among live ones. */
  readonly holder: string;
  readonly pollIntervalMs: number;
  readonly batchMaxRows: number;
  readonly concurrency: number;
  readonly retentionMs: number;
}

const sourceRetry: BackoffPolicy = { baseMs: 200, capMs: 5_000, jitter: "equal" };
/** Of the lease's time: how often one that stands by looks. */
const lookShare = 1 / 10;

export function createOutboxProcessor(deps: OutboxProcessorDeps, config: OutboxProcessorConfig): OutboxProcessor {
  return new Processor(deps, config);
}

class Processor implements OutboxProcessor {
  readonly #deps: OutboxProcessorDeps;
  readonly #config: OutboxProcessorConfig;
  readonly #leadership: Leadership;
  readonly #meters: OutboxMeters;
  #term: Term | null = null;
  #fault: string | null = null;
  #saysItStandsBy = false;
  #verifyAtMs = 0;

  constructor(deps: OutboxProcessorDeps, config: OutboxProcessorConfig) {
    this.#deps = deps;
    this.#config = config;
    const leadership = new Leadership(
      { ...deps, lease: deps.source.lease, renewed: () => this.#term?.goOn() },
      { holder: config.holder, ttlMs: limits.leaseTtlMs },
    );
    this.#leadership = leadership;
    this.#meters = createOutboxMeters(deps.metrics);
    showLease(deps.metrics, "outbox", () => leadership.holds);
  }

  sourceHealth(): HealthResult {
    const reason = this.#fault ?? this.#term?.fault ?? null;
    if (reason !== null) return { status: "DOWN", data: { reason } };
    const paused = this.#term?.pausedReason ?? null;
    const role = this.#term === null ? "standby" : "active";
    return { status: "UP", data: paused === null ? { role } : { role, paused } };
  }

  targetHealth(): HealthResult {
    const reason = this.#term?.closedReason ?? null;
    return { status: "UP", data: reason === null ? { sending: true } : { sending: false, reason } };
  }

  async run(signal: AbortSignal): Promise<void> {
    const { source, logger } = this.#deps;
    const listening = source
      .listen(() => this.#term?.told(), signal)
      .catch((error: unknown) => {
        logger.warn({ error: describeError(error) }, "Nobody tells of new rows of the outbox; it is polled only");
      });
    try {
      let failures = 0;
      while (!signal.aborted) failures = await this.#turn(signal, failures);
    } finally {
      await listening;
    }
  }

  /** One try to lead, and the term if it succeeds; how many tries in a row have failed. */
  async #turn(signal: AbortSignal, failures: number): Promise<number> {
    const { clock, random, logger, source } = this.#deps;
    try {
      const epoch = await this.#leadership.take();
      // A control table without its row looks as if somebody else led.
      const isInQuestion = epoch === null && clock.monotonicMs() >= this.#verifyAtMs;
      if (failures > 0 || isInQuestion) {
        await source.verify();
        this.#verifyAtMs = clock.monotonicMs() + limits.standByVerifyMs;
      }
      this.#fault = null;
      if (epoch === null) await this.#standBy(signal);
      else await this.#lead(epoch, signal);
      return 0;
    } catch (error) {
      this.#fault = describeError(error);
      if (failures === 0) logger.error({ error: describeError(error) }, "The outbox cannot go on, and tries again");
      await clock.sleep(backoffMs(sourceRetry, failures, random), signal);
      return failures + 1;
    }
  }

  async #standBy(signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#deps;
    if (!this.#saysItStandsBy) logger.info({}, "Another outbox processor leads, this one stands by");
    this.#saysItStandsBy = true;
    await clock.sleep(limits.leaseTtlMs * lookShare, signal);
  }

  async #lead(epoch: number, signal: AbortSignal): Promise<void> {
    const { logger } = this.#deps;
    const lost = new AbortController();
    const over = AbortSignal.any([signal, lost.signal]);
    const term = this.#newTerm(epoch);
    this.#saysItStandsBy = false;
    logger.info({ epoch }, "This outbox processor leads");
    const keeping = this.#leadership.keep(epoch, over).catch((error: unknown) => {
      logger.warn({ error: describeError(error) }, "This outbox processor leads no more");
      lost.abort();
    });
    const upkeep = new Upkeep({ ...this.#deps, meters: this.#meters }, this.#config).run(over);
    this.#term = term;
    try {
      if ((await term.run(over)) === "fenced") this.#leadership.doubt();
    } finally {
      this.#term = null;
      lost.abort();
      await Promise.all([keeping, upkeep]);
      await this.#leadership.giveBack();
    }
  }

  #newTerm(epoch: number): Term {
    const leads = (): boolean => this.#leadership.holds;
    return new Term({ ...this.#deps, meters: this.#meters, leads }, { ...this.#config, epoch });
  }
}
