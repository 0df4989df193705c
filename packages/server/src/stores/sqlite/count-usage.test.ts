import { expect, test } from "bun:test";
import { createMetrics, FakeClock } from "@flowcatalyst/foundation";
import { countUsage } from "./count-usage.ts";
import { openDatabase } from "./database.ts";

test("rows written and statements executed are counted, and stay as they were when the store is closed", async () => {
  const database = openDatabase({ path: ":memory:" }, { clock: new FakeClock(), pid: process.pid });
  const metrics = createMetrics();
  countUsage(database, metrics);
  const read = async (): Promise<readonly number[]> => {
    const text = await metrics.render();
    return ["row_writes", "statements"].map((name) =>
      Number(new RegExp(`^fc_store_${name}_total (\\d+)$`, "m").exec(text)?.[1]),
    );
  };
  const [rowsBefore = 0, statementsBefore = 0] = await read();
  database.transaction(() => {
    const insert = database.statement<never, [string, number]>("INSERT INTO marks (name, position) VALUES (?1, ?2)");
    for (let n = 0; n < 10; n++) insert.run(`mark ${n}`, n);
    database.statement("UPDATE marks SET position = 1 WHERE name LIKE 'mark %'").run();
  });
  const after = await read();
  // BEGIN, ten inserts, one update and COMMIT; and the look at the counter itself.
  expect(after).toEqual([rowsBefore + 20, statementsBefore + 14]);
  database.close();
  expect(await read()).toEqual(after);
});
