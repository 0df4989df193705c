import type { AuditLogId, AuditLogPosition } from "../../domain/ids.ts";
import { auditLogPageLimits, type AuditLogs } from "../../ports/audit-log.ts";
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
import type { SqliteDatabase } from "./database.ts";

/**
 * Audit logs in SQLite: each call of `append` is one durable transaction. A page is found in two steps, first which
 * rows, from the index alone and the columns before the data, then those rows.
 */
export function createAuditLogs(database: SqliteDatabase): AuditLogs {
  const sql = prepare(database);

  return {
    append: async (logs) => {
      if (logs.length === 0) return [];
      return database.durableTransaction(() => {
        let position = sql.newest.get()?.position ?? 0;
        return logs.map((log) => {
          const first = log.senderId === null ? null : sql.bySenderId.get(log.clientId ?? "", log.senderId);
          if (first !== null) return { kind: "repeated", id: first.id } as const;
          sql.insert.run(...insertParams(toAuditLogRow(log, ++position as AuditLogPosition)));
          return { kind: "created", id: log.id } as const;
        });
      });
    },
    byId: async (id, scope) => {
      const row = sql.byId.get(id);
      return row === null || !seesAuditLog(scope, row) ? null : toAuditLog(row);
    },
    list: async (filter, page, scope) => {
      const search = auditLogSearch(filter, scope);
      if (search === null) return { items: [], nextCursor: null, total: null };
      const before = page.cursor === null ? Number.MAX_SAFE_INTEGER : Number(decodeCursor(page.cursor, ["number"])[0]);
      const walk = sql.walks[walkOf(search)];
      const heads = walk.heads.all(before, page.limit + 1, ...searchParams(search));
      const given = heads.slice(0, countOnPage(heads, page.limit));
      const end = given.length < heads.length ? given.at(-1) : walk.last.get(before, walkValue(search));
      const items = given.flatMap(({ position }) => sql.byPosition.get(position) ?? []);
      return {
        items: items.map(toAuditLog),
        nextCursor: end === undefined || end === null ? null : encodeCursor([end.position]),
        total: null,
      };
    },
  };
}

/** Removes at most `maxRows` that were made before, the oldest first; returns how many. Call inside a transaction. */
export function dropAuditLogs(database: SqliteDatabase, beforeMs: number, maxRows: number): number {
  return database
    .statement<never, [number, number]>(`
      DELETE FROM audit_logs WHERE position IN (
        SELECT position FROM audit_logs WHERE created_at_ms < (?1 + 0) ORDER BY created_at_ms LIMIT (?2 + 0))`)
    .run(beforeMs, maxRows);
}

type SearchParams = [string | null, string | null, string | null, string | null, string | null];
type InsertParams = (string | number | null)[];

function searchParams(search: AuditLogSearch): SearchParams {
  return [search.entityType, search.entityId, search.principalId, search.operation, search.clientId];
}

function insertParams(row: AuditLogRow): InsertParams {
  return [
    row.position,
    row.id,
    row.sender_id,
    row.client_id,
    row.entity_type,
    row.entity_id,
    row.operation,
    row.principal_id,
    row.performed_at_ms,
    row.message_group,
    row.created_at_ms,
    row.data_bytes,
    row.data,
  ];
}

const columns = `position, id, sender_id, client_id, entity_type, entity_id, operation, principal_id, performed_at_ms,
  message_group, created_at_ms, data_bytes, data`;

const filtered = ["entity_type", "entity_id", "principal_id", "operation", "client_id"];
/** The number of the first hole of a search's values, where limits stand before them. */
const firstHole = 3;

/** `hole` is the number of the one that the value of the walk's index goes into. */
function walkedRows(walk: AuditLogWalk, hole: number): string {
  const condition = walk === "all" ? "" : `${walkColumns[walk]} = ?${hole} AND `;
  return `SELECT position, client_id, entity_type, entity_id, operation, principal_id, data_bytes FROM audit_logs
    WHERE ${condition}position < (?1 + 0) ORDER BY position DESC`;
}

export function readAuditLogHeads(walk: AuditLogWalk): string {
  const fits = filtered.map((column, index) => `(?${index + firstHole} IS NULL OR ${column} = ?${index + firstHole})`);
  const hole = walk === "all" ? 0 : filtered.indexOf(walkColumns[walk]) + firstHole;
  return `SELECT position, data_bytes FROM (${walkedRows(walk, hole)} LIMIT ${auditLogPageLimits.scannedMaxRows})
    WHERE ${fits.join(" AND ")} ORDER BY position DESC LIMIT (?2 + 0)`;
}

/** The last row that a walk looks at, if there may be more behind it. */
function readLastLookedAt(walk: AuditLogWalk): string {
  return `SELECT position, ?2 AS value FROM (${walkedRows(walk, 2)}
    LIMIT 1 OFFSET ${auditLogPageLimits.scannedMaxRows - 1})`;
}

function prepare(database: SqliteDatabase) {
  const walk = (name: AuditLogWalk) => ({
    heads: database.statement<AuditLogHead, [number, number, ...SearchParams]>(readAuditLogHeads(name)),
    last: database.statement<{ position: AuditLogPosition }, [number, string | null]>(readLastLookedAt(name)),
  });
  return {
    newest: database.statement<{ position: number | null }>("SELECT max(position) AS position FROM audit_logs"),
    bySenderId: database.statement<{ id: AuditLogId }, [string, string]>(
      "SELECT id FROM audit_logs WHERE client_id = ?1 AND sender_id = ?2",
    ),
    insert: database.statement<never, InsertParams>(
      `INSERT INTO audit_logs (${columns}) VALUES (${Array.from({ length: 13 }, (_, n) => `?${n + 1}`).join(", ")})`,
    ),
    byId: database.statement<AuditLogRow, [string]>(`SELECT ${columns} FROM audit_logs WHERE id = ?1`),
    byPosition: database.statement<AuditLogRow, [number]>(`SELECT ${columns} FROM audit_logs WHERE position = ?1`),
    walks: { entity: walk("entity"), principal: walk("principal"), client: walk("client"), all: walk("all") },
  };
}
