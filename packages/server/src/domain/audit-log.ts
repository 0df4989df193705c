import type { AuditLogId, AuditLogPosition, ClientId } from "./ids.ts";

/** Who did what to which entity, as an application told it. Immutable. Times are epoch milliseconds. */
export interface AuditLog {
  readonly position: AuditLogPosition;
  readonly id: AuditLogId;
  /** The id that the sender gave; with the client it tells a repeat. */
  readonly senderId: string | null;
  /** Null: of the platform. */
  readonly clientId: ClientId | null;
  readonly entityType: string;
  readonly entityId: string;
  readonly operation: string;
  /** Who did it, as the application calls them: no principal of ours. */
  readonly principalId: string | null;
  readonly performedAtMs: number;
  readonly messageGroup: string | null;
  readonly createdAtMs: number;
  /** JSON text, never parsed here. Null: it has none. */
  readonly data: string | null;
}

/** An audit log before it has its place. */
export type NewAuditLog = Omit<AuditLog, "position">;
