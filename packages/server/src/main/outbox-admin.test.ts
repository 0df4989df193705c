import { afterEach, expect, test } from "bun:test";
import { Database } from "bun:sqlite";
import { mkdtempSync, rmSync } from "node:fs";
import { randomBytes } from "node:crypto";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeError } from "@flowcatalyst/foundation";
import { describeWith, testMariadbUrl, testMongoUrl, testPostgresUrl } from "../ports/needs-services.fixture.ts";
import { openOutboxOperations, type OutboxOperations } from "./outbox-admin.ts";

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

async function setup(): Promise<{ operations: OutboxOperations; path: string }> {
  const folder = mkdtempSync(join(tmpdir(), "flowcatalyst-outbox-"));
  closing.push(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, "app.db");
  const operations = await openOutboxOperations({
    env: {},
    flags: { outboxDbUrl: `sqlite:${path}` },
    isTerminal: false,
  });
  closing.push(() => operations.close());
  return { operations, path };
}

/** Rows of these states, in this order; their ids are `r1`, `r2` and so on. */
function insert(path: string, states: readonly number[]): void {
  const database = new Database(path);
  const statement = database.query(
    "INSERT INTO outbox_messages (id, type, payload, status) VALUES (?, 'EVENT', '{}', ?)",
  );
  database.transaction(() => {
    for (const [index, status] of states.entries()) statement.run(`r${index + 1}`, status);
  })();
  database.close();
}

function faultOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => "no fault",
    (error: unknown) => error,
  );
}

const signal = new AbortController().signal;

test("the settings must name a table; one that is not there says how it is made", async () => {
  const nowhere = openOutboxOperations({ env: {}, flags: {}, isTerminal: false });
  expect(await faultOf(nowhere)).toMatchObject({ code: "CONFIG_INVALID" });
  const { operations, path } = await setup();
  new Database(path).run("CREATE TABLE orders (id integer)");
  expect(await faultOf(operations.status())).toMatchObject({
    code: "CONFIG_INVALID",
    message: expect.stringContaining("outbox init"),
  });
});

test.each([
  "mysql://app:s3cr3t%zz@127.0.0.1/shop",
  "mysql://app:s3cr3t@127.0.0.1/shop?ssl=none",
  "mongodb://app:s3@cr3t@one,two/shop",
  "mongodb://app:s3cr3t@one,two",
  "mongodb://app:s3cr3t@one/shop.orders",
  "mongodb://app:12@s3cr3t@one/shop",
  "mongodb+srv://app:s3cr3t@one.two.example:27017/shop",
])("an address that its driver does not take is told without its password: %s", async (outboxDbUrl) => {
  const fault = await faultOf(openOutboxOperations({ env: {}, flags: { outboxDbUrl }, isTerminal: false }));
  expect(fault).toMatchObject({ code: "CONFIG_INVALID", message: expect.stringContaining("FC_OUTBOX_DB_URL") });
  expect(Bun.inspect(fault)).not.toContain("cr3t");
});

test.each(["s3cr3t", "postgresql//app:s3cr3t@db/shop", "postgres://app:12/s3cr3t@db/shop", "http://app:s3cr3t@db/"])(
  "an address that the setting does not take is told without its password: %s",
  async (outboxDbUrl) => {
    const fault = await faultOf(openOutboxOperations({ env: {}, flags: { outboxDbUrl }, isTerminal: false }));
    expect(fault).toMatchObject({ code: "CONFIG_INVALID", message: expect.stringContaining("--database") });
    expect(Bun.inspect(fault)).not.toContain("cr3t");
  },
);

test("hosts that no name server knows are waited for", async () => {
  const flags = { outboxDbUrl: "mongodb+srv://app:s3cr3t@outbox.invalid/shop" };
  const operations = await openOutboxOperations({ env: {}, flags, isTerminal: false });
  const fault = await faultOf(operations.status());
  expect(fault).toMatchObject({ code: "STORE_UNAVAILABLE" });
  expect(describeError(fault)).not.toContain("cr3t");
  await operations.close();
});

