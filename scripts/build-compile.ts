import { join } from "node:path";
import { leanLibraries } from "./build-lean-libraries.ts";
import type { BuildTarget } from "./build-targets.ts";

/**
 * Compiles the product into one executable: the runtime of a target, our sources and those of the libraries minified
 * and with their bytecode, the store's worker as a further entry point, and the assets of /swagger-ui. What is imported
 * when it is needed is a piece of its own (`splitting`), so that a command pays for what it uses: 5 ms instead of 20
 * to find out that a service must start again with a higher request limit (measured).
 *
 * The worker is started by its path below the common folder of all entry points (see stores/sqlite/store-thread.ts),
 * so that folder is given. A `.env` or `bunfig.toml` in the folder where somebody starts the executable is not read,
 * as the npm launcher does not read it either.
 */
export interface Compilation {
  readonly root: string;
  readonly target: BuildTarget;
  /** The runtime that becomes part of the executable. */
  readonly runtimePath: string;
  readonly outfile: string;
}

/**
 * How much later than usual code is compiled to machine code until a service is up, which then sets it to 1: what runs
 * once at start is not worth it. Measured for `dev`: 69 ms of processor time to the first answer instead of 92.
 */
const startJitPolicy = 8;

/** Throws with the bundler's words when it fails. */
export async function compileExecutable(compilation: Compilation): Promise<void> {
  const lean = leanLibraries();
  const packages = join(compilation.root, "packages");
  const result = await Bun.build({
    entrypoints: [join(packages, "cli/src/main.ts"), join(packages, "server/src/stores/sqlite/store-worker.ts")],
    root: packages,
    target: "bun",
    format: "esm",
    bytecode: true,
    minify: true,
    splitting: true,
    sourcemap: "linked",
    plugins: [lean.plugin],
    define: { "process.env.NODE_ENV": '"production"' },
    compile: {
      target: compilation.target.bunTarget,
      executablePath: compilation.runtimePath,
      outfile: compilation.outfile,
      autoloadDotenv: false,
      autoloadBunfig: false,
      jitPolicy: startJitPolicy,
    },
    throw: false,
  });
  if (result.success) {
    if (lean.missed().length === 0) return;
    throw new Error(`a library has no such file any more, see build-lean-libraries.ts: ${lean.missed().join(", ")}`);
  }
  throw new Error(
    result.logs.map(({ message, position }) => sentence(message, position)).join("\n") ||
      "the bundler failed without saying why",
  );
}

function sentence(message: string, position: BuildMessage["position"]): string {
  return position === null ? message : `${position.file}:${position.line}  ${message}`;
}
