import { configInvalid, type ConfigEntry, type ConfigFault } from "@flowcatalyst/foundation";

/**
 * Settings that are valid and ask for something this build does not have. They are refused before anything is opened,
 * all at once: ignored in silence, they would make somebody believe that they work.
 */

/** What any process may have been asked for. */
interface Asked {
  readonly databaseUrl?: string | undefined;
}

const databaseSchemes = ["sqlite:", "postgres:", "postgresql:"] as const;

export function notBuilt(config: Asked, entries: readonly ConfigEntry[]): readonly ConfigFault[] {
  const { databaseUrl } = config;
  const faults: [key: string, isAsked: boolean, reason: string][] = [
    [
      "FC_DATABASE_URL",
      databaseUrl !== undefined && !isOneOf(databaseUrl, databaseSchemes),
      "names a database this build does not have; use postgres://… or, for flowcatalyst dev, sqlite:PATH",
    ],
  ];
  return faults.flatMap(([key, isAsked, reason]) => {
    if (!isAsked) return [];
    return [{ key, source: entries.find((entry) => entry.key === key)?.source ?? "", reason }];
  });
}

/** Throws CONFIG_INVALID with all of them, if there are any. */
export function refuse(faults: readonly ConfigFault[]): void {
  if (faults.length > 0) throw configInvalid(faults);
}

function isOneOf(url: string, schemes: readonly string[]): boolean {
  return schemes.some((scheme) => url.startsWith(scheme));
}
