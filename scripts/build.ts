/**
 * `npm run build`: the product as one executable file that needs nothing else on the machine it runs on.
 *
 *   npm run build                     dist/flowcatalyst, for this machine
 *   npm run build -- --all            one file per platform, dist/flowcatalyst-PLATFORM, and dist/flowcatalyst
 *   npm run build -- linux-arm64 ...  the platforms named
 *
 * An executable is Bun's runtime for its platform with the product as bytecode inside (build-compile.ts). The runtime
 * of this machine is the one that runs this program; those of the others are npm packages that package-lock.json pins
 * (build-runtime.ts). All are made on one machine: nothing is run to make them but Bun itself.
 *
 * A file is written under another name and renamed when it is complete and of the kind it should be, so what stands in
 * dist/ is whole, and an executable in use can be replaced. What this machine can run is run once: it must tell its
 * version. Targets are made one after another; one that fails does not keep the others from being made, and the exit
 * code is 1 then. Wrong arguments are exit code 2.
 */
import { copyFile, mkdir, rename, rm, stat, symlink } from "node:fs/promises";
import { join, relative } from "node:path";
import cliManifest from "../packages/cli/package.json" with { type: "json" };
import { compileExecutable } from "./build-compile.ts";
import { executableKindOf } from "./build-executable-kind.ts";
import { removeMachOSignature } from "./build-mach-o-signature.ts";
import { fetchByNpm, runtimePin, writeRuntime, type RuntimeDeps } from "./build-runtime.ts";
import { BUILD_TARGETS, ownTarget, type BuildTarget } from "./build-targets.ts";
import { ROOT, runCommand } from "./run-command.ts";

const DIST = join(ROOT, "dist");
/** The one executable is also called by these names, which start a service. */
const SERVICE_NAMES = [
  "fc-dev",
  "fc-platform-server",
  "fc-stream-processor",
  "fc-scheduler-server",
  "fc-router",
] as const;
const SMOKE_TIMEOUT_MS = 10_000;
const BYTES_PER_MB = 1_000_000;
const EXIT_USAGE = 2;

const HELP = `Makes the executable of FlowCatalyst, dist/flowcatalyst.

Usage: npm run build [-- --all | PLATFORM ...]

  (nothing)      for this machine: dist/flowcatalyst, and the names of its services (${SERVICE_NAMES[0]}, …)
  --all          for every platform: dist/flowcatalyst-PLATFORM, and dist/flowcatalyst
  PLATFORM ...   for these: ${BUILD_TARGETS.map(({ name }) => name).join(", ")}
  --help         this text

Runtimes of other platforms come from npm's registry, as package-lock.json pins them.`;

interface Plan {
  /** Made under the names of their platforms. */
  readonly targets: readonly BuildTarget[];
  /** Make dist/flowcatalyst. */
  readonly forThisMachine: boolean;
}

interface Made {
  readonly target: BuildTarget;
  readonly path: string;
  readonly bytes: number;
  readonly kind: string;
}

/** A plan, or what is wrong with the arguments. */
export function planOf(args: readonly string[]): Plan | string {
  if (args.length === 0) return { targets: [], forThisMachine: true };
  if (args.length === 1 && args[0] === "--all") return { targets: BUILD_TARGETS, forThisMachine: true };
  const unknown = args.filter((arg) => !BUILD_TARGETS.some(({ name }) => name === arg));
  if (unknown.length > 0) return `no such platform or option: ${unknown.join(", ")}`;
  return { targets: BUILD_TARGETS.filter(({ name }) => args.includes(name)), forThisMachine: false };
}

const runtimeDeps: RuntimeDeps = { root: ROOT, fetchPackage: fetchByNpm };

