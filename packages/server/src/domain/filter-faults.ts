import type { EventId } from "./ids.ts";

/**
 * Filters of one subscription that could not be evaluated on an event: the event did not match, and its owner should
 * know why.
 */
export interface FilterFaults {
  readonly count: number;
  readonly lastReason: string;
  readonly lastEventId: EventId;
  readonly lastAtMs: number;
}
