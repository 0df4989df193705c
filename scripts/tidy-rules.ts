/**
 * The house rules that no other tool checks, each a pure function of one file. `scripts/tidy.ts` runs them.
 * To add one: append it to `RULES`, give it a case in `tidy-rules.test.ts`, and name it in CONTRIBUTING.md if it
 * surprises.
 */

export interface SourceFile {
  /** From the root of the repository, with forward slashes. */
  readonly path: string;
  readonly text: string;
  /** Paths of all files of the repository. */
  readonly siblings: ReadonlySet<string>;
}

export interface Violation {
  readonly rule: string;
  readonly path: string;
  /** From 1; the file as a whole is line 1. */
  readonly line: number;
  readonly message: string;
}

export interface Rule {
  readonly name: string;
  check(file: SourceFile): readonly Violation[];
}

const MAX_FILE_LINES = 500;
const MAX_LINE_CHARS = 120;

const isCode = (path: string) => /\.(ts|mjs|cjs)$/.test(path);
const isTest = (path: string) => /\.(test|conformance|fixture)\.ts$/.test(path);
const isProduct = (path: string) => /^packages\/[^/]+\/src\/.*\.ts$/.test(path) && !isTest(path);

/** A rule that looks at one line at a time for what must not stand there. */
function linePattern(options: {
  readonly name: string;
  readonly applies: (path: string) => boolean;
  readonly pattern: RegExp;
  readonly message: string;
}): Rule {
  const { name, applies, pattern, message } = options;
  return {
    name,
    check: ({ path, text }) => {
      if (!applies(path)) return [];
      const lines = text.split("\n");
      return lines.flatMap((line, at) => (pattern.test(line) ? [{ rule: name, path, line: at + 1, message }] : []));
    },
  };
}

const fileBudget: Rule = {
  name: "file-budget",
  check: ({ path, text }) => {
    const lines = text.split("\n").length - 1;
    if (!isCode(path) || lines <= MAX_FILE_LINES) return [];
    return [{ rule: "file-budget", path, line: 1, message: `${lines} lines; the limit is ${MAX_FILE_LINES}` }];
  },
};

/** Words with hyphens; parts like `.kill.test` say what kind of file it is. */
const FILE_NAME = /^\.?[a-z0-9]+(-[a-z0-9]+)*(\.[a-z0-9]+)+$/;
const CATCH_ALL_NAMES = new Set(["util", "utils", "common", "helper", "helpers", "manager", "misc"]);

const fileName: Rule = {
  name: "file-name",
  check: ({ path }) => {
    if (!isCode(path)) return [];
    const name = path.slice(path.lastIndexOf("/") + 1);
    const words = path.split(/[/.-]/);
    const catchAll = words.find((word) => CATCH_ALL_NAMES.has(word));
    const kebab = FILE_NAME.test(name) ? [] : ["file names are kebab-case"];
    const vague = catchAll === undefined ? [] : [`"${catchAll}" names nothing: name the file after what it exports`];
    return [...kebab, ...vague].map((message) => ({ rule: "file-name", path, line: 1, message }));
  },
};

/** The folders of the server that the import walls know; a file elsewhere would stand outside them all. */
const SERVER_FOLDERS = new Set([
  ..."main domain ports platform outbox stream scheduler router maintenance".split(" "),
  ..."stores queues leases outbox-sources remote postgres net receiver http".split(" "),
]);

const serverFolder: Rule = {
  name: "server-folder",
  check: ({ path }) => {
    const inside = /^packages\/server\/src\/(.+)$/.exec(path)?.[1];
    if (inside === undefined || inside === "index.ts" || SERVER_FOLDERS.has(inside.split("/")[0] ?? "")) return [];
    const message = "no import wall covers this place: enter the folder in .dependency-cruiser.cjs and here";
    return [{ rule: "server-folder", path, line: 1, message }];
  },
};

const portSuite: Rule = {
  name: "port-suite",
  check: ({ path, siblings }) => {
    const isPort = /^packages\/server\/src\/ports\/[^/]+\.ts$/.test(path) && !isTest(path);
    if (!isPort || siblings.has(path.replace(/\.ts$/, ".conformance.ts"))) return [];
    return [{ rule: "port-suite", path, line: 1, message: "a port has its conformance suite beside it" }];
  },
};

export const RULES: readonly Rule[] = [
  fileBudget,
  fileName,
  serverFolder,
  portSuite,
  linePattern({
    name: "line-length",
    applies: isCode,
    pattern: new RegExp(`^.{${MAX_LINE_CHARS + 1},}$`, "u"),
    message: `longer than ${MAX_LINE_CHARS} characters`,
  }),
  linePattern({
    name: "named-exports",
    applies: isCode,
    pattern: /^\s*export (\*|default\b)/,
    message: "a public surface is a list of names",
  }),
  linePattern({
    name: "unfinished",
    applies: isCode,
    pattern: /\b(TODO|FIXME|XXX|HACK)\b/,
    message: "finish it, or open an issue",
  }),
  linePattern({
    name: "type-escape",
    applies: isCode,
    pattern: /\bas any\b|@ts-(ignore|nocheck|expect-error)\b/,
    message: "say what the type is",
  }),
  linePattern({
    name: "erasable-syntax",
    applies: isCode,
    pattern:
      /^\s*(export )?(declare )?(const )?(enum|namespace) \w+ *\{|constructor\(\s*(private|protected|public|readonly) /,
    message: "no enums, namespaces or parameter properties: types must be erasable",
  }),
  linePattern({
    name: "whole-suite",
    applies: (path) => isTest(path),
    pattern: /\b(test|it|describe)(\.\w+)*\.(only|skip|todo)\(|\b(fit|xit|xtest|fdescribe|xdescribe)\(/,
    message: "every test runs, every time",
  }),
  linePattern({
    name: "no-sleeping-tests",
    applies: (path) => path.endsWith(".test.ts") || path.endsWith(".conformance.ts"),
    pattern: /\b(setTimeout|setInterval)\(|\bBun\.sleep(Sync)?\(|from "node:timers/,
    message: "a test awaits an event or a condition, or moves a clock of its own",
  }),
  linePattern({
    name: "no-module-mocks",
    applies: isTest,
    pattern: /\bmock\.module\(/,
    message: "our own modules are not mocked",
  }),
  linePattern({
    name: "given-time-and-chance",
    applies: isProduct,
    pattern: /\b(Date\.now|Math\.random|performance\.now|randomUUID|setTimeout|setInterval)\(|\bnew Date\(\)/,
    message: "clock, randomness and ids are passed in",
  }),
  linePattern({
    name: "environment-once",
    applies: (path) => isProduct(path) && !/^packages\/(server\/src\/main\/|cli\/src\/main\.ts$)/.test(path),
    pattern: /\b(process|Bun)\.env\b|\bimport\.meta\.env\b/,
    message: "the environment is read once, in server/main and cli",
  }),
  linePattern({
    name: "no-module-state",
    applies: isProduct,
    pattern: /^(export )?let /,
    message: "no mutable state in a module",
  }),
  linePattern({
    name: "own-words",
    applies: () => true,
    pattern: /\/work\/|\.\.\/shared\b|\.library\b|\bDEVELOPERS\.md\b/,
    message: "the repository does not name the place where it is written",
  }),
];
