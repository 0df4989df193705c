import * as z from "zod";
import { wireLimits } from "./wire-limits.ts";
import { clientIdSchema, keySchema, listMembers, listQuerySchema, timeInSchema, timeOutSchema } from "./wire-values.ts";

/** Who did what to which entity, as an application tells it. Never changed afterwards. */
export const createAuditLogSchema = z
  .strictObject({
    id: keySchema
      .nullish()
      .meta({ description: "The sender's own. The same one again of the same client is the same audit log." }),
    entityType: keySchema.meta({ description: "What kind of thing it was done to, such as Order." }),
    entityId: keySchema,
    operation: keySchema.meta({ description: "What was done, such as CancelOrder." }),
    principalId: keySchema.nullish().meta({ description: "Who did it, as the application calls them." }),
    performedAt: timeInSchema.nullish().meta({ description: "The time of arrival if absent." }),
    clientId: clientIdSchema.nullish(),
    messageGroup: keySchema.nullish().meta({ description: "Order is kept among items of one group." }),
    data: z
      .unknown()
      .optional()
      .meta({ description: "Any JSON. A string that holds a JSON object or array is stored parsed. At most 256 KiB." }),
  })
  .meta({ id: "CreateAuditLog" });

/** Each item is answered for itself, by position. */
export const createAuditLogItemsSchema = z
  .strictObject({ items: z.array(createAuditLogSchema).min(1).max(wireLimits.auditLogBatchMaxItems) })
  .meta({ id: "CreateAuditLogItems" });

const nullableText = z.string().nullable();

export const auditLogSchema = z
  .object({
    id: z.string(),
    senderId: nullableText.meta({ description: "The id that the sender gave." }),
    entityType: z.string(),
    entityId: z.string(),
    operation: z.string(),
    principalId: nullableText,
    performedAt: timeOutSchema,
    clientId: nullableText,
    messageGroup: nullableText,
    createdAt: timeOutSchema,
    data: z.unknown().meta({ description: "Null: it has none." }),
  })
  .meta({ id: "AuditLog" });

export const auditLogListSchema = z
  .object({ items: z.array(auditLogSchema), ...listMembers })
  .meta({ id: "AuditLogList" });

export const auditLogListQuerySchema = listQuerySchema.extend({
  entityType: keySchema.optional(),
  entityId: keySchema.optional(),
  principalId: keySchema.optional(),
  operation: keySchema.optional(),
  clientId: clientIdSchema.optional().meta({ description: "`null`: of the platform." }),
});

export type CreateAuditLog = z.input<typeof createAuditLogSchema>;
export type CreateAuditLogItems = z.input<typeof createAuditLogItemsSchema>;
export type AuditLogOut = z.infer<typeof auditLogSchema>;
export type AuditLogList = z.infer<typeof auditLogListSchema>;
