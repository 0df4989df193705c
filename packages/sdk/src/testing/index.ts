/** For tests of applications: signed requests, a receiver and a platform in memory. */
export { generateWebhookSecret, signedRequest, signedWebhook, type WebhookToSign } from "./signed-webhook.ts";
export { createTestReceiver, type TestReceiver } from "./test-receiver.ts";
export {
  createFakePlatform,
  type FakeDelivery,
  type FakeEvent,
  type FakePlatform,
  type FakeResponder,
  type FakeSubscription,
} from "./fake-platform.ts";
