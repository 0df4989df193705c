/** What Bun makes at once unless told otherwise (https://bun.sh/docs/api/fetch#simultaneous-connection-limit). */
const DEFAULT_SIMULTANEOUS_REQUESTS = 256;
const MAX_SIMULTANEOUS_REQUESTS = 65_535;

/** Name of the variable that raises it. Bun reads it once, before any program runs. */
const simultaneousRequestsVariable = "BUN_CONFIG_MAX_HTTP_REQUESTS";

/**
 * How many requests this process can have under way at once; one more waits for an earlier one to end, so beyond it a
 * hanging target stops healthy ones. `environment` is the one the process was started with: a value set by the program
 * itself comes too late and must not be passed here.
 */
export function maxSimultaneousRequests(environment: Readonly<Record<string, string | undefined>>): number {
  const text = environment[simultaneousRequestsVariable] ?? "";
  const value = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  return value >= 1 && value <= MAX_SIMULTANEOUS_REQUESTS ? value : DEFAULT_SIMULTANEOUS_REQUESTS;
}
