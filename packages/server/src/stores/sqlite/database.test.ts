import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FakeClock } from "@flowcatalyst/foundation";
import { databaseLimits, openDatabase, type OpenDatabaseRequest, type SqliteDatabase } from "./database.ts";
import type { Migration } from "./migrations.ts";

describe("sqlite database", () => {
  const clock = new FakeClock();
  let directory: string;
  let path: string;
  let opened: SqliteDatabase[];
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "sqlite-database-"));
    path = join(directory, "deep", "flowcatalyst.db");
    opened = [];
  });
  afterEach(() => {
    for (const database of opened) database.close();
    rmSync(directory, { recursive: true, force: true });
  });

  const open = (request: Partial<OpenDatabaseRequest> = {}, migrations?: readonly Migration[]): SqliteDatabase => {
    const database = openDatabase({ path, ...request }, { clock, pid: process.pid, migrations });
    opened.push(database);
    return database;
  };
  const fault = (work: () => unknown): unknown => {
    try {
      work();
    } catch (error) {
      return error;
    }
    throw new Error("It should have failed");
  };

  describe("opening", () => {
    test("makes missing directories, and carries on with what is there", () => {
      const first = open();
      first.transaction(() => first.exec("INSERT INTO marks VALUES ('x', 7)"));
      first.close();
      const again = open();
      expect(again.statement<{ position: number }>("SELECT position FROM marks").all()).toEqual([{ position: 7 }]);
    });

    test("a second opener is told which process has it, in this process too", () => {
      open();
      expect(fault(() => open())).toMatchObject({
        code: "DATA_DIR_IN_USE",
        message: expect.stringContaining(`process ${process.pid}`),
      });
    });

    test("is free again at once after its holder was killed", async () => {
      open().close();
      const script = `
        import { openDatabase } from ${JSON.stringify(join(import.meta.dir, "database.ts"))};
        const clock = { now: () => 0 };
        const database = openDatabase({ path: ${JSON.stringify(path)} }, { clock, pid: process.pid });
        database.transaction(() => database.exec("INSERT INTO marks VALUES ('killed', 1)"));
        console.log("open");
        process.stdin.resume();`;
      const holder = Bun.spawn([process.execPath, "-e", script], { stdin: "pipe", stdout: "pipe" });
      const { value } = await holder.stdout.getReader().read();
      expect(new TextDecoder().decode(value)).toContain("open");
      expect(fault(() => open())).toMatchObject({
        code: "DATA_DIR_IN_USE",
        message: expect.stringContaining(`process ${holder.pid}`),
      });
      holder.kill("SIGKILL");
      await holder.exited;
      const database = open();
      expect(database.statement<{ name: string }>("SELECT name FROM marks").all()).toEqual([{ name: "killed" }]);
    });

    test("a file that is no database is DATABASE_CORRUPT", () => {
      open().close();
      writeFileSync(path, "this is not a database, and long enough to be read as one ".repeat(100));
      expect(fault(() => open())).toMatchObject({ code: "DATABASE_CORRUPT" });
    });

    test("a file that was cut off is DATABASE_CORRUPT, when opening or when the missing part is read", () => {
      const whole = open();
      whole.close();
      truncateSync(path, 3 * databaseLimits.pageBytes);
      const found = fault(() => open().statement("SELECT * FROM subscriptions").all());
      expect(found).toMatchObject({ code: "DATABASE_CORRUPT" });
    });

    test("data of a newer build is DATABASE_TOO_NEW, and not touched", () => {
      open().close();
      expect(fault(() => open({}, []))).toMatchObject({ code: "DATABASE_TOO_NEW" });
      open();
    });

    test("a path that cannot be written is DATA_DIR_NOT_WRITABLE", () => {
      writeFileSync(join(directory, "file"), "");
      const below = join(directory, "file", "flowcatalyst.db");
      expect(fault(() => open({ path: below }))).toMatchObject({ code: "DATA_DIR_NOT_WRITABLE" });
    });

    test("in memory needs no file, and can be opened twice", () => {
      const one = open({ path: ":memory:" });
      const two = open({ path: ":memory:" });
      one.transaction(() => one.exec("INSERT INTO marks VALUES ('x', 1)"));
      expect(two.statement("SELECT * FROM marks").all()).toEqual([]);
      expect(one.checkpoint("PASSIVE")).toEqual({ busy: false, logPages: 0, writtenBackPages: 0 });
    });

    test("a reader sees what is committed, writes nothing, and needs no lock", () => {
      const writer = open();
      const reader = open({ readOnly: true });
      writer.transaction(() => writer.exec("INSERT INTO marks VALUES ('x', 1)"));
      expect(reader.statement("SELECT * FROM marks").all()).toHaveLength(1);
      expect(fault(() => reader.exec("DELETE FROM marks"))).toMatchObject({ code: "STORE_UNAVAILABLE" });
    });
  });

  describe("transactions", () => {
    test("an exception rolls back and comes out as it was", () => {
      const database = open();
      const thrown = new Error("mine");
      const work = (): void => {
        database.exec("INSERT INTO marks VALUES ('x', 1)");
        throw thrown;
      };
      expect(fault(() => database.transaction(work))).toBe(thrown);
      expect(fault(() => database.durableTransaction(work))).toBe(thrown);
      expect(database.statement("SELECT * FROM marks").all()).toEqual([]);
    });

    test("do not nest", () => {
      const database = open();
      expect(() => database.transaction(() => database.transaction(() => 1))).toThrow("nest");
      expect(database.transaction(() => 1)).toBe(1);
    });

    test("durability is chosen for each", () => {
      const database = open();
      // Read without the statement cache: the pragma answers when it is compiled.
      const synchronous = (label: string): number | undefined =>
        database.statement<{ synchronous: number }>(`PRAGMA synchronous /* ${label} */`).get()?.synchronous;
      const seen: (number | undefined)[] = [];
      for (let round = 0; round < 2; round++) {
        database.transaction(() => seen.push(synchronous(`normal ${round}`)));
        database.durableTransaction(() => seen.push(synchronous(`full ${round}`)));
      }
      expect(seen).toEqual([1, 2, 1, 2]);
    });

    test("a full disk is STORE_FULL and heals by itself", () => {
      const database = open();
      const pages = database.statement<{ page_count: number }>("PRAGMA page_count").get()!.page_count;
      database.exec(`PRAGMA max_page_count=${pages + 2}`);
      const insert = database.statement<never, [string, number]>("INSERT INTO marks VALUES (?1, ?2)");
      const large = (): number => insert.run("x".repeat(100_000), 1);
      expect(fault(() => database.durableTransaction(large))).toMatchObject({ code: "STORE_FULL" });
      database.exec("PRAGMA max_page_count=100000");
      expect(database.durableTransaction(large)).toBe(1);
    });

    test("a lock held by somebody else is STORE_UNAVAILABLE", () => {
      const database = open();
      database.exec("PRAGMA busy_timeout=0");
      const other = open({ path: join(directory, "other.db") });
      other.exec(`ATTACH '${path}' AS held`);
      other.transaction(() => {
        other.exec("INSERT INTO held.marks VALUES ('x', 1)");
        expect(fault(() => database.transaction(() => 1))).toMatchObject({ code: "STORE_UNAVAILABLE" });
      });
      expect(database.transaction(() => 1)).toBe(1);
    });
  });

  describe("migrations", () => {
    const one: Migration = { number: 1, name: "one", sql: "CREATE TABLE one (a INTEGER) STRICT" };
    const two: Migration = {
      number: 2,
      name: "two",
      sql: "ALTER TABLE one ADD COLUMN b INTEGER; CREATE TABLE two (a)",
    };

    test("run once each, in order, and the rest when they come", () => {
      open({}, [one]).close();
      const database = open({}, [one, two]);
      expect(database.statement("SELECT number, name FROM store_migrations").all()).toEqual([
        { number: 1, name: "one" },
        { number: 2, name: "two" },
      ]);
      expect(database.statement("SELECT a, b FROM one").all()).toEqual([]);
    });

    test("one that fails leaves nothing of itself", () => {
      const broken: Migration = { number: 2, name: "broken", sql: "CREATE TABLE half (a); CREATE TABLE one (a)" };
      expect(() => open({}, [one, broken])).toThrow();
      const database = open({}, [one, two]);
      expect(database.statement("SELECT name FROM sqlite_schema WHERE name = 'half'").all()).toEqual([]);
    });
  });

  test("can be opened and closed again and again", () => {
    for (let round = 0; round < 30; round++) {
      const database = open();
      database.durableTransaction(() => database.exec(`INSERT INTO marks VALUES ('round ${round}', 1)`));
      database.close();
      database.close();
    }
    expect(open().statement("SELECT * FROM marks").all()).toHaveLength(30);
  });
});
