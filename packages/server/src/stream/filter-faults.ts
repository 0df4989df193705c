import type { FilterFaults } from "../domain/filter-faults.ts";
import type { EventId, SubscriptionId } from "../domain/ids.ts";

export interface FilterFaultLog {
  record(fault: { readonly subscriptionId: SubscriptionId; readonly eventId: EventId; readonly reason: string }): void;
  /** Since this process started. */
  of(subscriptionId: SubscriptionId): FilterFaults | null;
  all(): ReadonlyMap<SubscriptionId, FilterFaults>;
  readonly total: number;
}

/** Subscriptions remembered; the one that faulted longest ago makes room. */
export const filterFaultLimits = { rememberedSubscriptions: 1_000 } as const;

interface MutableFaults {
  count: number;
  lastReason: string;
  lastEventId: EventId;
  lastAtMs: number;
}

export function createFilterFaultLog(now: () => number): FilterFaultLog {
  const bySubscription = new Map<SubscriptionId, MutableFaults>();
  let total = 0;
  return {
    record({ subscriptionId, eventId, reason }) {
      total++;
      const known = bySubscription.get(subscriptionId);
      // Taken out and put back, so that the map stays in order of the last fault.
      if (known !== undefined) bySubscription.delete(subscriptionId);
      const faults = known ?? { count: 0, lastReason: "", lastEventId: eventId, lastAtMs: 0 };
      faults.count++;
      faults.lastReason = reason;
      faults.lastEventId = eventId;
      faults.lastAtMs = now();
      bySubscription.set(subscriptionId, faults);
      if (bySubscription.size <= filterFaultLimits.rememberedSubscriptions) return;
      const [oldest] = bySubscription.keys();
      if (oldest !== undefined) bySubscription.delete(oldest);
    },
    of: (subscriptionId) => bySubscription.get(subscriptionId) ?? null,
    all: () => bySubscription,
    get total() {
      return total;
    },
  };
}
