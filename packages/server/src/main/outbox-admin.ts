/**
 * What an operator does to an outbox table: `flowcatalyst outbox init | status | list | pause | resume | skip | retry`.
 *
 * It asks the application's database itself, of the same settings as the processor, and needs no processor to run: a
 * table is looked at and mended where nothing runs at all. A processor that runs notices by its next claim, since
 * pausing, skipping and retrying are rows of that database. States have names here, and pages have cursors; the
 * source knows numbers and positions.
 *
 * Failures: what the settings lack is CONFIG_INVALID, with all faults at once; so is a table that is not there, which
 * says how it is made. A database that does not answer is STORE_UNAVAILABLE. What changes many rows does so in steps:
 * each is done or not, and an interrupt ends between two.
 */
import { CodedError, isCodedError } from "@flowcatalyst/foundation";
import { hostname } from "node:os";
import { z } from "zod";
import {
  outboxStatus,
  type OutboxForm,
  type OutboxPosition,
  type OutboxRowId,
  type OutboxStatus,
} from "../domain/outbox-row.ts";
import type {
  OutboxAdmin,
  OutboxListedRow,
  OutboxPage,
  OutboxQuery,
  OutboxRetryRule,
  OutboxSelection,
} from "../ports/outbox-source.ts";
import { openOutboxAt, refusedByDatabase } from "./outbox-source-at.ts";
import { requireProcessConfig } from "./process-config.ts";

export interface OutboxOperationsInput {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** By property: `outboxDbUrl`, `outboxMode`, `outboxTable`, `configPath`. */
  readonly flags: Readonly<Record<string, string>>;
  readonly isTerminal: boolean;
}

export interface OutboxOperations {
  /** The statements that make the tables. */
  ddl(): readonly string[];
  /** Runs them; what is there already stays as it is. */
  init(): Promise<void>;
  status(): Promise<OutboxStatusReport>;
  list(query: OutboxListQuery): Promise<OutboxListPage>;
  pause(reason: string): Promise<void>;
  resume(): Promise<void>;
  /** How many rows `change` would touch. */
  count(change: Pick<OutboxChange, "act" | "which">): Promise<number>;
  /** Step by step until as many as were there are done, or the signal comes; how many were changed. */
  change(change: OutboxChange, signal: AbortSignal): Promise<number>;
  close(): Promise<void>;
}

export type OutboxStateName =
  | "PENDING"
  | "SUCCESS"
  | "BAD_REQUEST"
  | "INTERNAL_ERROR"
  | "UNAUTHORIZED"
  | "FORBIDDEN"
  | "GATEWAY_ERROR"
  | "IN_PROGRESS";

export interface OutboxStatusReport {
  readonly mode: OutboxForm;
  readonly paused: boolean;
  readonly pausedReason: string | null;
  /** The processor that has the lease now; null: none. */
  readonly processor: string | null;
  readonly pending: number;
  readonly inProgress: number;
  /** Will be tried again. */
  readonly waiting: number;
  /** Tried in vain as often as is allowed. */
  readonly exhausted: number;
  readonly refused: number;
  /** Counts end here: a number equal to it means that many or more. */
  readonly countedTo: number;
  readonly oldestAgeMs: number | null;
}

export interface OutboxListQuery {
  readonly states: readonly OutboxStateName[];
  readonly group: string | undefined;
  readonly limit: number;
  readonly cursor: string | undefined;
}

export interface OutboxListPage {
  readonly items: readonly OutboxItemOut[];
  readonly nextCursor?: string;
}

export interface OutboxItemOut {
  readonly id: string;
  readonly type: string;
  readonly group: string | null;
  readonly status: OutboxStateName;
  readonly retryCount: number;
  readonly payloadBytes: number;
  readonly error: string | null;
}

/** Rows by their ids, or those of these states, of one group if one is named. */
export type OutboxChoice =
  | { readonly kind: "ids"; readonly ids: readonly string[] }
  | { readonly kind: "states"; readonly states: readonly OutboxStateName[]; readonly group: string | undefined };

export type OutboxChange = { readonly which: OutboxChoice } & (
  | { readonly act: "retry" }
  | { readonly act: "skip"; readonly reason: string }
);

const rowsAStep = 1_000;

const statusOf: Readonly<Record<OutboxStateName, OutboxStatus>> = {
  PENDING: outboxStatus.pending,
  SUCCESS: outboxStatus.success,
  BAD_REQUEST: outboxStatus.badRequest,
  INTERNAL_ERROR: outboxStatus.internalError,
  UNAUTHORIZED: outboxStatus.unauthorized,
  FORBIDDEN: outboxStatus.forbidden,
  GATEWAY_ERROR: outboxStatus.gatewayError,
  IN_PROGRESS: outboxStatus.inProgress,
};

