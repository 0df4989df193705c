/**
 * House rules as a test: `bun scripts/tidy.ts` prints each violation as `file:line` and exits 1 if there is any.
 * The rules are in `tidy-rules.ts`, who is exempt from one and why in `tidy-exemptions.ts`.
 */
import { join } from "node:path";
import { ROOT } from "./run-command.ts";
import { EXEMPTIONS, type Exemption } from "./tidy-exemptions.ts";
import { RULES, type Violation } from "./tidy-rules.ts";

const SKIPPED_PLACES = /^(\.git|data|dist|packages\/sdk\/dist[^/]*)\/|(^|\/)node_modules\//;
const TEXT_FILE =
  /\.(ts|mjs|cjs|js|json|md|toml|yml|yaml|css|html|vue|sh|sql|txt)$|^(\.ci\/run|scripts\/services)$|^\.[a-z]+$/;

/** The repository's text files: what is on disk, so that a file is checked before it is committed. */
async function listFiles(): Promise<readonly string[]> {
  const found: string[] = [];
  for await (const name of new Bun.Glob("**/*").scan({ cwd: ROOT, dot: true })) {
    const path = name.replaceAll("\\", "/");
    if (!SKIPPED_PLACES.test(path) && TEXT_FILE.test(path)) found.push(path);
  }
  return found.sort();
}

async function checkFiles(paths: readonly string[]): Promise<readonly Violation[]> {
  const siblings = new Set(paths);
  const perFile = paths.map(async (path) => {
    const text = await Bun.file(join(ROOT, path)).text();
    return RULES.flatMap((rule) => rule.check({ path, text, siblings }));
  });
  return (await Promise.all(perFile)).flat();
}

function covers(exemption: Exemption, violation: Violation): boolean {
  if (exemption.rule !== violation.rule) return false;
  return exemption.path.endsWith("/") ? violation.path.startsWith(exemption.path) : violation.path === exemption.path;
}

/** Violations nobody is exempt from, and exemptions nobody needs. */
function judge(violations: readonly Violation[]): readonly Violation[] {
  const standing = violations.filter((violation) => !EXEMPTIONS.some((exemption) => covers(exemption, violation)));
  const idle = EXEMPTIONS.filter((exemption) => !violations.some((violation) => covers(exemption, violation)));
  const stale = idle.map(({ rule, path }) => ({
    rule: "exemptions",
    path: "scripts/tidy-exemptions.ts",
    line: 1,
    message: `${path} needs no exemption from ${rule} any more: remove the entry`,
  }));
  return [...standing, ...stale];
}

async function main(): Promise<void> {
  const violations = judge(await checkFiles(await listFiles()));
  for (const { path, line, rule, message } of violations) console.log(`${path}:${line}  ${rule}: ${message}`);
  process.exitCode = violations.length === 0 ? 0 : 1;
}

await main();
