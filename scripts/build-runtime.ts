import { mkdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import type { BuildTarget } from "./build-targets.ts";
import { runCommand } from "./run-command.ts";

/**
 * Gets Bun's runtime for another platform: the package of npm's registry that `package-lock.json` pins, by version and
 * by SHA-512. `npm pack` fetches it, so that proxy, registry and its cache are npm's own settings. The package is kept
 * under `node_modules/.cache/`, and its checksum is compared at each use, not only when it was fetched.
 */
export interface RuntimePin {
  readonly version: string;
  /** As in the lock file: `sha512-` and the checksum in base64. */
  readonly integrity: string;
}

interface LockFile {
  readonly packages?: Readonly<Record<string, Partial<RuntimePin> | undefined>>;
}

export interface RuntimeDeps {
  readonly root: string;
  /** Puts `NAME@VERSION` of npm's registry as a package file into a directory. */
  readonly fetchPackage: (spec: string, directory: string) => Promise<void>;
}

const FETCH_TIMEOUT_MS = 10 * 60_000;

/** The pin of a target. Throws when the lock file has none, or one of another version than the runtime in use. */
export async function runtimePin(root: string, target: BuildTarget, version: string): Promise<RuntimePin> {
  const lock = (await Bun.file(join(root, "package-lock.json")).json()) as LockFile;
  const pinned = lock.packages?.[`node_modules/${target.runtimePackage}`];
  if (pinned?.version === undefined || pinned.integrity === undefined) {
    throw new Error(`package-lock.json does not pin ${target.runtimePackage}`);
  }
  if (pinned.version !== version) {
    const found = `${target.runtimePackage} ${pinned.version} is pinned, but this is Bun ${version}`;
    throw new Error(`${found}; run \`npm ci\``);
  }
  return { version, integrity: pinned.integrity };
}

/** Writes the runtime of a target to `path`. */
export async function writeRuntime(deps: RuntimeDeps, target: BuildTarget, at: RuntimeAt): Promise<void> {
  const bytes = await packageBytes(deps, target, at.pin);
  const files = await new Bun.Archive(bytes).files(target.runtimeFile);
  const runtime = files.get(target.runtimeFile);
  if (runtime === undefined) throw new Error(`${target.runtimePackage} holds no ${target.runtimeFile}`);
  await Bun.write(at.path, runtime, { mode: 0o755 });
}

export interface RuntimeAt {
  readonly pin: RuntimePin;
  readonly path: string;
}

async function packageBytes(deps: RuntimeDeps, target: BuildTarget, pin: RuntimePin): Promise<Uint8Array> {
  const cache = join(deps.root, "node_modules/.cache/flowcatalyst-runtimes");
  const fileName = `${target.runtimePackage.replace("@", "").replace("/", "-")}-${pin.version}.tgz`;
  const kept = join(cache, fileName);
  if (await Bun.file(kept).exists()) {
    const bytes = await Bun.file(kept).bytes();
    if (integrityOf(bytes) === pin.integrity) return bytes;
    await rm(kept, { force: true });
  }
  const incoming = join(cache, `incoming-${process.pid}`);
  await mkdir(incoming, { recursive: true });
  try {
    await deps.fetchPackage(`${target.runtimePackage}@${pin.version}`, incoming);
    const bytes = await Bun.file(join(incoming, fileName)).bytes();
    const found = integrityOf(bytes);
    if (found !== pin.integrity) {
      throw new Error(`${target.runtimePackage}@${pin.version} is not what package-lock.json pins: ${found}`);
    }
    await rename(join(incoming, fileName), kept);
    return bytes;
  } finally {
    await rm(incoming, { recursive: true, force: true });
  }
}

export function integrityOf(bytes: Uint8Array): string {
  return `sha512-${new Bun.CryptoHasher("sha512").update(bytes).digest("base64")}`;
}

/** Fetches by npm, with the settings npm has on this machine. */
export async function fetchByNpm(spec: string, directory: string): Promise<void> {
  const command = ["npm", "pack", spec, "--pack-destination", directory, "--ignore-scripts", "--silent"];
  const { exitCode, output } = await runCommand(command, { echo: false, timeoutMs: FETCH_TIMEOUT_MS });
  if (exitCode !== 0) throw new Error(`npm could not fetch ${spec}:\n${output.trim()}`);
}
