/**
 * What the columns of `queue_messages` mean, shared by the statements of this folder. The states are told in
 * postgres-queue.ts; their numbers stand in the predicates of the indexes.
 */
export const rowState = { fresh: 0, ready: 1, blocked: 2, delayed: 3, inFlight: 4 } as const;

export const rowKind = { platform: 0, standalone: 1 } as const;

export interface MessageRow {
  readonly seq: number;
  readonly grouped: boolean;
  readonly kind: number;
  readonly receive_count: number;
  readonly published_at_ms: number;
  readonly body: string;
}

/** A row that left the queue, or whose place in its group matters. */
export interface PlacedRow {
  readonly seq: number;
  readonly group_key: string | null;
  /**
   * Nothing of its group below this place is unsettled, so nobody needs to step over what is dead there; 0: not known.
   * Once true it stays true, because new rows get higher places.
   */
  readonly floor: number;
}

/** Keys of advisory locks: any constants will do, as long as nobody else in the database uses them. */
export const queueLocks = { publishing: 7_301_846_521_001, sweeping: 7_301_846_521_002 } as const;

/**
 * The FRESH rows that a row `c` of `queue_claims` speaks of. OFFSET 0 keeps the planner from weighing it against
 * reading the whole index and comparing each with each, which looks cheap while the table is empty.
 */
export function freshRowsOf(columns: string): string {
  return `(
    SELECT ${columns} FROM queue_messages m
    WHERE m.lane = c.lane AND m.state = ${rowState.fresh} AND m.seq BETWEEN c.first_seq AND c.last_seq OFFSET 0
  )`;
}
