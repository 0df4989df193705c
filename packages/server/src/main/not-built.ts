import { configInvalid, type ConfigEntry, type ConfigFault } from "@flowcatalyst/foundation";
import type { DevConfig, RouterConfig } from "./process-config.ts";

/**
 * Settings that are valid and ask for something this build does not have. They are refused before anything is opened,
 * all at once: ignored in silence, they would make somebody believe that they work.
 */

/** A setting by its name, and why its value cannot be honoured. */
type Unhonoured = readonly [key: string, isAsked: boolean, reason: string];

export function notBuiltForDev(config: DevConfig, entries: readonly ConfigEntry[]): readonly ConfigFault[] {
  return asked(entries, [
    [
      "FC_DATABASE_URL",
      !config.databaseUrl.startsWith("sqlite:"),
      "is not built yet; flowcatalyst dev keeps its data in sqlite:PATH or sqlite::memory:",
    ],
    [
      "FC_QUEUE_URL",
      !isOneOf(config.queueUrl, ["db:", "sqlite:"]),
      "names a queue this build does not have; use db: or sqlite:PATH",
    ],
  ]);
}

export function notBuiltForRouter(config: RouterConfig, entries: readonly ConfigEntry[]): readonly ConfigFault[] {
  const alone = "is not built yet for a router on its own; leave it out";
  return asked(entries, [
    ["FC_DATABASE_URL", config.databaseUrl !== undefined, alone],
    ["FC_ROUTER_CONFIG_URL", config.routerConfigUrl !== undefined, alone],
    ["FC_STANDBY_ENABLED", config.standbyEnabled, alone],
    [
      "FC_QUEUE_URL",
      !isOneOf(config.queueUrl, ["sqlite:"]),
      "names a queue this build does not have for a router on its own; use sqlite:PATH",
    ],
  ]);
}

/** Throws CONFIG_INVALID with all of them, if there are any. */
export function refuse(faults: readonly ConfigFault[]): void {
  if (faults.length > 0) throw configInvalid(faults);
}

function asked(entries: readonly ConfigEntry[], all: readonly Unhonoured[]): readonly ConfigFault[] {
  return all.flatMap(([key, isAsked, reason]) => {
    if (!isAsked) return [];
    return [{ key, source: entries.find((entry) => entry.key === key)?.source ?? "", reason }];
  });
}

function isOneOf(url: string, schemes: readonly string[]): boolean {
  return schemes.some((scheme) => url.startsWith(scheme));
}
