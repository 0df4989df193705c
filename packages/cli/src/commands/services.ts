import type { Command } from "commander";
import { exitCodes } from "@flowcatalyst/foundation";
import { withExamples, type Environment } from "../context.ts";

interface ServiceOptions {
  readonly apiPort?: string;
  readonly routerPort?: string;
  readonly metricsPort?: string;
  readonly dataDir?: string;
  readonly host?: string;
  readonly configPath?: string;
  readonly logLevel?: string;
  readonly queue?: string;
  readonly database?: string;
}

/** Services of the production topology that this build does not have yet. */
const notBuilt = ["platform", "stream", "scheduler", "outbox"] as const;

/**
 * Commands that start a service in this process. The server is imported only then, so that other commands start
 * quickly.
 */
export function addServiceCommands(program: Command, environment: Environment): void {
  const dev = withCommonFlags(program.command("dev"))
    .summary("start everything in one process, on embedded storage")
    .description("Starts API, stream, scheduler, queue and router in one process. Data is kept in ./data.")
    .option("--api-port <port>", "platform API (8080)")
    .option("--router-port <port>", "router API (8081)")
    .option("--queue <url>", "queue; the database's own if absent")
    .option("--database <url>", "sqlite:PATH or sqlite::memory:")
    .action((options: ServiceOptions, command: Command) => start("dev", { options, command }, environment));
  withExamples(dev, ["flowcatalyst dev", "flowcatalyst dev --api-port 9000 --data-dir /tmp/flowcatalyst-data"]);

  const router = withCommonFlags(program.command("router"))
    .summary("start the router alone, on stand-alone messages")
    .description("Takes messages from a queue and delivers them over HTTP; needs no platform.")
    .option("--router-port <port>", "router API (8081)")
    .option("--queue <url>", "queue, e.g. sqlite:./queue.db")
    .action((options: ServiceOptions, command: Command) => start("router", { options, command }, environment));
  withExamples(router, ["flowcatalyst router --queue sqlite:./queue.db"]);

  for (const name of notBuilt) {
    program
      .command(name, { hidden: true })
      .allowUnknownOption()
      .argument("[arguments...]")
      .action(() => {
        environment.err(
          `flowcatalyst ${name}: not built yet; \`flowcatalyst dev\` runs it together with all the others`,
        );
        process.exitCode = exitCodes.failed;
      });
  }
}

function withCommonFlags(command: Command): Command {
  return command
    .option("--data-dir <path>", "where data is kept (./data)")
    .option("--host <address>", "address of all ports (127.0.0.1)")
    .option("--metrics-port <port>", "health and metrics (9090)")
    .option("--config-path <file>", "TOML or YAML file of settings")
    .option("--log-level <level>", "debug, info, warn, error or silent");
}

interface Given {
  readonly options: ServiceOptions;
  readonly command: Command;
}

async function start(name: "dev" | "router", { options, command }: Given, environment: Environment): Promise<void> {
  const { runService } = await import("@flowcatalyst/server");
  const { queue, database, ...same } = options;
  const flags: Record<string, string> = {};
  for (const [property, value] of Object.entries({ ...same, queueUrl: queue, databaseUrl: database })) {
    if (typeof value === "string") flags[property] = value;
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
