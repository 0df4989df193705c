import type { ClientId, GroupKey, PoolCode, SubscriptionId } from "../domain/ids.ts";

export interface FeedKey {
  readonly key: string;
  readonly subscriptionId: SubscriptionId | null;
  readonly lane: PoolCode;
}

/** Jobs of a subscription form one feed, tasks one per client and lane. */
export function subscriptionFeed(subscriptionId: SubscriptionId, lane: PoolCode): FeedKey {
  return { key: subscriptionId, subscriptionId, lane };
}

const taskFeedPrefix = "task:";
const platformClient = "-";

export function taskFeed(clientId: ClientId | null, lane: PoolCode): FeedKey {
  return { key: `${taskFeedPrefix}${clientId ?? platformClient}:${lane}`, subscriptionId: null, lane };
}

/** Whose tasks a feed holds, from its key and lane as `taskFeed` makes them. */
export function clientOfTaskFeed(key: string, lane: string): ClientId | null {
  const client = key.slice(taskFeedPrefix.length, key.length - lane.length - 1);
  return client === platformClient ? null : (client as ClientId);
}

/** Jobs of a feed that are not ordered share one group. No group key of an ordered one starts with a star. */
export function groupRowKey(groupKey: GroupKey | null, feedKey: string): string {
  return groupKey ?? `*${feedKey}`;
}
