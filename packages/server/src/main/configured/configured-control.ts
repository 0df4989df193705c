import type { ControlState, DeliveryControl } from "../../ports/delivery-control.ts";
import { overlaidPools } from "./merged-config.ts";
import type { ConfiguredPool } from "./router-config-shapes.ts";

/** What is in force of the configured pools and secrets. */
export interface ConfiguredSettings {
  /** Another number whenever anything of it has changed. */
  readonly version: number;
  readonly pools: readonly ConfiguredPool[];
  readonly secrets: ReadonlyMap<string, readonly string[]>;
}

export interface ConfiguredSource {
  current(): ConfiguredSettings;
  onChange(changed: () => void): () => void;
}

/**
 * The control of a router's home with configured pools laid over its own, and configured secrets before its own.
 *
 * A change of either is a change of the revision. Whenever one is told, the home has answered just before: settings of
 * the home do not seem younger than they are because something else has changed.
 */
export class ConfiguredControl implements DeliveryControl {
  readonly #home: DeliveryControl;
  readonly #source: ConfiguredSource;
  #last: { readonly homeRevision: number; readonly version: number; readonly revision: number } | null = null;

  constructor(home: DeliveryControl, source: ConfiguredSource) {
    this.#home = home;
    this.#source = source;
  }

  async read(knownRevision: number | null, waitMs: number, signal: AbortSignal): Promise<ControlState> {
    const last = this.#last;
    const isCurrent = last?.revision === knownRevision && last?.version === this.#source.current().version;
    if (last === null || !isCurrent) return this.#merged(await this.#home.read(null, 0, signal));
    const changed = new AbortController();
    const unlisten = this.#source.onChange(() => changed.abort());
    try {
      const either = AbortSignal.any([signal, changed.signal]);
      return this.#merged(await this.#home.read(last.homeRevision, waitMs, either));
    } catch (error) {
      if (!changed.signal.aborted || signal.aborted) throw error;
      return this.#merged(await this.#home.read(null, 0, signal));
    } finally {
      unlisten();
    }
  }

  async secrets(ref: string, signal: AbortSignal): Promise<readonly string[]> {
    return this.#source.current().secrets.get(ref) ?? this.#home.secrets(ref, signal);
  }

  #merged(state: ControlState): ControlState {
    const { version, pools } = this.#source.current();
    const last = this.#last;
    const isSame = last !== null && last.homeRevision === state.revision && last.version === version;
    const revision = isSame ? last.revision : (last?.revision ?? 0) + 1;
    this.#last = { homeRevision: state.revision, version, revision };
    return { ...state, revision, pools: overlaidPools(state.pools, pools) };
  }
}
