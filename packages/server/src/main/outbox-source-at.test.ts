import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CodedError } from "@flowcatalyst/foundation";
import { openOutboxAt, refusedByDatabase } from "./outbox-source-at.ts";

test("what a database says no to names the setting; faults of others stay as they are", async () => {
  const folder = mkdtempSync(join(tmpdir(), "outbox-refused-"));
  const path = join(folder, "notes.db");
  writeFileSync(path, "these are notes and no database\n".repeat(100));
  const outbox = await openOutboxAt({ outboxDbUrl: `sqlite:${path}`, outboxMode: "platform", outboxTable: undefined });
  const fault: unknown = await outbox.source.verify().catch(refusedByDatabase);
  expect(fault).toMatchObject({
    code: "CONFIG_INVALID",
    message: expect.stringContaining("FC_OUTBOX_DB_URL (database): file is not a database"),
  });
  await outbox.source.close();
  rmSync(folder, { recursive: true });
  for (const other of [new CodedError("STORE_UNAVAILABLE"), new TypeError("a fault of ours"), "no error at all"]) {
    expect(refusedByDatabase(other)).toBe(other);
  }
});
