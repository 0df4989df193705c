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
  if (!timePattern.test(text) || !isCalendarDay(text)) return null;
  const ms = Date.parse(text);
  return ms >= earliestTimeMs && ms <= latestTimeMs ? ms : null;
}

/** RFC 3339 has four digits for the year, also after the zone has been taken off. */
const earliestTimeMs = -62_167_219_200_000;
const latestTimeMs = 253_402_300_799_999;

/** `Date.parse` takes the 30th of February for the 2nd of March, and hour 24 for the next day. */
function isCalendarDay(text: string): boolean {
  if (text.slice(11, 13) === "24") return false;
  const day = Number(text.slice(8, 10));
  if (day <= 28) return true;
  const daysOfMonth = new Date(Date.UTC(2_000 + (Number(text.slice(0, 4)) % 400), Number(text.slice(5, 7)), 0));
  return day <= daysOfMonth.getUTCDate();
}

export const timeInSchema = z
  .string()
  .refine((text) => parseTime(text) !== null, "must be an RFC 3339 time with a zone, like 2026-01-31T12:00:00.000Z")
  .meta({ format: "date-time" });

/** Times in answers: RFC 3339, UTC, milliseconds. */
export const timeOutSchema = z.string().meta({ format: "date-time" });

/**
 * JSON can spell half of a surrogate pair (`"\ud800"`), UTF-8 cannot carry it: stored and sent, two different keys
 * would become the same one.
 */
export const wholeTextMessage = "must not hold half of a surrogate pair";

/** Text of `minChars` to `maxChars` characters that UTF-8 can carry. */
export function textSchema(minChars: number, maxChars: number) {
  return z
    .string()
    .min(minChars)
    .max(maxChars)
    .refine((text) => text.isWellFormed(), wholeTextMessage);
}

export const keySchema = textSchema(1, wireLimits.keyMaxChars);
export const clientIdSchema = textSchema(1, wireLimits.clientIdMaxChars);
export const nameSchema = z
  .string()
  .trim()
  .min(1)
  .max(wireLimits.nameMaxChars)
  .refine((text) => text.isWellFormed(), wholeTextMessage);
export const codeSchema = textSchema(1, wireLimits.codeMaxChars);
/** Parsers of URLs drop line ends and trim spaces without a word; what is called should be what was written. */
export const urlSchema = textSchema(1, wireLimits.urlMaxChars).refine(
  (text) => !/[\s\p{Cc}]/u.test(text),
  "must not have spaces or control characters",
);

/** What a `content-type` header can carry: visible ASCII, and spaces inside. */
export const contentTypePattern = /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/;
export const contentTypeSchema = z
  .string()
  .min(1)
  .max(wireLimits.contentTypeMaxChars)
  .regex(contentTypePattern, "must be visible ASCII, like application/json");

interface RecordLimits {
  readonly maxItems: number;
  readonly valueMaxChars: number;
  /** Of names and values together. */
  readonly maxChars: number;
}

function limitedRecord({ maxItems, valueMaxChars, maxChars }: RecordLimits) {
  return z
    .record(z.string().min(1).max(wireLimits.keyMaxChars), z.string().max(valueMaxChars))
    .refine((record) => Object.keys(record).length <= maxItems, `must have at most ${maxItems} members`)
    .refine((record) => charsOf(record) <= maxChars, `must have at most ${maxChars} characters together`);
}

function charsOf(record: Readonly<Record<string, string>>): number {
  let chars = 0;
  for (const [name, value] of Object.entries(record)) chars += name.length + value.length;
  return chars;
}

export const headersSchema = limitedRecord({
  maxItems: wireLimits.headersMaxItems,
  valueMaxChars: wireLimits.headerValueMaxChars,
  maxChars: wireLimits.headersMaxChars,
});
export const metadataSchema = limitedRecord({
  maxItems: wireLimits.metadataMaxItems,
  valueMaxChars: wireLimits.metadataValueMaxChars,
  maxChars: wireLimits.metadataMaxChars,
});

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
