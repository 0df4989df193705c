import * as z from "zod";
import { wireLimits } from "./wire-limits.ts";
import { timeOutSchema, urlSchema } from "./wire-values.ts";

/** Bodies of the router's own API (port 8081). */

/** A message of a user who has no platform. The same in snake_case is taken too. */
export const standaloneMessageSchema = z
  .strictObject({
    id: z.string().min(1).max(wireLimits.keyMaxChars),
    poolCode: z.string().min(1).max(wireLimits.keyMaxChars).nullish().meta({ description: "DEFAULT-POOL if absent." }),
    mediationType: z
      .string()
      .nullish()
      .meta({ description: "HTTP, also if absent; others are refused with MEDIATION_TYPE_UNSUPPORTED." }),
    target: urlSchema,
    payload: z.unknown(),
    headers: z.record(z.string(), z.string()).nullish(),
    messageGroupId: z.string().min(1).max(wireLimits.keyMaxChars).nullish(),
    deduplicationId: z.string().min(1).max(wireLimits.keyMaxChars).nullish(),
    highPriority: z.boolean().nullish(),
    secretRef: z.string().min(1).max(wireLimits.keyMaxChars).nullish(),
    traceparent: z.string().nullish(),
  })
  .meta({ id: "StandaloneMessage" });

export const routerPublishSchema = z
  .union([
    standaloneMessageSchema,
    z.array(standaloneMessageSchema).min(1).max(wireLimits.routerPublishMaxMessages),
    z.strictObject({ messages: z.array(standaloneMessageSchema).min(1).max(wireLimits.routerPublishMaxMessages) }),
  ])
  .meta({ id: "RouterPublish" });

export const routerPublishResultSchema = z
  .object({
    id: z.string(),
    status: z.enum(["PUBLISHED", "DUPLICATE", "INVALID", "REFUSED"]),
    code: z.string().optional(),
    error: z.string().optional(),
  })
  .meta({ id: "RouterPublishResult" });

export const routerPublishAnswerSchema = z
  .object({ count: z.int(), results: z.array(routerPublishResultSchema).meta({ description: "By position." }) })
  .meta({ id: "RouterPublishAnswer" });

export const poolStateSchema = z
  .object({
    code: z.string(),
    concurrency: z.int(),
    rateLimitPerMinute: z.int().nullable(),
    status: z.enum(["ACTIVE", "SUSPENDED", "DRAINING"]),
    activeWorkers: z.int(),
    queueDepth: z.int(),
    bufferMaxJobs: z.int(),
    bufferBytes: z.int(),
    rateLimitWaits: z.int(),
    delivered: z.int(),
    failed: z.int(),
  })
  .meta({ id: "PoolState" });

export const queueStateSchema = z
  .object({
    name: z.string(),
    visible: z.int().nullable().meta({ description: "Null, here and below: this queue cannot tell." }),
    inFlight: z.int().nullable(),
    delayed: z.int().nullable(),
    dead: z.int().nullable(),
    oldestUnsettledAt: timeOutSchema.nullable(),
    error: z.string().nullable(),
  })
  .meta({ id: "QueueState" });

export const circuitBreakerStateSchema = z
  .object({
    name: z.string().meta({ description: "The target's origin." }),
    state: z.enum(["CLOSED", "OPEN", "HALF_OPEN"]),
    calls: z.int(),
    failures: z.int(),
    openUntil: timeOutSchema.nullable(),
  })
  .meta({ id: "CircuitBreakerState" });

export const inFlightMessageSchema = z
  .object({
    id: z.string(),
    jobId: z.string().nullable(),
    poolCode: z.string(),
    target: z.string(),
    groupKey: z.string().nullable(),
    state: z.enum(["WAITING", "CALLING", "RECORDING"]),
    since: timeOutSchema,
  })
  .meta({ id: "InFlightMessage" });

