import { join } from "node:path";
import { type BrokerServer, createBroker, firstBytes } from "./broker-process.ts";
import { giveFile, ServiceFault } from "./private-service.ts";

/**
 * A private NATS with JetStream: its streams in a temporary folder, loopback, no password.
 *
 * All settings but those given are the server's own defaults. Two of them matter to who kills it: streams on disk are
 * flushed to it every two minutes (`sync_interval`), which a killed process does not notice, because the kernel has the
 * pages; and a message is at most 1 MiB (`max_payload`).
 */
export interface NatsServerOptions {
  readonly outlives?: boolean;
  /** Lines of the server's configuration file, as `max_payload: 2MB`, or of its `jetstream` block. */
  readonly settings?: Readonly<Record<string, string>>;
  readonly jetstream?: Readonly<Record<string, string>>;
}

export function findNats(): string | null {
  return Bun.which("nats-server");
}

export async function createNatsServer(options: NatsServerOptions = {}): Promise<BrokerServer> {
  const executable = findNats();
  if (executable === null) throw new ServiceFault("NATS (nats-server) is not installed");
  return createBroker({
    title: "NATS",
    name: "nats",
    account: "nats",
    outlives: options.outlives ?? false,
    readyWithinMs: 20_000,
    pollMs: 20,
    describe: async (folder, port) => {
      const lines = [
        "host: 127.0.0.1",
        `port: ${port}`,
        `jetstream { ${block({ store_dir: JSON.stringify(folder.path), ...options.jetstream })} }`,
        block(options.settings ?? {}),
      ];
      const config = join(folder.path, "nats.conf");
      giveFile(folder, config, `${lines.join("\n")}\n`);
      const url = `nats://127.0.0.1:${port}`;
      return { url, command: [executable, "--config", config], probe: () => natsVersion(url) };
    },
  });
}

/** The server says what it is to whoever connects; it serves JetStream from then on, if it says that it has it. */
export async function natsVersion(url: string): Promise<string | null> {
  const info = (await firstBytes(Number(new URL(url).port)))?.toString() ?? "";
  if (!/"jetstream":\s*true/.test(info)) return null;
  return /"version":\s*"([^"]+)"/.exec(info)?.[1] ?? "";
}

function block(settings: Readonly<Record<string, string>>): string {
  return Object.entries(settings)
    .map(([key, value]) => `${key}: ${value}`)
    .join("\n");
}
