import { expect, test } from "bun:test";
import { profileOf } from "./delivery-profile.ts";
import type { PoolCode, SubscriptionId } from "./ids.ts";
import type { Subscription } from "./subscription.ts";

const subscription: Subscription = {
  id: "sub_1" as SubscriptionId,
  code: null,
  name: "orders",
  clientId: null,
  eventTypes: [{ pattern: "order.*", filter: null }],
  filter: null,
  targetUrl: "https://example.com/hook",
  poolCode: "fast" as PoolCode,
  mode: "BLOCK_ON_ERROR",
  format: "cloudevents",
  timeoutSeconds: 5,
  retry: { delaysMs: [1_000], maxRetries: 1 },
  headers: { "x-team": "orders" },
  delaySeconds: 10,
  maxAgeSeconds: 60,
  legacySignature: true,
  status: "ACTIVE",
  pauseReason: null,
  leaseExpiresAtMs: null,
  version: 7,
  createdAtMs: 0,
  updatedAtMs: 0,
};

test("one version of a subscription gives one profile, without a secret", () => {
  expect(profileOf(subscription)).toEqual({
    key: "sub_1@7",
    subscriptionId: subscription.id,
    targetUrl: "https://example.com/hook",
    poolCode: "fast" as PoolCode,
    mode: "BLOCK_ON_ERROR",
    format: "cloudevents",
    timeoutSeconds: 5,
    retry: { delaysMs: [1_000], maxRetries: 1 },
    headers: { "x-team": "orders" },
    maxAgeSeconds: 60,
    legacySignature: true,
    secretRef: "subscription:sub_1",
  });
});
