import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { createConnection } from "mysql2/promise";
import { type BrokerServer, createBroker } from "./broker-process.ts";
import { giveFile, runAs, ServiceFault } from "./private-service.ts";

/**
 * A private MariaDB: its own data in a temporary folder, a free port on loopback, one user whose password nobody else
 * knows, an empty database `flowcatalyst`. All settings but those given are the server's own defaults.
 */
export interface MariadbServerOptions {
  readonly outlives?: boolean;
  /** Options of the server: `{ "innodb-flush-log-at-trx-commit": "0" }`. */
  readonly settings?: Readonly<Record<string, string>>;
}

/** Nothing of a unit test's database must survive a crash of the machine. */
export const forgetfulMariadb: Readonly<Record<string, string>> = {
  "innodb-flush-log-at-trx-commit": "0",
  "innodb-doublewrite": "OFF",
  "max-connections": "300",
};

export function findMariadb(): string | null {
  const debian = "/usr/sbin/mariadbd";
  return existsSync(debian) ? debian : Bun.which("mariadbd");
}

export async function createMariadbServer(options: MariadbServerOptions = {}): Promise<BrokerServer> {
  const executable = findMariadb();
  const installer = Bun.which("mariadb-install-db");
  if (executable === null || installer === null) throw new ServiceFault("MariaDB (mariadb-server) is not installed");
  const password = randomBytes(16).toString("hex");
  return createBroker({
    title: "MariaDB",
    name: "mariadb",
    account: "mysql",
    outlives: options.outlives ?? false,
    readyWithinMs: 60_000,
    pollMs: 50,
    describe: async (folder, port) => {
      const data = join(folder.path, "data");
      const isNew = !existsSync(data);
      if (isNew) {
        const quick = ["--skip-test-db", "--auth-root-authentication-method=normal", "--skip-name-resolve"];
        runAs(folder, [installer, "--no-defaults", `--datadir=${data}`, ...quick]);
      }
      const first = join(folder.path, "first.sql");
      giveFile(folder, first, `${firstStatements(password).join("\n")}\n`);
      const settings = {
        datadir: data,
        port: String(port),
        "bind-address": "127.0.0.1",
        socket: join(folder.path, "socket"),
        "pid-file": join(folder.path, "pid"),
        "init-file": first,
        ...options.settings,
      };
      const flags = Object.entries(settings).map(([key, value]) => `--${key}=${value}`);
      const url = `mysql://flowcatalyst:${password}@127.0.0.1:${port}/flowcatalyst`;
      const command = [executable, "--no-defaults", "--skip-name-resolve", "--skip-log-bin", ...flags];
      return { url, command, probe: () => mariadbVersion(url) };
    },
  });
}

/** The server runs them at each start. */
function firstStatements(password: string): readonly string[] {
  return [
    "DELETE FROM mysql.global_priv WHERE User = '' OR User = 'root';",
    "FLUSH PRIVILEGES;",
    `CREATE USER IF NOT EXISTS flowcatalyst@'127.0.0.1' IDENTIFIED BY '${password}';`,
    "GRANT ALL PRIVILEGES ON *.* TO flowcatalyst@'127.0.0.1' WITH GRANT OPTION;",
    "CREATE DATABASE IF NOT EXISTS flowcatalyst CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci;",
  ];
}

/** `10.11.14`; null: nobody answers there who knows the user. */
export async function mariadbVersion(url: string): Promise<string | null> {
  try {
    const connection = await createConnection({ uri: url, connectTimeout: 2_000, rowsAsArray: true });
    // A server that is being stopped breaks the connection between two statements, when nobody waits for an answer.
    connection.on("error", () => undefined);
    try {
      const [rows] = await connection.query("SELECT VERSION()");
      return /\d+\.\d+\.\d+/.exec(JSON.stringify(rows))?.[0] ?? "";
    } finally {
      connection.destroy();
    }
  } catch {
    return null;
  }
}
