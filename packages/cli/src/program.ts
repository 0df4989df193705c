/**
 * The command line of FlowCatalyst: starts services, and talks to a running server through the SDK.
 *
 * Every command prints its answer to standard output, as a table or with `--json` as one document; notes, progress and
 * errors go to standard error. Errors are one line that says what and what to do, and an exit code of the closed list
 * in exit-codes.ts. Each command's `--help` ends with examples, all of which a test runs against a real server.
 */
import { Command, CommanderError } from "commander";
import { CodedError, exitCodeFor, exitCodeForStatus, exitCodes } from "@flowcatalyst/foundation";
import { FlowCatalystError } from "@flowcatalyst/sdk";
import { addConfigCommands } from "./commands/config.ts";
import { addEventCommands } from "./commands/events.ts";
import { addJobCommands } from "./commands/jobs.ts";
import { addListenCommand } from "./commands/listen.ts";
import { addPoolCommands } from "./commands/pools.ts";
import { addPublishCommands } from "./commands/publish.ts";
import { addReplayCommand } from "./commands/replay.ts";
import { addServiceCommands } from "./commands/services.ts";
import { addSignatureCommands } from "./commands/signature.ts";
import { addSubscriptionCommands } from "./commands/subscriptions.ts";
import { defaultUrl, type Environment } from "./context.ts";
import { exitCodeHelp } from "./exit-codes.ts";

export function createProgram(environment: Environment, version: string): Command {
  const program = new Command("flowcatalyst")
    .description("Events in, signed webhooks out: at least once, and in order.")
    .version(version, "--version", "print the version")
    .option("--url <url>", `platform API (FC_API_BASE_URL, else ${defaultUrl})`)
    .option("--token <token>", "bearer token (FC_API_TOKEN)")
    .option("--json", "answers as JSON")
    .showSuggestionAfterError()
    .showHelpAfterError("(add --help for more)")
    .exitOverride()
    .configureOutput({
      writeOut: (text) => environment.out(text.replace(/\n$/, "")),
      writeErr: (text) => environment.err(text.replace(/\n$/, "")),
    })
    .addHelpText("after", exitCodeHelp);
  addServiceCommands(program, environment);
  addPublishCommands(program, environment);
  addSubscriptionCommands(program, environment);
  addPoolCommands(program, environment);
  addEventCommands(program, environment);
  addJobCommands(program, environment);
  addReplayCommand(program, environment);
  addListenCommand(program, environment);
  addConfigCommands(program, environment);
  addSignatureCommands(program, environment);
  inheritSettings(program);
  return program;
}

/** Commander copies these to subcommands only when they are made after them by `command()`; groups need it as well. */
function inheritSettings(command: Command): void {
  for (const child of command.commands) {
    child.copyInheritedSettings(command);
    inheritSettings(child);
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
    return explain(error, environment);
  }
}

function explain(error: unknown, environment: Environment): number {
  if (error instanceof CommanderError) {
    // Help and version are thrown too, with exit code 0; the message was printed already, but for argument faults.
    if (error.code === "commander.invalidArgument") environment.err(`error: ${error.message}`);
    return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
  }
  if (error instanceof FlowCatalystError) {
    environment.err(`error: ${error.message} (${error.code})`);
    for (const fault of error.faults) environment.err(`  ${fault.path}: ${fault.message}`);
    if (error.status === 0) environment.err("  is the server running? start one with: flowcatalyst dev");
    return exitCodeForStatus(error.status);
  }
  if (error instanceof CodedError) {
    environment.err(`error: ${error.publicMessage} (${error.code})`);
    return exitCodeFor(error.code);
  }
  environment.err(`error: ${error instanceof Error ? error.message : String(error)}`);
  return exitCodes.failed;
}
