/**
 * Client for applications: publish events, administer a platform, verify webhooks. Runs wherever `fetch` and WebCrypto
 * do.
 */
export { createClient, type FlowCatalystClient, type Query } from "./client.ts";
export { FlowCatalystError, HttpClient, type Call, type ClientOptions } from "./http-client.ts";
export { createRouterClient, type RouterClient } from "./router-client.ts";
export {
  signWebhook,
  verifyWebhook,
  webhookToleranceSeconds,
  type Verification,
  type WebhookHeaders,
} from "./webhook.ts";
