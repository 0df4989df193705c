/**
 * Receives webhooks: verifies their signatures, and answers what the platform understands. For Hono, Express and
 * Fastify there are entries of their own.
 */
export { signLegacyWebhook, signWebhook, type LegacyContent, type StandardContent } from "./signature.ts";
export {
  verifyWebhook,
  verifyWebhookOrThrow,
  webhookMaxBodyBytes,
  WebhookRefusedError,
  webhookToleranceSeconds,
  type FoundSecrets,
  type ReceivedHeaders,
  type ReceivedWebhook,
  type Refusal,
  type RefusalReason,
  type SecretSource,
  type Verification,
  type VerifyOptions,
} from "./verify-webhook.ts";
export {
  webhookHandler,
  type HandlerResult,
  type HandleWebhook,
  type NotYet,
  type OwnStatus,
  type WebhookAnswer,
  type WebhookHandlerOptions,
} from "./webhook-handler.ts";
export type { ReadableRequest } from "./received-body.ts";
export type { CloudEventEnvelope, SignatureScheme, Webhook, WebhookParts } from "./webhook.ts";
