import { expect, test } from "bun:test";
import { Database } from "bun:sqlite";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isCodedError, systemClock } from "@flowcatalyst/foundation";
import { defaultPoolCode } from "../../domain/dispatch-pool.ts";
import { openSqliteQueue } from "./index.ts";

/** From the new process's opening to its first message; the issue allows two seconds for a whole restart. */
const REOPEN_MAX_MS = 2_000;

test("a queue file is one process's; after SIGKILL the next one goes on at once with what was in flight", async () => {
  const folder = mkdtempSync(join(tmpdir(), "queue-kill-"));
  const path = join(folder, "queue.db");
  const holder = Bun.spawn(
    [process.execPath, Bun.fileURLToPath(new URL("./queue-holder.fixture.ts", import.meta.url)), path],
    {
      stdout: "pipe",
      stderr: "inherit",
    },
  );
  try {
    const reader = holder.stdout.getReader();
    const { value } = await reader.read();
    expect(new TextDecoder().decode(value)).toBe("holding a\n");
    const open = () => openSqliteQueue({ clock: systemClock() }, { path });
    expect(open).toThrow(expect.objectContaining({ code: "DATA_DIR_IN_USE" }));

    holder.kill("SIGKILL");
    await holder.exited;
    const startedMs = performance.now();
    const { queue, close } = open();
    const signal = new AbortController().signal;
    const received = await queue.receive({ lane: defaultPoolCode, max: 10, waitMs: 0 }, signal);
    expect(performance.now() - startedMs).toBeLessThan(REOPEN_MAX_MS);
    expect(received.map(({ message, receiveCount }) => [message.id as string, receiveCount])).toEqual([
      ["a", 2],
      ["b", 1],
    ]);
    close();
  } finally {
    holder.kill("SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  }
});

test("a file that is no database, or of a newer build, is said to be so", () => {
  const folder = mkdtempSync(join(tmpdir(), "queue-file-"));
  const codeOf = (open: () => unknown): string => {
    try {
      open();
      return "none";
    } catch (error) {
      return isCodedError(error) ? error.code : String(error);
    }
  };
  try {
    const damaged = join(folder, "damaged.db");
    writeFileSync(damaged, "not a database at all, but long enough to be read as one".repeat(100));
    expect(codeOf(() => openSqliteQueue({ clock: systemClock() }, { path: damaged }))).toBe("DATABASE_CORRUPT");
    const path = join(folder, "newer.db");
    openSqliteQueue({ clock: systemClock() }, { path }).close();
    const raw = new Database(path);
    raw.run("INSERT INTO queue_migrations VALUES (99, 0)");
    raw.close();
    expect(codeOf(() => openSqliteQueue({ clock: systemClock() }, { path }))).toBe("DATABASE_TOO_NEW");
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
