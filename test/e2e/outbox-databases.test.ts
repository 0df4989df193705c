import { afterEach, expect, test } from "bun:test";
import { MongoClient } from "mongodb";
import { createConnection } from "mysql2/promise";
import { openOutboxOperations } from "@flowcatalyst/server";
import { openMongoOutbox } from "../../packages/server/src/outbox-sources/mongodb/index.ts";
import { openMysqlOutbox } from "../../packages/server/src/outbox-sources/mysql/index.ts";
import { describeWith, testMariadbUrl } from "../../packages/server/src/ports/needs-services.fixture.ts";
import { deferredTold } from "../../packages/server/src/ports/outbox-told.fixture.ts";
import type { OutboxAdmin, OutboxClaim } from "../../packages/server/src/ports/outbox-source.ts";
import type { BrokerServer } from "../harness/broker-process.ts";
import { createMariadbServer } from "../harness/mariadb-server.ts";
import { createMongoServer } from "../harness/mongo-server.ts";

/** The application's database is killed under an outbox source, and comes back. */
const timeoutMs = 60_000;
const table = "outbox_messages";
const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

function starts<Server extends BrokerServer>(server: Server): Server {
  closing.push(() => server.remove());
  return server;
}

function opened(admin: OutboxAdmin): OutboxAdmin {
  closing.push(() => admin.source.close());
  return admin;
}

function claimOf(epoch: number): OutboxClaim {
  return {
    epoch,
    which: "new",
    maxRows: 1,
    maxBytes: 1_000_000,
    payloadMaxBytes: 100_000,
    after: null,
    maxScanned: 100,
    maxRetries: 10,
    blockOnError: true,
  };
}

const away = expect.objectContaining({ code: "STORE_UNAVAILABLE" });

function faultOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => null,
    (error: unknown) => error,
  );
}

async function insertMysql(url: string, ids: readonly string[]): Promise<void> {
  const connection = await createConnection({ uri: url });
  for (const id of ids) {
    const row = { id, type: "EVENT", message_group: "a", payload: "{}" };
    await connection.query(`INSERT INTO ${table} SET ?`, [row]);
  }
  await connection.end();
}

describeWith(["mariadb"], "an outbox source on a MariaDB that is killed", () => {
  test(
    "says that it is away, and goes on with the same rows when it is back",
    async () => {
      const server = starts(await createMariadbServer());
      const { source, init } = opened(await openMysqlOutbox({ url: server.url, form: "platform", table }));
      await init();
      await insertMysql(server.url, ["1", "2"]);
      const { epoch } = (await source.lease.acquire("one", 600_000)) ?? { epoch: 0 };
      expect(await source.claim(claimOf(epoch))).toMatchObject({ kind: "claimed", rows: [{ id: "1" }] });
      await server.kill();
      expect(await faultOf(source.claim(claimOf(epoch)))).toEqual(away);
      expect(await faultOf(source.recover(0))).toEqual(away);
      expect(await faultOf(source.lease.acquire("one", 600_000))).toEqual(away);
      expect(await faultOf(source.probe())).toEqual(away);
      await server.start();
      expect(await source.lease.acquire("one", 600_000)).toEqual({ epoch });
      expect(await source.claim(claimOf(epoch))).toMatchObject({ kind: "claimed", rows: [], passedOver: 1 });
      expect(await source.recover(0)).toBe(1);
      expect(await source.claim(claimOf(epoch))).toMatchObject({ kind: "claimed", rows: [{ id: "1" }] });
    },
    timeoutMs,
  );
});

describeWith(["mariadb"], "operations on an outbox in MariaDB", () => {
  test("an account that the server refuses is a fault of the settings, which shows no password", async () => {
    const url = new URL(testMariadbUrl ?? "");
    url.password = "wrong-Pa55word";
    const flags = { outboxDbUrl: url.href };
    const operations = await openOutboxOperations({ env: {}, flags, isTerminal: false });
    closing.push(() => operations.close());
    for (const fault of [await faultOf(operations.status()), await faultOf(operations.init())]) {
      expect(fault).toMatchObject({ code: "CONFIG_INVALID", message: expect.stringContaining("Access denied") });
      expect(Bun.inspect(fault)).not.toContain(url.password);
    }
  });
});

describeWith(["mongodb"], "an outbox source on a MongoDB that is killed", () => {
  test(
    "says that it is away, says what to run when everything is lost, and tells of new rows again",
    async () => {
      const server = starts(await createMongoServer());
      const { source, init } = opened(await openMongoOutbox({ url: server.url, form: "platform", table }));
      await init();
      const stop = new AbortController();
      const told = deferredTold();
      const listening = source.listen(told.tell, stop.signal);
      await told.next();
      await server.kill();
      expect(await faultOf(source.probe())).toEqual(away);
      await server.start();
      expect(await faultOf(source.verify())).toMatchObject({ code: "CONFIG_INVALID" });
      await init();
      const client = new MongoClient(server.url);
      closing.push(() => client.close());
      const row = { type: "EVENT", message_group: null, payload: "{}", status: 0, created_at: new Date() };
      await client
        .db()
        .collection<{ _id: string }>(table)
        .insertOne({ _id: "1", ...row });
      await told.next();
      const { epoch } = (await source.lease.acquire("one", 600_000)) ?? { epoch: 0 };
      expect(await source.claim(claimOf(epoch))).toMatchObject({ kind: "claimed", rows: [{ id: "1" }] });
      stop.abort();
      await listening;
    },
    timeoutMs,
  );
});
