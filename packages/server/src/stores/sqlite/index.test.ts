import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSecretBox, FakeClock, newAppKey, silentLogger } from "@flowcatalyst/foundation";
import type { EventPosition } from "../../domain/ids.ts";
import { anchorScope } from "../../domain/scope.ts";
import { createSamples } from "../../ports/sample-entities.fixture.ts";
import { createSqliteStore, openDatabase, type SqliteStore } from "./index.ts";

describe("sqlite store", () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "sqlite-store-"));
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  const secretBox = createSecretBox(newAppKey());
  const open = (path = join(directory, "flowcatalyst.db")): SqliteStore => {
    const clock = new FakeClock();
    const database = openDatabase({ path }, { clock, pid: process.pid });
    return createSqliteStore({ database, clock, logger: silentLogger(), secretBox }, { dedupWindowMs: 1_000 });
  };

  test("carries on where it stopped, started and stopped again and again", async () => {
    const samples = createSamples();
    for (let round = 1; round <= 20; round++) {
      const store = open();
      const stop = new AbortController();
      const checkpointing = store.checkpointer.run(stop.signal);
      const queued = store.events.append([samples.event()]);
      await store.subscriptions.create(samples.subscription());
      await store.secrets.put(`ref ${round}`, "whsec_b25l", 0);
      expect((await store.leases.acquire("stream", `holder ${round}`, 60_000))?.epoch).toBe(round as never);
      stop.abort();
      await checkpointing;
      await store.close();
      expect(await queued).toHaveLength(1);
    }
    const store = open();
    expect(await store.eventFeed.newest()).toBe(20 as EventPosition);
    expect((await store.subscriptionReader.matching()).length).toBe(20);
    expect(await store.control.secrets("ref 1", new AbortController().signal)).toEqual(["whsec_b25l"]);
    expect((await store.searches.events({}, { page: 0, size: 5 }, anchorScope)).totalItems).toBe(20);
    await store.close();
  });

  test("works in memory", async () => {
    const samples = createSamples();
    const store = open(":memory:");
    const stop = new AbortController();
    const checkpointing = store.checkpointer.run(stop.signal);
    await store.events.append([samples.event()]);
    expect((await store.searches.events({}, { page: 0, size: 5 }, anchorScope)).totalItems).toBe(1);
    stop.abort();
    await checkpointing;
    await store.close();
  });
});
