import type { Command } from "commander";
import { exitCodes } from "@flowcatalyst/foundation";
import type { CreateReplay, ReplayOut } from "@flowcatalyst/contracts";
import { contextOf, withExamples, type CommandContext, type Environment } from "../context.ts";
import { positiveInteger } from "./publish.ts";

interface ReplayOptions {
  readonly status?: readonly NonNullable<CreateReplay["statuses"]>[number][];
  readonly subscription?: string;
  readonly type?: string;
  readonly after?: string;
  readonly before?: string;
  readonly rate?: number;
  readonly yes?: boolean;
  readonly dryRun?: boolean;
}

const progressEveryMs = 500;

/** `replay`: shows how many jobs it is about, asks, starts, and shows progress. */
export function addReplayCommand(program: Command, environment: Environment): void {
  const replay = program
    .command("replay")
    .summary("deliver many final jobs again")
    .description("Counts the jobs first, asks, then delivers them again at a bounded rate and shows the progress.")
    .option("--status <status...>", "FAILED, EXPIRED, CANCELLED, COMPLETED; FAILED and EXPIRED if absent")
    .option("--subscription <id>", "of this subscription")
    .option("--type <type>", "of this event type")
    .option("--after <time>", "made not before this (RFC 3339)")
    .option("--before <time>", "made before this (RFC 3339)")
    .option("--rate <n>", "jobs a second", positiveInteger)
    .option("--dry-run", "only count")
    .option("-y, --yes", "do not ask")
    .action(async (options: ReplayOptions, command: Command) => {
      const context = contextOf(command, environment);
      process.exitCode = await run(context, options, environment);
    });
  withExamples(replay, [
    "flowcatalyst replay --dry-run",
    "flowcatalyst replay --status FAILED --subscription <subscription-id> --rate 50 --yes",
  ]);
}

async function run(context: CommandContext, options: ReplayOptions, environment: Environment): Promise<number> {
  const { client, terminal } = context;
  const filter = filterOf(options);
  const preview = await client.replays.preview(filter);
  if (options.dryRun === true) {
    terminal.answer(preview, () => `${preview.count} jobs would be delivered again`);
    return exitCodes.ok;
  }
  if (options.yes !== true) {
    if (terminal.json || !environment.isTerminal) {
      terminal.note(`${preview.count} jobs; say --yes to deliver them again`);
      return exitCodes.usage;
    }
    // Loaded here only: it would cost every other command 5 ms.
    const { confirm, isCancel } = await import("@clack/prompts");
    const answer = await confirm({ message: `Deliver ${preview.count} jobs again?`, initialValue: false });
    if (isCancel(answer) || !answer) return exitCodes.failed;
  }
  const started = await client.replays.start(filter);
  const finished = await progress(context, started);
  terminal.answer(finished, () => `${finished.id} ${finished.status}: ${finished.done} of ${finished.total}`);
  return finished.status === "COMPLETED" ? exitCodes.ok : exitCodes.failed;
}

async function progress(context: CommandContext, started: ReplayOut): Promise<ReplayOut> {
  let now = started;
  while (now.status === "RUNNING" && !context.signal.aborted) {
    await Bun.sleep(progressEveryMs);
    now = await context.client.replays.get(started.id);
    context.terminal.note(`${now.done} of ${now.total}`);
  }
  if (context.signal.aborted) context.terminal.note(`it goes on without this command; ${started.id}`);
  return now;
}

function filterOf(options: ReplayOptions): CreateReplay {
  return {
    ...(options.status === undefined ? {} : { statuses: [...options.status] }),
    ...(options.subscription === undefined ? {} : { subscriptionId: options.subscription }),
    ...(options.type === undefined ? {} : { eventType: options.type }),
    ...(options.after === undefined ? {} : { createdAfter: options.after }),
    ...(options.before === undefined ? {} : { createdBefore: options.before }),
    ...(options.rate === undefined ? {} : { jobsPerSecond: options.rate }),
  };
}
