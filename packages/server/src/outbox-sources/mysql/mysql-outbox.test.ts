import { expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { createConnection } from "mysql2/promise";
import { describeWith, testMariadbUrl } from "../../ports/needs-services.fixture.ts";
import type { OutboxClaim } from "../../ports/outbox-source.ts";
import { openMysqlOutbox } from "./index.ts";

const table = "outbox_messages";

function claimOf(epoch: number, maxRows: number): OutboxClaim {
  const sizes = { maxRows, maxBytes: 1_000_000, payloadMaxBytes: 100_000, maxScanned: 100 };
  return { epoch, which: "new", after: null, maxRetries: 10, blockOnError: true, ...sizes };
}

describeWith(["mariadb"], "an outbox on MariaDB", () => {
  test("groups that a collation holds for one are held each, in a table that init did not make", async () => {
    const name = `fc_${randomBytes(6).toString("hex")}`;
    const application = await createConnection({ uri: testMariadbUrl ?? "" });
    await application.query(`CREATE DATABASE ${name}`);
    await application.query(`USE ${name}`);
    const url = new URL(testMariadbUrl ?? "");
    url.pathname = `/${name}`;
    const { source, init } = await openMysqlOutbox({ url: url.href, form: "platform", table });
    await init();
    await application.query(`ALTER TABLE ${table} CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci`);
    for (const [index, group] of ["a", "A", "a", "A", "other"].entries()) {
      const row = { id: String(index + 1), type: "EVENT", message_group: group, payload: "{}" };
      await application.query(`INSERT INTO ${table} SET ?`, [row]);
    }
    const { epoch } = (await source.lease.acquire("one", 600_000)) ?? { epoch: 0 };
    expect(await source.claim(claimOf(epoch, 1))).toMatchObject({ rows: [{ id: "1" }] });
    expect(await source.claim(claimOf(epoch, 10))).toMatchObject({ rows: [{ id: "5" }], passedOver: 3 });
    await source.close();
    await application.query(`DROP DATABASE ${name}`);
    await application.end();
  });
});
