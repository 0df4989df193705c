import type { MessageId, PoolCode } from "../domain/ids.ts";
import type { QueueMessage } from "../domain/message.ts";

/**
 * The queue contract. A lane is a pool code. Core for every adapter: at least once; a message neither acked nor nacked
 * comes back; the receive count rises; a malformed body goes to the dead-letter place with its reason while the rest of
 * the batch is delivered; a message over the limit is refused with a code; publishing dedups by id within the declared
 * window; a broken connection is made again with backoff for ever. What adapters differ in they declare as
 * capabilities, and each declared capability has a suite of its own.
 */
export interface QueueCapabilities {
  /**
   * `strict`: while a message of a group is in flight or delayed, later ones go to nobody unless received together, in
   * order; a nack keeps the position; groups never block each other; a crash frees the lock when visibility ends.
   */
  readonly grouping: "strict" | "none";
  readonly lanes: boolean;
  readonly deadReceiptRefused: boolean;
  readonly redelivery: "visibility" | "ackWait" | "connection";
  readonly maxDelayMs: number;
  readonly dedupWindowMs: number;
  readonly maxMessageBytes: number;
  readonly maxBatch: number;
  readonly reportsOldest: boolean;
  /** True: jobs travel as references, because the queue lives in the same database as the jobs. */
  readonly carriesReferences: boolean;
}

export type PublishResult =
  | { readonly kind: "published" }
  /** Known already within the window: as good as published. */
  | { readonly kind: "duplicate" }
  /** Will never be taken: MESSAGE_TOO_LARGE or MESSAGE_INVALID. */
  | { readonly kind: "invalid"; readonly code: "MESSAGE_TOO_LARGE" | "MESSAGE_INVALID"; readonly detail: string }
  /** Not taken now; publish again later. */
  | { readonly kind: "refused"; readonly detail: string };

export interface QueuePublisher {
  readonly capabilities: QueueCapabilities;
  /** Results by position. */
  publish(messages: readonly QueueMessage[]): Promise<readonly PublishResult[]>;
}

/** Names one receipt of one message; another receipt of the same message is another text. */
export type Receipt = string & { readonly __receipt: unique symbol };

export interface ReceivedMessage {
  readonly message: QueueMessage;
  readonly receipt: Receipt;
  /** 1 on the first receipt. */
  readonly receiveCount: number;
  readonly publishedAtMs: number;
}

export interface ReceiveRequest {
  readonly lane: PoolCode;
  /** Messages at most. */
  readonly max: number;
  /** How long to wait for the first one; 0 answers at once. */
  readonly waitMs: number;
}

/** What became of one receipt; `dead` (visibility ended, or acked already) where the adapter can tell. */
export type ReceiptResult = "done" | "dead";

export interface QueueConsumer {
  /** Unique among the queues of a process; part of the key of what is in the pipeline. */
  readonly name: string;
  readonly capabilities: QueueCapabilities;
  /** Lanes that may hold messages that can be received now. An adapter that cannot tell names all it knows. */
  readyLanes(): Promise<readonly PoolCode[]>;
  receive(request: ReceiveRequest, signal: AbortSignal): Promise<readonly ReceivedMessage[]>;
  ack(receipts: readonly Receipt[]): Promise<readonly ReceiptResult[]>;
  nack(receipts: readonly Receipt[], delayMs: number): Promise<readonly ReceiptResult[]>;
  /** Keeps the messages invisible for `forMs` from now. */
  extend(receipts: readonly Receipt[], forMs: number): Promise<readonly ReceiptResult[]>;
  /** Puts a message to the dead-letter place with its reason; it counts as acked. */
  deadLetter(receipt: Receipt, reason: string): Promise<ReceiptResult>;
  metrics(): Promise<QueueMetrics>;
  /** Calls back soon after something became receivable. */
  onAvailable(wake: () => void): () => void;
  /**
   * Calls back when what this consumer holds may have been given to others, because it was silent for too long: whoever
   * holds messages asks for them by extending, and drops what is refused. Absent: only receipts tell.
   */
  onDoubt?(doubt: () => void): () => void;
}

export interface QueueMetrics {
  readonly visible: number;
  readonly inFlight: number;
  readonly delayed: number;
  readonly dead: number;
  /** When the oldest unsettled message was published; null: none, or not reported. */
  readonly oldestUnsettledAtMs: number | null;
}

export interface DeadLetter {
  readonly id: MessageId | null;
  readonly lane: PoolCode | null;
  readonly reason: string;
  readonly body: string;
  readonly atMs: number;
}

export interface DeadLetterReader {
  list(limit: number): Promise<readonly DeadLetter[]>;
}
