import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { silentLogger, systemClock } from "@flowcatalyst/foundation";
import { createSamples, type SampleEntities } from "../../ports/sample-entities.fixture.ts";
import { createEventLog, type SqliteEventLog } from "./event-log.ts";
import { openTestDatabase, type TestDatabase } from "./sqlite-store.fixture.ts";
import { createWakeSignal } from "./wake-signal.ts";
import { createWalCheckpointer, walLimits, type WalLimits } from "./wal-checkpointer.ts";

const small: WalLimits = { ...walLimits, startPages: 200, softMaxPages: 400, finishMaxPages: 100 };

describe("write-ahead log", () => {
  let store: TestDatabase;
  let log: SqliteEventLog;
  let samples: SampleEntities;
  beforeEach(() => {
    store = openTestDatabase();
    samples = createSamples();
    log = createEventLog({ ...store, appended: createWakeSignal() }, { dedupWindowMs: 1 });
  });
  afterEach(() => store.close());

  const data = JSON.stringify("x".repeat(4_000));
  const write = async (pages: number): Promise<void> => {
    await log.appender.append(Array.from({ length: pages }, () => samples.event({ data })));
  };
  const deps = () => ({ database: store.database, clock: systemClock(), logger: silentLogger() });

  test("a short one is left alone", async () => {
    await write(50);
    const checkpointer = createWalCheckpointer(deps(), small);
    await checkpointer.pass();
    expect(store.database.checkpoint("NOOP").writtenBackPages).toBe(0);
  });

  test("a long one is written back by the thread, and starts again with the next commit", async () => {
    await write(300);
    const checkpointer = createWalCheckpointer(deps(), small);
    await checkpointer.pass();
    const log = store.database.checkpoint("NOOP");
    expect(log.writtenBackPages).toBe(log.logPages);
    await write(1);
    expect(store.database.checkpoint("NOOP").logPages).toBeLessThan(50);
    await checkpointer.run(AbortSignal.abort());
  });

  test("starts again and again while writing never pauses", async () => {
    const checkpointer = createWalCheckpointer(deps(), small);
    let restarts = 0;
    let written = 0;
    let passing = true;
    const passes = (async () => {
      while (passing) {
        await checkpointer.pass();
        await new Promise<void>((resolve) => setImmediate(resolve));
      }
    })();
    let pages = 0;
    while (restarts < 3 && written < 100_000) {
      await write(50);
      written += 50;
      const now = store.database.checkpoint("NOOP").logPages;
      if (now < pages) restarts++;
      pages = now;
    }
    passing = false;
    await passes;
    expect(restarts).toBe(3);
    await checkpointer.run(AbortSignal.abort());
    const events = store.database.statement<{ n: number }>("SELECT count(*) AS n FROM events").get();
    expect(events?.n).toBe(written);
  });

  test("can be started and stopped again and again", async () => {
    await write(300);
    for (let round = 0; round < 20; round++) {
      const stop = new AbortController();
      const running = createWalCheckpointer(deps(), small).run(stop.signal);
      stop.abort();
      await running;
    }
  });

  test("a database in memory has none", async () => {
    const checkpointer = createWalCheckpointer({ ...deps(), database: { ...store.database, inMemory: true } }, small);
    await checkpointer.pass();
  });
});
