import type { Command } from "commander";
import type { ServiceName } from "@flowcatalyst/server";
import type { Environment } from "./context.ts";

/**
 * Starts a service in this process; `flags` are settings by their names there. The server is imported only then, so
 * that other commands start quickly.
 */
export async function startService(
  name: ServiceName,
  started: { readonly command: Command; readonly flags: Readonly<Record<string, string | undefined>> },
  environment: Environment,
): Promise<void> {
  const { runService } = await import("@flowcatalyst/server");
  const { command } = started;
  const flags: Record<string, string> = {};
  for (const [property, value] of Object.entries(started.flags)) {
    if (value !== undefined) flags[property] = value;
  }
  process.exitCode = await runService(name, {
    version: command.parent?.version() ?? "",
    env: environment.variables,
    flags,
    isTerminal: environment.isTerminal,
    json: command.optsWithGlobals<{ json?: boolean }>().json === true,
    print: environment.out,
    printError: environment.err,
  });
}
