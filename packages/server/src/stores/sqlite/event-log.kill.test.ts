import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FakeClock } from "@flowcatalyst/foundation";
import { openDatabase } from "./database.ts";

/** Kills the appending process when it has answered so many lines; gives the ids it had answered by then. */
async function appendUntilKilled(path: string, prefix: string, lines: number): Promise<readonly string[]> {
  const program = Bun.fileURLToPath(new URL("./appender-until-killed.fixture.ts", import.meta.url));
  const child = Bun.spawn([process.execPath, program, path, prefix], { stdout: "pipe", stderr: "inherit" });
  let printed = "";
  for await (const chunk of child.stdout) {
    printed += new TextDecoder().decode(chunk);
    if (printed.split("\n").length > lines) child.kill("SIGKILL");
  }
  await child.exited;
  // The last line may have been cut by the kill; every whole one was answered.
  return printed
    .split("\n")
    .slice(0, -1)
    .flatMap((line) => line.split(" "));
}

test("whatever was answered before SIGKILL is in the log, once, and positions have no gap", async () => {
  const directory = mkdtempSync(join(tmpdir(), "event-log-kill-"));
  const path = join(directory, "flowcatalyst.db");
  const answered: string[] = [];
  for (const [round, lines] of [3, 50, 400, 1_000].entries()) {
    answered.push(...(await appendUntilKilled(path, `KILL${round}`, lines)));
    const database = openDatabase({ path }, { clock: new FakeClock(), pid: process.pid });
    const rows = database.statement<{ id: string; position: number }>("SELECT id, position FROM events").all();
    expect(rows.map((row) => row.position)).toEqual(rows.map((_, index) => index + 1));
    const stored = new Set(rows.map((row) => row.id));
    expect(stored.size).toBe(rows.length);
    expect(answered.filter((id) => !stored.has(id))).toEqual([]);
    const check = database.statement<{ integrity_check: string }>("PRAGMA integrity_check").all();
    expect(check).toEqual([{ integrity_check: "ok" }]);
    database.close();
  }
  rmSync(directory, { recursive: true, force: true });
});
