import * as z from "zod";
import { wireLimits } from "./wire-limits.ts";
import {
  clientIdSchema,
  codeSchema,
  contentTypeSchema,
  deliveryFormatSchema,
  dispatchModeSchema,
  headersSchema,
  keySchema,
  listMembers,
  listQuerySchema,
  metadataSchema,
  optionSchema,
  retryInSchema,
  retryOutSchema,
  searchPageMembers,
  searchQueryMembers,
  timeInSchema,
  timeOutSchema,
  urlSchema,
} from "./wire-values.ts";

export const jobStatusSchema = z
  .enum(["PENDING", "QUEUED", "COMPLETED", "FAILED", "CANCELLED", "EXPIRED"])
  .meta({ id: "JobStatus" });

/** A delivery that belongs to no subscription: a task. `eventId` and `subscriptionId` are kept as the caller says. */
export const createDispatchJobSchema = z
  .strictObject({
    targetUrl: urlSchema,
    payload: z.unknown().meta({ description: "Text is sent as it is; anything else as JSON. At most 256 KiB." }),
    contentType: contentTypeSchema.nullish(),
    eventId: keySchema.nullish(),
    subscriptionId: keySchema.nullish(),
    code: codeSchema.nullish(),
    clientId: clientIdSchema.nullish(),
    messageGroup: keySchema.nullish(),
    mode: dispatchModeSchema.nullish(),
    dispatchPoolId: codeSchema.nullish(),
    scheduledFor: timeInSchema.nullish(),
    idempotencyKey: keySchema.nullish(),
    headers: headersSchema.nullish(),
    metadata: metadataSchema.nullish(),
    timeoutSeconds: z.int().min(1).max(wireLimits.timeoutMaxSeconds).nullish(),
    maxRetries: z.int().min(0).max(wireLimits.retriesMax).nullish(),
    retry: retryInSchema.nullish(),
    maxAgeSeconds: z.int().min(1).max(wireLimits.maxAgeMaxSeconds).nullish(),
    secretRef: keySchema.nullish().meta({ description: "Which secret signs; else the client's." }),
    legacySignature: z.boolean().nullish(),
  })
  .meta({ id: "CreateDispatchJob" });

export const createDispatchJobBatchSchema = z
  .strictObject({ jobs: z.array(createDispatchJobSchema).min(1).max(wireLimits.jobBatchMaxJobs) })
  .meta({ id: "CreateDispatchJobBatch" });

/** For outbox processors: each item is answered for itself, by position. */
export const createDispatchJobItemsSchema = z
  .strictObject({ items: z.array(createDispatchJobSchema).min(1).max(wireLimits.jobBatchMaxJobs) })
  .meta({ id: "CreateDispatchJobItems" });

const nullableText = z.string().nullable();

export const dispatchJobSchema = z
  .object({
    id: z.string(),
    kind: z.enum(["EVENT", "TASK"]),
    status: jobStatusSchema,
    clientId: nullableText,
    eventId: nullableText,
    subscriptionId: nullableText,
    code: nullableText,
    messageGroup: nullableText,
    groupKey: nullableText,
    targetUrl: z.string(),
    dispatchPoolId: z.string().meta({ description: "The pool's code." }),
    mode: dispatchModeSchema,
    format: deliveryFormatSchema,
    timeoutSeconds: z.int(),
    maxAgeSeconds: z.int(),
    retry: retryOutSchema,
    headers: z.record(z.string(), z.string()),
    generation: z.int(),
    attemptCount: z.int().meta({ description: "Attempts of the present retry budget." }),
    replayCount: z.int(),
    nextAttemptAt: timeOutSchema.nullable().meta({ description: "For a PENDING job: not published before." }),
    queuedAt: timeOutSchema.nullable(),
    expiresAt: timeOutSchema.nullable(),
    finishedAt: timeOutSchema.nullable(),
    lastError: nullableText,
    idempotencyKey: nullableText,
    metadata: z.record(z.string(), z.string()),
    payloadBytes: z.int(),
    createdAt: timeOutSchema,
    updatedAt: timeOutSchema,
  })
  .meta({ id: "DispatchJob" });

export const dispatchJobBatchAnswerSchema = z
  .object({ count: z.int(), duplicateCount: z.int(), jobs: z.array(dispatchJobSchema) })
  .meta({ id: "DispatchJobBatchAnswer" });

export const dispatchJobListSchema = z
  .object({ items: z.array(dispatchJobSchema), ...listMembers })
  .meta({ id: "DispatchJobList" });

export const attemptSchema = z
  .object({
    id: z.string(),
    generation: z.int(),
    number: z.int(),
    startedAt: timeOutSchema,
    durationMs: z.number(),
    outcome: z.string(),
    statusCode: z.int().nullable(),
    burnt: z.boolean().meta({ description: "Counted against the retry budget." }),
    error: nullableText,
    responseBody: nullableText.meta({ description: "At most 5,000 characters." }),
    signed: z.boolean(),
  })
  .meta({ id: "Attempt" });

export const attemptListSchema = z
  .object({ items: z.array(attemptSchema), ...listMembers })
  .meta({ id: "AttemptList" });

