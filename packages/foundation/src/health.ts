import { systemClock, type Clock } from "./clock.ts";
import { describeError } from "./coded-error.ts";

/**
 * What a process says of itself to whoever restarts it or sends it traffic.
 *
 * Live means that the process runs; only a fault that a restart would cure may turn it red. Ready means that what it
 * needs (database, queue, lease, its own services) is usable now; it goes red and green as those come and go. A check
 * is either set by its owner when something changes, or a function asked at each report; one that throws is DOWN.
 */
export type HealthStatus = "UP" | "DOWN";
export type HealthData = Readonly<Record<string, unknown>>;
export type HealthResult = { readonly status: HealthStatus; readonly data?: HealthData };
export type HealthCheck = HealthResult & { readonly name: string };
export type HealthReport = { readonly status: HealthStatus; readonly checks: readonly HealthCheck[] };
export type HealthProbe = () => HealthResult | Promise<HealthResult>;

/** Which question a check answers. */
export type HealthKind = "live" | "ready";

type Entry = { readonly kind: HealthKind; readonly probe: HealthProbe | undefined; result: HealthResult };

/** A probe that takes longer counts as DOWN: a health answer must not hang with what it asks about. */
const PROBE_TIMEOUT_MS = 2_000;

export class HealthRegistry {
  readonly #entries = new Map<string, Entry>();
  readonly #clock: Clock;

  constructor(clock: Clock = systemClock()) {
    this.#clock = clock;
  }

  /**
   * Adds a check. Without a probe it is settable, and DOWN until `set` says otherwise. A second registration of a
   * name replaces the first.
   */
  register(name: string, probe?: HealthProbe, kind: HealthKind = "ready"): void {
    this.#entries.set(name, { kind, probe, result: { status: "DOWN" } });
  }

  /** Sets a settable check, adding it if it is new. */
  set(name: string, status: HealthStatus, data?: HealthData): void {
    const result: HealthResult = data === undefined ? { status } : { status, data };
    const entry = this.#entries.get(name);
    if (entry === undefined) this.#entries.set(name, { kind: "ready", probe: undefined, result });
    else entry.result = result;
  }

  unregister(name: string): void {
    this.#entries.delete(name);
  }

  live(): Promise<HealthReport> {
    return this.#report("live");
  }

  ready(): Promise<HealthReport> {
    return this.#report("ready");
  }

  /** Everything: live and ready checks together. */
  report(): Promise<HealthReport> {
    return this.#report(undefined);
  }

  async #report(kind: HealthKind | undefined): Promise<HealthReport> {
    const asked = [...this.#entries].filter(([, entry]) => kind === undefined || entry.kind === kind);
    const checks = await Promise.all(
      asked.map(async ([name, entry]): Promise<HealthCheck> => ({ name, ...(await resultOf(entry, this.#clock)) })),
    );
    return { status: checks.every((check) => check.status === "UP") ? "UP" : "DOWN", checks };
  }
}

async function resultOf(entry: Entry, clock: Clock): Promise<HealthResult> {
  if (entry.probe === undefined) return entry.result;
  const timeout = Promise.withResolvers<HealthResult>();
  const late: HealthResult = { status: "DOWN", data: { reason: `no answer within ${PROBE_TIMEOUT_MS} ms` } };
  const cancel = clock.setTimer(PROBE_TIMEOUT_MS, () => timeout.resolve(late));
  try {
    return await Promise.race([entry.probe(), timeout.promise]);
  } catch (error) {
    return { status: "DOWN", data: { reason: describeError(error) } };
  } finally {
    cancel();
  }
}
