import * as z from "zod";
import { wireLimits } from "./wire-limits.ts";
import {
  clientIdSchema,
  contentTypeSchema,
  keySchema,
  optionSchema,
  searchPageMembers,
  searchQueryMembers,
  textSchema,
  timeInSchema,
  timeOutSchema,
} from "./wire-values.ts";

export const contextDatumSchema = z
  .strictObject({
    key: z.string().min(1).max(wireLimits.contextKeyMaxChars),
    value: z.string().max(wireLimits.contextValueMaxChars),
  })
  .meta({ id: "ContextDatum" });

/** An event in our own JSON. The server checks it by hand for speed; a test holds both to one answer. */
export const createEventSchema = z
  .strictObject({
    type: textSchema(1, wireLimits.eventTypeMaxChars).meta({
      description: "Any text; order.created works at once. Four segments with colons when registered.",
    }),
    source: textSchema(1, wireLimits.eventSourceMaxChars),
    specVersion: z.literal("1.0").nullish(),
    subject: textSchema(0, wireLimits.eventSubjectMaxChars).nullish(),
    time: timeInSchema.nullish(),
    data: z
      .unknown()
      .optional()
      .meta({ description: "Any JSON. A string that holds a JSON object or array is stored parsed. At most 256 KiB." }),
    dataContentType: contentTypeSchema.nullish(),
    dataSchema: textSchema(1, wireLimits.urlMaxChars).nullish(),
    messageGroup: keySchema.nullish().meta({ description: "Order is kept among events of one group." }),
    correlationId: keySchema.nullish(),
    causationId: keySchema.nullish(),
    deduplicationId: keySchema
      .nullish()
      .meta({ description: "The same one again within 168 h answers the first event." }),
    clientId: clientIdSchema.nullish(),
    contextData: z.array(contextDatumSchema).max(wireLimits.contextDataMaxItems).nullish(),
  })
  .meta({ id: "CreateEvent" });

/** All or nothing: one bad event refuses the batch, naming each bad one. */
export const createEventBatchSchema = z
  .strictObject({ events: z.array(createEventSchema).min(1).max(wireLimits.batchMaxEvents) })
  .meta({ id: "CreateEventBatch" });

/** For outbox processors: each item is answered for itself, by position. */
export const createEventItemsSchema = z
  .strictObject({ items: z.array(createEventSchema).min(1).max(wireLimits.batchMaxEvents) })
  .meta({ id: "CreateEventItems" });

const nullableText = z.string().nullable();

export const eventSchema = z
  .object({
    id: z.string(),
    specVersion: z.literal("1.0"),
    type: z.string(),
    source: z.string(),
    subject: nullableText,
    time: timeOutSchema,
    data: z.unknown().optional().meta({ description: "Text if dataContentType is not JSON; absent if binary." }),
    dataBase64: z.string().optional().meta({ description: "Binary data." }),
    dataContentType: z.string(),
    dataSchema: nullableText,
    messageGroup: nullableText,
    correlationId: nullableText,
    causationId: nullableText,
    deduplicationId: nullableText,
    senderId: nullableText.meta({ description: "The id a CloudEvents sender gave." }),
    clientId: nullableText,
    contextData: z.array(contextDatumSchema),
    extensions: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
    createdAt: timeOutSchema,
  })
  .meta({ id: "Event" });

/** What a batch answers of each event: everything but what the sender knows to be long. */
export const acceptedEventSchema = z
  .object({
    id: z.string(),
    type: z.string(),
    source: z.string(),
    subject: nullableText,
    time: timeOutSchema,
    messageGroup: nullableText,
    correlationId: nullableText,
    deduplicationId: nullableText,
    createdAt: timeOutSchema,
    duplicate: z.boolean().meta({ description: "Known by its deduplicationId: this is the first event." }),
  })
  .meta({ id: "AcceptedEvent" });

export const eventBatchAnswerSchema = z
  .object({ count: z.int(), duplicateCount: z.int(), events: z.array(acceptedEventSchema) })
  .meta({ id: "EventBatchAnswer" });

export const itemStatusSchema = z.enum(["SUCCESS", "BAD_REQUEST", "FORBIDDEN", "INTERNAL_ERROR"]);

export const itemResultSchema = z
  .object({ id: z.string().optional(), status: itemStatusSchema, error: z.string().optional() })
  .meta({ id: "ItemResult", description: "INTERNAL_ERROR may be sent again; the others will not get better." });

/** The answer to `items`, whatever they are. */
export const itemsAnswerSchema = z
  .object({ results: z.array(itemResultSchema).meta({ description: "By position." }) })
  .meta({ id: "ItemsAnswer" });

