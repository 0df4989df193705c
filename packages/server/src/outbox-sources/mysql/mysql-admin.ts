import type { OutboxRowId } from "../../domain/outbox-row.ts";
import type {
  OutboxAct,
  OutboxAdmin,
  OutboxControl,
  OutboxListedRow,
  OutboxPage,
  OutboxQuery,
  OutboxSelection,
} from "../../ports/outbox-source.ts";
import { inStates, sqlForm, statesToTouch, statusOf } from "../outbox-form.ts";
import { errorText } from "../table-form.ts";
import { behindPosition, inParts } from "./mysql-claims.ts";
import { numberIn, textIn, textOrNullIn, type MysqlDatabase, type SqlValue } from "./mysql-database.ts";
import { createMysqlSource } from "./mysql-outbox.ts";
import { mysqlOutboxDdl, type MysqlTable } from "./mysql-ddl.ts";
import { makeMysqlTables } from "./mysql-table.ts";

/** What operators do to outbox tables in MySQL and MariaDB. */
export function createMysqlAdmin(database: MysqlDatabase, table: MysqlTable): OutboxAdmin {
  const { form } = table;
  const setPause = async (reason: string | null): Promise<void> => {
    await database.run(`UPDATE ${table.control} SET paused_reason = ? WHERE id = 1`, [reason]);
  };
  return {
    source: createMysqlSource(database, table),
    ddl: () => mysqlOutboxDdl(form.form, table.name),
    init: () => makeMysqlTables(database, table),
    control: () => readControl(database, table),
    pause: setPause,
    resume: () => setPause(null),
    list: (query) => list(database, table, query),
    count: async (which, act) => {
      const where = chosenBy(table, which, act);
      if (where === null) return 0;
      const [row = {}] = await database.rows(
        `SELECT COUNT(*) AS n FROM ${table.rows} WHERE ${where.sql}`,
        where.values,
      );
      return numberIn(row, "n");
    },
    skip: (which, reason, limit) =>
      change(database, table, {
        where: chosenBy(table, which, "skip"),
        set: `${form.error} = ?, status = ?`,
        values: [errorText(reason), form.word(2)],
        limit,
      }),
    retry: (which, limit) =>
      change(database, table, {
        where: chosenBy(table, which, "retry"),
        set: `${form.error} = NULL, retry_count = 0, status = ?`,
        values: [form.word(0)],
        limit,
      }),
  };
}

async function readControl(database: MysqlDatabase, table: MysqlTable): Promise<OutboxControl> {
  const [row] = await database.rows(
    `SELECT paused_reason, holder, CAST(lease_until AS CHAR) AS lease_until FROM ${table.control} WHERE id = 1`,
  );
  if (row === undefined) return { pausedReason: null, holder: null, leaseUntil: null };
  const until = textOrNullIn(row, "lease_until");
  return {
    pausedReason: textOrNullIn(row, "paused_reason"),
    holder: textOrNullIn(row, "holder"),
    leaseUntil: until === null ? null : new Date(`${until.replace(" ", "T")}Z`),
  };
}

const timeShape = /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d/;

async function list(
  database: MysqlDatabase,
  { form, rows }: MysqlTable,
  { states, group, limit, after }: OutboxQuery,
): Promise<OutboxPage> {
  if (states.length === 0) return { rows: [], next: null };
  const conditions = [inStates(sqlForm(form.form), states)];
  const values: SqlValue[] = [];
  if (group !== null) {
    conditions.push(`${form.group} = ?`);
    values.push(group);
  }
  if (after !== null) {
    // The server would only warn, and compare it with what it makes of it.
    if (!timeShape.test(after.createdAt)) throw new RangeError("That is no position of a row.");
    conditions.push(behindPosition);
    values.push(after.createdAt, after.id, after.createdAt);
  }
  const type = form.form === "platform" ? "type" : "'ROUTER_MESSAGE'";
  const found = await database.rows(
    `SELECT id, created_at, ${type} AS type, ${form.group} AS grouped, status, retry_count, ${form.error} AS error,
       OCTET_LENGTH(payload) AS bytes
     FROM ${rows} WHERE ${conditions.join(" AND ")} ORDER BY created_at, id LIMIT ?`,
    [...values, limit + 1],
  );
  const page = found.slice(0, limit).map((row): OutboxListedRow => {
    const id = textIn(row, "id") as OutboxRowId;
    return {
      id,
      form: form.form,
      position: { createdAt: textIn(row, "created_at"), id },
      type: textIn(row, "type"),
      group: textOrNullIn(row, "grouped"),
      status: statusOf(String(row["status"])),
      retryCount: Math.max(0, numberIn(row, "retry_count")),
      error: textOrNullIn(row, "error"),
      payloadBytes: numberIn(row, "bytes"),
    };
  });
  return { rows: page, next: found.length > limit ? (page.at(-1)?.position ?? null) : null };
}

interface Where {
  readonly sql: string;
  readonly values: readonly SqlValue[];
}

/** Null: nothing can be among them. */
function chosenBy({ form }: MysqlTable, which: OutboxSelection, act: OutboxAct): Where | null {
  const states = statesToTouch(which, act);
  if (states.length === 0) return null;
  const ofStates = inStates(sqlForm(form.form), states);
  switch (which.kind) {
    case "ids":
      return which.ids.length === 0 ? null : { sql: `${ofStates} AND id IN (?)`, values: [which.ids] };
    case "group":
      return { sql: `${ofStates} AND ${form.group} = ?`, values: [which.group] };
    case "states":
      return { sql: ofStates, values: [] };
  }
}

/** The oldest of them are locked first, so that a claim passes them by. */
function change(
  database: MysqlDatabase,
  { rows }: MysqlTable,
  wanted: {
    readonly where: Where | null;
    readonly set: string;
    readonly values: readonly SqlValue[];
    readonly limit: number;
  },
): Promise<number> {
  const { where, set, values, limit } = wanted;
  if (where === null) return Promise.resolve(0);
  return database.transaction(async (session) => {
    const found = await session.rows(
      `SELECT id FROM ${rows} WHERE ${where.sql} ORDER BY created_at, id LIMIT ? FOR UPDATE`,
      [...where.values, limit],
    );
    let changed = 0;
    for (const part of inParts(found.map((row) => textIn(row, "id")))) {
      const sql = `UPDATE ${rows} SET ${set}, updated_at = UTC_TIMESTAMP(6) WHERE id IN (?)`;
      changed += await session.run(sql, [...values, part]);
    }
    return changed;
  });
}