const engines = [
  ["postgres", testPostgresUrl],
  ["mariadb", testMariadbUrl],
  ["mongodb", testMongoUrl],
] as const;
for (const [service, address] of engines) {
  describeWith([service], `an outbox on ${service}`, () => {
    test("a cursor with a time that the database cannot read is refused", async () => {
      const table = `cursors_${randomBytes(4).toString("hex")}`;
      const url = new URL(address ?? "");
      if (url.pathname.length < 2) url.pathname = "/fc_cursors";
      const flags = { outboxDbUrl: url.href, outboxTable: table };
      const operations = await openOutboxOperations({ env: {}, flags, isTerminal: false });
      closing.push(() => operations.close());
      await operations.init();
      const query = { states: ["PENDING"], group: undefined, limit: 2 } as const;
      for (const parts of [
        ["x", "y"],
        ["12 o'clock", "y"],
      ]) {
        const cursor = Buffer.from(JSON.stringify(parts)).toString("base64url");
        expect(await faultOf(operations.list({ ...query, cursor }))).toMatchObject({ code: "USAGE_INVALID" });
      }
    });
  });
}

test("made once or twice, it is empty, and its statements are told", async () => {
  const { operations } = await setup();
  await operations.init();
  await operations.init();
  expect(operations.ddl().join("\n")).toContain("outbox_messages");
  expect(await operations.status()).toMatchObject({ mode: "platform", paused: false, processor: null, pending: 0 });
});

test("rows are listed by names of states, page by page; a cursor that is none is refused", async () => {
  const { operations, path } = await setup();
  await operations.init();
  insert(path, [0, 3, 0, 2, 1]);
  const query = { states: ["PENDING", "INTERNAL_ERROR"], group: undefined, limit: 2 } as const;
  const first = await operations.list({ ...query, cursor: undefined });
  const second = await operations.list({ ...query, cursor: first.nextCursor });
  expect([...first.items, ...second.items].map(({ id, status }) => [id, status])).toEqual([
    ["r1", "PENDING"],
    ["r2", "INTERNAL_ERROR"],
    ["r3", "PENDING"],
  ]);
  expect(second.nextCursor).toBeUndefined();
  for (const cursor of ["", "x", Buffer.from("[1]").toString("base64url")]) {
    expect(await faultOf(operations.list({ ...query, cursor }))).toMatchObject({ code: "USAGE_INVALID" });
  }
});

test("more rows than a step holds are all skipped, and all retried; an interrupt ends between steps", async () => {
  const { operations, path } = await setup();
  await operations.init();
  insert(path, [...Array.from({ length: 1_500 }, () => 3), 9, 1]);
  const which = { kind: "states", states: ["INTERNAL_ERROR"], group: undefined } as const;
  expect(await operations.count({ act: "skip", which })).toBe(1_500);
  const interrupted = operations.change({ act: "skip", which, reason: "no" }, AbortSignal.abort());
  expect(await faultOf(interrupted)).toMatchObject({ name: "AbortError" });
  expect(await operations.change({ act: "skip", which, reason: "no" }, signal)).toBe(1_500);
  const skipped = { kind: "states", states: ["BAD_REQUEST"], group: undefined } as const;
  expect(await operations.change({ act: "retry", which: skipped }, signal)).toBe(1_500);
  expect(await operations.status()).toMatchObject({ pending: 1_500, inProgress: 1, refused: 0 });
  const named = { kind: "ids", ids: ["r1", "r1501", "r1502", "nobody"] } as const;
  expect(await operations.change({ act: "skip", which: named, reason: "no" }, signal)).toBe(1);
});

test("rows that are refused again at once are retried once each", async () => {
  const { operations, path } = await setup();
  await operations.init();
  insert(
    path,
    Array.from({ length: 2_000 }, () => 2),
  );
  const database = new Database(path);
  database.run(`CREATE TRIGGER refuses AFTER UPDATE ON outbox_messages WHEN NEW.status = 0
    BEGIN UPDATE outbox_messages SET status = 2 WHERE id = NEW.id; END`);
  database.close();
  const which = { kind: "states", states: ["BAD_REQUEST"], group: undefined } as const;
  expect(await operations.change({ act: "retry", which }, signal)).toBe(2_000);
});

test("a preview counts what the act would touch, and nothing else", async () => {
  const { operations, path } = await setup();
  await operations.init();
  insert(path, [0, 1, 2, 3, 9]);
  const which = { kind: "ids", ids: ["r1", "r2", "r3", "r4", "r5", "nobody"] } as const;
  expect(await operations.count({ act: "skip", which })).toBe(2);
  expect(await operations.count({ act: "retry", which })).toBe(2);
});
