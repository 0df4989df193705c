/** Reads lists page by page. A page is asked for when the items before it are used up, so a loop may end early. */

interface CursorPage<Item> {
  readonly items: readonly Item[];
  readonly nextCursor?: string | null;
}

interface NumberedPage<Item> {
  readonly items: readonly Item[];
  readonly page: number;
  readonly totalPages: number;
  readonly totalIsLowerBound?: boolean;
}

/**
 * The items of all pages from `cursor` on. A page may be short, or empty: its cursor alone says whether one follows.
 */
export async function* itemsByCursor<Item>(
  get: (cursor: string | undefined) => Promise<CursorPage<Item>>,
  cursor?: string,
): AsyncGenerator<Item, void, undefined> {
  let next = cursor;
  do {
    const page = await get(next);
    yield* page.items;
    if (page.nextCursor === next && next !== undefined) throw new RangeError(`the cursor ${next} leads to itself`);
    next = page.nextCursor ?? undefined;
  } while (next !== undefined);
}

/** The items of all pages from `page` on. */
export async function* itemsByNumber<Item>(
  get: (page: number) => Promise<NumberedPage<Item>>,
  page = 0,
): AsyncGenerator<Item, void, undefined> {
  for (let number = page; ; number += 1) {
    const answer = await get(number);
    yield* answer.items;
    if (number + 1 < answer.totalPages) continue;
    if (answer.items.length === 0 || answer.totalIsLowerBound !== true) return;
  }
}
