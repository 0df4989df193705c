/** Signs and verifies webhooks. */
export {
  signWebhook,
  verifyWebhook,
  webhookToleranceSeconds,
  type Verification,
  type WebhookHeaders,
} from "../webhook.ts";
