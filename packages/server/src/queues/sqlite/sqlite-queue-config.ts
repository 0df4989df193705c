import type { QueueCapabilities } from "../../ports/queue.ts";
import { databaseQueueCapabilities } from "../database-queue.ts";

export interface SqliteQueueConfig {
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

export const sqliteQueueDefaults = {
  name: "sqlite",
  visibilityMs: 60_000,
  dedupWindowMs: 60_000,
  maxReceives: 10,
  carriesReferences: true,
} as const satisfies SqliteQueueConfig;

export const sqliteQueueLimits = {
  maxMessageBytes: 1_048_576,
  maxBatch: 1_000,
  maxDelayMs: 604_800_000,
  /** Messages unsettled at once; more are refused until some are settled. */
  maxMessages: 10_000_000,
  maxLanes: 10_000,
  /** Rows of one group given out together, so that a deep group does not fill every batch. */
  groupBatchMax: 32,
  /** Beyond it the oldest dead letters go. */
  maxDeadLetters: 100_000,
  /** A longer body is kept in a table of its own, or each receive and extension would write it again. */
  inlineBodyMaxChars: 2_048,
  /** Rows brought back in one transaction. */
  releaseStep: 1_000,
  /** After a fault of the file. */
  releaseRetryMs: 1_000,
  /** Forgotten deduplication ids per published message: more than come in, so they never pile up. */
  dedupForgetStep: 16,
} as const;

/** What the queue in a file promises; the same with or without a store around it, but for the references. */
export function sqliteQueueCapabilities(
  config: Pick<SqliteQueueConfig, "dedupWindowMs" | "carriesReferences">,
): QueueCapabilities {
  return {
    ...databaseQueueCapabilities,
    maxDelayMs: sqliteQueueLimits.maxDelayMs,
    dedupWindowMs: config.dedupWindowMs,
    maxMessageBytes: sqliteQueueLimits.maxMessageBytes,
    maxBatch: sqliteQueueLimits.maxBatch,
    carriesReferences: config.carriesReferences,
  };
}
