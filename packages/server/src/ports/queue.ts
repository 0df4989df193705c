import type { MessageId, PoolCode } from "../domain/ids.ts";
import { defaultPoolCode } from "../domain/dispatch-pool.ts";
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
  /** High-priority messages go ahead of other groups, never inside their own. */
  readonly priority: boolean;
  /** A batch holds the first messages of many groups before many of one. */
  readonly sharedBatches: boolean;
  /**
   * Which lanes can be received from by themselves: each one; those that were listed when the queue was opened, while
   * all others share the lane DEFAULT-POOL; or none, and everything is received through that lane.
   */
  readonly lanes: "all" | "listed" | "none";
  /**
   * A `receive` that waits costs nobody anything, so one may be kept open for each lane; nobody is called back by
   * `onAvailable`. False: lanes are looked at in turn, and `onAvailable` says when.
   */
  readonly longPoll: boolean;
  readonly deadReceiptRefused: boolean;
  readonly redelivery: "visibility" | "ackWait" | "connection";
  /** 0: what is nacked comes back at once, whatever the delay. */
  readonly maxDelayMs: number;
  readonly dedupWindowMs: number;
  /** `publish` answers `duplicate`; false: a duplicate is swallowed, and answered as published. */
  readonly reportsDuplicates: boolean;
  readonly maxMessageBytes: number;
  /** Messages that one `receive` gives at most. */
  readonly maxBatch: number;
  readonly reportsOldest: boolean;
  /** What `metrics` can tell; `delayedAsInFlight`: delayed messages are counted among those in flight. */
  readonly counts: "all" | "delayedAsInFlight" | "none";
  /**
   * A stand-alone message that was received ten times and neither acked nor nacked goes to the dead letters, because it
   * is probably what crashes its receivers; receives that ended in a nack do not count.
   */
  readonly givesUpAbandoned: boolean;
  /** Dead letters are listed page by page, newest first; false: only as many as one look shows, in any order. */
  readonly pagesDeadLetters: boolean;
  /** True: jobs travel as references, because the queue lives in the same database as the jobs. */
  readonly carriesReferences: boolean;
}

/** Whether messages of several pools come through this lane of the queue. */
export function isSharedLane({ lanes }: Pick<QueueCapabilities, "lanes">, lane: PoolCode): boolean {
  return lanes === "none" || (lanes === "listed" && lane === defaultPoolCode);
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
  /**
   * What the queue itself knows the message by, the same on each receipt of it. Absent: its own id does, because the
   * queue keeps ids apart or knows no better.
   */
  readonly brokerId?: string;
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
  /** How long a received message stays with its receiver unless it is extended. */
  readonly visibilityMs: number;
  /** How many `receive` may be under way at a time for one lane. */
  readonly parallelReceives: number;
  /** Lanes that may hold messages that can be received now. An adapter that cannot tell names all it knows. */
  readyLanes(): Promise<readonly PoolCode[]>;
  receive(request: ReceiveRequest, signal: AbortSignal): Promise<readonly ReceivedMessage[]>;
  /** This one and the next two take any number of receipts; an adapter parts them as its broker wants. */
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

/** Null: this queue cannot tell (see `counts`). */
export interface QueueMetrics {
  readonly visible: number | null;
  readonly inFlight: number | null;
  readonly delayed: number | null;
  readonly dead: number | null;
  /** When the oldest unsettled message was published; null: none, or not reported. */
  readonly oldestUnsettledAtMs: number | null;
}

/** How many messages are not settled; null: the queue cannot tell. */
export function unsettledOf({ visible, inFlight, delayed }: QueueMetrics): number | null {
  return visible === null || inFlight === null || delayed === null ? null : visible + inFlight + delayed;
}

/** Names one dead letter of a queue; what it looks like is the adapter's affair. */
export type DeadLetterKey = string & { readonly __deadLetterKey: unique symbol };

export interface DeadLetter {
  readonly key: DeadLetterKey;
  readonly id: MessageId | null;
  readonly lane: PoolCode | null;
  readonly reason: string;
  readonly body: string;
  readonly atMs: number;
}

export interface DeadLetterPage {
  readonly letters: readonly DeadLetter[];
  /** Where the next page starts; null: this is the last one, or pages are not declared. */
  readonly next: DeadLetterKey | null;
}

/** The dead-letter place of a queue. */
export interface DeadLetters {
  /** `after` is `next` of the page before, null for the first one. Changes nothing. */
  listDeadLetters(request: { readonly limit: number; readonly after: DeadLetterKey | null }): Promise<DeadLetterPage>;
  /**
   * Shows each of these letters that is still there to `decide`, which may publish it again, and removes it if told
   * so. Results by position. A crash between the two leaves the letter where it is.
   */
  settleDeadLetters(
    keys: readonly DeadLetterKey[],
    decide: (letter: DeadLetter) => Promise<"remove" | "keep">,
  ): Promise<readonly ("removed" | "kept" | "missing")[]>;
}
