import type { Command } from "commander";
import { positiveInteger } from "./arguments.ts";
import type { CommandContext } from "./context.ts";

/** A list as the API answers it. */
interface Page<Item> {
  readonly items: readonly Item[];
  readonly nextCursor?: string | undefined;
  readonly total?: number | undefined;
}

export interface PagingOptions {
  readonly limit: number;
  readonly cursor?: string;
  readonly all?: boolean;
}

export interface PageQuery {
  readonly limit: number;
  readonly cursor: string | undefined;
}

/** A terminal is no export: `--all` ends here, and says how to go on. */
export const allMaxItems = 100_000;
const pageMaxItems = 1_000;

/** The options every list has. */
export function withPaging(command: Command, maxItems = pageMaxItems): Command {
  return command
    .option("-n, --limit <n>", `how many a page, at most ${maxItems}`, positiveInteger, 50)
    .option("--cursor <cursor>", "go on where the page before ended")
    .option("--all", "all pages");
}

/** Prints one page, or with `--all` all of them as one; says on standard error how to get more. */
export async function printPages<Item>(
  { terminal, signal }: CommandContext,
  options: PagingOptions,
  list: {
    readonly fetch: (query: PageQuery) => Promise<Page<Item>>;
    readonly header: readonly string[];
    readonly row: (item: Item) => readonly unknown[];
    /** Of this list's pages, where that is not what all others have. */
    readonly pageMaxItems?: number;
  },
): Promise<void> {
  const limit = options.all === true ? (list.pageMaxItems ?? pageMaxItems) : options.limit;
  let page = await list.fetch({ limit, cursor: options.cursor });
  const items = [...page.items];
  while (options.all === true && page.nextCursor !== undefined && items.length < allMaxItems && !signal.aborted) {
    page = await list.fetch({ limit, cursor: page.nextCursor });
    items.push(...page.items);
  }
  const { nextCursor, total } = page;
  const document = {
    items,
    ...(nextCursor === undefined ? {} : { nextCursor }),
    ...(total === undefined ? {} : { total }),
  };
  terminal.answer(document, () => terminal.table(list.header, items.map(list.row)));
  if (nextCursor !== undefined && !terminal.json) terminal.note(`more: --cursor ${nextCursor}, or --all`);
}
