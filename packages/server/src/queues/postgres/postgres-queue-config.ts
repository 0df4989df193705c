import type { QueueCapabilities } from "../../ports/queue.ts";
import { databaseQueueCapabilities } from "../database-queue.ts";

export interface PostgresQueueConfig {
  /** Unique among the queues of a process. */
  readonly name: string;
  /** How long a received message stays with its receiver unless extended. */
  readonly visibilityMs: number;
  readonly dedupWindowMs: number;
  /** A stand-alone message that was received this often without ack or nack goes to the dead letters. */
  readonly maxReceives: number;
  /** True when the jobs are in the same database, so that messages need not carry them. */
  readonly carriesReferences: boolean;
}

export const postgresQueueDefaults = {
  name: "postgres",
  visibilityMs: 60_000,
  dedupWindowMs: 60_000,
  maxReceives: 10,
  carriesReferences: true,
} as const satisfies PostgresQueueConfig;

export const postgresQueueLimits = {
  maxMessageBytes: 1_048_576,
  maxBatch: 1_000,
  maxDelayMs: 604_800_000,
  /** Messages unsettled at once, by the server's estimate; more are refused until some are settled. */
  maxMessages: 10_000_000,
  /** How long a publisher goes by one estimate of that. */
  estimateMaxAgeMs: 10_000,
  maxLanes: 50_000,
  /** How long a publisher takes a lane for existing, and when one that nobody published to goes: much later. */
  laneKnownMs: 300_000,
  laneIdleMs: 3_600_000,
  /** Idle lanes are looked for this often, and so many go at once. */
  idleLanesEveryMs: 60_000,
  idleLanesStep: 1_000,
  /** Rows of one group given out together, so that a deep group does not fill every batch. */
  groupBatchMax: 32,
  /** Beyond it the oldest dead letters go. */
  maxDeadLetters: 100_000,
  /** Bodies published in one transaction, unless one alone is larger. */
  publishMaxBytes: 8_388_608,
  /** Bodies received at once, unless one alone is larger. */
  receiveMaxBytes: 16_777_216,
  /** Rows brought back in one transaction. */
  releaseStep: 1_000,
  /** How often a consumer looks for what fell due elsewhere, and for consumers that are gone. */
  sweepEveryMs: 1_000,
  /** After this without renewal a consumer counts as gone, and what it holds as free (delivery.md 5). */
  leaseMs: 10_000,
  leaseRenewEveryMs: 3_000,
  leaseRetryMs: 1_000,
  /** How old the measured difference to the database's clock may be. */
  timeMaxAgeMs: 30_000,
  /** Which lanes have something is asked anew of all lanes, in case a wake-up or a memory was wrong. */
  allLanesEveryMs: 10_000,
  /** What is counted exactly; beyond it metrics are the server's estimate. */
  countMax: 100_000,
  /** Finished receives whose rows are taken away together. */
  finishedClaimsStep: 16,
  /** Groups of which a publisher remembers below which place nothing is unsettled. */
  maxKnownGroups: 50_000,
  /** Old deduplication rows are taken away this often at most. */
  dedupForgetEveryMs: 5_000,
} as const;

/** What the queue in a database promises; the same with or without a store beside it, but for the references. */
export function postgresQueueCapabilities(
  config: Pick<PostgresQueueConfig, "dedupWindowMs" | "carriesReferences">,
): QueueCapabilities {
  return {
    ...databaseQueueCapabilities,
    maxDelayMs: postgresQueueLimits.maxDelayMs,
    dedupWindowMs: config.dedupWindowMs,
    maxMessageBytes: postgresQueueLimits.maxMessageBytes,
    maxBatch: postgresQueueLimits.maxBatch,
    carriesReferences: config.carriesReferences,
  };
}