export const routerWarningSchema = z
  .object({
    id: z.string(),
    category: z.string(),
    severity: z.enum(["INFO", "WARN", "ERROR", "CRITICAL"]),
    message: z.string(),
    source: z.string(),
    at: timeOutSchema,
    acknowledged: z.boolean(),
  })
  .meta({ id: "RouterWarning" });

export const standbyStateSchema = z
  .object({
    enabled: z.boolean(),
    active: z.boolean().meta({ description: "Whether this router receives. Without standby every router does." }),
    instanceId: z.string().nullable().meta({ description: "This router's name among those that compete." }),
    holder: z.string().nullable().meta({ description: "Who has the lease, as last seen; null: nobody, or not known." }),
    since: timeOutSchema.nullable().meta({ description: "When active became what it is." }),
    leaseUntil: timeOutSchema.nullable().meta({ description: "Until when this router trusts its lease." }),
    error: z.string().nullable().meta({ description: "Why the lease cannot be asked for at the moment." }),
  })
  .meta({ id: "StandbyState" });

export const consumerStateSchema = z
  .object({
    name: z.string(),
    status: z.enum(["RUNNING", "PAUSED", "STOPPED", "FAILED"]),
    lastReceivedAt: timeOutSchema.nullable(),
    received: z.int(),
    error: z.string().nullable(),
  })
  .meta({ id: "ConsumerState" });

export const poolStateListSchema = z.object({ items: z.array(poolStateSchema) }).meta({ id: "PoolStateList" });
export const queueStateListSchema = z.object({ items: z.array(queueStateSchema) }).meta({ id: "QueueStateList" });
export const circuitBreakerStateListSchema = z
  .object({ items: z.array(circuitBreakerStateSchema) })
  .meta({ id: "CircuitBreakerStateList" });
export const inFlightListSchema = z
  .object({ items: z.array(inFlightMessageSchema), total: z.int() })
  .meta({ id: "InFlightList" });
export const routerWarningListSchema = z
  .object({ items: z.array(routerWarningSchema) })
  .meta({ id: "RouterWarningList" });
export const consumerStateListSchema = z
  .object({ items: z.array(consumerStateSchema) })
  .meta({ id: "ConsumerStateList" });

export const inFlightCheckSchema = z
  .strictObject({ ids: z.array(z.string().max(wireLimits.keyMaxChars)).max(wireLimits.inFlightCheckMaxIds) })
  .meta({ id: "InFlightCheck" });

export const inFlightCheckAnswerSchema = z
  .record(z.string(), z.boolean())
  .meta({ id: "InFlightCheckAnswer", description: "Each id that was asked for, and whether it is in the pipeline." });

export const routerHealthSchema = z
  .object({
    status: z.enum(["UP", "DOWN"]),
    inPipeline: z.int(),
    activeWorkers: z.int(),
    warnings: z.int().meta({ description: "Not acknowledged." }),
  })
  .meta({ id: "RouterHealth" });

export const routerReloadAnswerSchema = z
  .object({ revision: z.int().nullable().meta({ description: "Of the settings in force." }) })
  .meta({ id: "RouterReloadAnswer" });

export type StandaloneMessageIn = z.input<typeof standaloneMessageSchema>;
export type RouterPublishAnswer = z.infer<typeof routerPublishAnswerSchema>;
export type RouterPublishResult = z.infer<typeof routerPublishResultSchema>;
export type PoolState = z.infer<typeof poolStateSchema>;
export type QueueState = z.infer<typeof queueStateSchema>;
export type CircuitBreakerState = z.infer<typeof circuitBreakerStateSchema>;
export type InFlightMessage = z.infer<typeof inFlightMessageSchema>;
export type RouterWarning = z.infer<typeof routerWarningSchema>;
export type StandbyState = z.infer<typeof standbyStateSchema>;
export type ConsumerState = z.infer<typeof consumerStateSchema>;
export type RouterHealth = z.infer<typeof routerHealthSchema>;
