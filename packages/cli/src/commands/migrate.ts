import type { MigrationReport } from "@flowcatalyst/server";
import type { Command } from "commander";
import { contextOf, withExamples, type Environment } from "../context.ts";

interface MigrateOptions {
  readonly database?: string;
  readonly queue?: string;
  readonly configPath?: string;
  readonly dryRun?: boolean;
}

/** `migrate`: the tables of a PostgreSQL database. */
export function addMigrateCommand(program: Command, environment: Environment): void {
  const migrate = program
    .command("migrate")
    .summary("bring the tables of a PostgreSQL database up to this build")
    .description(
      "Runs the migrations that FC_DATABASE_URL and FC_QUEUE_URL lack, forward only, while instances of the build " +
        "before go on working. Safe to run from several places at once. A SQLite file is migrated by who opens it.",
    )
    .option("--database <url>", "postgres://… (FC_DATABASE_URL)")
    .option("--queue <url>", "postgres://… of a queue with a database of its own (FC_QUEUE_URL)")
    .option("--config-path <file>", "TOML or YAML file of settings")
    .option("--dry-run", "only show what would run")
    .action(async (options: MigrateOptions, command: Command) => {
      const { terminal } = contextOf(command, environment);
      const { migrateDatabases } = await import("@flowcatalyst/server");
      const { database, queue, configPath, dryRun = false } = options;
      const flags: Record<string, string> = {};
      for (const [property, value] of Object.entries({ databaseUrl: database, queueUrls: queue, configPath })) {
        if (value !== undefined) flags[property] = value;
      }
      const report = await migrateDatabases({
        env: { FC_LOG_LEVEL: "warn", ...environment.variables },
        flags,
        isTerminal: environment.isTerminal,
        dryRun,
      });
      terminal.answer(report, () => linesOf(report).join("\n"));
    });
  withExamples(migrate, [
    "flowcatalyst migrate --database postgres://fc@localhost/flowcatalyst --dry-run",
    "flowcatalyst migrate --database postgres://fc@localhost/flowcatalyst",
  ]);
}

function linesOf({ databases, dryRun }: MigrationReport): readonly string[] {
  if (databases.length === 0) return ["Nothing to do: a SQLite file is migrated by the process that opens it."];
  return databases.flatMap(({ place, pending, ran, partitions }) => {
    const shown = dryRun ? pending : ran;
    const verb = dryRun ? "would run" : "ran";
    const lines = shown.map(({ component, number, name }) => `  ${verb}  ${component} ${number}  ${name}`);
    if (partitions.length > 0) lines.push(`  made  ${partitions.length} partitions of the history`);
    return [lines.length === 0 ? `${place} is up to date` : `${place}:`, ...lines];
  });
}
