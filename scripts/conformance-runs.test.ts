import { expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "./run-command.ts";

const SERVER = join(ROOT, "packages/server/src");
/** The family of adapters that implements a port; the stores, if it is not named here. */
const FAMILY_BY_PORT: Readonly<Record<string, string>> = {
  queue: "queues",
  transport: "net",
  "standby-lease": "leases",
  "outbox-source": "outbox-sources",
  "outbox-publisher": "remote",
};

const filesOf = (folder: string) => (existsSync(folder) ? readdirSync(folder, { recursive: true }).map(String) : []);

/** Ports that have a suite beside them. */
function suites(): readonly string[] {
  const names = readdirSync(join(SERVER, "ports"));
  const stems = names.filter((name) => name.endsWith(".conformance.ts")).map((name) => name.split(".")[0] ?? "");
  return stems.filter((stem) => names.includes(`${stem}.ts`));
}

/** The engines of a family: its folders, or the family itself if it has none. */
function engines(family: string): readonly string[] {
  const folder = join(SERVER, family);
  if (!existsSync(folder)) return [];
  const folders = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  return folders.length === 0 ? [folder] : folders.map((entry) => join(folder, entry.name));
}

/** Suites that some test of the engine imports. */
function suitesRunBy(engine: string): ReadonlySet<string> {
  const tests = filesOf(engine).filter((name) => name.endsWith(".test.ts"));
  const texts = tests.map((name) => readFileSync(join(engine, name), "utf8")).join("\n");
  return new Set([...texts.matchAll(/ports\/([a-z-]+)\.conformance\.ts"/g)].map((match) => match[1] ?? ""));
}

test("every adapter runs every suite of its ports", () => {
  const missing = suites().flatMap((port) =>
    engines(FAMILY_BY_PORT[port] ?? "stores")
      .filter((engine) => !suitesRunBy(engine).has(port))
      .map((engine) => `${engine.slice(SERVER.length + 1)} does not run ports/${port}.conformance.ts`),
  );
  expect(missing).toEqual([]);
});
