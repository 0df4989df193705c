import type { OutboxResult, OutboxRow, OutboxRowId } from "../../domain/outbox-row.ts";
import type {
  OutboxClaim,
  OutboxClaimAnswer,
  OutboxCounts,
  OutboxLease,
  OutboxRetryRule,
  OutboxSource,
  OutboxSourceCapabilities,
} from "../../ports/outbox-source.ts";
import { exhaustedFrom, inStates, outboxCountedTo, sqlForm, tablesMissing } from "../outbox-form.ts";
import { errorText, finalStates, refusedStates, waitingStates } from "../table-form.ts";
import { claimRows, inParts } from "./mysql-claims.ts";
import {
  numberIn,
  textIn,
  textOrNullIn,
  type MysqlDatabase,
  type MysqlSession,
  type SqlRow,
  type SqlValue,
} from "./mysql-database.ts";
import type { MysqlTable } from "./mysql-ddl.ts";
import { verifyMysqlTables } from "./mysql-table.ts";

/**
 * Outbox tables in MySQL 8 and MariaDB 10.6 or later.
 *
 * Order. `created_at` is the server's clock at the start of the statement that inserts, in UTC, so of two applications
 * that wait for each other the second one's rows are later; rows of one statement are told apart by their ids. A
 * transaction that commits late puts its rows before others that were claimed already: that is what the processor
 * looks back for, and why order is promised only to writers that wait for each other.
 *
 * Claims lock the control row, compare the epoch, and do all of their work in that transaction (mysql-claims.ts): they
 * come one after another, and one whose lease is over takes nothing. Settling does not wait for them: it only touches
 * rows in progress, which no claim does.
 *
 * Failures. A call is one transaction, done again after a lost deadlock. When the connection breaks during COMMIT,
 * nobody knows whether it happened: the caller learns STORE_UNAVAILABLE, settles again (which changes nothing the
 * second time), and what a claim may have left in progress comes back by `recover`.
 *
 * Nothing wakes: neither engine tells of commits. The processor polls.
 */
export const mysqlOutboxCapabilities: OutboxSourceCapabilities = { wakeUps: false, fencedClaims: true };

const microsecondsPerMs = 1_000;
const now = "UTC_TIMESTAMP(6)";
const maxRetryCount = 32_767;

export function createMysqlSource(database: MysqlDatabase, table: MysqlTable): OutboxSource {
  return {
    capabilities: mysqlOutboxCapabilities,
    verify: () => verifyMysqlTables(database, table),
    lease: leaseOf(database, table),
    claim: (claim) => database.transaction((session) => claimUnlessFenced(session, table, claim)),
    settle: (results) => settle(database, table, results),
    release: (rows) => release(database, table, rows),
    recover: (inProgressForMs) => recover(database, table, inProgressForMs),
    deleteFinished: (settledForMs, limit) => deleteFinished(database, table, { settledForMs, limit }),
    counts: (rule) => counts(database, table, rule),
    listen: (_told, signal) => untilAborted(signal),
    probe: async () => {
      await database.rows("SELECT 1");
    },
    close: () => database.close(),
  };
}

async function claimUnlessFenced(
  session: MysqlSession,
  table: MysqlTable,
  claim: OutboxClaim,
): Promise<OutboxClaimAnswer> {
  const control = await lockControl(session, table);
  if (numberIn(control, "epoch") !== claim.epoch) return { kind: "fenced" };
  const reason = textOrNullIn(control, "paused_reason");
  if (reason !== null) return { kind: "paused", reason };
  return claimRows(session, table, claim);
}

async function lockControl(session: MysqlSession, table: MysqlTable): Promise<SqlRow> {
  const [control] = await session.rows(
    `SELECT epoch, holder, paused_reason, COALESCE(lease_until > ${now}, 0) AS held
     FROM ${table.control} WHERE id = 1 FOR UPDATE`,
  );
  if (control === undefined) throw tablesMissing(table.controlName, []);
  return control;
}

