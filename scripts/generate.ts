/**
 * Writes the checked-in files that come from code: `npm run generate`. With `--check` it writes nothing and exits 1
 * when one is stale or cannot be produced, naming it and its first line that differs. A further file: a generator in
 * `generators/`, entered below.
 */
import { existsSync } from "node:fs";
import { mkdir, readdir, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { commandLinePage } from "./generators/command-line-page.ts";
import { configurationPage } from "./generators/configuration-page.ts";
import { errorPage } from "./generators/error-page.ts";
import type { FolderGenerator, Generator } from "./generators/generator.ts";
import { openApiDocuments } from "./generators/openapi-documents.ts";
import { queuePromises } from "./generators/queue-promises.ts";
import { sdkReference } from "./generators/sdk-reference.ts";
import { sdkIndex, sdkSources } from "./generators/sdk-sources.ts";
import { ROOT } from "./run-command.ts";

const GENERATORS: readonly Generator[] = [
  errorPage,
  configurationPage,
  commandLinePage,
  ...openApiDocuments,
  ...queuePromises,
  sdkIndex,
];
/** In this order: the reference is made of the sources. */
const FOLDERS: readonly FolderGenerator[] = [sdkSources, sdkReference];

async function readOrNull(path: string): Promise<string | null> {
  const file = Bun.file(path);
  return (await file.exists()) ? await file.text() : null;
}

/** The first line in which two texts differ, from 1. */
function firstDifference(a: string, b: string): number {
  const [left, right] = [a.split("\n"), b.split("\n")];
  return left.findIndex((line, at) => line !== right[at]) + 1 || left.length + 1;
}

/** True when the file is as it should be. */
async function check({ path, produce }: Generator): Promise<boolean> {
  const [current, wanted] = [await readOrNull(join(ROOT, path)), await produce()];
  if (current === wanted) return true;
  console.log(current === null ? `${path}:1  missing` : `${path}:${firstDifference(current, wanted)}  stale`);
  return false;
}

async function write({ path, produce }: Generator): Promise<boolean> {
  const [current, wanted] = [await readOrNull(join(ROOT, path)), await produce()];
  if (current === wanted) return true;
  await mkdir(dirname(join(ROOT, path)), { recursive: true });
  await Bun.write(join(ROOT, path), wanted);
  console.log(`wrote ${path}`);
  return true;
}

/** What a folder has that nobody writes. */
async function strays(folder: string, written: ReadonlyMap<string, string>): Promise<readonly string[]> {
  if (!existsSync(join(ROOT, folder))) return [];
  const present = await readdir(join(ROOT, folder), { recursive: true, withFileTypes: true });
  const paths = present.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return paths.map((path) => path.slice(join(ROOT, folder).length + 1)).filter((path) => !written.has(path));
}

async function doFolder({ folder, produceFiles }: FolderGenerator, act: typeof check): Promise<boolean> {
  const files = await produceFiles();
  let done = true;
  for (const [name, text] of files) {
    done = (await act({ path: `${folder}/${name}`, produce: () => Promise.resolve(text) })) && done;
  }
  for (const name of await strays(folder, files)) {
    if (act === check) console.log(`${folder}/${name}:1  nothing generates it any more`);
    else await rm(join(ROOT, folder, name));
    done = done && act === write;
  }
  return done;
}

async function main(): Promise<void> {
  const act = process.argv.includes("--check") ? check : write;
  const tasks = [
    ...GENERATORS.map((generator) => ({ path: generator.path, run: () => act(generator) })),
    ...FOLDERS.map((folder) => ({ path: folder.folder, run: () => doFolder(folder, act) })),
  ];
  for (const { path, run } of tasks) {
    const done = await run().catch((fault: unknown) => {
      console.log(`${path}:1  cannot be produced: ${fault instanceof Error ? fault.message : String(fault)}`);
      return false;
    });
    if (!done) process.exitCode = 1;
  }
}

await main();
