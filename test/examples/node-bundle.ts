import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { BunPlugin } from "bun";
import { builtSdk } from "../../scripts/build-sdk.ts";

/** TypeScript as JavaScript that Node runs, with the SDK as it is published instead of its sources. */
export interface NodeBundle {
  readonly folder: string;
  /** The file made of each source, in their order. */
  readonly files: readonly string[];
  remove(): void;
}

const root = resolve(import.meta.dir, "../..");

/** Of the sources' imports only relative ones are put in; libraries are found where a user's project finds them. */
export async function bundleForNode(sources: readonly string[]): Promise<NodeBundle> {
  const sdk = await builtSdk();
  const folder = mkdtempSync(join(tmpdir(), "flowcatalyst-node-"));
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  try {
    symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
    const files: string[] = [];
    for (const [at, source] of sources.entries()) {
      const outdir = join(folder, String(at));
      mkdirSync(outdir);
      const built = await Bun.build({
        entrypoints: [source],
        target: "node",
        format: "esm",
        outdir,
        naming: "[name].mjs",
        sourcemap: "inline",
        plugins: [publishedSdk(sdk)],
      });
      const [output] = built.outputs;
      if (!built.success || output === undefined)
        throw new Error(`${source} cannot be bundled: ${built.logs.map(String).join("\n")}`);
      files.push(output.path);
    }
    return { folder, files, remove };
  } catch (error) {
    remove();
    throw error;
  }
}

/**
 * Leaves libraries outside: the SDK's entries as the files that were built, others by their names. What else is ours is
 * put in: Node does not run it as it is.
 */
function publishedSdk(folder: string): BunPlugin {
  return {
    name: "published-sdk",
    setup: (build) => {
      build.onResolve({ filter: /^@flowcatalyst\/sdk(\/|$)/ }, async ({ path }) => ({
        path: await entryOf(folder, path),
        external: true,
      }));
      build.onResolve({ filter: /^[^./]/ }, ({ path, kind }) =>
        kind === "entry-point-build" || path.startsWith("@flowcatalyst/") ? undefined : { path, external: true },
      );
    },
  };
}

async function entryOf(folder: string, specifier: string): Promise<string> {
  const { exports } = (await Bun.file(join(folder, "package.json")).json()) as {
    exports: Readonly<Record<string, { readonly default: string }>>;
  };
  const entry = exports[specifier.replace("@flowcatalyst/sdk", ".")];
  if (entry === undefined) throw new Error(`${specifier} is no entry of the SDK`);
  return join(folder, entry.default);
}
