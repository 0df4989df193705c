/**
 * `npm run format`, or `npm run format -- packages/sdk` for a part: breaks long comment lines, then runs oxfmt.
 */
import { join, relative } from "node:path";
import { ROOT, runCommand } from "./run-command.ts";
import { wrapComments } from "./wrap-comments.ts";

const FORMAT_TIMEOUT_MS = 60_000;
const CODE_FILES = ["*.cjs", "packages/*/{src,bin}/**/*.{ts,mjs}", "{scripts,test}/**/*.ts"];

async function listCode(): Promise<readonly string[]> {
  const perPattern = CODE_FILES.map((pattern) =>
    Array.fromAsync(new Bun.Glob(pattern).scan({ cwd: ROOT, dot: true, absolute: true })),
  );
  return (await Promise.all(perPattern)).flat();
}

async function main(): Promise<void> {
  const paths = process.argv.slice(2);
  const wanted = paths.map((path) => join(ROOT, path));
  const files = (await listCode()).filter((file) => paths.length === 0 || wanted.some((path) => file.startsWith(path)));
  for (const file of files) {
    const text = await Bun.file(file).text();
    const wrapped = wrapComments(text);
    if (wrapped === text) continue;
    await Bun.write(file, wrapped);
    console.log(`wrapped ${relative(ROOT, file)}`);
  }
  const { exitCode } = await runCommand(["oxfmt", ...paths], { echo: true, timeoutMs: FORMAT_TIMEOUT_MS });
  process.exitCode = exitCode;
}

await main();
