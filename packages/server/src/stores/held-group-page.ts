import type { HeldGroup } from "../ports/job-claims.ts";
import type { Page } from "../ports/settings.ts";
import { encodeCursor } from "./page-cursor.ts";

export const heldGroupLimits = {
  waitingCountedMax: 10_000,
  /** Rows looked at for one page: a tenant who may see few of many gets short pages, never a long wait. */
  examinedMax: 5_000,
} as const;

/** Where a page goes on: which of the two kinds, and after which row. */
export type HeldStage = "feeds" | "groups";

/** A page of what is held: held feeds first, then held groups. Rows that are not shown move its cursor too. */
export class HeldGroupPage<Item = HeldGroup> {
  readonly #limit: number;
  readonly #items: Item[] = [];
  #last: readonly [HeldStage, number] | null = null;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get full(): boolean {
    return this.#items.length >= this.#limit;
  }

  add(item: Item, key: readonly [HeldStage, number]): void {
    this.#items.push(item);
    this.#last = key;
  }

  pass(key: readonly [HeldStage, number]): void {
    this.#last = key;
  }

  page(): Page<Item> {
    return { items: this.#items, nextCursor: this.#last === null ? null : encodeCursor(this.#last), total: null };
  }

  lastPage(): Page<Item> {
    return { items: this.#items, nextCursor: null, total: null };
  }
}