const manyTexts = z.union([z.string(), z.array(z.string())]).optional();

const jobFilterMembers = {
  status: manyTexts,
  subscriptionId: z.string().optional(),
  eventId: z.string().optional(),
  code: z.string().optional(),
  clientId: manyTexts,
  dispatchPoolId: z.string().optional(),
  messageGroup: z.string().optional(),
  createdAfter: timeInSchema.optional(),
  createdBefore: timeInSchema.optional(),
} as const;

export const dispatchJobListQuerySchema = listQuerySchema.extend(jobFilterMembers);
export const dispatchJobSearchQuerySchema = z.strictObject({ ...searchQueryMembers, ...jobFilterMembers });

export const dispatchJobSearchPageSchema = z
  .object({ items: z.array(dispatchJobSchema), ...searchPageMembers })
  .meta({ id: "DispatchJobSearchPage" });

export const dispatchJobFilterOptionsSchema = z
  .object({
    statuses: z.array(optionSchema),
    subscriptions: z.array(optionSchema),
    dispatchPools: z.array(optionSchema),
    modes: z.array(optionSchema),
  })
  .meta({ id: "DispatchJobFilterOptions" });

/** Bulk retry of final jobs. `dryRun` only counts. */
export const createReplaySchema = z
  .strictObject({
    statuses: z
      .array(z.enum(["FAILED", "EXPIRED", "CANCELLED", "COMPLETED"]))
      .min(1)
      .nullish()
      .meta({ description: "FAILED and EXPIRED if absent." }),
    subscriptionId: keySchema.nullish(),
    eventType: z.string().min(1).max(wireLimits.eventTypeMaxChars).nullish(),
    createdAfter: timeInSchema.nullish(),
    createdBefore: timeInSchema.nullish(),
    jobsPerSecond: z.int().min(1).max(10_000).nullish().meta({ description: "100 if absent." }),
    dryRun: z.boolean().nullish(),
  })
  .meta({ id: "CreateReplay" });

export const replayPreviewSchema = z.object({ dryRun: z.literal(true), count: z.int() }).meta({ id: "ReplayPreview" });

export const replaySchema = z
  .object({
    id: z.string(),
    status: z.enum(["RUNNING", "COMPLETED", "CANCELLED"]),
    total: z.int(),
    done: z.int(),
    jobsPerSecond: z.int(),
    filter: z.object({
      statuses: z.array(z.string()),
      subscriptionId: nullableText,
      eventType: nullableText,
      createdAfter: timeOutSchema.nullable(),
      createdBefore: timeOutSchema.nullable(),
    }),
    createdAt: timeOutSchema,
    updatedAt: timeOutSchema,
  })
  .meta({ id: "Replay" });

export const replayListSchema = z.object({ items: z.array(replaySchema), ...listMembers }).meta({ id: "ReplayList" });

export const heldGroupSchema = z
  .object({
    key: z.string(),
    subscriptionId: nullableText,
    reason: z.enum(["SUBSCRIPTION_PAUSED", "POOL_SUSPENDED", "GROUP_BLOCKED", "WAITING_RETRY", "SCHEDULED"]),
    since: timeOutSchema,
    until: timeOutSchema.nullable(),
    waiting: z.int().meta({ description: "Jobs waiting; counted to 10,000 at most." }),
    headJobId: nullableText,
    headStatus: nullableText,
  })
  .meta({ id: "HeldGroup" });

export const heldGroupListSchema = z
  .object({ items: z.array(heldGroupSchema), ...listMembers })
  .meta({ id: "HeldGroupList" });

export const unblockGroupSchema = z
  .strictObject({ action: z.enum(["skip", "retry"]) })
  .meta({ id: "UnblockGroup", description: "skip cancels the failed head, retry tries it again." });

export type JobStatusName = z.infer<typeof jobStatusSchema>;
export type CreateDispatchJob = z.input<typeof createDispatchJobSchema>;
export type CreateDispatchJobBatch = z.input<typeof createDispatchJobBatchSchema>;
export type CreateDispatchJobItems = z.input<typeof createDispatchJobItemsSchema>;
export type DispatchJobOut = z.infer<typeof dispatchJobSchema>;
export type DispatchJobBatchAnswer = z.infer<typeof dispatchJobBatchAnswerSchema>;
export type DispatchJobList = z.infer<typeof dispatchJobListSchema>;
export type DispatchJobSearchPage = z.infer<typeof dispatchJobSearchPageSchema>;
export type DispatchJobFilterOptions = z.infer<typeof dispatchJobFilterOptionsSchema>;
export type AttemptOut = z.infer<typeof attemptSchema>;
export type AttemptList = z.infer<typeof attemptListSchema>;
export type CreateReplay = z.input<typeof createReplaySchema>;
export type ReplayPreview = z.infer<typeof replayPreviewSchema>;
export type ReplayOut = z.infer<typeof replaySchema>;
export type ReplayList = z.infer<typeof replayListSchema>;
export type HeldGroupOut = z.infer<typeof heldGroupSchema>;
export type HeldGroupList = z.infer<typeof heldGroupListSchema>;
export type UnblockGroup = z.input<typeof unblockGroupSchema>;
