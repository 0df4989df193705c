import { configInvalid } from "@flowcatalyst/foundation";
import { outboxStatus, type OutboxForm, type OutboxStatus } from "../domain/outbox-row.ts";
import type { OutboxAct, OutboxSelection } from "../ports/outbox-source.ts";

/**
 * The two forms of an outbox table, as SQL sees them: names of columns, and what stands for a state. The older form has
 * fewer states: FAILED is every refusal, RETRYING every row that waits.
 */
export interface SqlForm {
  readonly form: OutboxForm;
  /** The column of the group, and so on, where the forms differ in a name. */
  readonly group: string;
  readonly error: string;
  /** Each state as a literal. */
  readonly pending: string;
  readonly inProgress: string;
  readonly success: string;
  /** Literals with commas between them. */
  readonly waiting: string;
  readonly refused: string;
  /** What rows have besides, in the order of a SELECT list. */
  readonly own: readonly string[];
  /** All columns a table must have. */
  readonly columns: readonly string[];
}

const shared = ["id", "payload", "headers", "status", "retry_count", "created_at", "updated_at"] as const;

const platformForm: SqlForm = {
  form: "platform",
  group: "message_group",
  error: "error_message",
  pending: "0",
  inProgress: "9",
  success: "1",
  waiting: "3, 4, 6",
  refused: "2, 5",
  own: ["type", "client_id"],
  columns: [...shared, "message_group", "error_message", "type", "client_id", "payload_size"],
};

const routerForm: SqlForm = {
  form: "router",
  group: "message_group_id",
  error: "last_error",
  pending: "'PENDING'",
  inProgress: "'PROCESSING'",
  success: "'PUBLISHED'",
  waiting: "'RETRYING'",
  refused: "'FAILED'",
  own: ["pool_code", "target", "deduplication_id"],
  columns: [...shared, "message_group_id", "last_error", "pool_code", "target", "deduplication_id", "published_at"],
};

export function sqlForm(form: OutboxForm): SqlForm {
  return form === "platform" ? platformForm : routerForm;
}

/** A state as a literal of that form. */
export function statusLiteral({ form }: SqlForm, status: OutboxStatus): string {
  return form === "platform" ? String(status) : `'${wordOf(status)}'`;
}

/** A state as a word of the older form. */
export function wordOf(status: OutboxStatus): string {
  switch (status) {
    case outboxStatus.pending:
      return "PENDING";
    case outboxStatus.success:
      return "PUBLISHED";
    case outboxStatus.badRequest:
    case outboxStatus.forbidden:
      return "FAILED";
    case outboxStatus.internalError:
    case outboxStatus.unauthorized:
    case outboxStatus.gatewayError:
      return "RETRYING";
    case outboxStatus.inProgress:
      return "PROCESSING";
  }
}

const statusByText: ReadonlyMap<string, OutboxStatus> = new Map([
  ...Object.values(outboxStatus).map((status) => [String(status), status] as const),
  ["PENDING", outboxStatus.pending],
  ["PUBLISHED", outboxStatus.success],
  ["FAILED", outboxStatus.badRequest],
  ["RETRYING", outboxStatus.internalError],
  ["PROCESSING", outboxStatus.inProgress],
]);

/** What an application wrote that is no state at all is read as a bad request: nobody sends it. */
export function statusOf(stored: string | number | null): OutboxStatus {
  return statusByText.get(String(stored)) ?? outboxStatus.badRequest;
}

/** Without repetitions: several states of ours may be one in the older form. */
export function statusLiterals(form: SqlForm, states: readonly OutboxStatus[]): readonly string[] {
  return [...new Set(states.map((status) => statusLiteral(form, status)))];
}

/**
 * Conditions on `status`, each of them one look-up in an index. What an application wrote that is no state counts as a
 * bad request, so it is found with those: between the states in the order of the index, and where there is none.
 */
