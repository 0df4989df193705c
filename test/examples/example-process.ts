import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { eventually } from "../harness/eventually.ts";
import type { Sandbox } from "../harness/sandbox.ts";
import { bundleForNode } from "./node-bundle.ts";

/**
 * Runs the projects under `examples/` the way their READMEs say, under Bun from the sources of the SDK and under Node
 * with the SDK as it is published.
 */
export type Runtime = "bun" | "node";

export interface ExampleOptions {
  readonly runtime: Runtime;
  readonly env?: Readonly<Record<string, string>>;
}

export interface EndedExample {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunningExample {
  /** Where it says that it listens. */
  readonly url: string;
  /** Standard output and error so far. */
  output(): string;
  /** SIGTERM, then its exit code. */
  stop(): Promise<number>;
}

const root = resolve(import.meta.dir, "../..");
const exampleTimeoutMs = 40_000;
const listening = /listening on (http:\/\/\S+)/;

/** Bun alone where the example's package.json says so. */
export function runtimesOf(name: string): readonly Runtime[] {
  const { engines } = JSON.parse(readFileSync(join(root, "examples", name, "package.json"), "utf8")) as {
    readonly engines?: Readonly<Record<string, string>>;
  };
  return engines?.["bun"] !== undefined && engines["node"] === undefined ? ["bun"] : ["bun", "node"];
}

/** Runs one that ends by itself. */
export async function runExample(name: string, options: ExampleOptions): Promise<EndedExample> {
  const { child, remove } = await spawnExample(name, options);
  const late = setTimeout(() => child.kill("SIGKILL"), exampleTimeoutMs);
  try {
    const [stdout, stderr, exitCode] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    return { exitCode, stdout, stderr };
  } finally {
    clearTimeout(late);
    remove();
  }
}

/** Starts one that listens; the sandbox ends it. */
export async function startExample(sandbox: Sandbox, name: string, options: ExampleOptions): Promise<RunningExample> {
  const { child, remove } = await spawnExample(name, options);
  sandbox.defer(async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
    await child.exited;
    remove();
  });
  let text = "";
  const read = async (stream: ReadableStream<Uint8Array>): Promise<void> => {
    const decoder = new TextDecoder();
    for await (const chunk of stream) text += decoder.decode(chunk, { stream: true });
  };
  void read(child.stdout);
  void read(child.stderr);
  const url = await eventually(`${name} to listen`, () => {
    if (child.exitCode !== null) throw new Error(`${name} ended with ${child.exitCode}:\n${text}`);
    return listening.exec(text)?.[1];
  });
  return {
    url,
    output: () => text,
    stop: () => {
      child.kill("SIGTERM");
      return child.exited;
    },
  };
}

interface SpawnedExample {
  readonly child: Bun.Subprocess<"ignore", "pipe", "pipe">;
  readonly remove: () => void;
}

async function spawnExample(name: string, { runtime, env }: ExampleOptions): Promise<SpawnedExample> {
  const source = join(root, "examples", name, "main.ts");
  const bundle = runtime === "node" ? await bundleForNode([source]) : null;
  const command = bundle === null ? [process.execPath, source] : ["node", ...bundle.files];
  const child = Bun.spawn(command, {
    cwd: join(root, "examples", name),
    env: { PATH: process.env["PATH"] ?? "", HOME: process.env["HOME"] ?? "", NO_COLOR: "1", ...env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  return { child, remove: () => bundle?.remove() };
}
