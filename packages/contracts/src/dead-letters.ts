import * as z from "zod";
import { wireLimits } from "./wire-limits.ts";
import { timeOutSchema } from "./wire-values.ts";

/** Bodies of the router API about messages that were set aside, because they cannot be read or failed for good. */

const queueName = z.string().min(1).max(wireLimits.keyMaxChars);
const cursor = z.string().min(1).max(4_096).meta({ description: "`nextCursor` of the page before." });
const limit = z.int().min(1).max(wireLimits.deadLettersMax);
const poolCode = z.string().min(1).max(wireLimits.keyMaxChars).meta({ description: "Only those of this pool." });
const reason = z
  .string()
  .min(1)
  .max(wireLimits.keyMaxChars)
  .meta({ description: "Only those with this in the reason." });

export const deadLetterListQuerySchema = z.strictObject({
  limit: z.coerce.number().pipe(limit).default(wireLimits.deadLettersMax),
  cursor: cursor.optional(),
  queue: queueName
    .optional()
    .meta({ description: "Only of this queue; all of the router's, one after another, if absent." }),
  poolCode: poolCode.optional(),
  reason: reason.optional(),
});

export const deadLetterQuerySchema = z.strictObject({
  queue: queueName.optional().meta({ description: "Needed where the router has several queues." }),
});

export const deadLetterSchema = z
  .object({
    key: z.string().meta({ description: "Names it within its queue." }),
    queue: z.string(),
    id: z.string().nullable(),
    poolCode: z.string().nullable(),
    reason: z.string(),
    body: z.string().meta({
      description: `As it was published; in a list at most ${wireLimits.deadLetterBodyMaxChars} characters of it.`,
    }),
    at: timeOutSchema,
  })
  .meta({ id: "DeadLetter" });

export const deadLetterListSchema = z
  .object({
    items: z.array(deadLetterSchema),
    nextCursor: z
      .string()
      .optional()
      .meta({ description: "Absent on the last page. With a filter a page may be empty." }),
    unpaged: z.array(z.string()).meta({
      description: "Queues of this page that cannot show theirs page by page: one look, in any order, and no further.",
    }),
  })
  .meta({ id: "DeadLetterList" });

const keys = z.array(z.string().min(1).max(wireLimits.deadLetterKeyMaxChars)).min(1).max(wireLimits.deadLettersMax);
const dryRun = z.boolean().meta({ description: "Only say what would happen." });

/** These letters, or all of them page by page: the answer says how to go on. */
export const settleDeadLettersSchema = z
  .union([
    z.strictObject({ keys, queue: queueName.optional(), dryRun: dryRun.optional() }),
    z.strictObject({
      all: z.literal(true),
      queue: queueName.optional(),
      poolCode: poolCode.optional(),
      reason: reason.optional(),
      limit: limit.optional(),
      cursor: cursor.optional(),
      dryRun: dryRun.optional(),
    }),
  ])
  .meta({ id: "SettleDeadLetters" });

const settlementSchema = z
  .object({
    key: z.string(),
    queue: z.string(),
    id: z.string().nullable(),
    status: z.enum(["REPLAYED", "DISCARDED", "MISSING", "UNREADABLE", "REFUSED"]).meta({
      description: "MISSING: there is no such letter any more. UNREADABLE, REFUSED: it stays where it is.",
    }),
    code: z.string().optional(),
    error: z.string().optional(),
  })
  .meta({ id: "DeadLetterSettlement" });

export const settleDeadLettersAnswerSchema = z
  .object({
    dryRun: z.boolean(),
    count: z.int().meta({ description: "How many were, or would be, replayed or discarded." }),
    results: z.array(settlementSchema).meta({ description: "By position of the keys." }),
    nextCursor: z.string().optional().meta({ description: "With `all`: there may be more, go on with it." }),
    unpaged: z
      .array(z.string())
      .meta({ description: "As in the list: queues of which there may be more behind these." }),
  })
  .meta({ id: "SettleDeadLettersAnswer" });

export type DeadLetterOut = z.infer<typeof deadLetterSchema>;
export type DeadLetterList = z.infer<typeof deadLetterListSchema>;
export type DeadLetterListQuery = z.input<typeof deadLetterListQuerySchema>;
export type SettleDeadLetters = z.infer<typeof settleDeadLettersSchema>;
export type DeadLetterSettlement = z.infer<typeof settlementSchema>;
export type SettleDeadLettersAnswer = z.infer<typeof settleDeadLettersAnswerSchema>;
