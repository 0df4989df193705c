import type { ReplayOut } from "@flowcatalyst/contracts";
import { isoTime } from "@flowcatalyst/foundation";
import type { Replay } from "../../ports/job-store.ts";

/** A replay as the API shows it. */
export function replayOut({ filter, ...replay }: Replay): ReplayOut {
  const timeOrNull = (ms: number | undefined): string | null => (ms === undefined ? null : isoTime(ms));
  return {
    id: replay.id,
    status: replay.status,
    total: replay.total,
    done: replay.done,
    jobsPerSecond: replay.jobsPerSecond,
    filter: {
      statuses: [...filter.statuses],
      subscriptionId: filter.subscriptionId ?? null,
      eventType: filter.eventType ?? null,
      createdAfter: timeOrNull(filter.createdAfterMs),
      createdBefore: timeOrNull(filter.createdBeforeMs),
    },
    createdAt: isoTime(replay.createdAtMs),
    updatedAt: isoTime(replay.updatedAtMs),
  };
}
