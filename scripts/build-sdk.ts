/**
 * Builds what is published of the SDK: `bun scripts/build-sdk.ts` writes `packages/sdk/dist`, or the folder given.
 *
 * A module becomes a `.js` and a `.d.ts` file of the same name, so that a stack trace reads like the sources. The
 * package.json there is made from that of the sources: each entry with its types, and no dependencies, because there
 * are none.
 */
import { mkdir, rename, rm } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { ROOT, runCommand } from "./run-command.ts";

const PACKAGE = join(ROOT, "packages/sdk");
const BUILD_TIMEOUT_MS = 120_000;
const RELATIVE_TS_IMPORT = /((?:from|import\()\s*"\.{1,2}\/[^"]+)\.ts"/g;

interface SourceManifest {
  readonly name: string;
  readonly version: string;
  readonly license: string;
  readonly exports: Readonly<Record<string, string>>;
}

/** Throws with the compiler's output when it does not build. */
export async function buildSdk(folder: string = join(PACKAGE, "dist")): Promise<void> {
  // Made beside it and then put in its place, so that nobody sees half of it.
  const fresh = `${folder}.${process.pid}`;
  await rm(fresh, { recursive: true, force: true });
  try {
    await compile(fresh);
    await writeManifest(fresh);
    await Bun.write(join(fresh, "README.md"), Bun.file(join(PACKAGE, "README.md")));
    await rm(folder, { recursive: true, force: true });
    await mkdir(dirname(folder), { recursive: true });
    await rename(fresh, folder);
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
}

/** Where the built SDK is; built only when its sources have changed since, so that several tests may ask. */
export async function builtSdk(): Promise<string> {
  const folder = join(PACKAGE, "dist");
  const stamp = Bun.file(join(ROOT, "node_modules/.cache/flowcatalyst-sdk-build"));
  const wanted = await sourcesDigest();
  const current = (await stamp.exists()) && (await Bun.file(join(folder, "package.json")).exists());
  if (current && (await stamp.text()) === wanted) return folder;
  await buildSdk(folder);
  await Bun.write(stamp, wanted);
  return folder;
}

async function sourcesDigest(): Promise<string> {
  const hash = new Bun.CryptoHasher("sha256");
  const sources = await Array.fromAsync(new Bun.Glob("src/**/*.ts").scan(PACKAGE));
  const others = ["README.md", "package.json", "tsconfig.json", "tsconfig.build.json", "../../scripts/build-sdk.ts"];
  for (const name of [...sources.filter((path) => !/\.(test|fixture)\.ts$/.test(path)).sort(), ...others]) {
    hash.update(`${name}\0${await Bun.file(join(PACKAGE, name)).text()}\0`);
  }
  return hash.digest("hex");
}

async function compile(folder: string): Promise<void> {
  const command = ["tsc", "-p", join(PACKAGE, "tsconfig.build.json"), "--outDir", folder];
  const { exitCode, output } = await runCommand(command, { echo: false, timeoutMs: BUILD_TIMEOUT_MS });
  if (exitCode !== 0) throw new Error(`the SDK does not compile:\n${output}`);
  for await (const name of new Bun.Glob("**/*.d.ts").scan(folder)) {
    const path = join(folder, name);
    const text = await Bun.file(path).text();
    // The compiler rewrites the imports of .js files only.
    await Bun.write(path, text.replaceAll(RELATIVE_TS_IMPORT, '$1.js"'));
  }
}

async function writeManifest(folder: string): Promise<void> {
  const { name, version, license, exports } = (await Bun.file(join(PACKAGE, "package.json")).json()) as SourceManifest;
  const built = Object.entries(exports).map(([entry, source]) => {
    const path = source.replace("./src/", "./").replace(/\.ts$/, "");
    return [entry, { types: `${path}.d.ts`, default: `${path}.js` }] as const;
  });
  const manifest = {
    name,
    version,
    description: "Client of FlowCatalyst: publish events, write an outbox, receive webhooks, administer a platform.",
    license,
    type: "module",
    sideEffects: false,
    // Earlier ones have no AbortSignal.any.
    engines: { node: ">=20.3" },
    exports: Object.fromEntries(built),
  };
  await Bun.write(join(folder, "package.json"), `${JSON.stringify(manifest, null, 2)}\n`);
}

if (import.meta.main) {
  const folder = process.argv[2];
  await buildSdk(folder === undefined ? undefined : resolve(folder));
}