export function statusConditions(form: SqlForm, states: readonly OutboxStatus[]): readonly string[] {
  const conditions = statusLiterals(form, states).map((literal) => `status = ${literal}`);
  if (!states.includes(outboxStatus.badRequest)) return conditions;
  const all = statusLiterals(form, Object.values(outboxStatus)).toSorted();
  const gaps = all.map((literal, index) => {
    const next = all[index + 1];
    return next === undefined ? `status > ${literal}` : `status > ${literal} AND status < ${next}`;
  });
  return [...conditions, "status IS NULL", `status < ${all[0] ?? ""}`, ...gaps];
}

/** All of them as one condition. */
export function inStates(form: SqlForm, states: readonly OutboxStatus[]): string {
  const conditions = statusConditions(form, states);
  return conditions.length === 0 ? "1 = 0" : `(${conditions.join(" OR ")})`;
}

/** From which number of retries on a waiting row has none left. One below zero counts as none. */
export function exhaustedFrom(maxRetries: number): number {
  return maxRetries > 0 ? maxRetries : lowestCount;
}

const lowestCount = -(2 ** 31);

const { pending, badRequest, internalError, unauthorized, forbidden, gatewayError } = outboxStatus;
const waitingStates = [internalError, unauthorized, gatewayError] as const;
/** Of which rows an operator may choose what he skips, or has tried again. */
const statesToChoose: Readonly<Record<OutboxAct, readonly OutboxStatus[]>> = {
  skip: [pending, ...waitingStates],
  retry: [...waitingStates, badRequest, forbidden],
};

/** Those of the states chosen that the act may touch; of ids, all that it may. */
export function statesToTouch(which: OutboxSelection, act: OutboxAct): readonly OutboxStatus[] {
  const states = statesToChoose[act];
  return which.kind === "ids" ? states : states.filter((status) => which.states.includes(status));
}

/** A table as the operator named it, with a schema if need be. */
export interface OutboxTable {
  readonly schema: string | null;
  readonly name: string;
}

/** Names of indexes are made of it, and 63 characters are what PostgreSQL keeps of a name. */
const NAME_MAX_CHARS = 40;
const word = "[A-Za-z_][A-Za-z0-9_]*";
const tablePattern = new RegExp(`^(?:(${word})\\.)?(${word})$`);

/** Throws CONFIG_INVALID for what is not a name. */
export function outboxTableOf(table: string): OutboxTable {
  const [, schema, name] = tablePattern.exec(table) ?? [];
  if (name === undefined || name.length > NAME_MAX_CHARS || (schema?.length ?? 0) > NAME_MAX_CHARS) {
    const reason = `names no table: letters, digits and underscores, at most ${NAME_MAX_CHARS}, and at most one dot`;
    throw configInvalid([{ key: "FC_OUTBOX_TABLE", source: "outbox", reason }]);
  }
  return { schema: schema ?? null, name };
}

/** What to do when a table, or columns of it, are not there. */
export function tablesMissing(table: string, missing: readonly string[]): Error {
  const what = missing.length === 0 ? `there is no table ${table}` : `${table} lacks ${missing.join(", ")}`;
  const reason = `${what}; \`flowcatalyst outbox init\` makes it, with --print it only shows how`;
  return addressRefused(reason);
}

/** An address that names no table, or that the driver will not have. `reason` names no password. */
export function addressRefused(reason: string): Error {
  return configInvalid([{ key: "FC_OUTBOX_DB_URL", source: "database", reason }]);
}

/** What a driver makes of the address. Throws CONFIG_INVALID, without the address itself, for what it will not take. */
export function withDriver<Opened>(open: () => Opened): Opened {
  try {
    return open();
  } catch (error) {
    const said = error instanceof Error && !error.message.includes("//") ? `: ${error.message}` : "";
    throw addressRefused(`is not an address that the driver takes${said}`);
  }
}

/** Where counts stop. */
export const outboxCountedTo = 10_000;
