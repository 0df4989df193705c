import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

/**
 * The command line as a user has it: `flowcatalyst` on the path of a shell, a working directory of its own, and no
 * variables but those given.
 */
export interface CommandLine {
  /** Runs a line of shell and waits for its end. */
  run(line: string, options?: LineOptions): Promise<EndedCommand>;
  /** Starts a line of shell that goes on until it is told to end. */
  start(line: string, options?: LineOptions): StartedCommand;
  /** Starts a line of shell on a terminal. */
  startOnTerminal(line: string, options?: LineOptions): CommandOnTerminal;
}

export interface LineOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string;
}

export interface EndedCommand {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface StartedCommand {
  readonly stdout: () => string;
  readonly stderr: () => string;
  readonly kill: (signal: NodeJS.Signals) => void;
  readonly exited: Promise<number>;
}

export interface CommandOnTerminal {
  /** All that is on the screen, with what steers it. */
  readonly screen: () => string;
  readonly type: (keys: string) => void;
  readonly exited: Promise<number>;
}

const main = resolve(import.meta.dir, "../../packages/cli/src/main.ts");

/** `folder` is the working directory, and holds the command. */
export function createCommandLine(folder: string, env: Readonly<Record<string, string>>): CommandLine {
  const bin = join(folder, "bin");
  mkdirSync(bin, { recursive: true });
  const command = join(bin, "flowcatalyst");
  writeFileSync(command, `#!/bin/sh\nexec '${process.execPath}' --no-env-file '${main}' "$@"\n`);
  chmodSync(command, 0o755);
  const place = (options: LineOptions): { cwd: string; env: Record<string, string> } => ({
    cwd: folder,
    env: { PATH: `${bin}:${process.env["PATH"] ?? ""}`, HOME: folder, ...env, ...options.env },
  });
  const spawn = (line: string, options: LineOptions): Bun.Subprocess<Blob | "ignore", "pipe", "pipe"> =>
    Bun.spawn(["sh", "-c", line], {
      ...place(options),
      stdin: options.input === undefined ? "ignore" : new Blob([options.input]),
      stdout: "pipe",
      stderr: "pipe",
    });
  return {
    async run(line, options = {}) {
      const child = spawn(line, options);
      const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()]);
      return { exitCode: await child.exited, stdout, stderr };
    },
    start(line, options = {}) {
      // The shell gives its place to the command, which so gets the signals.
      const child = spawn(`exec ${line}`, options);
      return {
        stdout: collected(child.stdout),
        stderr: collected(child.stderr),
        kill: (signal) => child.kill(signal),
        exited: child.exited,
      };
    },
    startOnTerminal(line, options = {}) {
      const decoder = new TextDecoder();
      let text = "";
      const terminal = new Bun.Terminal({
        cols: 200,
        data: (_terminal, bytes) => void (text += decoder.decode(bytes, { stream: true })),
      });
      const child = Bun.spawn(["sh", "-c", `exec ${line}`], { ...place(options), terminal });
      return { screen: () => text, type: (keys) => void terminal.write(keys), exited: child.exited };
    },
  };
}

function collected(stream: ReadableStream<Uint8Array>): () => string {
  let text = "";
  const read = async (): Promise<void> => {
    const decoder = new TextDecoder();
    for await (const chunk of stream) text += decoder.decode(chunk, { stream: true });
  };
  void read();
  return () => text;
}
