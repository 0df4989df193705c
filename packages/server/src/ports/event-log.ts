import type { EventHead, EventRecord, NewEvent } from "../domain/event.ts";
import type { EventId, EventPosition } from "../domain/ids.ts";
import type { Scope } from "../domain/scope.ts";

/** What became of one event of an accepted batch. A duplicate answers with the event that came first. */
export interface AppendedEvent {
  readonly kind: "created" | "duplicate";
  readonly event: EventRecord;
}

/**
 * Accepts events. `append` settles only when the events are durable; a batch is atomic; concurrent calls share commits.
 * Position is given so that a reader can never pass an event that commits later with a lower one.
 * Deduplication by (client, deduplicationId) is exact, inside one batch too.
 *
 * Throws CodedError OVERLOADED (buffer full: 10,000 events or 32 MiB waiting), STORE_FULL, STORE_UNAVAILABLE; then
 * nothing of the batch was accepted.
 */
export interface EventAppender {
  append(events: readonly NewEvent[]): Promise<readonly AppendedEvent[]>;
}

/** Reads the log forward. */
export interface EventFeed {
  /** Events after `after`, at most `maxEvents` and about `maxBytes` of data, in position order. */
  readAfter(after: EventPosition, limits: FeedLimits): Promise<readonly FeedEvent[]>;
  /** Position of the newest event; 0 when there is none. */
  newest(): Promise<EventPosition>;
  /**
   * Calls back, soon after events were accepted. Carries no data; may be missed: poll as well. Returns the
   * unsubscriber.
   */
  onAppended(wake: () => void): () => void;
}

export interface FeedLimits {
  readonly maxEvents: number;
  readonly maxBytes: number;
  /** False: `data` is not read (no subscription has a filter), which saves most of the bytes. */
  readonly withData: boolean;
}

export type FeedEvent = EventHead & { readonly data: string | null };

export interface EventReader {
  byId(id: EventId, scope: Scope): Promise<EventRecord | null>;
}

/** Sets aside what can never be processed, with its reason, so that the stream goes on. */
export interface PoisonEvent {
  readonly position: EventPosition;
  readonly eventId: EventId;
  readonly reason: string;
  readonly atMs: number;
}
