import { CodedError } from "@flowcatalyst/foundation";
import type { NewAuditLog } from "../../domain/audit-log.ts";
import type { AuditLogId, AuditLogPosition } from "../../domain/ids.ts";
import { auditLogPageLimits, type AppendedAuditLog, type AuditLogs } from "../../ports/audit-log.ts";
import type { PostgresDatabase, PostgresSession } from "../../postgres/postgres-database.ts";
import { keyIs, statement, toJsonRows, type Statement } from "../../postgres/statement.ts";
import {
  auditLogSearch,
  countOnPage,
  seesAuditLog,
  toAuditLog,
  toAuditLogRow,
  walkColumns,
  walkOf,
  walkValue,
  type AuditLogHead,
  type AuditLogRow,
  type AuditLogSearch,
  type AuditLogWalk,
} from "../audit-log-page.ts";
import { decodeCursor, encodeCursor } from "../page-cursor.ts";
import { storable } from "./entity-table.ts";

/**
 * Audit logs in PostgreSQL. The unique index of (client, senderId) decides which of several equal ones is the first:
 * an insert waits for another transaction that has the key, and then does nothing. Rows go in sorted by their keys, so
 * that no two transactions wait for each other.
 *
 * A page is found in two steps, first which rows, then those rows with their data.
 */
export function createAuditLogs(database: PostgresDatabase): AuditLogs {
  return {
    append: async (logs) => {
      if (logs.length === 0) return [];
      return database.transaction((session) => append(session, logs));
    },
    byId: async (id, scope) => {
      const row = await database.one(readById, [storable(id)]);
      return row === null || !seesAuditLog(scope, row) ? null : toAuditLog(row);
    },
    list: async (filter, page, scope) => {
      const search = auditLogSearch(filter, scope);
      if (search === null) return { items: [], nextCursor: null, total: null };
      const before = page.cursor === null ? Number.MAX_SAFE_INTEGER : Number(decodeCursor(page.cursor, ["number"])[0]);
      const walk = walks[walkOf(search)];
      const heads = await database.query(walk.heads, [before, page.limit + 1, ...searchValues(search)]);
      const given = heads.slice(0, countOnPage(heads, page.limit));
      const end =
        given.length < heads.length
          ? given.at(-1)
          : await database.one(walk.last, [before, storable(walkValue(search))]);
      const rows = await database.query(readByPositions, [JSON.stringify(given.map(({ position }) => position))]);
      return {
        items: rows.map(toAuditLog),
        nextCursor: end === undefined || end === null ? null : encodeCursor([end.position]),
        total: null,
      };
    },
  };
}

/** Removes at most `maxRows` that were made before, the oldest first; returns how many. */
export function dropAuditLogs(session: PostgresSession, beforeMs: number, maxRows: number): Promise<number> {
  return session.run(dropOld, [beforeMs, maxRows]);
}

async function append(session: PostgresSession, logs: readonly NewAuditLog[]): Promise<readonly AppendedAuditLog[]> {
  const positions = await session.query(takePositions, [logs.length]);
  const firsts = new Map<string, AuditLogRow>();
  const rows = logs.map((log, index) => storableRow(log, positions[index]?.position ?? (0 as AuditLogPosition)));
  for (const row of rows) if (!firsts.has(keyOf(row))) firsts.set(keyOf(row), row);
  const sorted = [...firsts].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, row]) => row);
  const inserted = new Set((await session.query(insertRows, [toJsonRows(sorted)])).map(({ id }) => id));
  const refused = sorted.filter(({ id }) => !inserted.has(id));
  const kept = new Map<string, AuditLogId>();
  if (refused.length > 0) {
    const taken = await session.query(readTaken, [toJsonRows(refused.map(keyColumns))]);
    for (const row of taken) kept.set(keyOf(row), row.id);
  }
  return rows.map((row) => {
    if (inserted.has(row.id)) return { kind: "created", id: row.id };
    const first = firsts.get(keyOf(row));
    const id = first !== undefined && inserted.has(first.id) ? first.id : kept.get(keyOf(row));
    // Retention has taken it since it was in the way: the repeat of this call will find the key free.
    if (id === undefined) throw new CodedError("STORE_UNAVAILABLE");
    return { kind: "repeated", id };
  });
}

type KeyedRow = Pick<AuditLogRow, "id" | "client_id" | "sender_id">;

/** Without an id of the sender's each is one of its own. */
function keyOf({ id, client_id, sender_id }: KeyedRow): string {
  return JSON.stringify(sender_id === null ? ["", id] : ["k", client_id, sender_id]);
}

