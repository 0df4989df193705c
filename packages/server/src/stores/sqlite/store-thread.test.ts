import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "@flowcatalyst/foundation";
import { anchorScope } from "../../domain/scope.ts";
import { createSamples } from "../../ports/sample-entities.fixture.ts";
import { createEventLog } from "./event-log.ts";
import { runSearch } from "./search-runner.ts";
import { openTestDatabase } from "./sqlite-store.fixture.ts";
import { createStoreThread, storeThreadLimits } from "./store-thread.ts";
import { createWakeSignal } from "./wake-signal.ts";

const search = {
  kind: "events",
  search: {},
  paging: { page: 0, size: 1 },
  scope: anchorScope,
  timeoutMs: 2_000,
} as const;

describe("sqlite store thread", () => {
  test("a search ends itself at the first step after its deadline", async () => {
    const store = openTestDatabase();
    const samples = createSamples();
    const log = createEventLog({ ...store, appended: createWakeSignal() }, { dedupWindowMs: 1 });
    for (let n = 0; n < 6; n++) await log.appender.append(Array.from({ length: 1_000 }, () => samples.event()));
    const slow = { ...search, search: { text: "not there" } };
    expect(() => runSearch(store.database, slow, () => 0)).not.toThrow();
    let asked = 0;
    const clockThatFlies = (): number => asked++ * search.timeoutMs;
    expect(() => runSearch(store.database, slow, clockThatFlies)).toThrow("took too long");
    expect(asked).toBe(2);
    await store.close();
  });

  test("a file that cannot be opened fails the request, and the next one tries again", async () => {
    const thread = createStoreThread({ clock: systemClock() }, { path: "/nowhere/at/all.db", role: "search" });
    for (let round = 0; round < 2; round++) {
      const fault = await thread.ask(search, 5_000).catch((error: unknown) => error);
      expect(fault).toMatchObject({ code: "STORE_UNAVAILABLE" });
    }
    await thread.close();
  });

  test("one that does not answer in time is ended, and the next request gets another", async () => {
    const store = openTestDatabase();
    const thread = createStoreThread(store, { path: store.path, role: "search" });
    const first = thread.ask(search, 2_000).catch((error: unknown) => error);
    // The thread has not even started when its time is over by this clock.
    await store.clock.whenTimers(1);
    await store.clock.advance(2_000 + storeThreadLimits.graceMs);
    expect(await first).toMatchObject({ code: "SEARCH_TIMED_OUT" });
    expect(await thread.ask(search, 2_000)).toMatchObject({ kind: "done" });
    await thread.close();
    await store.close();
  });

  test("more requests than may wait are refused", async () => {
    const store = openTestDatabase();
    const thread = createStoreThread(store, { path: store.path, role: "search" });
    const asked = Array.from({ length: storeThreadLimits.waitingMax + 5 }, () => thread.ask(search, 2_000));
    const settled = await Promise.allSettled(asked);
    const refused = settled.filter((one) => one.status === "rejected");
    expect(refused).toHaveLength(4);
    for (const one of refused) expect(one.reason).toMatchObject({ code: "OVERLOADED" });
    await thread.close();
    await store.close();
  });

  test("starts inside a compiled executable", async () => {
    const directory = mkdtempSync(join(tmpdir(), "compiled-store-"));
    const packages = join(import.meta.dir, "../../../..");
    const built = await Bun.build({
      entrypoints: [
        Bun.fileURLToPath(new URL("./compiled-search.fixture.ts", import.meta.url)),
        join(import.meta.dir, "store-worker.ts"),
      ],
      root: packages,
      compile: { outfile: join(directory, "program") },
    });
    expect(built.success).toBe(true);
    const program = Bun.spawn([join(directory, "program"), join(directory, "data.db")], { cwd: directory });
    expect(await new Response(program.stdout).text()).toBe('{"found":1}');
    expect(await program.exited).toBe(0);
    rmSync(directory, { recursive: true, force: true });
  });
});
