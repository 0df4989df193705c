import type { PostgresDatabase } from "../../postgres/postgres-database.ts";
import type { StoreWakes, WakeSignal } from "../store-wakes.ts";

/** The channels of the store. Processes that share a database wake each other by them. */
export const storeChannels = { appended: "fc_events", jobsReady: "fc_jobs", control: "fc_control" } as const;

/** Wakes this process at once and the others on the database soon; see postgres/notifications.ts. */
export function createStoreWakes(database: Pick<PostgresDatabase, "listen" | "notify">): StoreWakes {
  const signal = (channel: string): WakeSignal => ({
    wake: () => database.notify(channel),
    subscribe: (listener) => database.listen(channel, listener),
  });
  return {
    appended: signal(storeChannels.appended),
    jobsReady: signal(storeChannels.jobsReady),
    control: signal(storeChannels.control),
  };
}
