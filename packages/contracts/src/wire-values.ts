import * as z from "zod";
import { wireLimits } from "./wire-limits.ts";

/**
 * Values that many bodies share. Optional members of requests may be null, which means the same as absent: clients that
 * serialise whole objects send it so.
 */

/** RFC 3339 with a zone; seconds are required, the fraction is not. */
const timePattern = /^\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:[Zz]|[+-]\d{2}:\d{2})$/;

/** Epoch milliseconds of an RFC 3339 time; null if it is none. Finer fractions are cut off. */
export function parseTime(text: string): number | null {
  if (!timePattern.test(text)) return null;
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? null : ms;
}

export const timeInSchema = z
  .string()
  .refine((text) => parseTime(text) !== null, "must be an RFC 3339 time with a zone, like 2026-01-31T12:00:00.000Z")
  .meta({ format: "date-time" });

/** Times in answers: RFC 3339, UTC, milliseconds. */
export const timeOutSchema = z.string().meta({ format: "date-time" });

export const keySchema = z.string().min(1).max(wireLimits.keyMaxChars);
export const clientIdSchema = z.string().min(1).max(wireLimits.clientIdMaxChars);
export const nameSchema = z.string().trim().min(1).max(wireLimits.nameMaxChars);
export const codeSchema = z.string().min(1).max(wireLimits.codeMaxChars);
export const urlSchema = z.string().min(1).max(wireLimits.urlMaxChars);

function limitedRecord(maxItems: number, maxChars: number) {
  return z
    .record(z.string().min(1).max(wireLimits.keyMaxChars), z.string().max(maxChars))
    .refine((record) => Object.keys(record).length <= maxItems, `must have at most ${maxItems} members`);
}

export const headersSchema = limitedRecord(wireLimits.headersMaxItems, wireLimits.headerValueMaxChars);
export const metadataSchema = limitedRecord(wireLimits.metadataMaxItems, wireLimits.metadataValueMaxChars);

export const dispatchModeSchema = z.enum(["IMMEDIATE", "NEXT_ON_ERROR", "BLOCK_ON_ERROR"]).meta({
  id: "DispatchMode",
  description: "Whether order is kept within a message group, and what a failure does to it.",
});

export const deliveryFormatSchema = z
  .enum(["data", "cloudevents"])
  .meta({ id: "DeliveryFormat", description: "Body of the webhook: the data alone, or a CloudEvents JSON envelope." });

const delaysSchema = z
  .array(z.number().min(0).max(wireLimits.delayMaxSeconds))
  .min(1)
  .max(wireLimits.retryDelaysMaxItems);

/** A preset by name, or the waits before each retry in seconds. */
export const retryInSchema = z
  .union([
    z.enum(["fast", "default", "standard-webhooks"]),
    z.strictObject({
      delaysSeconds: delaysSchema,
      maxRetries: z.int().min(0).max(wireLimits.retriesMax).nullish(),
    }),
  ])
  .meta({ id: "RetryIn" });

export const retryOutSchema = z
  .object({ delaysSeconds: z.array(z.number()), maxRetries: z.int() })
  .meta({ id: "Retry", description: "The wait before retry n is delaysSeconds[n]; the last one repeats." });

export const warningSchema = z
  .object({ code: z.string(), message: z.string() })
  .meta({ id: "EntityWarning", description: "The entity was saved, but something about it deserves a look." });

/** Query of every list. */
export const listQuerySchema = z.strictObject({
  limit: z.coerce.number().int().min(1).max(wireLimits.listMaxItems).default(wireLimits.listDefaultItems),
  cursor: z.string().min(1).max(1_024).optional(),
});

/** Members every list answers with besides `items`. */
export const listMembers = {
  nextCursor: z.string().optional().meta({ description: "Absent on the last page. Opaque." }),
  total: z.int().optional().meta({ description: "Given where counting is cheap." }),
} as const;

/** Query members of every numbered search. */
export const searchQueryMembers = {
  page: z.coerce.number().int().min(0).max(1_000_000).default(0),
  size: z.coerce.number().int().min(1).max(wireLimits.searchMaxItems).default(wireLimits.searchDefaultItems),
} as const;

export const searchPageMembers = {
  page: z.int(),
  size: z.int(),
  totalItems: z.int().meta({ description: "Exact to 10,000." }),
  totalPages: z.int(),
  totalIsLowerBound: z.boolean().optional().meta({ description: "True when there are more than totalItems." }),
} as const;

export const optionSchema = z.object({ value: z.string(), label: z.string() }).meta({ id: "FilterOption" });

export type RetryIn = z.infer<typeof retryInSchema>;
export type RetryOut = z.infer<typeof retryOutSchema>;
export type EntityWarning = z.infer<typeof warningSchema>;
export type ListQuery = z.infer<typeof listQuerySchema>;
export type FilterOption = z.infer<typeof optionSchema>;
