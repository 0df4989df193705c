import type { Command } from "commander";
import type { ServiceName } from "@flowcatalyst/server";
import { withExamples, type Environment } from "../context.ts";
import { startService } from "../start-service.ts";

interface ServiceOptions {
  readonly apiPort?: string;
  readonly routerPort?: string;
  readonly metricsPort?: string;
  readonly dataDir?: string;
  readonly host?: string;
  readonly configPath?: string;
  readonly logLevel?: string;
  /** Of a router several. */
  readonly queue?: string | readonly string[];
  readonly pools?: string;
  readonly configUrl?: string;
  readonly database?: string;
  readonly migrate?: boolean;
}

const databaseUrl = "postgres://fc@localhost/flowcatalyst";
/** Services of their own do not share a host's port 9090. */
const metricsPorts = { platform: 9090, stream: 9091, scheduler: 9092, router: 9093 } as const;

/** Commands that start a service in this process; the outbox processor's is in outbox.ts, with what belongs to it. */
export function addServiceCommands(program: Command, environment: Environment): void {
  const dev = withCommonFlags(program.command("dev"))
    .summary("start everything in one process, on embedded storage")
    .description(
      "Starts API, stream, scheduler, queue and router in one process. Data is kept in ./data. `--queue nats` is the " +
        "NATS of NATS_URL; without it the nats-server on the PATH is started on port 4222, with data in ./data/nats.",
    )
    .option("--api-port <port>", "platform API (8080)")
    .option("--router-port <port>", "router API (8081)")
    .option("--data-dir <path>", "where data is kept (./data)")
    .option("--queue <url>", "queue, e.g. nats://…, sqs://… or amqp://…; the database's own if absent")
    .option("--database <url>", "sqlite:PATH, sqlite::memory: or postgres://…")
    .action((options: ServiceOptions, command: Command) => start("dev", { options, command }, environment));
  withExamples(dev, ["flowcatalyst dev", "flowcatalyst dev --api-port 9000 --data-dir /tmp/flowcatalyst-data"]);

  const platform = onSharedDatabase(program.command("platform"))
    .summary("start the platform API alone")
    .description(
      "Takes events and settings over HTTP. Any number may run side by side on one database. Needs FC_APP_KEY, the " +
        "same for all processes.",
    )
    .option("--api-port <port>", "platform API (8080)")
    .action((options: ServiceOptions, command: Command) => start("platform", { options, command }, environment));
  withExamples(platform, [`flowcatalyst platform --database ${databaseUrl} --migrate`]);

  const stream = onSharedDatabase(program.command("stream"))
    .summary("start the stream alone: from events to jobs")
    .description("Makes a job for each event and subscription that wants it. One instance is active, others stand by.")
    .action((options: ServiceOptions, command: Command) => start("stream", { options, command }, environment));
  withExamples(stream, [`flowcatalyst stream --database ${databaseUrl} --metrics-port ${metricsPorts.stream}`]);

  const scheduler = onSharedDatabase(program.command("scheduler"))
    .summary("start the scheduler alone: from jobs to the queue")
    .description(
      "Publishes what is due, and runs replays and housekeeping. Of each one instance is active, others stand by.",
    )
    .option("--queue <url>", "queue; the database's own if absent")
    .action((options: ServiceOptions, command: Command) => start("scheduler", { options, command }, environment));
  withExamples(scheduler, [
    `flowcatalyst scheduler --database ${databaseUrl} --metrics-port ${metricsPorts.scheduler}`,
  ]);

  const router = onSharedDatabase(program.command("router"))
    .summary("start the router alone: from the queue to the targets")
    .description(
      "Takes messages from a queue and delivers them over HTTP. Without a database it reports to the platform of " +
        "FC_API_BASE_URL; without that too it delivers stand-alone messages. With a database it needs FC_APP_KEY.",
    )
    .option("--router-port <port>", "router API (8081)")
    .option("--queue <url>", "queue, e.g. nats://localhost; may be given several times", collected)
    .option("--pools <file>", "TOML or YAML file of pools and secrets")
    .option("--config-url <url>", "where pools and queues are fetched from")
    .action((options: ServiceOptions, command: Command) => start("router", { options, command }, environment));
  withExamples(router, [
    `flowcatalyst router --database ${databaseUrl} --metrics-port ${metricsPorts.router}`,
    "flowcatalyst router --queue sqlite:./queue.db",
    "flowcatalyst router --queue sqlite:./queue.db --queue sqlite:./second.db --pools pools.toml",
  ]);
}

export function withCommonFlags(command: Command): Command {
  return command
    .option("--host <address>", "address of all ports (127.0.0.1)")
    .option("--metrics-port <port>", "health and metrics (9090)")
    .option("--config-path <file>", "TOML or YAML file of settings")
    .option("--log-level <level>", "debug, info, warn, error or silent");
}

function onSharedDatabase(command: Command): Command {
  return withCommonFlags(command)
    .option("--database <url>", "postgres://…")
    .option("--migrate", "bring the tables up to this build first");
}

/** An option that may be given several times. */
function collected(value: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), value];
}

interface Given {
  readonly options: ServiceOptions;
  readonly command: Command;
}

async function start(name: ServiceName, { options, command }: Given, environment: Environment): Promise<void> {
  const { queue, pools, configUrl, database, migrate, ...same } = options;
  const queueUrls = typeof queue === "string" ? queue : queue?.join(" ");
  const named = { queueUrls, routerPoolsPath: pools, routerConfigUrls: configUrl, databaseUrl: database };
  const flags = { ...same, ...named, ...(migrate === true ? { migrate: "true" } : {}) };
  await startService(name, { command, flags }, environment);
}