function leaseOf(database: MysqlDatabase, table: MysqlTable): OutboxLease {
  return {
    acquire: (holder, ttlMs) =>
      database.transaction(async (session) => {
        const control = await lockControl(session, table);
        const isHeld = numberIn(control, "held") === 1;
        const isOwn = textOrNullIn(control, "holder") === holder;
        if (isHeld && !isOwn) return null;
        const epoch = numberIn(control, "epoch") + (isHeld ? 0 : 1);
        await session.run(
          `UPDATE ${table.control} SET holder = ?, epoch = ?, lease_until = ${now} + INTERVAL ? MICROSECOND
           WHERE id = 1`,
          [holder, epoch, ttlMs * microsecondsPerMs],
        );
        return { epoch };
      }),
    release: async (holder) => {
      const sql = `UPDATE ${table.control} SET holder = NULL, lease_until = NULL WHERE id = 1 AND holder = ?`;
      await database.run(sql, [holder]);
    },
  };
}

interface Change {
  readonly set: string;
  readonly values: readonly SqlValue[];
  readonly where: string;
  readonly whereValues: readonly SqlValue[];
  readonly ids: readonly OutboxRowId[];
}

interface GatheredChange extends Change {
  readonly ids: OutboxRowId[];
}

async function settle(
  database: MysqlDatabase,
  table: MysqlTable,
  results: readonly OutboxResult[],
): Promise<readonly OutboxRowId[]> {
  const changes = new Map<string, GatheredChange>();
  for (const result of results) {
    const key = result.kind === "done" ? "done" : JSON.stringify({ ...result, id: "" });
    const change = changes.get(key) ?? changeFor(table, result);
    change.ids.push(result.id);
    changes.set(key, change);
  }
  if (changes.size === 0) return [];
  return database.transaction(async (session) => {
    const locked: OutboxRowId[] = [];
    for (const change of changes.values()) {
      for (const part of inParts(change.ids))
        locked.push(...(await changeUnlocked(session, table, { ...change, ids: part })));
    }
    return locked;
  });
}

/** Waits for nobody's lock: gives the rows that it would have to wait for. */
async function changeUnlocked(
  session: MysqlSession,
  table: MysqlTable,
  { set, values, where, whereValues, ids }: Change,
): Promise<readonly OutboxRowId[]> {
  const wanted = `SELECT id FROM ${table.rows} WHERE id IN (?) AND ${where}`;
  const found = await session.rows(`${wanted} FOR UPDATE SKIP LOCKED`, [ids, ...whereValues]);
  const free = found.map((row) => textIn(row, "id"));
  if (free.length > 0) {
    const sql = `UPDATE ${table.rows} SET ${set}, updated_at = ${now} WHERE id IN (?)`;
    await session.run(sql, [...values, free]);
  }
  if (free.length === ids.length) return [];
  const left = await session.rows(wanted, [ids, ...whereValues]);
  return left.map((row) => textIn(row, "id") as OutboxRowId);
}

/** `status` stands last in each: MySQL assigns from left to right. */
function changeFor({ form }: MysqlTable, result: OutboxResult): GatheredChange {
  const inProgress = { where: "status = ?", whereValues: [form.word(9)], ids: [] };
  switch (result.kind) {
    case "done": {
      const published = form.publishedAt === null ? "" : `${form.publishedAt} = ${now}, `;
      const unsettled = { where: "status NOT IN (?)", whereValues: [form.words(finalStates)], ids: [] };
      return { set: `${form.error} = NULL, ${published}status = ?`, values: [form.word(1)], ...unsettled };
    }
    case "refused": {
      const values = [errorText(result.error), form.word(result.status)];
      return { set: `${form.error} = ?, status = ?`, values, ...inProgress };
    }
    case "failed": {
      const retry = result.countsAsRetry ? `retry_count = LEAST(retry_count + 1, ${maxRetryCount}), ` : "";
      const values = [errorText(result.error), form.word(result.status)];
      return { set: `${retry}${form.error} = ?, status = ?`, values, ...inProgress };
    }
  }
}

function backToPending({ form }: MysqlTable, ids: readonly OutboxRowId[]): Change {
  return { set: "status = ?", values: [form.word(0)], where: "status = ?", whereValues: [form.word(9)], ids };
}

async function release(
  database: MysqlDatabase,
  table: MysqlTable,
  rows: readonly OutboxRow[],
): Promise<readonly OutboxRowId[]> {
  if (rows.length === 0) return [];
  return database.transaction(async (session) => {
    const locked: OutboxRowId[] = [];
    for (const part of inParts(rows.map(({ id }) => id))) {
      locked.push(...(await changeUnlocked(session, table, backToPending(table, part))));
    }
    return locked;
  });
}

