import { Option, type Command } from "commander";
import { exitCodes } from "@flowcatalyst/foundation";
import type { OutboxChange, OutboxChoice, OutboxOperations, OutboxStateName } from "@flowcatalyst/server";
import { stoppedBefore, withConfirmation, type ConfirmationOptions } from "../confirmation.ts";
import { contextOf, usageError, withExamples, type CommandContext, type Environment } from "../context.ts";
import { outboxActs } from "../invoked-as.ts";
import { printPages, withPaging, type PagingOptions } from "../paging.ts";
import { startService } from "../start-service.ts";
import { details } from "../terminal.ts";
import { withCommonFlags } from "./services.ts";

/**
 * `outbox` starts the processor; its subcommands look at the table and mend it. They ask the application's database
 * and no server, so they work while nothing runs.
 */

interface TableOptions {
  readonly database?: string;
  readonly mode?: string;
  readonly table?: string;
  readonly configPath?: string;
}

interface ProcessorOptions extends TableOptions {
  readonly routerUrl?: string;
  readonly host?: string;
  readonly metricsPort?: string;
  readonly logLevel?: string;
  /** Of the program. */
  readonly url?: string;
  readonly token?: string;
}

type Act = (typeof outboxActs)[number];

const waiting = ["INTERNAL_ERROR", "UNAUTHORIZED", "GATEWAY_ERROR"] as const satisfies readonly OutboxStateName[];
const refused = ["BAD_REQUEST", "FORBIDDEN"] as const satisfies readonly OutboxStateName[];
const unfinished = ["PENDING", "IN_PROGRESS", ...waiting, ...refused] as const satisfies readonly OutboxStateName[];
const rowPageMaxItems = 1_000;
const appDatabase = "sqlite:./app.db";
const metricsPort = 9094;

export function addOutboxCommand(program: Command, environment: Environment): void {
  const outbox = withCommonFlags(program.command("outbox"))
    .summary("start the outbox processor: from an application's table to the platform")
    .description(
      "Starts the processor that sends the rows of an application's outbox table to the platform, in order per " +
        "group. Its commands look at that table and mend it: they take --database, --mode and --table as well, and " +
        "need nothing that runs.",
    )
    .usage("[options] | init | status | list | pause | resume | skip | retry")
    .option("--database <url>", "the application's: postgres:, mysql:, mongodb: or sqlite: (FC_OUTBOX_DB_URL)")
    .option("--mode <mode>", "platform, or router for the older table form (platform)")
    .option("--table <name>", "table or collection (outbox_messages; in the mode router: outbox)")
    .option("--router-url <url>", "router API, in the mode router (FC_OUTBOX_ROUTER_URL)")
    .action(async (_options: unknown, command: Command) => {
      const [unknown] = command.args;
      if (unknown !== undefined) throw usageError(`outbox has no command "${unknown}", but ${outboxActs.join(", ")}`);
      const { url, token, routerUrl, host, logLevel, ...options } = command.optsWithGlobals<ProcessorOptions>();
      const platform = { apiBaseUrl: url, apiToken: token, outboxRouterUrl: routerUrl };
      const process = { host, logLevel, metricsPort: options.metricsPort };
      await startService(
        "outbox",
        { command, flags: { ...tableFlags(options), ...platform, ...process } },
        environment,
      );
    });
  withExamples(outbox, [`flowcatalyst outbox --database ${appDatabase} --metrics-port ${metricsPort}`]);
  addInit(outbox, environment);
  addStatus(outbox, environment);
  addList(outbox, environment);
  addPausing(outbox, environment);
  addSkip(outbox, environment);
  addRetry(outbox, environment);
}

function tableFlags({ database, mode, table, configPath }: TableOptions): Record<string, string | undefined> {
  return { outboxDbUrl: database, outboxMode: mode, outboxTable: table, configPath };
}

/** What a command of the table works with, while it is open. */
interface OutboxWork {
  readonly operations: OutboxOperations;
  readonly context: CommandContext;
  readonly environment: Environment;
}

/** Opens the table that the options name, and closes it when the work is done. */
async function withTable(
  command: Command,
  environment: Environment,
  work: (open: OutboxWork) => Promise<void>,
): Promise<void> {
  const { openOutboxOperations } = await import("@flowcatalyst/server");
  const flags: Record<string, string> = {};
  for (const [property, value] of Object.entries(tableFlags(command.optsWithGlobals<TableOptions>()))) {
    if (value !== undefined) flags[property] = value;
  }
  const { variables: env, isTerminal } = environment;
  const operations = await openOutboxOperations({ env, flags, isTerminal });
  try {
    await work({ operations, context: contextOf(command, environment), environment });
  } finally {
    await operations.close();
  }
}

