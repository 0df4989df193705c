import type { OutboxPosition, OutboxRowId } from "../domain/outbox-row.ts";

/**
 * Which of the rows that a claim looked at may go, for engines that tell of each group from where on it is held,
 * instead of deciding it within one statement.
 *
 * The rows are in order, and what is taken is the first of those that are not held: so of a group it is always the
 * first ones, and nothing of it is overtaken.
 */
export interface LookedRow extends OutboxPosition {
  readonly group: string | null;
}

/** Rows of a group behind this position are held; `all`: every one that was looked at. */
export type HeldFrom = "all" | OutboxPosition;

export interface Choice<Row extends LookedRow> {
  readonly chosen: readonly Row[];
  readonly held: readonly Row[];
  /** True: maxRows were chosen before all rows had been looked at. */
  readonly isCut: boolean;
  readonly last: Row | null;
}

export function chooseRows<Row extends LookedRow>(
  looked: readonly Row[],
  heldFrom: ReadonlyMap<string, HeldFrom>,
  maxRows: number,
): Choice<Row> {
  const chosen: Row[] = [];
  const held: Row[] = [];
  for (const [index, row] of looked.entries()) {
    const from = row.group === null ? undefined : heldFrom.get(row.group);
    if (from !== undefined && (from === "all" || isBefore(from, row))) held.push(row);
    else chosen.push(row);
    if (chosen.length === maxRows) return { chosen, held, isCut: index + 1 < looked.length, last: row };
  }
  return { chosen, held, isCut: false, last: looked.at(-1) ?? null };
}

/** The nearer of two. */
export function firstHeld(one: HeldFrom | null, other: HeldFrom | null): HeldFrom | null {
  if (one === null || other === null) return one ?? other;
  if (one === "all" || other === "all") return "all";
  return isBefore(one, other) ? one : other;
}

export function isBefore(one: OutboxPosition, other: OutboxPosition): boolean {
  return one.createdAt === other.createdAt ? one.id < other.id : one.createdAt < other.createdAt;
}

/** A row that was chosen, and what reading its payload would cost. */
export interface SizedRow {
  readonly id: OutboxRowId;
  readonly bytes: number;
}

/**
 * How many of the chosen rows, from the first on, stay within the bytes. One payload is read whatever its size; one
 * that is too large for its row is not read, and costs nothing.
 */
export function countWithin(sizes: readonly SizedRow[], maxBytes: number, payloadMaxBytes: number): number {
  let read = 0;
  for (const [index, { bytes }] of sizes.entries()) {
    if (bytes > payloadMaxBytes) continue;
    if (read > 0 && read + bytes > maxBytes) return index;
    read += bytes;
  }
  return sizes.length;
}