function keyColumns({ client_id, sender_id }: KeyedRow): object {
  return { client_id, sender_id };
}

/** Rows are found again by these texts, so they must be as the database keeps them. */
function storableRow(log: NewAuditLog, position: AuditLogPosition): AuditLogRow {
  const row = toAuditLogRow(log, position);
  const senderId = row.sender_id === null ? null : storable(row.sender_id.toWellFormed());
  return { ...row, sender_id: senderId, client_id: storable(row.client_id.toWellFormed()) };
}

const columns = `position, id, sender_id, client_id, entity_type, entity_id, operation, principal_id, performed_at_ms,
  message_group, created_at_ms, data_bytes, data`;

const takePositions = statement<{ position: AuditLogPosition }, [count: number]>(
  "SELECT nextval('audit_log_positions') AS position FROM generate_series(1, $1::integer) ORDER BY position",
);

export const insertRows = statement<{ id: AuditLogId }, [rows: string]>(`
  INSERT INTO audit_logs (${columns})
  SELECT ${columns} FROM json_to_recordset($1::json) AS r (position bigint, id text, sender_id text, client_id text,
    entity_type text, entity_id text, operation text, principal_id text, performed_at_ms bigint, message_group text,
    created_at_ms bigint, data_bytes integer, data text)
  ON CONFLICT (client_id, sender_id) WHERE sender_id IS NOT NULL DO NOTHING
  RETURNING id`);

/** A statement of its own, which sees what was committed while the insert waited. */
export const readTaken = statement<KeyedRow, [rows: string]>(`
  SELECT a.id, a.client_id, a.sender_id FROM json_to_recordset($1::json) AS r (client_id text, sender_id text)
  JOIN audit_logs a ON a.sender_id IS NOT NULL
    AND ${keyIs("(a.client_id, a.sender_id)", "(r.client_id, r.sender_id)")}`);

export const readById = statement<AuditLogRow, [id: string]>(`SELECT ${columns} FROM audit_logs WHERE id = $1`);

export const readByPositions = statement<AuditLogRow, [positions: string]>(`
  SELECT ${columns.replaceAll(/\w+/g, "a.$&")} FROM json_array_elements_text($1::json) AS r (position)
  JOIN audit_logs a ON ${keyIs("a.position", "r.position::bigint")} ORDER BY a.position DESC`);

export const dropOld = statement<never, [beforeMs: number, maxRows: number]>(`
  DELETE FROM audit_logs WHERE position = ANY (ARRAY(
    SELECT position FROM audit_logs WHERE created_at_ms < $1
    ORDER BY created_at_ms LIMIT $2 FOR UPDATE SKIP LOCKED))`);

type SearchValues = [string | null, string | null, string | null, string | null, string | null];

function searchValues(search: AuditLogSearch): SearchValues {
  const { entityType, entityId, principalId, operation, clientId } = search;
  return [storable(entityType), storable(entityId), storable(principalId), storable(operation), storable(clientId)];
}

interface Walk {
  readonly heads: Statement<AuditLogHead, [before: number, limit: number, ...SearchValues]>;
  /** The last row that it looks at, if there may be more behind it. */
  readonly last: Statement<{ position: AuditLogPosition }, [before: number, value: string | null]>;
}

const filtered = ["entity_type", "entity_id", "principal_id", "operation", "client_id"];

function walkBy(name: AuditLogWalk): Walk {
  const column = name === "all" ? null : walkColumns[name];
  const rows = (hole: number): string =>
    `SELECT position, client_id, entity_type, entity_id, operation, principal_id, data_bytes FROM audit_logs
     WHERE ${column === null ? "" : `${column} = $${hole} AND `}position < $1 ORDER BY position DESC`;
  const fits = filtered.map((one, index) => `($${index + 3}::text IS NULL OR ${one} = $${index + 3})`).join(" AND ");
  const unused = column === null ? "WHERE $2::text IS NULL" : "";
  return {
    heads: statement(`
      SELECT position, data_bytes
      FROM (${rows(column === null ? 0 : filtered.indexOf(column) + 3)} LIMIT ${auditLogPageLimits.scannedMaxRows}) AS w
      WHERE ${fits} ORDER BY position DESC LIMIT $2`),
    last: statement(`
      SELECT position FROM (${rows(2)} LIMIT 1 OFFSET ${auditLogPageLimits.scannedMaxRows - 1}) AS w ${unused}`),
  };
}

export const walks: Readonly<Record<AuditLogWalk, Walk>> = {
  entity: walkBy("entity"),
  principal: walkBy("principal"),
  client: walkBy("client"),
  all: walkBy("all"),
};
