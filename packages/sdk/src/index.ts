/**
 * Client for applications: publish events, administer a platform, verify webhooks. Runs wherever `fetch` and WebCrypto
 * do.
 */
export { createClient, type FlowCatalystClient, type Query } from "./client.ts";
export { FlowCatalystError, HttpClient, type Call, type ClientOptions } from "./http-client.ts";
export { createRouterClient, type RouterClient } from "./router-client.ts";
export {
  signLegacyWebhook,
  signWebhook,
  verifyWebhook,
  verifyWebhookOrThrow,
  webhookHandler,
  WebhookRefusedError,
  webhookToleranceSeconds,
  type HandleWebhook,
  type ReceivedWebhook,
  type Refusal,
  type RefusalReason,
  type SecretSource,
  type Verification,
  type VerifyOptions,
  type Webhook,
  type WebhookAnswer,
  type WebhookHandlerOptions,
} from "./webhooks/index.ts";
