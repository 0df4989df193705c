import { createHash } from "node:crypto";
import type { DeliveryProfile } from "../../domain/dispatch-job.ts";

/** Tasks that are delivered the same way share one stored profile: its key is a digest of what it says. */
export function taskProfile(profile: Omit<DeliveryProfile, "key">): DeliveryProfile {
  const headers = Object.entries(profile.headers).toSorted(([a], [b]) => (a < b ? -1 : 1));
  const said = [
    profile.subscriptionId,
    profile.targetUrl,
    profile.poolCode,
    profile.mode,
    profile.format,
    profile.timeoutSeconds,
    profile.retry.delaysMs,
    profile.retry.maxRetries,
    headers,
    profile.maxAgeSeconds,
    profile.legacySignature,
    profile.secretRef,
  ];
  return { key: `task:${createHash("sha256").update(JSON.stringify(said)).digest("base64url")}`, ...profile };
}