/** Compiles one target to dist/NAME. Its runtime is this program's own, or fetched to a file that is removed again. */
async function make(target: BuildTarget, fileName: string, own: BuildTarget): Promise<Made> {
  const path = join(DIST, fileName);
  const work = join(DIST, `.building-${process.pid}`);
  await mkdir(work, { recursive: true });
  try {
    const runtimePath = target === own ? process.execPath : join(work, "runtime");
    if (target !== own) {
      await writeRuntime(runtimeDeps, target, { pin: await runtimePin(ROOT, target, Bun.version), path: runtimePath });
    }
    const outfile = join(work, fileName);
    await compileExecutable({ root: ROOT, target, runtimePath, outfile });
    if (target.kind === "Mach-O x86-64") await removeMachOSignature(outfile);
    const kind = await executableKindOf(outfile);
    if (kind !== target.kind) throw new Error(`it is ${kind} and should be ${target.kind}`);
    await rename(outfile, path);
    return { target, path, kind, bytes: (await stat(path)).size };
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** Runs what this machine can run: a bundle that cannot start shows here, not at a user's. */
async function proveItRuns(path: string): Promise<void> {
  const { exitCode, output } = await runCommand([path, "--version"], { echo: false, timeoutMs: SMOKE_TIMEOUT_MS });
  if (exitCode === 0 && output.trim() === cliManifest.version) return;
  throw new Error(`${relative(ROOT, path)} --version gave ${exitCode}, not ${cliManifest.version}:\n${output.trim()}`);
}

/** dist/flowcatalyst and its other names. Made from the platform's own file where that was made before. */
async function makeForThisMachine(own: BuildTarget, made: Made | undefined): Promise<Made> {
  const suffix = process.platform === "win32" ? ".exe" : "";
  const path = join(DIST, `flowcatalyst${suffix}`);
  if (made !== undefined) {
    await copyFile(made.path, `${path}.new`);
    await rename(`${path}.new`, path);
  }
  const result = made === undefined ? await make(own, `flowcatalyst${suffix}`, own) : { ...made, path };
  await proveItRuns(path);
  // Windows gives links to administrators only; a copy of the file under such a name works there too.
  for (const name of suffix === "" ? SERVICE_NAMES : []) {
    await rm(join(DIST, name), { force: true });
    await symlink("flowcatalyst", join(DIST, name));
  }
  return result;
}

/** Runs one step of the build with a line for it; null when it failed, with the reason below the line. */
async function step(name: string, work: () => Promise<Made>): Promise<Made | null> {
  const startedAtMs = performance.now();
  const seconds = (): string => `${((performance.now() - startedAtMs) / 1000).toFixed(1)} s`.padStart(8);
  try {
    const made = await work();
    console.log(`ok    ${name.padEnd(18)}${seconds()}`);
    return made;
  } catch (error) {
    console.log(`FAIL  ${name.padEnd(18)}${seconds()}`);
    console.log((error instanceof Error ? error.message : String(error)).replace(/^/gm, "      "));
    return null;
  }
}

function table(made: readonly Made[]): string {
  const rows = [
    ["file", "target", "size", "type"],
    ...made.map(({ target, path, bytes, kind }) => {
      return [relative(ROOT, path), target.name, `${(bytes / BYTES_PER_MB).toFixed(1)} MB`, kind];
    }),
  ];
  const widths = [0, 1, 2].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ")).join("\n");
}

async function build(plan: Plan): Promise<boolean> {
  await mkdir(DIST, { recursive: true });
  const own = await ownTarget(process.execPath);
  const made: Made[] = [];
  let complete = true;
  const note = (result: Made | null): void => {
    if (result === null) complete = false;
    else made.push(result);
  };
  for (const target of plan.targets) note(await step(target.name, () => make(target, target.fileName, own)));
  if (plan.forThisMachine) {
    const before = made.find(({ target }) => target === own);
    note(await step("this machine", () => makeForThisMachine(own, before)));
  }
  if (made.length > 0) console.log(`\n${table(made)}`);
  return complete;
}

async function main(): Promise<number> {
  const args = process.argv.slice(2);
  if (args.includes("--help") || args.includes("-h")) {
    console.log(HELP);
    return 0;
  }
  const plan = planOf(args);
  if (typeof plan === "string") {
    console.error(`${plan}\n\n${HELP}`);
    return EXIT_USAGE;
  }
  return (await build(plan)) ? 0 : 1;
}

if (import.meta.main) process.exitCode = await main();
