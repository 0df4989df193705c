import { afterEach, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import pg from "pg";
import { createPostgresServer, findPostgres, withClient } from "./postgres-server.ts";
import { processTree } from "./process-usage.ts";
import { createRedisServer, findRedis } from "./redis-server.ts";

/** What chaos tests do to the servers, so that a ledger that closes is not one of a fault that never happened. */
const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

const timeoutMs = 500;

describe.skipIf(findPostgres() === null)("a private PostgreSQL", () => {
  async function setup() {
    const server = await createPostgresServer({ settings: { fsync: "off", wal_level: "logical" } });
    closing.push(() => server.remove());
    return server;
  }

  test("keeps its data through each way of ending", async () => {
    const server = await setup();
    const url = await server.createDatabase("kept");
    await withClient(url, (client) => client.query("CREATE TABLE ends (mode text)"));
    for (const mode of ["fast", "immediate", "kill", "smart"] as const) {
      await withClient(url, (client) => client.query("INSERT INTO ends VALUES ($1)", [mode]));
      const before = server.pid;
      await server.stop(mode);
      expect(await new pg.Client(url).connect().catch(String)).toContain("ECONNREFUSED");
      await server.start();
      expect(server.pid).not.toBe(before);
    }
    const ends = await withClient(url, (client) => client.query("SELECT mode FROM ends"));
    expect(ends.rows.map(({ mode }) => mode)).toEqual(["fast", "immediate", "kill", "smart"]);
  });

  test("frozen, it answers nobody, old connections neither; thawed, it answers what was asked", async () => {
    const server = await setup();
    await withClient(server.url, async (client) => {
      server.freeze();
      const asked = client.query("SELECT 1 AS one");
      const late = new pg.Client({ connectionString: server.url, connectionTimeoutMillis: timeoutMs });
      expect(await late.connect().catch(String)).toContain("timeout");
      server.thaw();
      expect((await asked).rows).toEqual([{ one: 1 }]);
    });
  });

  test("has the settings it was given, and sorts as people do", async () => {
    const server = await setup();
    const settings = await withClient(server.url, (client) => client.query("SHOW wal_level"));
    expect(settings.rows).toEqual([{ wal_level: "logical" }]);
    const sorted = await withClient(server.url, (client) => client.query("SELECT 'a' < 'B' AS people"));
    expect(sorted.rows).toEqual([{ people: true }]);
    expect(server.version).toMatch(/^\d+\.\d+$/);
  });

  test("leaves nothing behind", async () => {
    const server = await createPostgresServer();
    const tree = processTree(server.pid);
    await server.remove();
    expect(existsSync(server.folder.path)).toBe(false);
    expect(tree.filter((pid) => existsSync(`/proc/${pid}`))).toEqual([]);
  });
});

describe.skipIf(findRedis() === null)("a private Redis", () => {
  test("starts again at its place, and has forgotten everything", async () => {
    const server = await createRedisServer();
    closing.push(() => server.remove());
    const get = async (): Promise<string | null> => {
      const client = new Bun.RedisClient(server.url, { autoReconnect: false });
      try {
        return await client.get("key");
      } finally {
        client.close();
      }
    };
    for (const mode of ["fast", "kill"] as const) {
      const client = new Bun.RedisClient(server.url, { autoReconnect: false });
      await client.set("key", mode);
      client.close();
      expect(await get()).toBe(mode);
      await server.stop(mode);
      await server.start();
      expect(await get()).toBeNull();
    }
  });
});
