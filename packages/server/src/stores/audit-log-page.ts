import type { AuditLog, NewAuditLog } from "../domain/audit-log.ts";
import type { AuditLogId, AuditLogPosition, ClientId } from "../domain/ids.ts";
import type { Scope } from "../domain/scope.ts";
import { auditLogPageLimits, type AuditLogFilter } from "../ports/audit-log.ts";

/** Rows of audit logs, and which of them a page has: the same on every engine. */

/** A row of `audit_logs`. The client is '' for the platform, so that it can be part of a key. */
export interface AuditLogRow {
  readonly position: AuditLogPosition;
  readonly id: AuditLogId;
  readonly sender_id: string | null;
  readonly client_id: string;
  readonly entity_type: string;
  readonly entity_id: string;
  readonly operation: string;
  readonly principal_id: string | null;
  readonly performed_at_ms: number;
  readonly message_group: string | null;
  readonly created_at_ms: number;
  readonly data_bytes: number;
  readonly data: string | null;
}

export function toAuditLog(row: AuditLogRow): AuditLog {
  return {
    position: row.position,
    id: row.id,
    senderId: row.sender_id,
    clientId: row.client_id === "" ? null : (row.client_id as ClientId),
    entityType: row.entity_type,
    entityId: row.entity_id,
    operation: row.operation,
    principalId: row.principal_id,
    performedAtMs: row.performed_at_ms,
    messageGroup: row.message_group,
    createdAtMs: row.created_at_ms,
    data: row.data,
  };
}

export function toAuditLogRow(log: NewAuditLog, position: AuditLogPosition): AuditLogRow {
  return {
    position,
    id: log.id,
    sender_id: log.senderId,
    client_id: log.clientId ?? "",
    entity_type: log.entityType,
    entity_id: log.entityId,
    operation: log.operation,
    principal_id: log.principalId,
    performed_at_ms: log.performedAtMs,
    message_group: log.messageGroup,
    created_at_ms: log.createdAtMs,
    data_bytes: log.data === null ? 0 : Buffer.byteLength(log.data),
    data: log.data,
  };
}

/** The values of a search: null where anything will do. */
export interface AuditLogSearch {
  readonly entityType: string | null;
  readonly entityId: string | null;
  readonly principalId: string | null;
  readonly operation: string | null;
  readonly clientId: string | null;
}

/** Null: this scope sees nothing of it. */
export function auditLogSearch(filter: AuditLogFilter, scope: Scope): AuditLogSearch | null {
  const asked = filter.clientId === undefined ? null : (filter.clientId ?? "");
  const own = scope.kind === "anchor" ? null : scope.clientId;
  if (asked !== null && own !== null && asked !== own) return null;
  return {
    entityType: filter.entityType ?? null,
    entityId: filter.entityId ?? null,
    principalId: filter.principalId ?? null,
    operation: filter.operation ?? null,
    clientId: own ?? asked,
  };
}

/** The index a search walks: the one that most likely leaves the fewest rows to look at. */
export type AuditLogWalk = "entity" | "principal" | "client" | "all";

export function walkOf({ entityId, principalId, clientId }: AuditLogSearch): AuditLogWalk {
  if (entityId !== null) return "entity";
  if (principalId !== null) return "principal";
  return clientId === null ? "all" : "client";
}

/** What each walk's index is by. */
export const walkColumns = { entity: "entity_id", principal: "principal_id", client: "client_id" } as const;

/** The value that a search looks for in the index it walks. */
export function walkValue(search: AuditLogSearch): string | null {
  switch (walkOf(search)) {
    case "entity":
      return search.entityId;
    case "principal":
      return search.principalId;
    case "client":
      return search.clientId;
    case "all":
      return null;
  }
}

export interface AuditLogHead {
  readonly position: AuditLogPosition;
  readonly data_bytes: number;
}

/** How many of the heads found fit on a page; at least one. */
export function countOnPage(heads: readonly AuditLogHead[], limit: number): number {
  let bytes = 0;
  let count = 0;
  for (const head of heads) {
    bytes += head.data_bytes;
    if (count === limit || (count > 0 && bytes > auditLogPageLimits.dataMaxBytes)) break;
    count++;
  }
  return count;
}

/** May a principal of this scope read it? Stricter than elsewhere: see ports/audit-log.ts. */
export function seesAuditLog(scope: Scope, { client_id: clientId }: Pick<AuditLogRow, "client_id">): boolean {
  return scope.kind === "anchor" || clientId === scope.clientId;
}
