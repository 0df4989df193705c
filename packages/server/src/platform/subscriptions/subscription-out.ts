import type { EntityWarning, SubscriptionOut } from "@flowcatalyst/contracts";
import { isoTime } from "@flowcatalyst/foundation";
import type { Subscription } from "../../domain/subscription.ts";
import { retryOut } from "../retry-wire.ts";

/** A subscription as the API shows it. Its secrets are never in it. */
export function subscriptionOut(subscription: Subscription, warnings: readonly EntityWarning[] = []): SubscriptionOut {
  const { eventTypes, leaseExpiresAtMs } = subscription;
  return {
    id: subscription.id,
    code: subscription.code,
    name: subscription.name,
    clientId: subscription.clientId,
    eventTypes: eventTypes.map(({ pattern, filter }) => ({ eventTypeCode: pattern, filter })),
    targetUrl: subscription.targetUrl,
    dispatchPoolId: subscription.poolCode,
    mode: subscription.mode,
    format: subscription.format,
    filter: subscription.filter,
    timeoutSeconds: subscription.timeoutSeconds,
    retry: retryOut(subscription.retry),
    headers: { ...subscription.headers },
    delaySeconds: subscription.delaySeconds,
    maxAgeSeconds: subscription.maxAgeSeconds,
    legacySignature: subscription.legacySignature,
    status: subscription.status,
    pauseReason: subscription.pauseReason,
    leaseExpiresAt: leaseExpiresAtMs === null ? null : isoTime(leaseExpiresAtMs),
    version: subscription.version,
    createdAt: isoTime(subscription.createdAtMs),
    updatedAt: isoTime(subscription.updatedAtMs),
    ...(warnings.length === 0 ? {} : { warnings: [...warnings] }),
  };
}
