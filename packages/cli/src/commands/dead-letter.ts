import type { Command } from "commander";
import { CodedError, exitCodes } from "@flowcatalyst/foundation";
import {
  FlowCatalystError,
  type DeadLetterSettlement,
  type RouterClient,
  type SettleDeadLetters,
  type SettleDeadLettersAnswer,
} from "@flowcatalyst/sdk";
import { stoppedBefore, withConfirmation, type ConfirmationOptions } from "../confirmation.ts";
import {
  contextOf,
  routerClientOf,
  usageError,
  withExamples,
  withRouterUrl,
  type CommandContext,
  type Environment,
} from "../context.ts";
import { allMaxItems, printPages, withPaging, type PagingOptions } from "../paging.ts";
import { details, oneLine } from "../terminal.ts";

/** As many as the router answers for at once. */
const pageMaxItems = 100;

interface FilterOptions {
  readonly queue?: string;
  readonly pool?: string;
  readonly reason?: string;
}

interface SettleOptions extends FilterOptions, ConfirmationOptions {
  readonly all?: boolean;
}

type Act = "replay" | "discard";

/** `dead-letter …`: what the queues of a router have set aside. */
export function addDeadLetterCommands(program: Command, environment: Environment): void {
  const group = program
    .command("dead-letter")
    .summary("messages that a queue has set aside")
    .description(
      "Messages that a router's queues have set aside, because they cannot be read or failed for good: to look at, " +
        "to put on their queue again, to discard. Asks the router, not the platform.",
    );
  addList(group, environment);
  addShow(group, environment);
  addSettling(group, environment, "replay");
  addSettling(group, environment, "discard");
}

function addList(group: Command, environment: Environment): void {
  const list = withFilter(withRouterUrl(withPaging(group.command("list"), pageMaxItems)))
    .summary("list them, newest first, with their reasons")
    .action(async (options: PagingOptions & FilterOptions, command: Command) => {
      const context = contextOf(command, environment);
      const client = routerClientOf(command, environment);
      const unpaged = new Set<string>();
      await printPages(context, options, {
        fetch: async ({ limit, cursor }) => {
          const page = await asked(client.deadLetters.list({ limit, cursor, ...filterOf(options) }));
          for (const queue of page.unpaged) unpaged.add(queue);
          return page;
        },
        header: ["KEY", "QUEUE", "ID", "POOL", "AT", "REASON"],
        row: (letter) => [letter.key, letter.queue, letter.id, letter.poolCode, letter.at, letter.reason],
        pageMaxItems,
      });
      tellOfUnpaged(context, unpaged);
    });
  withExamples(list, ["flowcatalyst dead-letter list", "flowcatalyst dead-letter list --reason 'answered 404' --all"]);
}

function addShow(group: Command, environment: Environment): void {
  const show = withRouterUrl(group.command("show"))
    .summary("show one, with all of its body")
    .argument("<key>", "as `dead-letter list` shows it")
    .option("-q, --queue <name>", "the queue it is of; needed where the router has several")
    .action(async (key: string, { queue }: FilterOptions, command: Command) => {
      const { terminal } = contextOf(command, environment);
      const letter = await asked(routerClientOf(command, environment).deadLetters.get(key, { queue }));
      terminal.answer(letter, () => details(letter));
    });
  withExamples(show, ["flowcatalyst dead-letter show '<dead-letter-key>'"]);
}

const actTexts = {
  replay: {
    summary: "put them on their queue again",
    description:
      "Puts dead letters on their queue again, at the end of their group, and removes them from where they are. What " +
      "cannot be read stays. Asks first when it is about all.",
    done: "replayed",
  },
  discard: {
    summary: "remove them for good; asks first",
    description: "Removes dead letters for good, unread. Asks first.",
    done: "discarded",
  },
} as const;

function addSettling(group: Command, environment: Environment, act: Act): void {
  const command = withConfirmation(withFilter(withRouterUrl(group.command(act))))
    .summary(actTexts[act].summary)
    .description(actTexts[act].description)
    .argument("[keys...]", "as `dead-letter list` shows them")
    .option("--all", "all that match --queue, --pool and --reason")
    .action(async (keys: readonly string[], options: SettleOptions, self: Command) => {
      const context = contextOf(self, environment);
      const client = routerClientOf(self, environment);
      const settling: Settling = { act, client, context, requests: requestsOf(keys, options) };
      process.exitCode = await run(settling, options, environment);
    });
  withExamples(command, [
    `flowcatalyst dead-letter ${act} --all --dry-run`,
    `flowcatalyst dead-letter ${act} '<dead-letter-key>' --yes`,
    `flowcatalyst dead-letter ${act} --all --pool ORDERS --yes`,
  ]);
}

function withFilter(command: Command): Command {
  return command
    .option("-q, --queue <name>", "of this queue of the router")
    .option("--pool <code>", "of this pool")
    .option("--reason <text>", "with this in the reason");
}

