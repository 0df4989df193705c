import { readFile } from "node:fs/promises";
import { extname } from "node:path";
import { describeError } from "../coded-error.ts";
import type { ConfigFault } from "./config-fault.ts";

/** The values of one file by their full keys (`FC_ROUTER_POOL_CONCURRENCY`), as text. */
export type FileValues = { readonly values: ReadonlyMap<string, string>; readonly faults: readonly ConfigFault[] };

type FileContext = {
  readonly prefix: string;
  readonly separator: string;
  readonly env: Readonly<Record<string, string | undefined>>;
};

/** A configuration has a few tables; deeper nesting is a mistake. */
const MAX_DEPTH = 8;

/** Reads TOML or YAML, chosen by the ending. Whatever is wrong with the file is a fault, never an exception. */
export async function readConfigFile(path: string, context: FileContext): Promise<FileValues> {
  const values = new Map<string, string>();
  const faults: ConfigFault[] = [];
  const fault = (key: string, reason: string): void => void faults.push({ key, source: path, reason });
  const root = await parseFile(path).catch((error: unknown) => fault("", describeError(error)));
  if (root === undefined || root === null) return { values, faults };
  if (!isTable(root)) {
    fault("", "must hold a table of settings");
    return { values, faults };
  }
  flatten(root, [], (parts, value) => {
    const key = fullKey(parts, context);
    const printed = printValue(value, context.env);
    if (printed.ok) values.set(key, printed.text);
    else fault(key, printed.reason);
  });
  return { values, faults };
}

/**
 * A file that is a document of its own and no layer of settings: its content with each `${NAME}` in a text taken from
 * the environment. Whoever must not trust the file reads it by `readText`. `root` is undefined when the file cannot be
 * read or parsed. Faults name the place within the file, never a value.
 */
export async function readDocumentFile(
  path: string,
  env: Readonly<Record<string, string | undefined>>,
  readText: ReadText = readWhole,
): Promise<{ readonly root: unknown; readonly faults: readonly ConfigFault[] }> {
  const faults: ConfigFault[] = [];
  const fault = (key: string, reason: string): void => void faults.push({ key, source: path, reason });
  const root = await parseFile(path, readText).catch((error: unknown) => fault("", faultOfFile(error)));
  return { root: interpolated(root, "", { env, fault }), faults };
}

/** What a parser says may show the line it stopped at, and that may be a secret: only its first line is told. */
function faultOfFile(error: unknown): string {
  const line = typeof error === "object" && error !== null && "line" in error ? ` (line ${String(error.line)})` : "";
  return `${describeError(error).split("\n")[0] ?? ""}${line}`;
}

interface Interpolation {
  readonly env: FileContext["env"];
  readonly fault: (key: string, reason: string) => void;
}

function interpolated(value: unknown, path: string, context: Interpolation): unknown {
  if (typeof value === "string") {
    const printed = interpolate(value, context.env);
    if (!printed.ok) context.fault(path, printed.reason);
    return printed.ok ? printed.text : value;
  }
  if (Array.isArray(value)) return value.map((item, at) => interpolated(item, `${path}[${at}]`, context));
  if (!isTable(value)) return value;
  const entries = Object.entries(value);
  return Object.fromEntries(
    entries.map(([name, item]) => [name, interpolated(item, path === "" ? name : `${path}.${name}`, context)]),
  );
}

type ReadText = (path: string) => Promise<string>;

const readWhole: ReadText = (path) => readFile(path, "utf8");

async function parseFile(path: string, readText = readWhole): Promise<unknown> {
  const ending = extname(path).toLowerCase();
  // The parsers are loaded only when there is a file, to keep the start short.
  switch (ending) {
    case ".toml": {
      const toml = await import("smol-toml");
      return toml.parse(await readText(path));
    }
    case ".yaml":
    case ".yml": {
      const yaml = await import("yaml");
      return yaml.parse(await readText(path)) as unknown;
    }
    default:
      throw new Error(`the ending ${ending || "(none)"} is unknown; use .toml, .yaml or .yml`);
  }
}

type Table = Readonly<Record<string, unknown>>;
type Visit = (parts: readonly string[], value: unknown) => void;

function flatten(table: Table, parts: readonly string[], visit: Visit): void {
  for (const [name, value] of Object.entries(table)) {
    const path = [...parts, name];
    if (isTable(value) && path.length < MAX_DEPTH) flatten(value, path, visit);
    else visit(path, value);
  }
}

function isTable(value: unknown): value is Table {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

function fullKey(parts: readonly string[], context: FileContext): string {
  const key = parts.map((part) => part.toUpperCase().replaceAll("-", "_")).join(context.separator);
  return key.startsWith(context.prefix) ? key : context.prefix + key;
}

type Printed = { readonly ok: true; readonly text: string } | { readonly ok: false; readonly reason: string };

function printValue(value: unknown, env: FileContext["env"]): Printed {
  if (typeof value === "string") return interpolate(value, env);
  if (typeof value === "number" || typeof value === "boolean" || typeof value === "bigint") {
    return { ok: true, text: String(value) };
  }
  if (value === null) return { ok: true, text: "" };
  if (!Array.isArray(value)) return { ok: false, reason: "must be a text, a number, a boolean or a list of them" };
  const texts: string[] = [];
  for (const item of value as unknown[]) {
    const printed = Array.isArray(item) || item === null ? undefined : printValue(item, env);
    if (printed === undefined) return { ok: false, reason: "must be a flat list" };
    if (!printed.ok) return printed;
    texts.push(printed.text);
  }
  return { ok: true, text: texts.join(",") };
}

/** `${NAME}` is taken from the environment; a name that is not set there is a fault. */
function interpolate(value: string, env: FileContext["env"]): Printed {
  const missing: string[] = [];
  const text = value.replaceAll(/\$\{([A-Za-z_][A-Za-z0-9_]*)\}/g, (_, name: string) => {
    const found = env[name];
    if (found === undefined) missing.push(name);
    return found ?? "";
  });
  if (missing.length === 0) return { ok: true, text };
  return { ok: false, reason: `refers to ${missing.join(", ")}, which the environment does not have` };
}
