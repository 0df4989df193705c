import { outboxRetryDelayMs, type OutboxPosition, type OutboxRow, type OutboxRowId } from "../../domain/outbox-row.ts";
import type { OutboxClaim, OutboxClaimAnswer } from "../../ports/outbox-source.ts";
import { chooseRows, countWithin, firstHeld, isBefore, type HeldFrom, type LookedRow } from "../held-groups.ts";
import { waitingStates } from "../table-form.ts";
import { numberIn, textIn, textOrNullIn, type MysqlSession, type SqlRow, type SqlValue } from "./mysql-database.ts";
import type { MysqlTable } from "./mysql-ddl.ts";

/**
 * Claims, each within a transaction that has the control row locked, so that there is one at a time.
 *
 * What may go is decided on one statement, because each statement sees the database in a state of its own: between two
 * of them a row may come back to its group. It gives the rows looked at, and for each of their groups from where on it
 * is held. No later change lets one of the chosen rows wait, but an operator's: so they are locked, passing by those
 * that somebody else has locked, and what is not there any more holds the rest of its group until the next look.
 *
 * Statements name their indexes: both engines else take `status` alone for a range, and go through all that stand
 * before the position.
 */
export async function claimRows(
  session: MysqlSession,
  table: MysqlTable,
  claim: OutboxClaim,
): Promise<Extract<OutboxClaimAnswer, { readonly kind: "claimed" }>> {
  const question = claim.which === "new" ? newQuestion(table, claim) : retryQuestion(table, claim);
  const { looked, heldFrom } = readLook(await session.rows(question.sql, question.values), claim);
  const choice = chooseRows(looked, heldFrom, claim.maxRows);
  if (claim.which === "retries") await makePending(session, table, choice.held);
  const sizes = await lock(session, table, { claim, rows: choice.chosen });
  const present = choice.chosen.filter((row) => !isMissing(row, choice.chosen, sizes));
  const sized = present.map(({ id }) => ({ id, bytes: sizes.get(id) ?? 0 }));
  const given = present.slice(0, countWithin(sized, claim.maxBytes, claim.payloadMaxBytes));
  const isShort = given.length < present.length;
  const last = isShort ? (given.at(-1) ?? null) : choice.last;
  const lastIndex = last === null ? -1 : looked.indexOf(last);
  const rows = await take(session, table, { rows: given, claim });
  return {
    kind: "claimed",
    rows,
    next: claim.which === "retries" || last === null ? null : { createdAt: last.createdAt, id: last.id },
    passedOver: claim.which === "retries" ? choice.held.length : lastIndex + 1 - rows.length,
  };
}

/** Ids in one statement; more of them would let MariaDB make a table of the list. */
const idsPerStatement = 500;

export function* inParts<Item>(items: readonly Item[]): Generator<readonly Item[]> {
  for (let from = 0; from < items.length; from += idsPerStatement) yield items.slice(from, from + idsPerStatement);
}

interface Question {
  readonly sql: string;
  readonly values: readonly SqlValue[];
}

/**
 * The first pending row of a group holds all of it, if the look began behind it. Rows of one statement have one time,
 * so positions are ranges of the index in both columns, and the first row of a group is asked for instead of sought.
 */
function newQuestion(table: MysqlTable, { after, maxScanned, blockOnError }: OutboxClaim): Question {
  const { form, rows } = table;
  const behind = after === null ? "" : `AND ${behindPosition}`;
  const position = after === null ? [] : [after.createdAt, after.id, after.createdAt];
  const words = blockOnError ? form.words([0, ...waitingStates]) : [form.word(0)];
  return asked(table, {
    look: `SELECT id, created_at, ${form.group} AS grouped FROM ${rows} FORCE INDEX (${table.indexes.look})
      WHERE status = ? ${behind} ORDER BY created_at, id LIMIT ?`,
    lookValues: [form.word(0), ...position, maxScanned],
    firsts: words.map((word) => ({ condition: "f.status = ?", values: [word] })),
  });
}

/** With the time, the id, and the time again. */
export const behindPosition = "((created_at = ? AND id > ?) OR created_at > ?)";

function retryQuestion(table: MysqlTable, { maxScanned, maxRetries, blockOnError }: OutboxClaim): Question {
  const { form, rows } = table;
  const waiting = form.words(waitingStates);
  const due = dueCondition(maxRetries);
  const look = `SELECT id, created_at, ${form.group} AS grouped FROM ${rows} FORCE INDEX (${table.indexes.retry})
    WHERE status IN (?) AND ${due} ORDER BY created_at, id LIMIT ?`;
  const notDue = blockOnError ? [{ condition: `f.status IN (?) AND NOT ${due}`, values: [waiting] }] : [];
  return asked(table, {
    look,
    lookValues: [waiting, maxScanned],
    firsts: [{ condition: "f.status = ?", values: [form.word(0)] }, ...notDue],
  });
}

