import { delimiter, join } from "node:path";

export const ROOT = join(import.meta.dir, "..");

export interface CommandResult {
  readonly exitCode: number;
  /** Standard output and error in the order in which they came, as far as two pipes tell. */
  readonly output: string;
  readonly elapsedMs: number;
}

export interface CommandOptions {
  /** Also print what the command prints, while it prints it. */
  readonly echo: boolean;
  /** After this the command is ended by SIGKILL and counts as failed. */
  readonly timeoutMs: number;
}

/** Runs a command in the repository's root, with the tools of node_modules on its path. */
export async function runCommand(command: readonly string[], options: CommandOptions): Promise<CommandResult> {
  const startedAtMs = performance.now();
  const child = Bun.spawn([...command], {
    cwd: ROOT,
    env: commandEnvironment(),
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: options.timeoutMs,
    killSignal: "SIGKILL",
  });
  const chunks: string[] = [];
  const collect = async (stream: ReadableStream<Uint8Array>, echoTo: NodeJS.WriteStream) => {
    const decoder = new TextDecoder();
    for await (const bytes of stream) {
      const text = decoder.decode(bytes, { stream: true });
      chunks.push(text);
      if (options.echo) echoTo.write(text);
    }
  };
  await Promise.all([collect(child.stdout, process.stdout), collect(child.stderr, process.stderr)]);
  const exitCode = await child.exited;
  if (child.signalCode !== null) chunks.push(`\nended by ${child.signalCode} (limit ${options.timeoutMs / 1000} s)\n`);
  return { exitCode, output: chunks.join(""), elapsedMs: performance.now() - startedAtMs };
}

/** The caller's environment without FlowCatalyst's own settings, which must not leak into tests (FC_TEST_* may). */
function commandEnvironment(): Record<string, string | undefined> {
  const kept = Object.entries(process.env).filter(([key]) => !key.startsWith("FC_") || key.startsWith("FC_TEST_"));
  const path = [join(ROOT, "node_modules/.bin"), process.env["PATH"] ?? ""].join(delimiter);
  return { ...Object.fromEntries(kept), PATH: path };
}
