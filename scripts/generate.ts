/**
 * Writes the checked-in files that come from code: `npm run generate`. With `--check` it writes nothing and exits 1
 * when one is stale or cannot be produced, naming it and its first line that differs. A further file: a generator in
 * `generators/`, entered below.
 */
import { dirname, join } from "node:path";
import { mkdir } from "node:fs/promises";
import { commandLinePage } from "./generators/command-line-page.ts";
import { configurationPage } from "./generators/configuration-page.ts";
import { errorPage } from "./generators/error-page.ts";
import type { Generator } from "./generators/generator.ts";
import { openApiDocuments } from "./generators/openapi-documents.ts";
import { queuePromises } from "./generators/queue-promises.ts";
import { ROOT } from "./run-command.ts";

const GENERATORS: readonly Generator[] = [
  errorPage,
  configurationPage,
  commandLinePage,
  ...openApiDocuments,
  ...queuePromises,
];

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

async function main(): Promise<void> {
  const act = process.argv.includes("--check") ? check : write;
  for (const generator of GENERATORS) {
    const done = await act(generator).catch((fault: unknown) => {
      console.log(`${generator.path}:1  cannot be produced: ${fault instanceof Error ? fault.message : String(fault)}`);
      return false;
    });
    if (!done) process.exitCode = 1;
  }
}

await main();