/** One range of the index for each number of retries that has a delay of its own. */
function dueCondition(maxRetries: number): string {
  const ranges: string[] = [];
  const longest = longestDelayFrom();
  for (let count = 0; count < Math.min(maxRetries, longest); count++) {
    // An application may have written a number below zero: it counts as none.
    ranges.push(`(retry_count ${count === 0 ? "<=" : "="} ${count} AND ${isOver(count)})`);
  }
  if (maxRetries > longest) {
    ranges.push(`(retry_count >= ${longest} AND retry_count < ${maxRetries} AND ${isOver(longest)})`);
  }
  return ranges.length === 0 ? "(0)" : `(${ranges.join(" OR ")})`;
}

const microsecondsPerMs = 1_000;

function isOver(retryCount: number): string {
  const microseconds = outboxRetryDelayMs(retryCount) * microsecondsPerMs;
  return `updated_at <= UTC_TIMESTAMP(6) - INTERVAL ${microseconds} MICROSECOND`;
}

/** From so many retries on, the delay grows no more. */
function longestDelayFrom(): number {
  let count = 1;
  while (outboxRetryDelayMs(count) < outboxRetryDelayMs(count + 1)) count += 1;
  return count;
}

interface QuestionParts {
  readonly look: string;
  readonly lookValues: readonly SqlValue[];
  /** The first row of the group with each of these conditions holds what is behind it. */
  readonly firsts: readonly { readonly condition: string; readonly values: readonly SqlValue[] }[];
}

/**
 * Rows come with their position; groups with whether they are under way, and with those first rows. Each group is told
 * of byte by byte, though a collation may hold several for one: then each of them is held by what holds another.
 */
function asked({ form, rows, indexes }: MysqlTable, parts: QuestionParts): Question {
  const columns = (column: string): string =>
    parts.firsts
      .map(({ condition }, index) => {
        const first = `SELECT f.${column} FROM ${rows} f FORCE INDEX (${indexes.group})
          WHERE f.${form.group} = g.grouped AND ${condition}
          ORDER BY f.created_at, f.id LIMIT 1`;
        return `, (${first}) AS ${column}_${index}`;
      })
      .join("");
  const none = parts.firsts.map((_, index) => `, NULL AS created_at_${index}`).join("");
  const noneIds = parts.firsts.map((_, index) => `, NULL AS id_${index}`).join("");
  const firstValues = parts.firsts.flatMap(({ values }) => values);
  return {
    sql: `SELECT 0 AS kind, l.id AS id, l.created_at AS created_at, l.grouped AS grouped, 0 AS held ${none} ${noneIds}
      FROM (${parts.look}) l
      UNION ALL
      SELECT 1, NULL, NULL, g.grouped,
        EXISTS (SELECT 1 FROM ${rows} b FORCE INDEX (${indexes.group})
          WHERE b.${form.group} = g.grouped AND b.status = ?)
        ${columns("created_at")} ${columns("id")}
      FROM (SELECT MIN(d.grouped) AS grouped FROM (${parts.look}) d
        WHERE d.grouped IS NOT NULL GROUP BY HEX(d.grouped)) g`,
    values: [...parts.lookValues, form.word(9), ...firstValues, ...firstValues, ...parts.lookValues],
  };
}

const isRow = 0;
/** The first pending row of a group is asked for before those that wait. */
const pendingFirst = 0;

/** A pending row is among the rows looked at, or stands before them all and holds what is behind it. */
function readLook(
  answer: readonly SqlRow[],
  { which, after }: OutboxClaim,
): {
  readonly looked: readonly LookedRow[];
  readonly heldFrom: ReadonlyMap<string, HeldFrom>;
} {
  const isHolding = (first: OutboxPosition, isPending: boolean): boolean =>
    which === "retries" || !isPending || (after !== null && !isBefore(after, first));
  const looked: LookedRow[] = [];
  const heldFrom = new Map<string, HeldFrom>();
  for (const row of answer) {
    if (numberIn(row, "kind") === isRow) {
      const group = textOrNullIn(row, "grouped");
      looked.push({ createdAt: textIn(row, "created_at"), id: textIn(row, "id") as OutboxRowId, group });
      continue;
    }
    let from: HeldFrom | null = numberIn(row, "held") === 1 ? "all" : null;
    for (let index = 0; `id_${index}` in row; index++) {
      const id = textOrNullIn(row, `id_${index}`);
      if (id === null) continue;
      const first: OutboxPosition = { createdAt: textIn(row, `created_at_${index}`), id: id as OutboxRowId };
      if (isHolding(first, index === pendingFirst)) from = firstHeld(from, first);
    }
    if (from !== null) heldFrom.set(textIn(row, "grouped"), from);
  }
  return { looked, heldFrom };
}

