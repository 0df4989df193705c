import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ServerProcess } from "../harness/server-process.ts";
import { root } from "./markdown.ts";

/**
 * A reader at a shell: runs the blocks of a document one after another in a folder of its own, against a server that is
 * not on the ports the document names. Variables that a block sets are there in the next ones. A command that fails,
 * and an answer that is not 2xx, ends the block with an error.
 */
export interface ShellSession {
  run(code: string): Promise<{ readonly output: string; readonly exitCode: number }>;
  /** The text with this server's ports. */
  translated(text: string): string;
  close(): void;
}

type Ports = Pick<ServerProcess, "ports">["ports"];

export function createShellSession(ports: Ports, folder = readersFolder()): ShellSession {
  const variables = join(folder, "variables.sh");
  // curl -s is silent about a 400 as well; here it must not be.
  writeFileSync(join(folder, ".curlrc"), "fail-with-body\n");
  const translated = (text: string): string => withPorts(text, ports);
  return {
    translated,
    async run(code) {
      const kept = existsSync(variables) ? readFileSync(variables, "utf8") : "";
      const set = new Set(Array.from(code.matchAll(/^([A-Z][A-Z_]*)=/gm), (match) => match[1] ?? ""));
      const keep = [...set].map((name) => `printf '%s=%q\\n' ${name} "$${name}" >> "${variables}"`);
      // The reader's npx finds the command where npm has linked it; here that folder is on the path.
      const lines = ["set -euo pipefail", 'npx() { "$@"; }', kept, translated(code), ...keep];
      const shell = Bun.spawn(["bash", "-c", lines.join("\n")], {
        cwd: folder,
        env: {
          PATH: `${join(root, "node_modules/.bin")}:${process.env["PATH"] ?? ""}`,
          HOME: folder,
          CURL_HOME: folder,
          NO_COLOR: "1",
          FC_API_BASE_URL: `http://127.0.0.1:${ports.api}`,
        },
        stdin: "ignore",
        stdout: "pipe",
        stderr: "pipe",
      });
      const [out, err] = await Promise.all([new Response(shell.stdout).text(), new Response(shell.stderr).text()]);
      return { output: out + err, exitCode: await shell.exited };
    },
    close: () => rmSync(folder, { recursive: true, force: true }),
  };
}

export function readersFolder(): string {
  return mkdtempSync(join(tmpdir(), "flowcatalyst-docs-"));
}

export function withPorts(text: string, ports: Ports): string {
  const own: Readonly<Record<string, number>> = { "8080": ports.api, "8081": ports.router, "9090": ports.metrics };
  return text.replaceAll(/(?<!\d)(?:8080|8081|9090)(?!\d)/g, (port) => String(own[port] ?? port));
}
