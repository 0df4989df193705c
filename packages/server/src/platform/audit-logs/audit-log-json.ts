import { isoTime } from "@flowcatalyst/foundation";
import type { AuditLog } from "../../domain/audit-log.ts";
import type { Page } from "../../ports/settings.ts";

/** An audit log as JSON text. The data is spliced in as it is stored, never parsed and written again. */
export function auditLogJson(log: AuditLog): string {
  const head = {
    id: log.id,
    senderId: log.senderId,
    entityType: log.entityType,
    entityId: log.entityId,
    operation: log.operation,
    principalId: log.principalId,
    performedAt: isoTime(log.performedAtMs),
    clientId: log.clientId,
    messageGroup: log.messageGroup,
    createdAt: isoTime(log.createdAtMs),
  };
  return `${JSON.stringify(head).slice(0, -1)},"data":${log.data ?? "null"}}`;
}

export function auditLogPageJson({ items, nextCursor }: Page<AuditLog>): string {
  const next = nextCursor === null ? "" : `,"nextCursor":${JSON.stringify(nextCursor)}`;
  return `{"items":[${items.map(auditLogJson).join(",")}]${next}}`;
}
