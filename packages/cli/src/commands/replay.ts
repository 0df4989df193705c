import type { Command } from "commander";
import { exitCodes } from "@flowcatalyst/foundation";
import type { CreateReplay, Replay } from "@flowcatalyst/sdk";
import { positiveInteger } from "../arguments.ts";
import { stoppedBefore, withConfirmation, type ConfirmationOptions } from "../confirmation.ts";
import { contextOf, withExamples, type CommandContext, type Environment } from "../context.ts";
import { printPages, withPaging, type PagingOptions } from "../paging.ts";
import { pause } from "../pause.ts";
import { subscriptionNamed } from "../subscription-named.ts";
import { details } from "../terminal.ts";

type ReplayStatus = NonNullable<CreateReplay["statuses"]>[number];

interface ReplayOptions extends ConfirmationOptions {
  readonly status?: readonly string[];
  readonly subscription?: string;
  readonly type?: string;
  readonly after?: string;
  readonly before?: string;
  readonly rate?: number;
}

const firstPollMs = 50;
const pollMaxMs = 1_000;

/** `replay`: shows how many jobs it is about, asks, starts, and shows progress. */
export function addReplayCommand(program: Command, environment: Environment): void {
  const replay = withConfirmation(program.command("replay"))
    .summary("deliver many final jobs again")
    .description("Counts the jobs first, asks, then delivers them again at a bounded rate and shows the progress.")
    .usage("[options] | list | status <id> | cancel <id>")
    .option("--status <status...>", "FAILED, EXPIRED, CANCELLED, COMPLETED; FAILED and EXPIRED if absent")
    .option("--subscription <subscription>", "of this subscription: id, code or name")
    .option("-t, --type <type>", "of this event type")
    .option("--after <time>", "made not before this (RFC 3339)")
    .option("--before <time>", "made before this (RFC 3339)")
    .option("--rate <n>", "jobs a second; 100 if absent", positiveInteger)
    .action(async (options: ReplayOptions, command: Command) => {
      process.exitCode = await run(contextOf(command, environment), options, environment);
    });
  withExamples(replay, [
    "flowcatalyst replay --dry-run",
    "flowcatalyst replay --status FAILED --subscription <subscription-id> --rate 50 --yes",
  ]);
  addFollowing(replay, environment);
}

function addFollowing(replay: Command, environment: Environment): void {
  const list = withPaging(replay.command("list"))
    .summary("replays, newest first")
    .action(async (options: PagingOptions, command: Command) => {
      const context = contextOf(command, environment);
      await printPages(context, options, {
        fetch: (query) => context.client.replays.list({ ...query }),
        header: ["ID", "STATUS", "DONE", "TOTAL", "STARTED"],
        row: (item) => [item.id, item.status, item.done, item.total, item.createdAt],
      });
    });
  withExamples(list, ["flowcatalyst replay list"]);
  for (const [name, summary] of [
    ["status", "how far one is"],
    ["cancel", "stop one; what was delivered again stays so"],
  ] as const) {
    const command = replay
      .command(name)
      .summary(summary)
      .argument("<id>")
      .action(async (id: string, _options: unknown, self: Command) => {
        const { client, terminal } = contextOf(self, environment);
        const answer = await client.replays[name === "status" ? "get" : "cancel"](id);
        terminal.answer(answer, () => details(answer));
      });
    withExamples(command, [`flowcatalyst replay ${name} <replay-id>`]);
  }
}

async function run(context: CommandContext, options: ReplayOptions, environment: Environment): Promise<number> {
  const { client, terminal } = context;
  const filter = await filterOf(context, options);
  const preview = await client.replays.preview(filter);
  const what = `deliver ${preview.count} ${preview.count === 1 ? "job" : "jobs"} again`;
  const stopped = await stoppedBefore({ what, preview: { ...preview } }, options, { context, environment });
  if (stopped !== null) return stopped;
  const started = await client.replays.start(filter);
  const finished = await progress(context, started);
  terminal.answer(finished, () => `${finished.id} ${finished.status}: ${finished.done} of ${finished.total}`);
  return finished.status === "COMPLETED" ? exitCodes.ok : exitCodes.failed;
}

async function progress({ client, terminal, signal }: CommandContext, started: Replay): Promise<Replay> {
  let now = started;
  let pollMs = firstPollMs;
  try {
    while (now.status === "RUNNING") {
      await pause(pollMs, signal);
      pollMs = Math.min(pollMs * 2, pollMaxMs);
      const { done } = now;
      now = await client.replays.get(started.id);
      if (now.done > done && now.status === "RUNNING" && !terminal.json) terminal.note(`${now.done} of ${now.total}`);
    }
  } catch (error) {
    if (!terminal.json) terminal.note(`it goes on by itself; see: flowcatalyst replay status ${started.id}`);
    throw error;
  }
  return now;
}

/** Statuses are checked by the server. */
async function filterOf({ client }: CommandContext, options: ReplayOptions): Promise<CreateReplay> {
  const { status, subscription, type, after, before, rate } = options;
  return {
    ...(status === undefined ? {} : { statuses: status.map((name) => name.toUpperCase() as ReplayStatus) }),
    ...(subscription === undefined ? {} : { subscriptionId: await subscriptionNamed(client, subscription) }),
    ...(type === undefined ? {} : { eventType: type }),
    ...(after === undefined ? {} : { createdAfter: after }),
    ...(before === undefined ? {} : { createdBefore: before }),
    ...(rate === undefined ? {} : { jobsPerSecond: rate }),
  };
}