function actOf(outbox: Command, act: Act): Command {
  return outbox.command(act);
}

function addInit(outbox: Command, environment: Environment): void {
  const init = actOf(outbox, "init")
    .summary("make the table, or print what makes it")
    .description(
      "Makes the outbox table with its indexes, and the table of the processor's lease; what is there already stays " +
        "as it is. With --print the statements are printed instead, for a migration of the application.",
    )
    .option("--print", "print the statements, and run none")
    .option("--dry-run", "the same")
    .action((options: { print?: boolean; dryRun?: boolean }, command: Command) =>
      withTable(command, environment, async ({ operations, context: { terminal } }) => {
        const statements = operations.ddl();
        const isDone = options.print !== true && options.dryRun !== true;
        if (isDone) await operations.init();
        terminal.answer({ done: isDone, statements }, () =>
          isDone ? "the outbox is ready" : statements.map((statement) => `${statement.trimEnd()};`).join("\n\n"),
        );
      }),
    );
  withExamples(init, [
    "flowcatalyst outbox init --print --database postgres://localhost/app",
    `flowcatalyst outbox init --database ${appDatabase}`,
  ]);
}

function addStatus(outbox: Command, environment: Environment): void {
  const status = actOf(outbox, "status")
    .summary("how many rows wait, and whether somebody sends them")
    .description(
      "Counts rows by what becomes of them, and says whether the table is paused and which processor sends its rows. " +
        "A count that equals countedTo means that many or more.",
    )
    .action((_options: unknown, command: Command) =>
      withTable(command, environment, async ({ operations, context: { terminal } }) => {
        const report = await operations.status();
        terminal.answer(report, () => details({ ...report, processor: report.processor ?? "none has the lease" }));
        if (!terminal.json && report.exhausted > 0) {
          terminal.note("rows without retries left wait for you: flowcatalyst outbox list, then retry or skip");
        }
        if (!terminal.json && report.refused > 0) {
          terminal.note("refused rows say why: flowcatalyst outbox list --status BAD_REQUEST FORBIDDEN");
        }
      }),
    );
  withExamples(status, [`flowcatalyst outbox status --database ${appDatabase}`]);
}

interface ListOptions extends PagingOptions {
  readonly status?: readonly OutboxStateName[];
  readonly group?: string;
}

function addList(outbox: Command, environment: Environment): void {
  const list = withPaging(actOf(outbox, "list"), rowPageMaxItems)
    .summary("list rows, oldest first")
    .description("Lists rows, oldest first: without --status those that are not sent.")
    .addOption(new Option("--status <status...>", "of these states").choices([...unfinished, "SUCCESS"]))
    .option("-g, --group <group>", "of this message group")
    .action((options: ListOptions, command: Command) =>
      withTable(command, environment, async ({ operations, context }) => {
        const { status: states = unfinished, group } = options;
        await printPages(context, options, {
          fetch: (query) => operations.list({ states, group, ...query }),
          header: ["ID", "TYPE", "GROUP", "STATUS", "RETRIES", "BYTES", "ERROR"],
          row: (row) => [row.id, row.type, row.group, row.status, row.retryCount, row.payloadBytes, row.error],
          pageMaxItems: rowPageMaxItems,
        });
      }),
    );
  withExamples(list, [
    `flowcatalyst outbox list --database ${appDatabase}`,
    `flowcatalyst outbox list --status BAD_REQUEST FORBIDDEN --all --database ${appDatabase}`,
  ]);
}

function addPausing(outbox: Command, environment: Environment): void {
  const pause = actOf(outbox, "pause")
    .summary("send nothing until it is resumed")
    .description("Tells every processor of this table to send nothing. What is under way is finished.")
    .option("--reason <text>", "for whoever asks why", "paused by an operator")
    .action(({ reason }: { reason: string }, command: Command) =>
      withTable(command, environment, async ({ operations, context: { terminal } }) => {
        await operations.pause(reason);
        terminal.answer({ paused: true, reason }, () => "paused; go on with: flowcatalyst outbox resume");
      }),
    );
  withExamples(pause, [`flowcatalyst outbox pause --reason 'the platform moves' --database ${appDatabase}`]);

  const resume = actOf(outbox, "resume")
    .summary("send again what was paused")
    .action((_options: unknown, command: Command) =>
      withTable(command, environment, async ({ operations, context: { terminal } }) => {
        await operations.resume();
        terminal.answer({ paused: false }, () => "resumed");
      }),
    );
  withExamples(resume, [`flowcatalyst outbox resume --database ${appDatabase}`]);
}

