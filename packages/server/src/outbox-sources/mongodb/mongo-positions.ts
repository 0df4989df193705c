import type { Filter } from "mongodb";
import {
  outboxRetryDelayMs,
  outboxStatus,
  type OutboxPosition,
  type OutboxRowId,
  type OutboxStatus,
} from "../../domain/outbox-row.ts";
import type { LookedRow } from "../held-groups.ts";
import type { TableForm } from "../table-form.ts";
import { textOrNullField, type RowDocument } from "./mongo-database.ts";

/** Where rows stand, and filters made of it. A row without a time stands before all others. */
export type RowFilter = Filter<RowDocument>;

export const inOrder = { created_at: 1, _id: 1 } as const;

export function positionOf(row: RowDocument): OutboxPosition {
  const createdAt: unknown = row["created_at"];
  const text = createdAt instanceof Date ? createdAt.toISOString() : "";
  return { createdAt: text, id: row._id as OutboxRowId };
}

export function lookedRow(form: TableForm, row: RowDocument): LookedRow {
  return { ...positionOf(row), group: textOrNullField(row, form.group) };
}

/** What an application wrote that is no state, or left out, counts as a bad request. */
export function inStates(form: TableForm, states: readonly OutboxStatus[]): RowFilter {
  const wanted = form.words(states);
  if (!states.includes(outboxStatus.badRequest)) return { status: { $in: wanted } };
  const others = form.words(Object.values(outboxStatus)).filter((word) => !wanted.includes(word));
  return { status: { $nin: others } };
}

export const beginning = new Date(0);

export function behind(after: OutboxPosition | null): RowFilter {
  if (after === null) return {};
  const { createdAt, id } = after;
  if (createdAt === "") return { $or: [{ created_at: { $gte: beginning } }, { created_at: null, _id: { $gt: id } }] };
  const time = timeOf(createdAt);
  return { created_at: { $gte: time }, $or: [{ created_at: { $gt: time } }, { _id: { $gt: id } }] };
}

export function upTo({ createdAt, id }: OutboxPosition): RowFilter {
  if (createdAt === "") return { created_at: null, _id: { $lte: id } };
  const time = timeOf(createdAt);
  return {
    $or: [{ created_at: { $lt: time } }, { created_at: time, _id: { $lte: id } }, { created_at: null }],
  };
}

function timeOf(createdAt: string): Date {
  const time = new Date(createdAt);
  // The driver would take it for 1970.
  if (Number.isNaN(time.getTime())) throw new RangeError("That is no position of a row.");
  return time;
}

/** Of waiting rows: those whose delay is over, with a range of the index for each number of retries with its own. */
export function dueBy(now: Date, maxRetries: number): RowFilter {
  const over = (count: number): { readonly $lte: Date } => ({
    $lte: new Date(now.getTime() - outboxRetryDelayMs(count)),
  });
  let longest = 1;
  while (outboxRetryDelayMs(longest) < outboxRetryDelayMs(longest + 1)) longest += 1;
  // Who writes without the SDK may leave the number out, or write one below zero. There is no delay before the first.
  const ranges: RowFilter[] = maxRetries > 0 ? [{ retry_count: { $in: [0, null] } }, { retry_count: { $lt: 0 } }] : [];
  for (let count = 1; count < Math.min(maxRetries, longest); count++) {
    ranges.push({ retry_count: count, updated_at: over(count) });
  }
  if (maxRetries > longest) {
    ranges.push({ retry_count: { $gte: longest, $lt: maxRetries }, updated_at: over(longest) });
  }
  return ranges.length === 0 ? { _id: { $in: [] } } : { $or: ranges };
}
