import type { DeliveryProfile } from "./dispatch-job.ts";
import type { SubscriptionId } from "./ids.ts";
import type { Subscription } from "./subscription.ts";

/**
 * What jobs copy from their subscription, so that later edits do not change jobs already made. One version of a
 * subscription gives one profile, stored once however many jobs refer to it. No secret is in it: `secretRef` says
 * where to look when sending.
 */
export function profileOf(subscription: Subscription): DeliveryProfile {
  return {
    key: profileKey(subscription.id, subscription.version),
    subscriptionId: subscription.id,
    targetUrl: subscription.targetUrl,
    poolCode: subscription.poolCode,
    mode: subscription.mode,
    format: subscription.format,
    timeoutSeconds: subscription.timeoutSeconds,
    retry: subscription.retry,
    headers: subscription.headers,
    maxAgeSeconds: subscription.maxAgeSeconds,
    legacySignature: subscription.legacySignature,
    secretRef: subscriptionSecretRef(subscription.id),
  };
}

/** Names the profile of one version of a subscription: `sub_X@version`. */
export function profileKey(id: SubscriptionId, version: number): string {
  return `${id}@${version}`;
}

/** Where the signing secrets of a subscription are kept. */
export function subscriptionSecretRef(id: SubscriptionId): string {
  return `subscription:${id}`;
}
