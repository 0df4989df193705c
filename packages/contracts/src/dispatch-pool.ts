import * as z from "zod";
import { clientIdSchema, listMembers, listQuerySchema, nameSchema, timeOutSchema } from "./wire-values.ts";

export const poolCodeSchema = z
  .string()
  .max(100)
  .regex(/^[A-Za-z0-9][A-Za-z0-9_.-]*$/, "must be letters, digits, dot, dash and underscore");

const changeable = {
  name: nameSchema.nullish(),
  concurrency: z.int().min(1).max(4_096).nullish().meta({ description: "Calls at once; 10." }),
  rateLimitPerMinute: z.int().min(1).max(10_000_000).nullish(),
  burst: z.int().min(1).max(1_000_000).nullish().meta({ description: "Tokens the bucket holds; the concurrency." }),
  timeoutSeconds: z.int().min(1).max(900).nullish(),
} as const;

export const createDispatchPoolSchema = z
  .strictObject({ code: poolCodeSchema, clientId: clientIdSchema.nullish(), ...changeable })
  .meta({ id: "CreateDispatchPool" });

export const updateDispatchPoolSchema = z.strictObject(changeable).meta({ id: "UpdateDispatchPool" });

export const dispatchPoolSchema = z
  .object({
    id: z.string(),
    code: z.string(),
    name: z.string().nullable(),
    clientId: z.string().nullable(),
    concurrency: z.int(),
    rateLimitPerMinute: z.int().nullable(),
    burst: z.int().nullable(),
    timeoutSeconds: z.int().nullable(),
    status: z.enum(["ACTIVE", "SUSPENDED"]),
    version: z.int(),
    createdAt: timeOutSchema,
    updatedAt: timeOutSchema,
  })
  .meta({ id: "DispatchPool" });

export const dispatchPoolListSchema = z
  .object({ items: z.array(dispatchPoolSchema), ...listMembers })
  .meta({ id: "DispatchPoolList" });

export const dispatchPoolListQuerySchema = listQuerySchema;

export type CreateDispatchPool = z.input<typeof createDispatchPoolSchema>;
export type UpdateDispatchPool = z.input<typeof updateDispatchPoolSchema>;
export type DispatchPoolOut = z.infer<typeof dispatchPoolSchema>;
export type DispatchPoolList = z.infer<typeof dispatchPoolListSchema>;
