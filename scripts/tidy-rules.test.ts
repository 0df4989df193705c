import { expect, test } from "bun:test";
import { RULES } from "./tidy-rules.ts";

const PRODUCT = "packages/server/src/stream/stream.ts";
const TEST = "packages/server/src/stream/stream.test.ts";
/** Words are put together here, so that this file itself keeps the rules it tests. */
const spell = (...parts: readonly string[]) => parts.join("");

const CASES: ReadonlyArray<readonly [rule: string, path: string, text: string]> = [
  ["file-budget", PRODUCT, "\n".repeat(501)],
  ["file-name", "packages/server/src/stream/fanOut.ts", ""],
  ["file-name", "packages/server/src/stream/string-utils.ts", ""],
  ["file-name", "packages/server/src/stream/common/text.ts", ""],
  ["server-folder", "packages/server/src/shared/text.ts", ""],
  ["port-suite", "packages/server/src/ports/job-store.ts", ""],
  ["line-length", PRODUCT, "x".repeat(121)],
  ["named-exports", PRODUCT, spell("export ", '* from "./a.ts";')],
  ["named-exports", PRODUCT, spell("export ", "default 1;")],
  ["unfinished", PRODUCT, spell("// TO", "DO later")],
  ["type-escape", PRODUCT, spell("x as ", "any")],
  ["type-escape", PRODUCT, spell("// @ts-", "ignore")],
  ["erasable-syntax", PRODUCT, spell("export const enum", " Kind {")],
  ["erasable-syntax", PRODUCT, spell("constructor(", "private readonly clock: Clock) {}")],
  ["whole-suite", TEST, spell("test.", 'only("x", () => {});')],
  ["whole-suite", TEST, spell("describe.", 'skip("x", () => {});')],
  ["no-sleeping-tests", TEST, spell("await Bun.", "sleep(5);")],
  ["no-sleeping-tests", TEST, spell("set", "Timeout(done, 5);")],
  ["no-module-mocks", TEST, spell("mock.", 'module("./a.ts", () => ({}));')],
  ["given-time-and-chance", PRODUCT, "const at = Date.now();"],
  ["given-time-and-chance", PRODUCT, "const at = new Date();"],
  ["environment-once", PRODUCT, "const port = process.env.PORT;"],
  ["no-module-state", PRODUCT, "let count = 0;"],
  ["own-words", "docs/guides/start.md", spell("see ../", "shared")],
];

const check = (path: string, text: string) =>
  RULES.flatMap((rule) => rule.check({ path, text, siblings: new Set() })).map(({ rule, line }) => `${rule}:${line}`);

test.each(CASES)("%s bites in %s", (rule, path, text) => {
  expect(check(path, text)).toEqual([`${rule}:1`]);
});

test("every rule has a case", () => {
  const tried = new Set(CASES.map(([rule]) => rule));
  expect(RULES.map(({ name }) => name).filter((name) => !tried.has(name))).toEqual([]);
});

test("lawful files pass", () => {
  expect(check(PRODUCT, "export const enumerate = (at: Date) => at;\n  let inner = new Date(5);\n")).toEqual([]);
  expect(check("packages/foundation/src/retry-policy.ts", "export function f() {}\n")).toEqual([]);
  expect(check(TEST, "const startedAtMs = Date.now();\n")).toEqual([]);
});
