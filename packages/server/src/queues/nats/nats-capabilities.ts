import type { QueueCapabilities } from "../../ports/queue.ts";
import { natsQueueLimits } from "./nats-queue-config.ts";

/** What a queue on NATS JetStream promises; the window and the size are the server's. */
export function natsCapabilities(dedupWindowMs: number, maxPayloadBytes: number): QueueCapabilities {
  const roomBytes = maxPayloadBytes - natsQueueLimits.headerMaxBytes;
  return {
    grouping: "none",
    priority: false,
    sharedBatches: false,
    lanes: "all",
    longPoll: true,
    // The server takes an ack of a message that was given to somebody else meanwhile, and says so to nobody.
    deadReceiptRefused: false,
    redelivery: "ackWait",
    maxDelayMs: natsQueueLimits.maxDelayMs,
    dedupWindowMs,
    reportsDuplicates: true,
    maxMessageBytes: Math.min(natsQueueLimits.maxMessageBytes, roomBytes),
    maxBatch: natsQueueLimits.maxBatch,
    reportsOldest: true,
    counts: "delayedAsInFlight",
    // Deliveries are counted together, those that ended in a nack included.
    givesUpAbandoned: false,
    pagesDeadLetters: true,
    carriesReferences: false,
  };
}