/** What somebody else has locked stays for the next time. */
function recover(database: MysqlDatabase, table: MysqlTable, inProgressForMs: number): Promise<number> {
  const left = `SELECT id FROM ${table.rows}
    WHERE status = ? AND (? = 0 OR updated_at <= ${now} - INTERVAL ? MICROSECOND) FOR UPDATE SKIP LOCKED`;
  return database.transaction(async (session) => {
    await giveTimes(session, table);
    const values = [table.form.word(9), inProgressForMs, inProgressForMs * microsecondsPerMs];
    const ids = (await session.rows(left, values)).map((row) => textIn(row, "id"));
    let recovered = 0;
    for (const part of inParts(ids)) {
      const sql = `UPDATE ${table.rows} SET status = ?, updated_at = ${now} WHERE id IN (?)`;
      recovered += await session.run(sql, [table.form.word(0), part]);
    }
    return recovered;
  });
}

/** Pending rows that an application wrote without a time, which have no place in the order, get one. */
async function giveTimes(session: MysqlSession, { form, rows }: MysqlTable): Promise<void> {
  // IS NULL would find zeros as well, of a column that cannot be NULL.
  const without = `SELECT id FROM ${rows} WHERE status = ? AND created_at <=> NULL FOR UPDATE SKIP LOCKED`;
  const found = await session.rows(without, [form.word(0)]);
  for (const part of inParts(found.map((row) => textIn(row, "id")))) {
    await session.run(`UPDATE ${rows} SET created_at = ${now} WHERE id IN (?)`, [part]);
  }
}

/** By the index in the order of creation: what was settled long ago was created before that. */
async function deleteFinished(
  database: MysqlDatabase,
  { form, rows }: MysqlTable,
  { settledForMs, limit }: { readonly settledForMs: number; readonly limit: number },
): Promise<number> {
  const old = `<= ${now} - INTERVAL ? MICROSECOND`;
  const microseconds = settledForMs * microsecondsPerMs;
  const found = await database.rows(
    `SELECT id FROM ${rows} WHERE status = ? AND created_at ${old} AND updated_at ${old}
     ORDER BY created_at, id LIMIT ?`,
    [form.word(1), microseconds, microseconds, limit],
  );
  let deleted = 0;
  for (const part of inParts(found.map((row) => textIn(row, "id")))) {
    deleted += await database.run(`DELETE FROM ${rows} WHERE id IN (?) AND status = ?`, [part, form.word(1)]);
  }
  return deleted;
}

async function counts(
  database: MysqlDatabase,
  { form, rows }: MysqlTable,
  { maxRetries }: OutboxRetryRule,
): Promise<OutboxCounts> {
  const count = (name: string, where: string): string =>
    `(SELECT COUNT(*) FROM (SELECT 1 FROM ${rows} WHERE ${where} LIMIT ${outboxCountedTo}) AS ${name}_rows) AS ${name}`;
  const waiting = form.words(waitingStates);
  const open = form.words([0, 9, ...waitingStates]);
  const from = exhaustedFrom(maxRetries);
  const ages = open.map(
    (_, index) =>
      `(SELECT TIMESTAMPDIFF(MICROSECOND, created_at, ${now}) DIV ${microsecondsPerMs} FROM ${rows}
        WHERE status = ? ORDER BY created_at, id LIMIT 1) AS age_${index}`,
  );
  const [row = {}] = await database.rows(
    `SELECT ${count("pending", "status = ?")}, ${count("in_progress", "status = ?")},
       ${count("waiting", "status IN (?) AND retry_count < ?")},
       ${count("exhausted", "status IN (?) AND retry_count >= ?")},
       ${count("refused", inStates(sqlForm(form.form), refusedStates))},
       ${ages.join(", ")}`,
    [form.word(0), form.word(9), waiting, from, waiting, from, ...open],
  );
  const known = open.flatMap((_, index) => (row[`age_${index}`] === null ? [] : [numberIn(row, `age_${index}`)]));
  return {
    pending: numberIn(row, "pending"),
    inProgress: numberIn(row, "in_progress"),
    waiting: numberIn(row, "waiting"),
    exhausted: numberIn(row, "exhausted"),
    refused: numberIn(row, "refused"),
    countedTo: outboxCountedTo,
    oldestAgeMs: known.length === 0 ? null : Math.max(0, ...known),
  };
}

function untilAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
