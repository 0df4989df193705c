/**
 * Pools and queues of a router that come from FC_ROUTER_CONFIG_URL and from the file of FC_ROUTER_POOLS_PATH.
 *
 * ```
 *  config URL ─┐
 *  config URL ─┼─▶ merged ─▶ pools ─▶ ConfiguredControl ─▶ router     (over what the router's home says)
 *  pools file ─┘         └─▶ queues ─▶ QueueSet ─▶ router             (beside those of FC_QUEUE_URL)
 * ```
 *
 * Who wins: the file before the addresses, of two addresses the later one, any of them before the platform that the
 * router has its jobs from (but for `platformOrigin`). The same pool said in two ways is a CONFIGURATION
 * warning.
 *
 * States of an address: not answered yet, answered, failing. Until every address has answered once, the router waits,
 * because with half of the pools it would send the messages of the other half through the default pool; each address is
 * tried again with backoff meanwhile, and readiness says which one is waited for. From then on an address that fails
 * keeps what it said last, with a warning each time; whether the others have changed does not depend on it. An answer
 * that cannot be taken, down to its last pool, counts as a failure.
 *
 * The file must be without fault at the start. Changed later, it is read again when POST /config/reload asks for it or
 * when a look at it shows another time, at most 5 s later; one with faults, or one that is gone, changes nothing, with
 * a warning that names each fault.
 */
import { backoffMs, CodedError, type Clock, type HealthResult, type Random } from "@flowcatalyst/foundation";
import type { Router } from "../../router/router.ts";
import type { Warnings } from "../../router/warnings.ts";
import type { ConfiguredSettings, ConfiguredSource } from "./configured-control.ts";
import type { FetchConfig } from "./config-fetch.ts";
import { placeOf } from "../router-queue.ts";
import { besidesOwn, mergedConfig, type ToldConfig } from "./merged-config.ts";
import { fileMark, type ReadPoolsFile } from "./pools-file.ts";
import type { QueueSet } from "./queue-set.ts";
import type { PoolsFile, RouterConfigAnswer } from "./router-config-shapes.ts";

export const configuredRouterLimits = {
  firstAnswer: { baseMs: 500, capMs: 10_000, jitter: "equal" },
  /** At most so long after a change of the file it is noticed. */
  fileLookMs: 5_000,
} as const;

export interface ConfiguredRouterDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly warnings: Warnings;
  readonly fetchConfig: FetchConfig;
  readonly readFile: (path: string) => Promise<ReadPoolsFile>;
  readonly queues: QueueSet;
}

export interface ConfiguredRouterConfig {
  readonly urls: readonly string[];
  readonly intervalMs: number;
  /** Null: there is no file. */
  readonly filePath: string | null;
  /** As it was read at the start. */
  readonly file: PoolsFile | null;
  /** The queues of FC_QUEUE_URL: they are open anyway. */
  readonly ownQueues: readonly { readonly name: string; readonly uri: string }[];
  /**
   * The platform that tells the router of its pools within a second. An address there is asked for queues alone: what
   * it says of pools would be older.
   */
  readonly platformOrigin: string | null;
}

interface Address {
  readonly url: string;
  readonly place: string;
  answer: RouterConfigAnswer | null;
  fault: string | null;
  /** Of questions, in the order in which they were asked; an answer that was overtaken is passed over. */
  asked: number;
  answered: number;
}

const noSecrets: ReadonlyMap<string, readonly string[]> = new Map();

export class ConfiguredRouter implements ConfiguredSource {
  readonly queues: QueueSet;
  readonly #deps: ConfiguredRouterDeps;
  readonly #config: ConfiguredRouterConfig;
  readonly #addresses: readonly Address[];
  readonly #listeners = new Set<() => void>();
  readonly #ready = Promise.withResolvers<void>();
  #file: PoolsFile | null;
  /** Of no file: the first look reads it again, because it may have changed since it was read for the start. */
  #fileMark: string | null = "";
  #settings: ConfiguredSettings;
  #hasAll = false;

