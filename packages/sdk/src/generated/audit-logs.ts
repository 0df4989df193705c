// Generated from the OpenAPI documents by `npm run generate` (scripts/generators/sdk-sources.ts).
import { pathSegment, type CallOptions, type KeyedOptions, type Send } from "../operation.ts";
import { itemsByCursor } from "../pages.ts";
import type { ItemsAnswer } from "./shared.ts";

export interface AuditLog {
  readonly id: string;
  /** The id that the sender gave. */
  readonly senderId: string | null;
  readonly entityType: string;
  readonly entityId: string;
  readonly operation: string;
  readonly principalId: string | null;
  readonly performedAt: string;
  readonly clientId: string | null;
  readonly messageGroup: string | null;
  readonly createdAt: string;
  /** Null: it has none. */
  readonly data: unknown;
}

export interface AuditLogList {
  readonly items: readonly AuditLog[];
  /** Absent on the last page. Opaque. */
  readonly nextCursor?: string;
  /** Given where counting is cheap. */
  readonly total?: number;
}

export interface CreateAuditLog {
  /** The sender's own. The same one again of the same client is the same audit log. */
  readonly id?: string | null;
  /** What kind of thing it was done to, such as Order. */
  readonly entityType: string;
  readonly entityId: string;
  /** What was done, such as CancelOrder. */
  readonly operation: string;
  /** Who did it, as the application calls them. */
  readonly principalId?: string | null;
  /** The time of arrival if absent. */
  readonly performedAt?: string | null;
  readonly clientId?: string | null;
  /** Order is kept among items of one group. */
  readonly messageGroup?: string | null;
  /** Any JSON. A string that holds a JSON object or array is stored parsed. At most 256 KiB. */
  readonly data?: unknown;
}

export interface CreateAuditLogItems {
  readonly items: readonly CreateAuditLog[];
}

/** Query of `GET /api/audit-logs`: List audit logs, newest first. */
export interface ListAuditLogsQuery {
  readonly limit?: number;
  readonly cursor?: string;
  readonly entityType?: string;
  readonly entityId?: string;
  readonly principalId?: string;
  readonly operation?: string;
  readonly clientId?: string;
}

/** Operations on `auditLogs`, one method each. */
export interface AuditLogsApi {
  /** Add up to 500 audit logs. `POST /api/audit-logs/batch` */
  createItems(body: CreateAuditLogItems, options?: KeyedOptions): Promise<ItemsAnswer>;

  /** List audit logs, newest first. `GET /api/audit-logs` */
  list(query?: ListAuditLogsQuery, options?: CallOptions): Promise<AuditLogList>;
  /** Every item of `list`, page by page as they are asked for. */
  all(query?: ListAuditLogsQuery, options?: CallOptions): AsyncGenerator<AuditLog, void, undefined>;

  /** Read an audit log. `GET /api/audit-logs/{id}` */
  get(id: string, options?: CallOptions): Promise<AuditLog>;
}

/** Makes them of something that sends. */
export function auditLogsApi(send: Send): AuditLogsApi {
  const api: AuditLogsApi = {
    createItems: (body, options) => send({ method: "POST", path: "/api/audit-logs/batch", body, keyed: true, options }),
    list: (query, options) => send({ method: "GET", path: "/api/audit-logs", query: { ...query }, options }),
    all: (query, options) => itemsByCursor((cursor) => api.list({ ...query, cursor }, options), query?.cursor),
    get: (id, options) => send({ method: "GET", path: `/api/audit-logs/${pathSegment(id)}`, options }),
  };
  return api;
}
