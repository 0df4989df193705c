import { createAuditLogSchema, parseTime, wholeTextMessage, wireLimits } from "@flowcatalyst/contracts";
import type { NewAuditLog } from "../../domain/audit-log.ts";
import type { AuditLogId } from "../../domain/ids.ts";
import type { Scope } from "../../domain/scope.ts";
import { holdsJsonStructure, jsonMaxDepth, tooDeep } from "../../http/json-text.ts";
import { validated, validationError } from "../../http/validation.ts";
import { ownerOf } from "../replace-entity.ts";

export interface Arrival {
  readonly id: AuditLogId;
  readonly nowMs: number;
  readonly scope: Scope;
}

/** Reads one audit log as it came. Throws VALIDATION_FAILED, UNKNOWN_FIELD, FORBIDDEN. */
export function newAuditLog(value: unknown, { id, nowMs, scope }: Arrival): NewAuditLog {
  const body = validated(createAuditLogSchema, value);
  return {
    id,
    senderId: body.id ?? null,
    clientId: ownerOf(scope, body.clientId),
    entityType: body.entityType,
    entityId: body.entityId,
    operation: body.operation,
    principalId: body.principalId ?? null,
    performedAtMs: (body.performedAt == null ? null : parseTime(body.performedAt)) ?? nowMs,
    messageGroup: body.messageGroup ?? null,
    createdAtMs: nowMs,
    data: dataText(body.data),
  };
}

/** Existing clients send their JSON as a string: one that holds an object or array is taken as that. */
function dataText(data: unknown): string | null {
  if (data === undefined || data === null) return null;
  const text = typeof data === "string" && holdsJsonStructure(data) ? data : JSON.stringify(data);
  if (!text.isWellFormed()) throw dataFault(wholeTextMessage);
  if (tooDeep(text)) throw dataFault(`must not be nested deeper than ${jsonMaxDepth}`);
  const bytes = Buffer.byteLength(text);
  if (bytes <= wireLimits.auditLogDataMaxBytes) return text;
  throw dataFault(`must be at most ${wireLimits.auditLogDataMaxBytes} bytes, and has ${bytes}`);
}

function dataFault(message: string): Error {
  return validationError([{ path: "data", message }]);
}
