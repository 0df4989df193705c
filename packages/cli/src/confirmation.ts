import type { Command } from "commander";
import { exitCodes } from "@flowcatalyst/foundation";
import { usageError, type CommandContext, type Environment } from "./context.ts";

export interface ConfirmationOptions {
  readonly dryRun?: boolean;
  readonly yes?: boolean;
}

/** The options of a command that takes something away. */
export function withConfirmation(command: Command): Command {
  return command.option("--dry-run", "only say what would happen").option("-y, --yes", "do not ask");
}

/** What a command is about to do, as a person would ask for it. */
interface Deed {
  /** E.g. `delete the pool PARTNERS`. */
  readonly what: string;
  readonly preview: Readonly<Record<string, unknown>>;
}

/**
 * Whether to go on: null, or the exit code the command ends with. `--dry-run` prints the preview; without `--yes` a
 * person is asked, and where nobody can be asked it throws USAGE_INVALID.
 */
export async function stoppedBefore(
  deed: Deed,
  options: ConfirmationOptions,
  { context, environment }: { readonly context: CommandContext; readonly environment: Environment },
): Promise<number | null> {
  const { terminal, signal } = context;
  if (options.dryRun === true) {
    terminal.answer({ dryRun: true, ...deed.preview }, () => `would: ${deed.what}`);
    return exitCodes.ok;
  }
  if (options.yes === true) return null;
  if (terminal.json || !environment.isInteractive) {
    throw usageError(`nobody can be asked here, so nothing was done; add --yes to: ${deed.what}`);
  }
  // Loaded here only: it would cost every other command 5 ms.
  const { confirm } = await import("@clack/prompts");
  const message = `${deed.what.charAt(0).toUpperCase()}${deed.what.slice(1)}?`;
  const answer = await confirm({ message, initialValue: false, output: process.stderr, signal });
  if (answer === true) return null;
  terminal.note("nothing was done");
  return exitCodes.failed;
}