const nameOf: Readonly<Record<OutboxStatus, OutboxStateName>> = {
  [outboxStatus.pending]: "PENDING",
  [outboxStatus.success]: "SUCCESS",
  [outboxStatus.badRequest]: "BAD_REQUEST",
  [outboxStatus.internalError]: "INTERNAL_ERROR",
  [outboxStatus.unauthorized]: "UNAUTHORIZED",
  [outboxStatus.forbidden]: "FORBIDDEN",
  [outboxStatus.gatewayError]: "GATEWAY_ERROR",
  [outboxStatus.inProgress]: "IN_PROGRESS",
};

/** Opens the table that the settings name. Throws CONFIG_INVALID, and what the engine reports when it is opened. */
export async function openOutboxOperations(input: OutboxOperationsInput): Promise<OutboxOperations> {
  const facts = { isTerminal: input.isTerminal, hostName: hostname(), pid: process.pid };
  const { config } = await requireProcessConfig("outbox", { env: input.env, flags: input.flags, facts });
  const admin = await openOutboxAt(config);
  const rule = { maxRetries: config.outboxMaxRetries, blockOnError: config.outboxBlockOnError };
  return createOutboxOperations(admin, { mode: config.outboxMode, rule });
}

export function createOutboxOperations(
  admin: OutboxAdmin,
  { mode, rule }: { readonly mode: OutboxForm; readonly rule: OutboxRetryRule },
): OutboxOperations {
  const { source } = admin;
  const verify = (): Promise<void> => source.verify().catch(thrown);
  return {
    ddl: () => admin.ddl(),
    init: async () => {
      await admin.init().catch(thrown);
      await verify();
    },
    status: async () => {
      await verify();
      const [{ pausedReason, holder }, counts] = await Promise.all([admin.control(), source.counts(rule)]);
      return { mode, paused: pausedReason !== null, pausedReason, processor: holder, ...counts };
    },
    list: async ({ states, group = null, limit, cursor }) => {
      await verify();
      const page = await listFrom(admin, cursor, { states: states.map((name) => statusOf[name]), group, limit });
      const items = page.rows.map(itemOf);
      return page.next === null ? { items } : { items, nextCursor: cursorOf(page.next) };
    },
    pause: async (reason) => {
      await verify();
      await admin.pause(reason);
    },
    resume: async () => {
      await verify();
      await admin.resume();
    },
    count: async ({ act, which }) => {
      await verify();
      return admin.count(selectionOf(which), act);
    },
    change: async (change, signal) => {
      await verify();
      return changeAll(admin, change, signal);
    },
    close: () => source.close(),
  };
}

function thrown(error: unknown): never {
  throw refusedByDatabase(error);
}

/**
 * At most as many as there are when it begins: a processor that runs may refuse again what was just made pending, and
 * that must not go round for ever.
 */
async function changeAll(admin: OutboxAdmin, change: OutboxChange, signal: AbortSignal): Promise<number> {
  const which = selectionOf(change.which);
  const step = (limit: number): Promise<number> =>
    change.act === "skip" ? admin.skip(which, change.reason, limit) : admin.retry(which, limit);
  const count = await admin.count(which, change.act);
  let changed = 0;
  while (changed < count) {
    signal.throwIfAborted();
    const now = await step(Math.min(rowsAStep, count - changed));
    if (now === 0) break;
    changed += now;
  }
  return changed;
}

function selectionOf(which: OutboxChoice): OutboxSelection {
  // An id that no row has changes nothing: whatever somebody typed may be asked for.
  if (which.kind === "ids") return { kind: "ids", ids: which.ids as readonly OutboxRowId[] };
  const states = which.states.map((name) => statusOf[name]);
  return which.group === undefined ? { kind: "states", states } : { kind: "group", group: which.group, states };
}

function itemOf(row: OutboxListedRow): OutboxItemOut {
  const { id, type, group, retryCount, payloadBytes, error } = row;
  return { id, type, group, status: nameOf[row.status], retryCount, payloadBytes, error };
}

const cursorShape = z.tuple([z.string(), z.string()]);

function cursorOf({ createdAt, id }: OutboxPosition): string {
  return Buffer.from(JSON.stringify([createdAt, id])).toString("base64url");
}

/** Only the engine reads the time of a position; what it reports for one that is none is a fault of the cursor. */
async function listFrom(
  admin: OutboxAdmin,
  cursor: string | undefined,
  query: Omit<OutboxQuery, "after">,
): Promise<OutboxPage> {
  if (cursor === undefined) return admin.list({ ...query, after: null });
  const after = positionOf(cursor);
  try {
    return await admin.list({ ...query, after });
  } catch (error) {
    if (isCodedError(error)) throw error;
    // Where the beginning of the list cannot be read either, the cursor is not why.
    await admin.list({ ...query, limit: 1, after: null });
    throw cursorRefused(cursor, error);
  }
}

function cursorRefused(cursor: string, cause?: unknown): CodedError {
  return new CodedError("USAGE_INVALID", { message: `"${cursor}" is no cursor of such a list`, cause });
}

function positionOf(cursor: string): OutboxPosition {
  const read = cursorShape.safeParse(parsed(Buffer.from(cursor, "base64url").toString()));
  if (!read.success) throw cursorRefused(cursor);
  const [createdAt, id] = read.data;
  return { createdAt, id: id as OutboxRowId };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
