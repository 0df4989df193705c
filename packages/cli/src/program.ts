/**
 * The command line of FlowCatalyst: starts services, and talks to a running server through the SDK.
 *
 * Every command prints its answer to standard output, as a table or with `--json` as one document; notes, progress and
 * errors go to standard error. Errors are one line that says what and what to do (with `--json` a document
 * `{"error": …}`), and an exit code of the closed list in exit-codes.ts. What takes something away shows what it is
 * about (`--dry-run`) and asks; where nobody can be asked it wants `--yes`. Each `--help` ends with examples, all of
 * which a test runs against a real server.
 */
import { Command, CommanderError } from "commander";
import { exitCodes, withoutPasswords } from "@flowcatalyst/foundation";
import { addConfigCommands } from "./commands/config.ts";
import { addDeadLetterCommands } from "./commands/dead-letter.ts";
import { addEventCommands } from "./commands/events.ts";
import { addGroupCommands } from "./commands/groups.ts";
import { addHealthCommand } from "./commands/health.ts";
import { addJobCommands } from "./commands/jobs.ts";
import { addListenCommand } from "./commands/listen.ts";
import { addMigrateCommand } from "./commands/migrate.ts";
import { addOutboxCommand } from "./commands/outbox.ts";
import { addPoolCommands } from "./commands/pools.ts";
import { addPublishCommand } from "./commands/publish.ts";
import { addReplayCommand } from "./commands/replay.ts";
import { addServiceCommands } from "./commands/services.ts";
import { addSignatureCommands } from "./commands/signature.ts";
import { addSubscriptionCommands } from "./commands/subscriptions.ts";
import { addTriggerCommand } from "./commands/trigger.ts";
import { defaultUrl, examplesOf, withExamples, type Environment } from "./context.ts";
import { exitCodeHelp } from "./exit-codes.ts";
import { explanationOf, explanationText } from "./explain.ts";

export function createProgram(environment: Environment, version: string): Command {
  const program = new Command("flowcatalyst")
    .description("Events in, signed webhooks out: at least once, and in order.")
    .version(version, "--version", "print the version")
    .option("--url <url>", `platform API (FC_API_BASE_URL, else ${defaultUrl})`)
    .option("--token <token>", "bearer token (FC_API_TOKEN)")
    .option("--json", "answers and errors as JSON")
    .showSuggestionAfterError()
    .showHelpAfterError("(add --help for more)")
    .configureHelp({ showGlobalOptions: true })
    .exitOverride()
    .configureOutput({
      writeOut: (text) => environment.out(text.replace(/\n$/, "")),
      // With --json the one document about the error is printed by `runCommandLine`.
      // What it says of a bad argument, it says with the argument.
      writeErr: (text) =>
        program.opts<{ json?: boolean }>().json === true || environment.err(withoutPasswords(text.replace(/\n$/, ""))),
    });
  addServiceCommands(program, environment);
  addOutboxCommand(program, environment);
  addMigrateCommand(program, environment);
  addPublishCommand(program, environment);
  addTriggerCommand(program, environment);
  addSubscriptionCommands(program, environment);
  addPoolCommands(program, environment);
  addEventCommands(program, environment);
  addJobCommands(program, environment);
  addGroupCommands(program, environment);
  addReplayCommand(program, environment);
  addDeadLetterCommands(program, environment);
  addListenCommand(program, environment);
  addHealthCommand(program, environment);
  addConfigCommands(program, environment);
  addSignatureCommands(program, environment);
  withExamples(program, [
    "flowcatalyst subscriptions create hello --types 'order.*' --target http://127.0.0.1:8080/dev/receiver/hello",
    "flowcatalyst trigger order.created",
    "flowcatalyst jobs list --status FAILED",
  ]);
  program.addHelpText("after", exitCodeHelp);
  finish(program);
  return program;
}

/**
 * Commander copies settings to subcommands only when they are made after them by `command()`; groups need it as well.
 * A group shows the first example of each of its commands.
 */
function finish(command: Command): void {
  for (const child of command.commands) {
    child.copyInheritedSettings(command);
    finish(child);
    // One that has commands says itself which there are; they do not inherit that.
    if (child.commands.length > 0) child.allowExcessArguments();
    if (child.commands.length === 0 || examplesOf(child).length > 0) continue;
    withExamples(
      child,
      child.commands.flatMap((leaf) => examplesOf(leaf).slice(0, 1)),
    );
  }
}

/** Runs one command line; gives the exit code. Never throws. */
export async function runCommandLine(
  args: readonly string[],
  environment: Environment,
  version: string,
): Promise<number> {
  const program = createProgram(environment, version);
  process.exitCode = exitCodes.ok;
  try {
    await program.parseAsync(args, { from: "user" });
    return Number(process.exitCode);
  } catch (error) {
    return explain(error, program, environment);
  }
}

function explain(error: unknown, program: Command, environment: Environment): number {
  const { json, token } = program.opts<{ json?: boolean; token?: string }>();
  const explanation = explanationOf(error, {
    hasToken: (token ?? environment.variables["FC_API_TOKEN"] ?? "") !== "",
    interrupted: environment.signal.aborted,
  });
  if (explanation === null) return exitCodes.ok;
  // Commander has printed its own, unless JSON is wanted.
  if (json === true) environment.err(JSON.stringify({ error: explanation }));
  else if (!(error instanceof CommanderError)) environment.err(explanationText(explanation));
  return explanation.exitCode;
}
