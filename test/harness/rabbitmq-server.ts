import { existsSync } from "node:fs";
import { join } from "node:path";
import { amqpVersion } from "./amqp-greeting.ts";
import { type BrokerServer, createBroker, launchBeside } from "./broker-process.ts";
import { freePort } from "./free-port.ts";
import { giveFile, giveFolder, ServiceFault } from "./private-service.ts";

/**
 * A private RabbitMQ with its plugin for AMQP 1.0: a node of its own name, its database in a temporary folder,
 * loopback, the account guest that may connect from there. The management plugin is off.
 *
 * A node of Erlang tells others its place by a port mapper (epmd). This one has a mapper of its own, on a port of its
 * own, so that it neither meets nor leaves behind the machine's; it ends with the server.
 *
 * The server's script is asked to become the server, instead of waiting for it: a signal for one is for the other.
 */
export interface RabbitServerOptions {
  readonly outlives?: boolean;
  /** Lines of rabbitmq.conf: `{ "consumer_timeout": "60000" }`. */
  readonly settings?: Readonly<Record<string, string>>;
}

const debianScript = "/usr/lib/rabbitmq/bin/rabbitmq-server";

/** Debian's command on the path insists on an account and on its folders; the script behind it does not. */
export function findRabbit(): string | null {
  return Bun.which("epmd") === null ? null : existsSync(debianScript) ? debianScript : null;
}

export async function createRabbitServer(options: RabbitServerOptions = {}): Promise<BrokerServer> {
  const script = findRabbit();
  if (script === null) throw new ServiceFault("RabbitMQ (rabbitmq-server) is not installed");
  const outlives = options.outlives ?? false;
  return createBroker({
    title: "RabbitMQ",
    name: "rabbitmq",
    account: "rabbitmq",
    outlives,
    readyWithinMs: 90_000,
    pollMs: 100,
    describe: async (folder, port) => {
      const inFolder = (name: string): string => join(folder.path, name);
      const mapperPort = await freePort();
      const nodePort = await freePort();
      const settings = { "listeners.tcp.default": `127.0.0.1:${port}`, ...options.settings };
      const lines = Object.entries(settings).map(([key, value]) => `${key} = ${value}`);
      giveFile(folder, inFolder("rabbitmq.conf"), `${lines.join("\n")}\n`);
      giveFile(folder, inFolder("enabled_plugins"), "[rabbitmq_amqp1_0].\n");
      for (const name of ["home", "mnesia", "logs"]) giveFolder(folder, inFolder(name));
      const mapper = { ERL_EPMD_PORT: String(mapperPort), ERL_EPMD_ADDRESS: "127.0.0.1" };
      launchBeside(folder, ["epmd"], { outlives, environment: mapper });
      const environment = {
        ...mapper,
        HOME: inFolder("home"),
        RABBITMQ_NODENAME: `flowcatalyst-${port}@localhost`,
        RABBITMQ_DIST_PORT: String(nodePort),
        RABBITMQ_MNESIA_BASE: inFolder("mnesia"),
        RABBITMQ_LOG_BASE: inFolder("logs"),
        RABBITMQ_LOGS: "-",
        RABBITMQ_CONFIG_FILE: inFolder("rabbitmq.conf"),
        RABBITMQ_ENABLED_PLUGINS_FILE: inFolder("enabled_plugins"),
        // The machine's own settings of RabbitMQ are for the machine's own server.
        RABBITMQ_CONF_ENV_FILE: "/dev/null",
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: "-kernel inet_dist_use_interface {127,0,0,1}",
        detached: "true",
      };
      const url = `amqp://guest:guest@127.0.0.1:${port}`;
      return { url, command: [script], environment, probe: () => amqpVersion(url) };
    },
  });
}
