import * as z from "zod";
import { wireLimits } from "./wire-limits.ts";
import { clientIdSchema, listMembers, listQuerySchema, nameSchema, timeOutSchema } from "./wire-values.ts";

/** `application:subdomain:aggregate:event`; letters, digits, dot, dash and underscore in each. */
export const eventTypeCodeSchema = z
  .string()
  .max(wireLimits.eventTypeMaxChars)
  .regex(/^[A-Za-z0-9_.-]+(?::[A-Za-z0-9_.-]+){3}$/, "must have four segments: application:subdomain:aggregate:event");

export const schemaVersionNumberSchema = z
  .string()
  .max(20)
  .regex(/^(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)$/, "must be MAJOR.MINOR, like 1.0");

/** A JSON Schema 2020-12, as an object, a boolean, or the text of one. */
export const jsonSchemaInSchema = z.union([z.record(z.string(), z.unknown()), z.boolean(), z.string().min(1)]);

export const schemaStatusSchema = z.enum(["FINALISING", "CURRENT", "DEPRECATED"]);

export const createSchemaVersionSchema = z
  .strictObject({ version: schemaVersionNumberSchema, schema: jsonSchemaInSchema })
  .meta({ id: "CreateSchemaVersion" });

export const createEventTypeSchema = z
  .strictObject({
    code: eventTypeCodeSchema,
    name: nameSchema.nullish(),
    description: z.string().max(4_096).nullish(),
    clientId: clientIdSchema.nullish(),
    schema: jsonSchemaInSchema.nullish().meta({ description: "Becomes version 1.0, FINALISING." }),
  })
  .meta({ id: "CreateEventType" });

export const updateEventTypeSchema = z
  .strictObject({ name: nameSchema.optional(), description: z.string().max(4_096).nullish() })
  .meta({ id: "UpdateEventType" });

export const schemaVersionSchema = z
  .object({
    version: z.string(),
    status: schemaStatusSchema,
    schema: z.unknown(),
    createdAt: timeOutSchema,
  })
  .meta({ id: "SchemaVersion", description: "At most one version is CURRENT; events are held to that one." });

export const eventTypeSchema = z
  .object({
    id: z.string(),
    code: z.string(),
    application: z.string(),
    subdomain: z.string(),
    aggregate: z.string(),
    event: z.string(),
    name: z.string(),
    description: z.string().nullable(),
    clientId: z.string().nullable(),
    status: z.enum(["ACTIVE", "ARCHIVED"]),
    schemas: z.array(schemaVersionSchema),
    version: z.int(),
    createdAt: timeOutSchema,
    updatedAt: timeOutSchema,
  })
  .meta({ id: "EventType" });

export const eventTypeListSchema = z
  .object({ items: z.array(eventTypeSchema), ...listMembers })
  .meta({ id: "EventTypeList" });

export const eventTypeListQuerySchema = listQuerySchema.extend({
  application: z.string().optional(),
  status: z.enum(["ACTIVE", "ARCHIVED"]).optional(),
});

export type CreateEventType = z.input<typeof createEventTypeSchema>;
export type UpdateEventType = z.input<typeof updateEventTypeSchema>;
export type CreateSchemaVersion = z.input<typeof createSchemaVersionSchema>;
export type EventTypeOut = z.infer<typeof eventTypeSchema>;
export type EventTypeList = z.infer<typeof eventTypeListSchema>;
