import { afterAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

const ROOT = join(import.meta.dir, "..");
const CONFIG = join(ROOT, ".dependency-cruiser.cjs");
const SRC = "packages/server/src";

/** Each file of the fixture: what it imports, and the rules that must fire on it (none: a lawful import). */
type Fixture = { readonly file: string; readonly imports: readonly string[]; readonly breaks: readonly string[] };

const LAWFUL = [
  "packages/contracts/src/index.ts",
  "packages/foundation/src/index.ts",
  "packages/sdk/src/index.ts",
  `${SRC}/index.ts`,
  `${SRC}/domain/event.ts`,
  `${SRC}/ports/event-log.ts`,
  `${SRC}/platform/app.ts`,
  `${SRC}/http/endpoint.ts`,
  `${SRC}/stream/stream.ts`,
  `${SRC}/router/router.ts`,
  `${SRC}/receiver/receiver.ts`,
  `${SRC}/main/dev.ts`,
  `${SRC}/stores/columns.ts`,
  `${SRC}/stores/sqlite/event-log.ts`,
  `${SRC}/stores/postgres/event-log.ts`,
  `${SRC}/queues/sqlite/queue.ts`,
  `${SRC}/leases/redis/lease.ts`,
  `${SRC}/remote/client.ts`,
  `${SRC}/postgres/database.ts`,
  `${SRC}/net/resolver.ts`,
  `${SRC}/ports/event-log.conformance.ts`,
  "scripts/tidy.ts",
  "packages/foundation/src/inner.ts",
] as const;

const at = (path: string) => `import "${path}";`;
const typed = (path: string) => `import type {} from "${path}";`;
const lazy = (path: string) => `void import("${path}");`;

const FIXTURES: readonly Fixture[] = [
  { file: "packages/contracts/src/a.ts", imports: [at("@flowcatalyst/foundation")], breaks: ["contracts-alone"] },
  { file: "packages/foundation/src/a.ts", imports: [at("@flowcatalyst/contracts")], breaks: ["foundation-alone"] },
  { file: "packages/foundation/src/b.ts", imports: [at("pino")], breaks: ["declared-libraries"] },
  { file: "packages/foundation/src/c.ts", imports: [at("./missing.ts")], breaks: ["resolvable"] },
  {
    file: `${SRC}/domain/a.ts`,
    imports: [at("../ports/event-log.ts"), at("@flowcatalyst/contracts")],
    breaks: ["domain-pure"],
  },
  { file: `${SRC}/domain/b.ts`, imports: [at("node:fs"), at("node:crypto")], breaks: ["domain-without-io"] },
  { file: `${SRC}/domain/c.ts`, imports: [at("ipaddr.js"), at("@marcbachmann/cel-js")], breaks: [] },
  {
    file: `${SRC}/ports/a.ts`,
    imports: [at("@flowcatalyst/foundation"), typed("../domain/event.ts")],
    breaks: ["ports-narrow"],
  },
  { file: `${SRC}/stream/a.ts`, imports: [at("../router/router.ts")], breaks: ["stages-apart"] },
  { file: `${SRC}/stream/b.ts`, imports: [at("../stores/sqlite/event-log.ts")], breaks: ["stages-apart"] },
  {
    file: `${SRC}/stream/c.ts`,
    imports: [at("./stream.ts"), at("../ports/event-log.ts"), at("@flowcatalyst/foundation")],
    breaks: [],
  },
  { file: `${SRC}/stream/d.test.ts`, imports: [at("../stores/sqlite/event-log.ts"), at("bun:sqlite")], breaks: [] },
  { file: `${SRC}/platform/a.ts`, imports: [at("../stream/stream.ts")], breaks: ["platform-apart"] },
  { file: `${SRC}/http/a.ts`, imports: [at("../domain/event.ts")], breaks: ["http-below-apis"] },
  { file: `${SRC}/router/x.ts`, imports: [at("../http/endpoint.ts")], breaks: [] },
  { file: `${SRC}/stream/x.ts`, imports: [at("../http/endpoint.ts")], breaks: ["http-for-apis"] },
  { file: `${SRC}/receiver/a.ts`, imports: [at("../ports/event-log.ts")], breaks: ["receiver-apart"] },
  { file: `${SRC}/queues/sqlite/a.ts`, imports: [at("../../stores/sqlite/event-log.ts")], breaks: ["adapters-apart"] },
  { file: `${SRC}/net/a.ts`, imports: [at("../platform/app.ts")], breaks: ["adapters-apart"] },
  { file: `${SRC}/remote/a.ts`, imports: [at("../platform/app.ts")], breaks: ["adapters-apart"] },
  { file: `${SRC}/remote/b.ts`, imports: [at("./client.ts"), typed("../ports/event-log.ts")], breaks: [] },
  { file: `${SRC}/router/a.ts`, imports: [at("../leases/redis/lease.ts")], breaks: ["stages-apart"] },
  { file: `${SRC}/queues/nats/a.ts`, imports: [at("@nats-io/jetstream")], breaks: [] },
  { file: `${SRC}/queues/sqs/a.ts`, imports: [at("@aws-sdk/client-sqs")], breaks: [] },
  { file: `${SRC}/queues/amqp/a.ts`, imports: [at("rhea")], breaks: [] },
  {
    file: `${SRC}/queues/sqlite/b.ts`,
    imports: [at("@nats-io/jetstream"), at("@aws-sdk/client-sqs"), at("rhea")],
    breaks: ["library-aws-sdk-smithy", "library-nats-io", "library-rhea"],
  },
  { file: `${SRC}/outbox-sources/mysql/a.ts`, imports: [at("mysql2")], breaks: [] },
  { file: `${SRC}/outbox-sources/mongodb/a.ts`, imports: [at("mongodb")], breaks: [] },
  {
    file: `${SRC}/outbox-sources/sqlite/a.ts`,
    imports: [at("bun:sqlite"), at("mysql2"), at("mongodb")],
    breaks: ["library-mongodb-bson", "library-mysql2"],
  },
  { file: `${SRC}/outbox-sources/mongodb/b.ts`, imports: [at("../mysql/a.ts")], breaks: ["engines-apart"] },
  { file: `${SRC}/outbox/a.ts`, imports: [at("../outbox-sources/mysql/a.ts")], breaks: ["stages-apart"] },
  { file: `${SRC}/leases/redis/a.ts`, imports: [at("ioredis")], breaks: [] },
  { file: `${SRC}/leases/a.ts`, imports: [at("ioredis")], breaks: ["library-ioredis"] },
  { file: `${SRC}/main/d.ts`, imports: [at("../remote/client.ts")], breaks: ["adapters-lazily"] },
  { file: `${SRC}/postgres/a.ts`, imports: [at("../ports/event-log.ts")], breaks: ["postgres-below-adapters"] },
  { file: `${SRC}/stores/postgres/a.ts`, imports: [at("../../postgres/database.ts")], breaks: [] },
  {
    file: `${SRC}/stores/sqlite/c.ts`,
    imports: [at("../../postgres/database.ts")],
    breaks: ["postgres-for-its-engines"],
  },
  { file: `${SRC}/stores/sqlite/a.ts`, imports: [at("../postgres/event-log.ts")], breaks: ["engines-apart"] },
  { file: `${SRC}/stores/sqlite/b.ts`, imports: [at("../columns.ts"), at("bun:sqlite")], breaks: [] },
  { file: `${SRC}/stores/a.ts`, imports: [at("./sqlite/event-log.ts")], breaks: ["family-files-below-engines"] },
  { file: `${SRC}/main/a.ts`, imports: [at("../stores/sqlite/event-log.ts")], breaks: ["adapters-lazily"] },
  {
    file: `${SRC}/main/b.ts`,
    imports: [lazy("../stores/sqlite/event-log.ts"), typed("../queues/sqlite/queue.ts"), at("../net/resolver.ts")],
    breaks: [],
  },
  { file: `${SRC}/main/c.ts`, imports: [at("@flowcatalyst/sdk")], breaks: ["main-within-server"] },
  {
    file: `${SRC}/platform/b.ts`,
    imports: [at("../main/dev.ts")],
    breaks: ["main-for-cli-only", "platform-apart"],
  },
  {
    file: "packages/sdk/src/a.ts",
    imports: [typed("@flowcatalyst/contracts"), at("@flowcatalyst/foundation")],
    breaks: ["sdk-alone", "sdk-without-runtime"],
  },
  { file: "packages/sdk/src/b.ts", imports: [at("node:fs")], breaks: ["sdk-without-runtime"] },
  { file: "packages/sdk/src/c.ts", imports: [typed("@flowcatalyst/contracts")], breaks: ["sdk-alone"] },
  {
    file: "packages/cli/src/a.ts",
    imports: [lazy("../../server/src/router/router.ts")],
    breaks: ["cli-above", "packages-by-their-index"],
  },
  { file: "packages/cli/src/b.ts", imports: [at("@flowcatalyst/server")], breaks: ["cli-starts-server-lazily"] },
  { file: "packages/cli/src/c.ts", imports: [lazy("@flowcatalyst/server"), at("@flowcatalyst/sdk")], breaks: [] },
  { file: "packages/console/src/a.ts", imports: [at("@flowcatalyst/foundation")], breaks: ["console-outside"] },
  { file: "packages/oaas/src/a.ts", imports: [at("@flowcatalyst/server")], breaks: ["oaas-beside"] },
  {
    file: "packages/cli/src/d.ts",
    imports: [at("../../foundation/src/inner.ts")],
    breaks: ["packages-by-their-index"],
  },
  { file: "packages/cli/src/e.test.ts", imports: [at("../../../scripts/tidy.ts")], breaks: ["nothing-imports-tests"] },
  {
    file: "packages/cli/src/f.ts",
    imports: [at("../../../scripts/tidy.ts")],
    breaks: ["cli-above", "nothing-imports-tests"],
  },
  { file: `${SRC}/stream/e.ts`, imports: [at("../ports/event-log.conformance.ts")], breaks: ["tests-stay-outside"] },
  { file: `${SRC}/stream/f.ts`, imports: [at("./g.ts")], breaks: ["no-cycles"] },
  { file: `${SRC}/stream/g.ts`, imports: [at("./f.ts")], breaks: [] }, // A cycle is told once, at its first file.
  { file: `${SRC}/stream/h.ts`, imports: [typed("./i.ts")], breaks: [] },
  { file: `${SRC}/stream/i.ts`, imports: [typed("./h.ts")], breaks: [] },
  {
    file: `${SRC}/stream/j.ts`,
    imports: ["bun:sqlite", "hono", "ajv", "@marcbachmann/cel-js", "ipaddr.js", "pino", "commander"].map(at),
    breaks: [
      "library-ajv-ajv-formats",
      "library-bun-sqlite",
      "library-commander-clack",
      "library-hono-hono-swagger-ui-dist",
      "library-ipaddr-js",
      "library-marcbachmann-cel-js",
      "library-pino-smol-toml-yaml",
    ],
  },
  { file: `${SRC}/domain/d.ts`, imports: [at("prom-client")], breaks: ["library-prom-client"] },
];

const root = mkdtempSync(join(tmpdir(), "walls-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

function write(path: string, text: string) {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
}

/** A repository of empty lawful files, one file per fixture, and a stub for each library. */
function writeFixtureTree() {
  const brokers = ["@nats-io/jetstream", "@aws-sdk/client-sqs", "rhea", "mysql2", "mongodb"];
  const others = ["hono", "ioredis", "ajv", "@marcbachmann/cel-js", "ipaddr.js", "pino", "commander", "prom-client"];
  const libraries = [...others, ...brokers];
  for (const name of libraries) {
    write(`node_modules/${name}/package.json`, JSON.stringify({ name, version: "1.0.0", main: "index.js" }));
    write(`node_modules/${name}/index.js`, "");
  }
  const dependencies = Object.fromEntries(libraries.map((name) => [name, "1.0.0"]));
  mkdirSync(join(root, "node_modules/@flowcatalyst"), { recursive: true });
  for (const name of ["contracts", "foundation", "server", "sdk", "cli", "console", "oaas"]) {
    const used = name === "foundation" ? {} : dependencies;
    const manifest = { name: `@flowcatalyst/${name}`, exports: { ".": "./src/index.ts" }, dependencies: used };
    write(`packages/${name}/package.json`, JSON.stringify(manifest));
    symlinkSync(join(root, "packages", name), join(root, "node_modules/@flowcatalyst", name));
  }
  write("package.json", JSON.stringify({ name: "walls" }));
  for (const path of LAWFUL) write(path, "export {};\n");
  for (const { file, imports } of FIXTURES) write(file, `${imports.join("\n")}\nexport {};\n`);
}

type Violation = { readonly from: string; readonly rule: { readonly name: string } };

async function cruise(): Promise<readonly Violation[]> {
  const packageFile = createRequire(import.meta.url).resolve("dependency-cruiser/package.json");
  const binary = join(dirname(packageFile), "bin/dependency-cruise.mjs");
  const child = Bun.spawn(["node", binary, "--config", CONFIG, "--output-type", "json", "packages", "scripts"], {
    cwd: root,
    stdout: "pipe",
    stderr: "inherit",
  });
  const report = (await new Response(child.stdout).json()) as { summary: { violations: Violation[] } };
  return report.summary.violations;
}

test("each wall bites on what it forbids, and on nothing else", async () => {
  writeFixtureTree();
  const violations = await cruise();

  const fired = new Map<string, Set<string>>();
  for (const { from, rule } of violations) fired.set(from, (fired.get(from) ?? new Set()).add(rule.name));
  const found = [...fired].map(([file, rules]) => `${file}: ${[...rules].sort().join(", ")}`).sort();
  const expected = FIXTURES.filter(({ breaks }) => breaks.length > 0);
  expect(found).toEqual(expected.map(({ file, breaks }) => `${file}: ${[...breaks].sort().join(", ")}`).sort());
}, 30_000);

test("each rule of the configuration is proven by a fixture", async () => {
  const config = createRequire(import.meta.url)(CONFIG) as { forbidden: Array<{ name: string }> };
  const proven = new Set(FIXTURES.flatMap(({ breaks }) => breaks));
  expect(config.forbidden.map(({ name }) => name).filter((name) => !proven.has(name))).toEqual([]);
});