interface ChoiceOptions<State extends OutboxStateName> extends ConfirmationOptions {
  readonly all?: boolean;
  readonly group?: string;
  readonly status?: readonly State[];
}

const skippable = ["PENDING", ...waiting] as const;
const retryable = [...waiting, ...refused] as const;

function addSkip(outbox: Command, environment: Environment): void {
  const skip = withChoice(actOf(outbox, "skip"), skippable)
    .summary("give rows up that hold their group; asks first")
    .description(
      "Marks rows as refused: they are not sent, and those behind them in their group go on. Without --status it " +
        "takes those that wait for a retry. `retry` takes it back.",
    )
    .option("--reason <text>", "kept in the row's error message", "skipped by an operator")
    .action(
      (ids: readonly string[], options: ChoiceOptions<OutboxStateName> & { reason: string }, command: Command) => {
        const which = choiceOf(ids, options, waiting);
        return withTable(command, environment, async (open) => {
          process.exitCode = await change(open, { act: "skip", which, reason: options.reason }, options);
        });
      },
    );
  withExamples(skip, [
    `flowcatalyst outbox skip --all --dry-run --database ${appDatabase}`,
    `flowcatalyst outbox skip <outbox-row-id> --yes --database ${appDatabase}`,
    `flowcatalyst outbox skip --group orders-17 --reason 'order 17 was a test' --yes --database ${appDatabase}`,
  ]);
}

function addRetry(outbox: Command, environment: Environment): void {
  const retry = withChoice(actOf(outbox, "retry"), retryable)
    .summary("send rows again, with all their retries; asks first unless they are named")
    .description(
      "Makes rows pending again, with all their retries. Without --status it takes those that wait and those that " +
        "were refused. A refused row goes behind those of its group that were sent meanwhile.",
    )
    .action((ids: readonly string[], options: ChoiceOptions<OutboxStateName>, command: Command) => {
      const which = choiceOf(ids, options, retryable);
      return withTable(command, environment, async (open) => {
        process.exitCode = await change(open, { act: "retry", which }, options);
      });
    });
  withExamples(retry, [
    `flowcatalyst outbox retry --all --dry-run --database ${appDatabase}`,
    `flowcatalyst outbox retry <outbox-row-id> --database ${appDatabase}`,
    `flowcatalyst outbox retry --group orders-17 --status BAD_REQUEST --yes --database ${appDatabase}`,
  ]);
}

function withChoice(command: Command, states: readonly OutboxStateName[]): Command {
  return withConfirmation(command)
    .argument("[ids...]", "as `outbox list` shows them")
    .option("-g, --group <group>", "all of this message group")
    .option("--all", "all of the table")
    .addOption(new Option("--status <status...>", "of these states; goes with --group and --all").choices(states));
}

function choiceOf(
  ids: readonly string[],
  { all = false, group, status }: ChoiceOptions<OutboxStateName>,
  states: readonly OutboxStateName[],
): OutboxChoice {
  if ([ids.length > 0, group !== undefined, all].filter(Boolean).length !== 1) {
    throw usageError("say which: ids, --group or --all, one of them");
  }
  if (ids.length === 0) return { kind: "states", states: status ?? states, group };
  if (status !== undefined) throw usageError("--status goes with --group and --all, not with ids");
  return { kind: "ids", ids };
}

/** Shows what it is about and asks, but for a retry of rows that are named, which takes nothing away. */
async function change(
  { operations, context, environment }: OutboxWork,
  wanted: OutboxChange,
  options: ConfirmationOptions,
): Promise<number> {
  const { terminal, signal } = context;
  const { act, which } = wanted;
  const done = act === "skip" ? "skipped" : "pending again";
  if (act === "skip" || which.kind !== "ids" || options.dryRun === true) {
    const count = await operations.count(wanted);
    const what = `${act} ${rows(count)}`;
    const stopped = await stoppedBefore({ what, preview: { act, count } }, options, { context, environment });
    if (stopped !== null) return stopped;
  }
  const count = await operations.change(wanted, signal);
  terminal.answer({ act, count }, () => `${rows(count)} ${done}`);
  if (which.kind !== "ids" || count === new Set(which.ids).size) return exitCodes.ok;
  if (!terminal.json) terminal.note("the others are not there, are being sent, or are final");
  return exitCodes.failed;
}

function rows(count: number): string {
  return `${count} ${count === 1 ? "row" : "rows"}`;
}
