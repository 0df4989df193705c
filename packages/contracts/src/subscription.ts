import * as z from "zod";
import { wireLimits } from "./wire-limits.ts";
import {
  clientIdSchema,
  codeSchema,
  deliveryFormatSchema,
  dispatchModeSchema,
  headersSchema,
  listMembers,
  listQuerySchema,
  nameSchema,
  retryInSchema,
  retryOutSchema,
  timeOutSchema,
  urlSchema,
  warningSchema,
} from "./wire-values.ts";

const patternSchema = z.string().min(1).max(wireLimits.eventTypeMaxChars);
const filterSchema = z
  .string()
  .min(1)
  .max(wireLimits.filterMaxChars)
  .meta({ description: "CEL over `event` and `data`, e.g. data.amount > 100" });

export const eventTypeBindingInSchema = z
  .union([patternSchema, z.strictObject({ eventTypeCode: patternSchema, filter: filterSchema.nullish() })])
  .meta({ id: "EventTypeBindingIn", description: "A type or pattern: * is one segment, ** at the end one or more." });

/** Members that can be changed after creation. */
const changeable = {
  name: nameSchema,
  eventTypes: z.array(eventTypeBindingInSchema).min(1).max(wireLimits.subscriptionMaxEventTypes),
  targetUrl: urlSchema.meta({ description: "http or https; checked against forbidden addresses." }),
  code: codeSchema.nullish(),
  dispatchPoolId: codeSchema.nullish().meta({ description: "Id or code of a pool; default is DEFAULT-POOL." }),
  mode: dispatchModeSchema.nullish(),
  format: deliveryFormatSchema.nullish(),
  filter: filterSchema.nullish(),
  timeoutSeconds: z.int().min(1).max(wireLimits.timeoutMaxSeconds).nullish(),
  maxRetries: z.int().min(0).max(wireLimits.retriesMax).nullish(),
  retry: retryInSchema.nullish(),
  headers: headersSchema.nullish(),
  delaySeconds: z.int().min(0).max(wireLimits.delayMaxSeconds).nullish(),
  maxAgeSeconds: z.int().min(1).max(wireLimits.maxAgeMaxSeconds).nullish(),
  legacySignature: z.boolean().nullish(),
} as const;

export const createSubscriptionSchema = z
  .strictObject({
    ...changeable,
    clientId: clientIdSchema.nullish(),
    leaseSeconds: z
      .int()
      .min(wireLimits.leaseMinSeconds)
      .max(wireLimits.leaseMaxSeconds)
      .nullish()
      .meta({ description: "Makes it temporary: archived once the lease is over, unless renewed." }),
  })
  .meta({ id: "CreateSubscription" });

/** PUT: what is absent goes back to its default. */
export const replaceSubscriptionSchema = z.strictObject(changeable).meta({ id: "ReplaceSubscription" });

/** PATCH: what is absent stays; null goes back to the default. */
export const updateSubscriptionSchema = z
  .strictObject({
    ...changeable,
    name: changeable.name.optional(),
    eventTypes: changeable.eventTypes.optional(),
    targetUrl: changeable.targetUrl.optional(),
  })
  .meta({ id: "UpdateSubscription" });

export const pauseSubscriptionSchema = z
  .strictObject({ reason: z.string().min(1).max(255).nullish() })
  .meta({ id: "PauseSubscription" });

export const renewLeaseSchema = z
  .strictObject({
    leaseSeconds: z.int().min(wireLimits.leaseMinSeconds).max(wireLimits.leaseMaxSeconds).nullish(),
  })
  .meta({ id: "RenewLease" });

export const testSubscriptionSchema = z
  .strictObject({
    type: patternSchema.nullish().meta({ description: "Defaults to the first event type without wildcards." }),
    data: z.unknown().optional(),
  })
  .meta({ id: "TestSubscription" });

export const rotateSecretSchema = z
  .strictObject({
    overlapHours: z.number().min(0).max(168).nullish().meta({ description: "How long the old one stays valid; 24." }),
  })
  .meta({ id: "RotateSecret" });

export const subscriptionStatusSchema = z.enum(["ACTIVE", "PAUSED", "ARCHIVED"]);

export const subscriptionSchema = z
  .object({
    id: z.string(),
    code: z.string().nullable(),
    name: z.string(),
    clientId: z.string().nullable(),
    eventTypes: z.array(z.object({ eventTypeCode: z.string(), filter: z.string().nullable() })),
    targetUrl: z.string(),
    dispatchPoolId: z.string().meta({ description: "The pool's code." }),
    mode: dispatchModeSchema,
    format: deliveryFormatSchema,
    filter: z.string().nullable(),
    timeoutSeconds: z.int(),
    retry: retryOutSchema,
    headers: z.record(z.string(), z.string()),
    delaySeconds: z.int(),
    maxAgeSeconds: z.int(),
    legacySignature: z.boolean(),
    status: subscriptionStatusSchema,
    pauseReason: z.string().nullable(),
    leaseExpiresAt: timeOutSchema.nullable(),
    version: z.int(),
    createdAt: timeOutSchema,
    updatedAt: timeOutSchema,
    warnings: z.array(warningSchema).optional(),
  })
  .meta({ id: "Subscription" });

export const subscriptionListSchema = z
  .object({ items: z.array(subscriptionSchema), ...listMembers })
  .meta({ id: "SubscriptionList" });

export const subscriptionListQuerySchema = listQuerySchema.extend({
  status: subscriptionStatusSchema.optional(),
  clientId: z.string().optional(),
  code: z.string().optional(),
  name: z.string().optional(),
});

export const signingSecretSchema = z
  .object({
    secret: z.string().meta({ description: "whsec_ and base64; the one that signs now." }),
    alsoValid: z.array(z.string()).meta({ description: "Older ones that still sign besides it." }),
  })
  .meta({ id: "SigningSecret" });

export const subscriptionStatsSchema = z
  .object({
    subscriptionId: z.string(),
    pending: z.int(),
    queued: z.int(),
    completed: z.int(),
    failed: z.int(),
    cancelled: z.int(),
    expired: z.int(),
    filterFaults: z
      .object({ count: z.int(), lastReason: z.string(), lastEventId: z.string(), lastAt: timeOutSchema })
      .nullable()
      .meta({
        description: "Events its filter could not be evaluated on, since the stream started; null: none known.",
      }),
  })
  .meta({ id: "SubscriptionStats", description: "Jobs by status, each counted to 10,000 at most." });

export type CreateSubscription = z.input<typeof createSubscriptionSchema>;
export type ReplaceSubscription = z.input<typeof replaceSubscriptionSchema>;
export type UpdateSubscription = z.input<typeof updateSubscriptionSchema>;
export type TestSubscription = z.input<typeof testSubscriptionSchema>;
export type SubscriptionOut = z.infer<typeof subscriptionSchema>;
export type SubscriptionList = z.infer<typeof subscriptionListSchema>;
export type SigningSecret = z.infer<typeof signingSecretSchema>;
export type SubscriptionStats = z.infer<typeof subscriptionStatsSchema>;
