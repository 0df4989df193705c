import * as z from "zod";

/** Bodies every service answers with: health, and what is at `/`. */

export const healthStatusSchema = z.enum(["UP", "DOWN"]);

export const healthSchema = z
  .object({
    status: healthStatusSchema,
    checks: z.array(
      z.object({ name: z.string(), status: healthStatusSchema, data: z.record(z.string(), z.unknown()).optional() }),
    ),
  })
  .meta({ id: "Health" });

export const serviceRootSchema = z
  .object({
    name: z.string(),
    version: z.string(),
    addresses: z.record(z.string(), z.string()),
    counts: z.record(z.string(), z.number()),
    links: z.record(z.string(), z.string()),
  })
  .meta({ id: "ServiceRoot" });

export type Health = z.infer<typeof healthSchema>;
export type ServiceRoot = z.infer<typeof serviceRootSchema>;
