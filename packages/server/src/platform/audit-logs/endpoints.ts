import {
  auditLogListQuerySchema,
  auditLogListSchema,
  auditLogSchema,
  createAuditLogItemsSchema,
  itemsAnswerSchema,
} from "@flowcatalyst/contracts";
import { endpoint } from "../../http/endpoint.ts";

const tag = "Audit logs";

export const auditLogEndpoints = {
  createBatch: endpoint({
    id: "createAuditLogBatch",
    method: "post",
    path: "/api/audit-logs/batch",
    tag,
    summary: "Add up to 500 audit logs",
    description:
      "Each item is answered for itself, by position. The same `id` of the same client again is a success with the " +
      "first one's id, and adds nothing.",
    body: createAuditLogItemsSchema,
    headers: ["idempotency-key"],
    answers: { 200: { description: "Durable, where it says SUCCESS.", schema: itemsAnswerSchema } },
  }),
  list: endpoint({
    id: "listAuditLogs",
    method: "get",
    path: "/api/audit-logs",
    tag,
    summary: "List audit logs, newest first",
    description: "A page may be short, or empty, and still have a nextCursor: it looks at 2,000 rows at most.",
    paging: "list",
    query: auditLogListQuerySchema,
    answers: { 200: { description: "One page.", schema: auditLogListSchema } },
  }),
  get: endpoint({
    id: "getAuditLog",
    method: "get",
    path: "/api/audit-logs/{id}",
    tag,
    summary: "Read an audit log",
    answers: { 200: { description: "The audit log.", schema: auditLogSchema } },
  }),
} as const;
