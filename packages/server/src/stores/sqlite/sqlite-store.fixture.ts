import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FakeClock } from "@flowcatalyst/foundation";
import { sampleTimeMs } from "../../ports/sample-entities.fixture.ts";
import { openDatabase, type SqliteDatabase } from "./database.ts";

/** A database file in a directory of its own, and a clock that a test moves. */
export interface TestDatabase {
  readonly database: SqliteDatabase;
  readonly clock: FakeClock;
  readonly directory: string;
  readonly path: string;
  readonly close: () => Promise<void>;
}

export function openTestDatabase(): TestDatabase {
  const directory = mkdtempSync(join(tmpdir(), "sqlite-store-"));
  const path = join(directory, "flowcatalyst.db");
  const clock = new FakeClock(sampleTimeMs);
  const database = openDatabase({ path }, { clock, pid: process.pid });
  return {
    database,
    clock,
    directory,
    path,
    close: async () => {
      database.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