export const timelineEntrySchema = z
  .object({
    at: timeOutSchema,
    kind: z.enum(["ACCEPTED", "MATCHED", "NOT_MATCHED", "QUEUED", "ATTEMPT", "FINAL"]),
    message: z.string(),
    jobId: z.string().optional(),
    subscriptionId: z.string().optional(),
    status: z.string().optional(),
    attempt: z.int().optional(),
    outcome: z.string().optional(),
    statusCode: z.int().optional(),
    durationMs: z.number().optional(),
  })
  .meta({ id: "TimelineEntry" });

export const timelineSchema = z
  .object({
    eventId: z.string(),
    entries: z.array(timelineEntrySchema).meta({ description: "In time order." }),
    truncated: z.boolean().meta({ description: "True when the event has more jobs or attempts than are shown." }),
  })
  .meta({ id: "Timeline" });

const manyTexts = z.union([z.string(), z.array(z.string())]).optional();

/** Query of the search over events. `type` and `clientId` may be repeated, or hold several values with commas. */
export const eventSearchQuerySchema = z.strictObject({
  ...searchQueryMembers,
  clientId: manyTexts,
  type: manyTexts,
  source: z.string().optional(),
  subject: z.string().optional(),
  correlationId: z.string().optional(),
  messageGroup: z.string().optional(),
  timeAfter: timeInSchema.optional(),
  timeBefore: timeInSchema.optional(),
  q: z.string().min(1).max(256).optional(),
});

export const eventSearchPageSchema = z
  .object({ items: z.array(eventSchema), ...searchPageMembers })
  .meta({ id: "EventSearchPage" });

export const eventFilterQuerySchema = z.strictObject({
  client: z.string().optional(),
  application: z.string().optional(),
  subdomain: z.string().optional(),
  aggregate: z.string().optional(),
});

export const eventFilterOptionsSchema = z
  .object({
    clients: z.array(optionSchema),
    applications: z.array(optionSchema),
    subdomains: z.array(optionSchema),
    aggregates: z.array(optionSchema),
    types: z.array(optionSchema),
  })
  .meta({ id: "EventFilterOptions" });

/** A CloudEvents 1.0 envelope in JSON; other attributes in lower case are kept as extensions. */
export const cloudEventSchema = z
  .looseObject({
    specversion: z.literal("1.0"),
    id: keySchema,
    source: textSchema(1, wireLimits.eventSourceMaxChars),
    type: textSchema(1, wireLimits.eventTypeMaxChars),
    subject: textSchema(1, wireLimits.eventSubjectMaxChars).nullish(),
    time: timeInSchema.nullish(),
    datacontenttype: contentTypeSchema.nullish(),
    dataschema: textSchema(1, wireLimits.urlMaxChars).nullish(),
    data: z.unknown().optional(),
    data_base64: z.string().nullish(),
    messagegroup: keySchema.nullish(),
    partitionkey: keySchema.nullish(),
    correlationid: keySchema.nullish(),
    causationid: keySchema.nullish(),
    deduplicationid: keySchema.nullish(),
    clientid: clientIdSchema.nullish(),
  })
  .meta({ id: "CloudEvent" });

export const cloudEventBatchSchema = z
  .array(cloudEventSchema)
  .min(1)
  .max(wireLimits.batchMaxEvents)
  .meta({ id: "CloudEventBatch" });

export type CreateEvent = z.input<typeof createEventSchema>;
export type CreateEventBatch = z.input<typeof createEventBatchSchema>;
export type CreateEventItems = z.input<typeof createEventItemsSchema>;
export type CloudEventIn = z.infer<typeof cloudEventSchema>;
export type Event = z.infer<typeof eventSchema>;
export type AcceptedEvent = z.infer<typeof acceptedEventSchema>;
export type EventBatchAnswer = z.infer<typeof eventBatchAnswerSchema>;
export type ItemStatus = z.infer<typeof itemStatusSchema>;
export type ItemResult = z.infer<typeof itemResultSchema>;
export type ItemsAnswer = z.infer<typeof itemsAnswerSchema>;
export type TimelineEntry = z.infer<typeof timelineEntrySchema>;
export type Timeline = z.infer<typeof timelineSchema>;
export type EventSearchQuery = z.infer<typeof eventSearchQuerySchema>;
export type EventSearchPage = z.infer<typeof eventSearchPageSchema>;
export type EventFilterOptions = z.infer<typeof eventFilterOptionsSchema>;