  constructor(deps: ConfiguredRouterDeps, config: ConfiguredRouterConfig) {
    this.#deps = deps;
    this.#config = config;
    this.queues = deps.queues;
    this.#file = config.file;
    this.#settings = { version: 0, pools: [], secrets: noSecrets };
    this.#addresses = config.urls.map((url) => {
      return { url, place: placeOf(url), answer: null, fault: null, asked: 0, answered: 0 };
    });
  }

  current(): ConfiguredSettings {
    return this.#settings;
  }

  onChange(changed: () => void): () => void {
    this.#listeners.add(changed);
    return () => this.#listeners.delete(changed);
  }

  attach(router: Router): void {
    this.queues.attach(router);
  }

  /** Resolves when every address has answered once. */
  ready(): Promise<void> {
    return this.#ready.promise;
  }

  health(): HealthResult {
    const failing = this.#addresses.filter(({ fault }) => fault !== null).map(({ fault }) => fault ?? "");
    const reason = failing.join("; ");
    if (!this.#hasAll) return { status: "DOWN", data: { reason: reason === "" ? "not answered yet" : reason } };
    return failing.length === 0 ? { status: "UP" } : { status: "UP", data: { outOfDate: reason } };
  }

  async run(signal: AbortSignal): Promise<void> {
    this.#apply();
    await Promise.all([...this.#addresses.map((address) => this.#follow(address, signal)), this.#followFile(signal)]);
  }

  /** Everything again, now. Throws what is wrong: the old settings stay in force for that part. */
  async reload(): Promise<void> {
    const { signal } = new AbortController();
    await Promise.all([...this.#addresses.map((address) => this.#ask(address, signal)), this.#readFile()]);
    const faults = this.#addresses.flatMap(({ fault }) => fault ?? []);
    if (faults.length > 0) throw new CodedError("STORE_UNAVAILABLE", { message: faults.join("; ") });
  }

  async #follow(address: Address, signal: AbortSignal): Promise<void> {
    const { clock, random } = this.#deps;
    for (let failures = 0; !signal.aborted;) {
      await this.#ask(address, signal);
      if (signal.aborted) return;
      const backoff = backoffMs(configuredRouterLimits.firstAnswer, failures, random);
      failures = address.fault === null ? 0 : failures + 1;
      await clock.sleep(address.fault === null ? this.#config.intervalMs : backoff, signal);
    }
  }

  async #ask(address: Address, signal: AbortSignal): Promise<void> {
    address.asked += 1;
    const question = address.asked;
    try {
      const answer = await this.#deps.fetchConfig(address.url, signal);
      if (question < address.answered) return;
      address.answered = question;
      address.answer = answer;
      address.fault = null;
      this.#apply();
    } catch (error) {
      if (signal.aborted) return;
      address.fault = error instanceof CodedError ? error.publicMessage : String(error);
      this.#warn(address.fault, address.place, "ERROR");
    }
  }

  async #followFile(signal: AbortSignal): Promise<void> {
    const { filePath, intervalMs } = this.#config;
    if (filePath === null) return;
    while (!signal.aborted) {
      await this.#deps.clock.sleep(Math.min(intervalMs, configuredRouterLimits.fileLookMs), signal);
      if (signal.aborted) return;
      if ((await fileMark(filePath, this.#deps.clock)) !== this.#fileMark)
        await this.#readFile().catch(() => undefined);
    }
  }

  /** Throws VALIDATION_FAILED with every fault; they are warned of already. */
  async #readFile(): Promise<void> {
    const { filePath } = this.#config;
    if (filePath === null) return;
    // Noted before it is read: what is written meanwhile is found by the next look.
    this.#fileMark = await fileMark(filePath, this.#deps.clock);
    const read = await this.#deps.readFile(filePath);
    if (read.kind === "read") {
      this.#file = read.file;
      this.#apply();
      return;
    }
    const errors = read.faults.map(({ key, reason }) => ({ path: key, message: reason }));
    const told = errors.map(({ path, message }) => `${path} ${message}`.trim()).join("; ");
    const message = `${filePath} is not taken, and what it said before stays in force: ${told}`;
    this.#warn(message, filePath, "ERROR");
    throw new CodedError("VALIDATION_FAILED", { message, errors });
  }

  /** What is known now comes into force, if it is all that is needed. */
  #apply(): void {
    if (this.#addresses.some(({ answer }) => answer === null)) return;
    const merged = mergedConfig(this.#told());
    for (const conflict of merged.conflicts) this.#warn(conflict, "FC_ROUTER_CONFIG_URL", "WARN");
    const settings = { pools: merged.pools, secrets: this.#file?.secrets ?? noSecrets };
    const { version, ...before } = this.#settings;
    if (version === 0 || !Bun.deepEquals(before, settings)) {
      this.#settings = { version: version + 1, ...settings };
      for (const changed of this.#listeners) changed();
    }
    this.queues.want(besidesOwn(merged.queues, this.#config.ownQueues));
    this.#hasAll = true;
    this.#ready.resolve();
  }

  #told(): readonly ToldConfig[] {
    const { platformOrigin, filePath } = this.#config;
    const told = this.#addresses.flatMap(({ url, place, answer }): readonly ToldConfig[] => {
      if (answer === null) return [];
      const isOfPlatform = platformOrigin !== null && new URL(url).origin === platformOrigin;
      return [{ place, queues: answer.queues, pools: isOfPlatform ? [] : answer.pools }];
    });
    if (this.#file === null) return told;
    return [...told, { place: filePath ?? "the file", pools: this.#file.pools, queues: [] }];
  }

  #warn(message: string, source: string, severity: "WARN" | "ERROR"): void {
    this.#deps.warnings.add({ category: "CONFIGURATION", severity, message, source });
  }
}
