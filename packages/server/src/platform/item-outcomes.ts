import type { ItemResult } from "@flowcatalyst/contracts";
import { CodedError, errorCodes, isCodedError } from "@flowcatalyst/foundation";
import type { TaggedFault } from "../http/validation.ts";

/**
 * What became of each item of a batch in the form `{items}`, for senders that keep their own queue: each is answered
 * for itself, by position. BAD_REQUEST and FORBIDDEN will not get better; INTERNAL_ERROR will, and then every later
 * item of the same group fails too, so that the sender's repeat cannot put it behind them.
 */
export class ItemOutcomes<Draft> {
  readonly #results: (ItemResult | undefined)[];
  readonly #valid: ValidItem<Draft>[] = [];
  readonly #failedGroups = new Set<string>();

  constructor(count: number) {
    this.#results = Array.from<ItemResult | undefined>({ length: count });
  }

  /** `group` is such that groups of two clients are two (itemGroup); null: none. */
  take(index: number, group: string | null, check: ItemCheck<Draft>): void {
    if (this.#isBehindFailed(group)) this.fail(index, "INTERNAL_ERROR", behindFailed);
    else if (check.kind === "valid") this.#valid.push({ index, group, draft: check.draft });
    else {
      this.fail(index, check.status, check.text);
      if (check.status === "INTERNAL_ERROR" && group !== null) this.#failedGroups.add(group);
    }
  }

  fail(index: number, status: ItemFailure, error: string): void {
    this.#results[index] = { status, error };
  }

  /** Of those that may be stored, in their order. */
  drafts(): readonly Draft[] {
    return this.#valid.map(({ draft }) => draft);
  }

  /**
   * Stores what is valid. `write` is atomic and gives the ids, by position. If what befell it is no fault of the store,
   * the content of one item must be its cause: then each is tried alone, so that it fails only itself.
   */
  async store(write: (drafts: readonly Draft[]) => Promise<readonly string[]>): Promise<void> {
    if (this.#valid.length === 0) return;
    const fault = await this.#written(this.#valid, write);
    if (fault === null) return;
    const alone = !isCodedError(fault) && this.#valid.length > 1;
    for (const item of this.#valid) {
      const { index, group } = item;
      const again = alone && !this.#isBehindFailed(group) ? await this.#written([item], write) : fault;
      if (again === null) continue;
      this.fail(index, "INTERNAL_ERROR", this.#isBehindFailed(group) ? behindFailed : publicText(again));
      if (alone && group !== null) this.#failedGroups.add(group);
    }
  }

  results(): readonly ItemResult[] {
    return this.#results.map((result) => result ?? { status: "INTERNAL_ERROR", error: "The item was not processed." });
  }

  /** What went wrong; null: nothing. */
  async #written(
    items: readonly ValidItem<Draft>[],
    write: (drafts: readonly Draft[]) => Promise<readonly string[]>,
  ): Promise<unknown> {
    try {
      const ids = await write(items.map(({ draft }) => draft));
      for (const [at, { index }] of items.entries()) this.#results[index] = { id: ids[at] ?? "", status: "SUCCESS" };
      return null;
    } catch (error) {
      return error ?? new CodedError("INTERNAL");
    }
  }

  #isBehindFailed(group: string | null): boolean {
    return group !== null && this.#failedGroups.has(group);
  }
}

interface ValidItem<Draft> {
  readonly index: number;
  readonly group: string | null;
  readonly draft: Draft;
}

type ItemFailure = "BAD_REQUEST" | "FORBIDDEN" | "INTERNAL_ERROR";

export type ItemCheck<Draft> =
  | { readonly kind: "valid"; readonly draft: Draft }
  | { readonly kind: "refused"; readonly status: ItemFailure; readonly text: string };

const behindFailed = "An earlier item of the same group failed; send both again.";

/** A group of one client is not that of another. */
export function itemGroup(clientId: string | null, messageGroup: string | null): string | null {
  return messageGroup === null ? null : `${clientId ?? ""} ${messageGroup}`;
}

/** What a fault means for the item at `path`: whether it is its own, or may be gone when it comes again. */
export function refusedItem(error: unknown, path: string): ItemCheck<never> {
  if (!isCodedError(error)) return { kind: "refused", status: "INTERNAL_ERROR", text: publicText(error) };
  const faults = error.errors?.map((fault) => ({ ...fault, path: joined(path, fault.path) })) ?? [];
  const text = faults.length === 0 ? error.publicMessage : faultText(faults);
  return { kind: "refused", status: failureOf(errorCodes[error.code].status), text };
}

function failureOf(httpStatus: number): ItemFailure {
  if (httpStatus === 403) return "FORBIDDEN";
  return httpStatus >= 500 || httpStatus === 429 ? "INTERNAL_ERROR" : "BAD_REQUEST";
}

function joined(base: string, path: string): string {
  if (path === "") return base;
  return path.startsWith("[") ? base + path : `${base}.${path}`;
}

const faultsInText = 5;

export function faultText(faults: readonly TaggedFault[]): string {
  const told = faults.slice(0, faultsInText).map(({ path, message }) => `${path} ${message}`);
  const more = faults.length - told.length;
  return `${told.join("; ")}${more > 0 ? `; and ${more} more` : ""}.`;
}

export function publicText(error: unknown): string {
  return isCodedError(error) ? error.publicMessage : "An unexpected error occurred.";
}
