import { Option, type Command } from "commander";
import { exitCodes } from "@flowcatalyst/foundation";
import { contextOf, withExamples, type Environment } from "../context.ts";

const processes = ["dev", "platform", "stream", "scheduler", "router", "outbox", "migrate"] as const;

/** `config check`. */
export function addConfigCommands(program: Command, environment: Environment): void {
  const group = program
    .command("config")
    .summary("settings")
    .description("Settings: defaults, file, environment and flags, later ones win.");
  const check = group
    .command("check")
    .summary("print every setting, where it comes from, and all faults")
    .description("Prints every setting and where it comes from, and all faults at once. Exits 1 if there are any.")
    .addOption(new Option("--process <name>", "whose settings").choices(processes).default("dev"))
    .option("--config-path <file>", "TOML or YAML file of settings")
    .action(async (options: { process: (typeof processes)[number]; configPath?: string }, command: Command) => {
      const { terminal } = contextOf(command, environment);
      const { checkConfig } = await import("@flowcatalyst/server");
      const flags: Record<string, string> = options.configPath === undefined ? {} : { configPath: options.configPath };
      const { entries, faults } = await checkConfig(options.process, {
        env: environment.variables,
        flags,
        isTerminal: environment.isTerminal,
      });
      terminal.answer({ process: options.process, settings: entries, faults }, () => {
        const rows = entries.map((entry) => [entry.key, entry.value, entry.source]);
        return terminal.table(["SETTING", "VALUE", "FROM"], rows);
      });
      if (!terminal.json) {
        for (const fault of faults) terminal.note(terminal.paint("red", fault));
        terminal.note(
          faults.length === 0 ? "no faults" : `${faults.length} ${faults.length === 1 ? "fault" : "faults"}`,
        );
      }
      process.exitCode = faults.length === 0 ? exitCodes.ok : exitCodes.failed;
    });
  withExamples(check, [
    "flowcatalyst config check",
    "FC_QUEUE_URL=sqlite:./queue.db flowcatalyst config check --process router",
  ]);
}
