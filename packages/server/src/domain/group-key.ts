import type { ClientId, GroupKey, SubscriptionId } from "./ids.ts";
import type { DispatchMode } from "./subscription.ts";

/**
 * The key within which jobs are delivered in order. It names the subscription first, so that a slow subscriber never
 * delays another one's group of the same name. Null: not ordered, because the mode does not ask for it or the event
 * belongs to no group.
 */
export function eventGroupKey(
  subscriptionId: SubscriptionId,
  mode: DispatchMode,
  messageGroup: string | null,
): GroupKey | null {
  if (messageGroup === null || mode === "IMMEDIATE") return null;
  return `${subscriptionId}:${messageGroup}` as GroupKey;
}

/** The key of a task's group: `client:task:messageGroup`. Tasks of the platform have `-` for their client. */
export function taskGroupKey(
  clientId: ClientId | null,
  mode: DispatchMode,
  messageGroup: string | null,
): GroupKey | null {
  if (messageGroup === null || mode === "IMMEDIATE") return null;
  return `${clientPart(clientId)}:task:${messageGroup}` as GroupKey;
}

/** Two clients must never share a key: the separator, and a name that looks like the platform's, are escaped. */
function clientPart(clientId: ClientId | null): string {
  if (clientId === null) return "-";
  if (clientId === "-") return "%2D";
  return clientId.replaceAll("%", "%25").replaceAll(":", "%3A");
}
