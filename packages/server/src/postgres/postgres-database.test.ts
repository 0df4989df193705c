import { afterEach, beforeEach, expect, test } from "bun:test";
import { createPostgresDatabase } from "./postgres-database.ts";
import { migrate, requireMigrated, type MigrationSet } from "./migrations.ts";
import { adHoc, statement, toJsonRows } from "./statement.ts";
import { describeWithPostgres, openTestPostgres, type TestPostgres } from "./test-database.fixture.ts";
import { silentLogger, systemClock } from "@flowcatalyst/foundation";

const set: MigrationSet = {
  component: "sample",
  migrations: [{ number: 1, name: "things", sql: "CREATE TABLE things (id bigint PRIMARY KEY, name text)" }],
};
const addThings = statement<never, [rows: string]>(
  "INSERT INTO things SELECT id, name FROM json_to_recordset($1::json) AS r (id bigint, name text)",
);
const readThings = statement<{ id: number; name: string | null }>("SELECT id, name FROM things ORDER BY id");
const rename = statement<never, [string, number]>("UPDATE things SET name = $1 WHERE id = $2");

describeWithPostgres("the way to PostgreSQL", () => {
  let postgres: TestPostgres;
  beforeEach(async () => {
    postgres = await openTestPostgres([set]);
  });
  afterEach(() => postgres.close());

  test("many rows go in one parameter and come back as they were", async () => {
    const { database } = postgres;
    const rows = [
      { id: 1, name: 'quotes " and \\ and {braces}' },
      { id: Number.MAX_SAFE_INTEGER, name: null },
    ];
    expect(await database.run(addThings, [toJsonRows(rows)])).toBe(2);
    expect(await database.query(readThings, [])).toEqual(rows);
  });

  test("text that no database can hold is mended, not refused", async () => {
    const rows = ["half \ud800 a pair", "\0", "whole \u{1f600}", '{"escaped":"\\ud800 \\u0000"}'];
    await postgres.database.run(addThings, [toJsonRows(rows.map((name, id) => ({ id, name })))]);
    const names = (await postgres.database.query(readThings, [])).map(({ name }) => name);
    expect(names).toEqual(["half \ufffd a pair", "\ufffd", "whole \u{1f600}", '{"escaped":"\\ud800 \\u0000"}']);
  });

  test("a transaction that throws leaves nothing behind", async () => {
    const { database } = postgres;
    const failed = database.transaction(async (session) => {
      await session.run(addThings, [toJsonRows([{ id: 1, name: "a" }])]);
      throw new Error("no");
    });
    expect(await failed.catch((error: unknown) => error)).toMatchObject({ message: "no" });
    expect(await database.query(readThings, [])).toEqual([]);
  });

  test("of two transactions that deadlock both happen", async () => {
    const { database } = postgres;
    await database.run(addThings, [toJsonRows([{ id: 1 }, { id: 2 }])]);
    let arrived = 0;
    let open = (): void => undefined;
    const both = new Promise<void>((resolve) => {
      open = resolve;
    });
    const change = (first: number, second: number, name: string): Promise<void> =>
      database.transaction(async (session) => {
        await session.run(rename, [name, first]);
        if (++arrived >= 2) open();
        await both;
        await session.run(rename, [name, second]);
      });
    await Promise.all([change(1, 2, "a"), change(2, 1, "b")]);
    const names = (await database.query(readThings, [])).map(({ name }) => name);
    expect(new Set(names).size).toBe(1);
  });

  test("a connection that is cut is STORE_UNAVAILABLE once, and made again", async () => {
    const database = postgres.open(1);
    const cut = database.transaction(async (session) => {
      const [own] = await session.query(adHoc<{ pid: number }>("SELECT pg_backend_pid() AS pid"), []);
      await postgres.database.query(adHoc("SELECT pg_terminate_backend($1)"), [own?.pid ?? 0]);
      await session.query(readThings, []);
    });
    expect(await cut.catch((error: unknown) => error)).toMatchObject({ code: "STORE_UNAVAILABLE" });
    expect(await database.query(readThings, [])).toEqual([]);
  });

  test("a server that is not there is STORE_UNAVAILABLE", async () => {
    const config = { url: "postgres://nobody@127.0.0.1:1/none", profile: "hot", maxConnections: 1 } as const;
    const database = createPostgresDatabase({ clock: systemClock(), logger: silentLogger() }, config);
    expect(await database.query(readThings, []).catch((error: unknown) => error)).toMatchObject({
      code: "STORE_UNAVAILABLE",
    });
    await database.close();
  });

  test("a wake-up reaches another process, and its own at once", async () => {
    const other = postgres.open(1);
    const heard = new Promise<void>((resolve) => {
      other.listen("sample", resolve);
    });
    let own = 0;
    postgres.database.listen("sample", () => own++);
    postgres.database.notify("sample");
    expect(own).toBe(1);
    await heard;
  });

  test("processes that migrate at once do it once", async () => {
    const fresh: MigrationSet = {
      component: "fresh",
      migrations: [1, 2, 3].map((number) => ({ number, name: `n${number}`, sql: `CREATE TABLE fresh_${number} ()` })),
    };
    expect(await requireMigrated(postgres.database, fresh).catch((error: unknown) => error)).toMatchObject({
      code: "DATABASE_NOT_MIGRATED",
    });
    const ran = await Promise.all([1, 2, 3].map(() => migrate(postgres.open(1), fresh)));
    expect(
      ran
        .flat()
        .map(({ number }) => number)
        .toSorted((a, b) => a - b),
    ).toEqual([1, 2, 3]);
    await requireMigrated(postgres.database, fresh);
    const older = { ...fresh, migrations: fresh.migrations.slice(0, 1) };
    await requireMigrated(postgres.database, older);
  });
});
