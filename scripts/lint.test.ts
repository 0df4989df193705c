import { afterAll, expect, test } from "bun:test";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { ROOT } from "./run-command.ts";

/**
 * Rules that the house relies on, each with code that it must refuse. Rules with types are the ones that may go silent.
 */
const REFUSED: ReadonlyArray<readonly [rule: string, code: string]> = [
  ["no-floating-promises", "later();"],
  ["no-misused-promises", "[1].forEach(async () => { await later(); });"],
  ["await-thenable", "export const waited = async () => await 1;"],
  [
    "switch-exhaustiveness-check",
    'export const f = (k: Kind) => { switch (k.kind) { case "a": return 1; } return 2; };',
  ],
  ["no-explicit-any", "export const x: any = 1;"],
  ["no-unsafe-assignment", 'export const x = JSON.parse("1");'],
  ["no-unsafe-member-access", 'export const f = (): unknown => JSON.parse("1").x;'],
  ["no-unsafe-call", 'JSON.parse("1")();'],
  ["no-unsafe-return", 'export const f = (): string => JSON.parse("1");'],
  ["no-unsafe-argument", 'later(JSON.parse("1")).catch(() => {});'],
  ["no-default-export", "export default 1;"],
  ["no-console", "console.log(1);"],
  ["no-non-null-assertion", "export const f = (x: string | null) => x!.length;"],
  ["only-throw-error", 'export const f = () => { throw "text"; };'],
  ["max-params", "export const f = (a: number, b: number, c: number, d: number) => a + b + c + d;"],
  [
    "max-depth",
    `export const f = (a: number) => { ${"if (a > 1) { ".repeat(4)}return 1; ${"}".repeat(4)} return 2; };`,
  ],
  ["max-lines-per-function", `export const f = () => {\n${"later().catch(() => {});\n".repeat(71)}};`],
  ["max-lines", "later().catch(() => {});\n".repeat(501)],
];

const PRELUDE = `type Kind = { kind: "a" } | { kind: "b" };
const later = async (text = ""): Promise<Kind> => await Promise.resolve({ kind: text === "" ? "a" : "b" });
`;

const root = mkdtempSync(join(tmpdir(), "lint-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

function write(path: string, text: string) {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
}

async function lint(): Promise<ReadonlyMap<string, readonly string[]>> {
  const child = Bun.spawn(["node", join(ROOT, "node_modules/oxlint/bin/oxlint"), "--format", "json", "packages"], {
    cwd: root,
    stdout: "pipe",
  });
  const { diagnostics } = (await new Response(child.stdout).json()) as {
    diagnostics: Array<{ code: string; filename: string }>;
  };
  const ruleOf = (code: string) => /\((.*)\)/.exec(code)?.[1] ?? code;
  const byFile = Map.groupBy(diagnostics, ({ filename }) => filename);
  return new Map([...byFile].map(([file, found]) => [file, found.map(({ code }) => ruleOf(code))]));
}

test("each rule refuses what it is there to refuse, types included", async () => {
  for (const name of [".oxlintrc.json", "tsconfig.json"]) cpSync(join(ROOT, name), join(root, name));
  symlinkSync(join(ROOT, "node_modules"), join(root, "node_modules"));
  const place = (at: number) => `packages/server/src/stream/sample-${at}.ts`;
  REFUSED.forEach(([, code], at) =>
    write(place(at), `${PRELUDE}${code}\nexport type Known = Kind;\nexport { later };\n`),
  );
  write(place(REFUSED.length), `${PRELUDE}export { later };\nexport type Known = Kind;\n`);

  const found = await lint();
  const silent = REFUSED.filter(([rule], at) => !found.get(place(at))?.includes(rule)).map(([rule]) => rule);
  expect(silent).toEqual([]);
  expect(found.get(place(REFUSED.length))).toBeUndefined();
}, 30_000);