/** Due rows that may not go are looked at as pending ones from now on. */
async function makePending(session: MysqlSession, table: MysqlTable, held: readonly LookedRow[]): Promise<void> {
  const { form, rows } = table;
  for (const part of inParts(held)) {
    await session.run(`UPDATE ${rows} SET status = ? WHERE id IN (?) AND status IN (?)`, [
      form.word(0),
      part.map(({ id }) => id),
      form.words(waitingStates),
    ]);
  }
}

/** Sizes of those that are still what they were, by id. */
async function lock(
  session: MysqlSession,
  table: MysqlTable,
  { claim, rows }: { readonly claim: OutboxClaim; readonly rows: readonly LookedRow[] },
): Promise<ReadonlyMap<OutboxRowId, number>> {
  const words = table.form.words(claim.which === "new" ? [0] : waitingStates);
  const sizes = new Map<OutboxRowId, number>();
  for (const part of inParts(rows)) {
    const locked = await session.rows(
      `SELECT id, OCTET_LENGTH(payload) AS bytes FROM ${table.rows}
       WHERE id IN (?) AND status IN (?) FOR UPDATE SKIP LOCKED`,
      [part.map(({ id }) => id), words],
    );
    for (const row of locked) sizes.set(textIn(row, "id") as OutboxRowId, numberIn(row, "bytes"));
  }
  return sizes;
}

/** Gone, locked by somebody else, or behind such a one in its group. */
function isMissing(row: LookedRow, chosen: readonly LookedRow[], sizes: ReadonlyMap<OutboxRowId, number>): boolean {
  if (!sizes.has(row.id)) return true;
  if (row.group === null || sizes.size === chosen.length) return false;
  const before = chosen.slice(0, chosen.indexOf(row));
  return before.some(({ id, group }) => group === row.group && !sizes.has(id));
}

async function take(
  session: MysqlSession,
  { form, rows }: MysqlTable,
  { rows: given, claim }: { readonly rows: readonly LookedRow[]; readonly claim: OutboxClaim },
): Promise<readonly OutboxRow[]> {
  const read = new Map<string, SqlRow>();
  for (const part of inParts(given)) {
    const ids = part.map(({ id }) => id);
    const set = "status = ?, retry_count = GREATEST(retry_count, 0), updated_at = UTC_TIMESTAMP(6)";
    await session.run(`UPDATE ${rows} SET ${set} WHERE id IN (?)`, [form.word(9), ids]);
    const own = form.form === "platform" ? "type, client_id" : "pool_code, target, deduplication_id";
    const found = await session.rows(
      `SELECT id, created_at, retry_count, CAST(headers AS CHAR) AS headers_text, OCTET_LENGTH(payload) AS bytes,
         IF(OCTET_LENGTH(payload) > ?, NULL, CAST(payload AS CHAR)) AS payload_text, ${own}
       FROM ${rows} WHERE id IN (?)`,
      [claim.payloadMaxBytes, ids],
    );
    for (const row of found) read.set(textIn(row, "id"), row);
  }
  return given.flatMap((looked) => {
    const row = read.get(looked.id);
    return row === undefined ? [] : [outboxRow(form.form, looked, row)];
  });
}

function outboxRow(form: OutboxRow["form"], { id, createdAt, group }: LookedRow, row: SqlRow): OutboxRow {
  const common = {
    id,
    position: { createdAt, id },
    group,
    payload: textOrNullIn(row, "payload_text"),
    payloadBytes: numberIn(row, "bytes"),
    headers: textOrNullIn(row, "headers_text"),
    retryCount: numberIn(row, "retry_count"),
  };
  return form === "platform"
    ? { ...common, form, type: textIn(row, "type"), clientId: textOrNullIn(row, "client_id") }
    : {
        ...common,
        form,
        poolCode: textOrNullIn(row, "pool_code"),
        target: textIn(row, "target"),
        deduplicationId: textOrNullIn(row, "deduplication_id"),
      };
}
