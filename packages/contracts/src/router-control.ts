import * as z from "zod";
import { dispatchPoolSchema } from "./dispatch-pool.ts";
import { wireLimits } from "./wire-limits.ts";
import { jobStatusSchema } from "./dispatch-job.ts";
import { timeInSchema, timeOutSchema } from "./wire-values.ts";

/** What a router without a database and the platform say to each other. */

export const attemptOutcomeSchema = z.enum([
  "DELIVERED",
  "NOT_YET",
  "REDIRECT",
  "REJECTED",
  "GONE",
  "RATE_LIMITED",
  "SERVER_ERROR",
  "NOT_IMPLEMENTED",
  "TIMEOUT",
  "CONNECTION_FAILED",
  "DNS_FAILED",
  "TLS_FAILED",
  "BLOCKED_ADDRESS",
]);

/** Ids of jobs are made by the platform, of visible ASCII: nothing else can be one, and no store is asked for it. */
const jobIdSchema = z
  .string()
  .max(wireLimits.keyMaxChars)
  .regex(/^[!-~]+$/, "must be visible ASCII");
const generationSchema = z.int().min(1).max(wireLimits.countMax);

/** What is kept of a text that a target answered or a fault said. */
const errorTextSchema = z.string().max(wireLimits.attemptTextMaxChars);

export const deliveryResultSchema = z
  .discriminatedUnion("kind", [
    z.strictObject({ kind: z.literal("delivered") }),
    z.strictObject({
      kind: z.literal("permanent"),
      error: errorTextSchema,
      pauseSubscription: z
        .string()
        .max(255)
        .nullable()
        .meta({ description: "The reason to pause the subscription with." }),
    }),
    z.strictObject({ kind: z.literal("transient"), error: errorTextSchema }),
    z.strictObject({ kind: z.literal("held"), until: timeInSchema, error: errorTextSchema.nullable() }),
    z.strictObject({ kind: z.literal("expired") }),
    z.strictObject({ kind: z.literal("released"), dueAt: timeInSchema }),
  ])
  .meta({ id: "DeliveryResult" });

export const deliveryReportSchema = z
  .strictObject({
    jobId: jobIdSchema,
    generation: generationSchema,
    attempt: z
      .strictObject({
        number: z.int().min(1).max(wireLimits.countMax),
        startedAt: timeInSchema,
        durationMs: z.number().min(0).max(wireLimits.countMax),
        outcome: attemptOutcomeSchema,
        statusCode: z.int().min(100).max(999).nullable(),
        burnt: z.boolean(),
        error: errorTextSchema.nullable(),
        responseBody: errorTextSchema.nullable(),
        signed: z.boolean(),
      })
      .nullable(),
    result: deliveryResultSchema,
  })
  .meta({ id: "DeliveryReport" });

export const reportAttemptsSchema = z
  .strictObject({ reports: z.array(deliveryReportSchema).min(1).max(wireLimits.attemptReportsMax) })
  .meta({ id: "ReportAttempts" });

export const reportVerdictSchema = z
  .discriminatedUnion("kind", [
    z.object({
      kind: z.literal("settled"),
      status: jobStatusSchema,
      holdsGroup: z.boolean().meta({ description: "The rest of the run was taken back and must not be started." }),
    }),
    z.object({ kind: z.literal("wait"), delayMs: z.number(), attemptCount: z.int() }),
    z.object({ kind: z.literal("parked"), until: timeOutSchema }),
    z.object({ kind: z.literal("ignored"), reason: z.enum(["STALE", "FINAL", "UNKNOWN_JOB"]) }),
  ])
  .meta({ id: "ReportVerdict" });

export const reportAttemptsAnswerSchema = z
  .object({ verdicts: z.array(reportVerdictSchema).meta({ description: "By position." }) })
  .meta({ id: "ReportAttemptsAnswer" });

const jobReferenceSchema = z.strictObject({
  jobId: jobIdSchema,
  generation: generationSchema,
});

export const checkDeliveriesSchema = z
  .strictObject({ jobs: z.array(jobReferenceSchema).min(1).max(wireLimits.deliveryChecksMax) })
  .meta({ id: "CheckDeliveries", description: "Jobs as a message names them that was received again, or is old." });

export const checkDeliveriesAnswerSchema = z
  .object({
    jobs: z
      .array(
        z
          .object({
            jobId: z.string(),
            generation: z.int(),
            attemptCount: z.int().meta({ description: "Attempts that burnt one of the budget." }),
            generationAttempts: z.int().meta({ description: "Attempts recorded of this generation." }),
          })
          .meta({ id: "OwedDelivery" }),
      )
      .meta({ description: "Those still owed in the generation that was asked for; do not start the others." }),
  })
  .meta({ id: "CheckDeliveriesAnswer" });

export const routerControlQuerySchema = z.strictObject({
  revision: z.coerce.number().int().min(0).optional(),
  waitMs: z.coerce.number().int().min(0).max(wireLimits.controlWaitMaxMs).default(0),
});

export const routerControlSchema = z
  .object({
    revision: z.int(),
    pools: z.array(dispatchPoolSchema),
    pausedSubscriptions: z.array(z.string()),
    cancelledJobs: z.array(z.string()).meta({ description: "As `jobId.generation`: do not start these." }),
  })
  .meta({ id: "RouterControl" });

export const routerSecretsQuerySchema = z.strictObject({ ref: z.string().min(1).max(255) });

export const routerSecretsSchema = z
  .object({ secrets: z.array(z.string()).meta({ description: "Valid now, newest first; empty: unknown." }) })
  .meta({ id: "RouterSecrets" });

/** What `FC_ROUTER_CONFIG_URL` points to: the pools and queues of a router. */
export const routerConfigSchema = z
  .object({
    processingPools: z.array(
      z.object({
        code: z.string(),
        concurrency: z.int(),
        rateLimitPerMinute: z.int().nullish(),
      }),
    ),
    queues: z.array(
      z.object({
        queueName: z.string(),
        queueUri: z.string(),
        connections: z.int().optional(),
        visibilityTimeout: z.int().optional(),
      }),
    ),
  })
  .meta({ id: "RouterConfig" });

export type DeliveryReportWire = z.infer<typeof deliveryReportSchema>;
export type DeliveryResultWire = z.infer<typeof deliveryResultSchema>;
export type ReportVerdictWire = z.infer<typeof reportVerdictSchema>;
export type ReportAttempts = z.infer<typeof reportAttemptsSchema>;
export type ReportAttemptsAnswer = z.infer<typeof reportAttemptsAnswerSchema>;
export type CheckDeliveries = z.infer<typeof checkDeliveriesSchema>;
export type CheckDeliveriesAnswer = z.infer<typeof checkDeliveriesAnswerSchema>;
export type RouterControl = z.infer<typeof routerControlSchema>;
export type RouterSecrets = z.infer<typeof routerSecretsSchema>;
export type RouterConfig = z.infer<typeof routerConfigSchema>;