function filterOf({ queue, pool, reason }: FilterOptions): { queue?: string; poolCode?: string; reason?: string } {
  return {
    ...(queue === undefined ? {} : { queue }),
    ...(pool === undefined ? {} : { poolCode: pool }),
    ...(reason === undefined ? {} : { reason }),
  };
}

interface Settling {
  readonly act: Act;
  readonly client: RouterClient;
  readonly context: CommandContext;
  /** One after another; each is gone on with as long as it has a cursor. */
  readonly requests: readonly SettleDeadLetters[];
}

function requestsOf(keys: readonly string[], options: SettleOptions): readonly SettleDeadLetters[] {
  const { all = false, queue, pool, reason } = options;
  if (all === keys.length > 0) throw usageError("say which: either keys, or --all");
  if (all) return [{ all: true, limit: pageMaxItems, ...filterOf(options) }];
  if (pool !== undefined || reason !== undefined) throw usageError("--pool and --reason go with --all, not with keys");
  const requests: SettleDeadLetters[] = [];
  for (let at = 0; at < keys.length; at += pageMaxItems) {
    requests.push({ keys: keys.slice(at, at + pageMaxItems), ...(queue === undefined ? {} : { queue }) });
  }
  return requests;
}

async function run(settling: Settling, options: SettleOptions, environment: Environment): Promise<number> {
  const { act, context } = settling;
  // Like a retry of one job, a replay of letters that are named takes nothing away and needs no question.
  if (act === "discard" || options.all === true || options.dryRun === true) {
    const preview = await settled(settling, { dryRun: true });
    const what = `${act} ${preview.count} ${preview.count === 1 ? "dead letter" : "dead letters"}`;
    const stopped = await stoppedBefore({ what, preview }, options, { context, environment });
    if (stopped !== null) return stopped;
  }
  const outcome = await settled(settling, { dryRun: false });
  const failed = outcome.results.filter(({ status }) => status !== "REPLAYED" && status !== "DISCARDED");
  context.terminal.answer(outcome, () => summary(settling, outcome.count, failed));
  return failed.length === 0 ? exitCodes.ok : exitCodes.failed;
}

function summary({ act, context }: Settling, count: number, failed: readonly DeadLetterSettlement[]): string {
  const head = `${count} ${actTexts[act].done}`;
  if (failed.length === 0) return head;
  const rows = failed.map(({ key, queue, id, status, error }) => [key, queue, id, status, error]);
  return `${context.terminal.table(["KEY", "QUEUE", "ID", "STATUS", "ERROR"], rows)}\n${head}, ${failed.length} not`;
}

type Outcome = Pick<SettleDeadLettersAnswer, "dryRun" | "count" | "results">;

/** All pages; progress is told while something is done. */
async function settled({ act, client, context, requests }: Settling, how: { dryRun: boolean }): Promise<Outcome> {
  const { terminal, signal } = context;
  const results: DeadLetterSettlement[] = [];
  const unpaged = new Set<string>();
  let count = 0;
  for (const request of requests) {
    let cursor: string | undefined;
    do {
      signal.throwIfAborted();
      const going = cursor === undefined ? {} : { cursor };
      const answer = await asked(client.deadLetters[act]({ ...request, ...how, ...going }));
      results.push(...answer.results);
      count += answer.count;
      for (const queue of answer.unpaged) unpaged.add(queue);
      cursor = answer.nextCursor;
      if (cursor !== undefined && !how.dryRun && !terminal.json) terminal.note(`${count} ${actTexts[act].done}`);
    } while (cursor !== undefined && results.length < allMaxItems);
  }
  if (how.dryRun) tellOfUnpaged(context, unpaged);
  return { dryRun: how.dryRun, count, results };
}

function tellOfUnpaged({ terminal }: CommandContext, queues: ReadonlySet<string>): void {
  if (terminal.json) return;
  for (const queue of queues)
    terminal.note(`${oneLine(queue)} shows what one look finds; there may be more behind these`);
}

/** What to do about a router that is not there is something else than about a platform. */
async function asked<Answer>(call: Promise<Answer>): Promise<Answer> {
  try {
    return await call;
  } catch (error) {
    if (!(error instanceof FlowCatalystError)) throw error;
    const otherRouter = "name a router with --router-url or FC_ROUTER_URL";
    if (error.code === "SERVER_UNREACHABLE") {
      throw new CodedError("SERVER_UNREACHABLE", { message: `${error.message}; ${otherRouter}`, cause: error });
    }
    if (error.status === 404 && error.message.startsWith("There is nothing at this path")) {
      throw new CodedError("NOT_FOUND", {
        message: `no router of this version is there; ${otherRouter}`,
        cause: error,
      });
    }
    throw error;
  }
}
