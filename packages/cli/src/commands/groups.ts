import type { Command } from "commander";
import type { FlowCatalystClient, HeldGroup } from "@flowcatalyst/sdk";
import { stoppedBefore, withConfirmation, type ConfirmationOptions } from "../confirmation.ts";
import { contextOf, usageError, withExamples, type Environment } from "../context.ts";
import { printPages, withPaging, type PagingOptions } from "../paging.ts";

interface UnblockOptions extends ConfirmationOptions {
  readonly retry?: boolean;
  readonly skip?: boolean;
}

const lookPagesMax = 20;
const lookPageItems = 1_000;

/** `groups …`. */
export function addGroupCommands(program: Command, environment: Environment): void {
  const groups = program
    .command("groups")
    .summary("message groups that are held")
    .description("Message groups that are held: which, why, and since when.");
  const list = withPaging(groups.command("list"))
    .summary("which groups are held, why, since when")
    .action(async (options: PagingOptions, command: Command) => {
      const context = contextOf(command, environment);
      await printPages(context, options, {
        fetch: (query) => context.client.groups.list({ ...query }),
        header: ["GROUP", "REASON", "SINCE", "UNTIL", "WAITING", "HEAD"],
        row: (item) => [item.key, item.reason, item.since, item.until, item.waiting, item.headJobId],
      });
    });
  withExamples(list, ["flowcatalyst groups list"]);

  const unblock = withConfirmation(groups.command("unblock"))
    .summary("let a group go on that a failed job holds")
    .description("Lets a group go on that a failed job holds: delivers that job again, or leaves it out.")
    .argument("<key>", "as `groups list` shows it")
    .option("--retry", "deliver the failed head again")
    .option("--skip", "cancel the failed head; asks first")
    .action(async (key: string, options: UnblockOptions, command: Command) => {
      const context = contextOf(command, environment);
      if ((options.retry === true) === (options.skip === true)) throw usageError("say either --retry or --skip");
      const action = options.retry === true ? "retry" : "skip";
      if (action === "skip" || options.dryRun === true) {
        const group = await heldGroup(context.client, key);
        const waiting = `${group?.waiting ?? 0} jobs wait behind it`;
        const what = `${action} ${group?.headJobId ?? "the head"} of ${key}; ${waiting}`;
        const stopped = await stoppedBefore({ what, preview: { action, group } }, options, { context, environment });
        if (stopped !== null) return void (process.exitCode = stopped);
      }
      const answer = await context.client.groups.unblock(key, { action });
      const done = action === "skip" ? "its head is cancelled" : "its head is delivered again";
      context.terminal.answer(answer, () => `${key} goes on; ${done}`);
    });
  withExamples(unblock, [
    "flowcatalyst groups unblock '<group-key>' --retry",
    "flowcatalyst groups unblock '<group-key>' --skip --yes",
  ]);
}

/** Null where it is not among those looked at: the unblocking itself says then whether it exists. */
async function heldGroup(client: FlowCatalystClient, key: string): Promise<HeldGroup | null> {
  let cursor: string | undefined;
  for (let pages = 0; pages < lookPagesMax; pages += 1) {
    const page = await client.groups.list({ limit: lookPageItems, cursor });
    const found = page.items.find((group) => group.key === key);
    if (found !== undefined) return found;
    if (page.nextCursor === undefined) return null;
    cursor = page.nextCursor;
  }
  return null;
}
