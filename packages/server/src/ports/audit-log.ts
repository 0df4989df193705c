import type { AuditLog, NewAuditLog } from "../domain/audit-log.ts";
import type { AuditLogId } from "../domain/ids.ts";
import type { Scope } from "../domain/scope.ts";
import type { Page, PageRequest } from "./settings.ts";

/**
 * What applications tell of who did what. It is only ever added to and read, and goes when it is old
 * (Housekeeping.dropAuditLogs).
 *
 * `append` settles only when all of it is durable; a call is atomic. Positions follow the order of a call. A known
 * (client, senderId), of this call or of an earlier one, adds nothing and answers the first one's id, for as long as
 * that one is kept. Throws CodedError STORE_FULL, STORE_UNAVAILABLE; then nothing of the call was kept, or, if the
 * connection broke during the commit, it may have been.
 *
 * A tenant reads its own audit logs only, not those of the platform: what administrators do there is not its business.
 */
export interface AuditLogs {
  /** By position. */
  append(logs: readonly NewAuditLog[]): Promise<readonly AppendedAuditLog[]>;
  byId(id: AuditLogId, scope: Scope): Promise<AuditLog | null>;
  /**
   * Newest first. A page has at most so many bytes, and looks at so many rows, as auditLogPageLimits say: it may be
   * short, or empty, and still have a cursor.
   */
  list(filter: AuditLogFilter, page: PageRequest, scope: Scope): Promise<Page<AuditLog>>;
}

export interface AppendedAuditLog {
  readonly kind: "created" | "repeated";
  readonly id: AuditLogId;
}

export interface AuditLogFilter {
  readonly entityType?: string;
  readonly entityId?: string;
  readonly principalId?: string;
  readonly operation?: string;
  /** Null: of the platform. */
  readonly clientId?: string | null;
}

export const auditLogPageLimits = {
  /** So that a page of a filter that fits nothing takes a few milliseconds. */
  scannedMaxRows: 2_000,
  /** Of data; one audit log is given whatever its size. */
  dataMaxBytes: 8_388_608,
} as const;
