import { FakeClock } from "@flowcatalyst/foundation";
import { describeEventLogConformance, type EventLogFixture } from "../../ports/event-log.conformance.ts";
import { sampleTimeMs } from "../../ports/sample-entities.fixture.ts";
import { describeWithPostgres, openTestPostgres } from "../../postgres/test-database.fixture.ts";
import { createEventLog } from "./event-log.ts";
import { storeMigrations } from "./migrations.ts";

const dedupWindowMs = 168 * 3_600_000;

async function setup(): Promise<EventLogFixture> {
  const postgres = await openTestPostgres([storeMigrations]);
  const clock = new FakeClock(sampleTimeMs);
  const log = createEventLog({ database: postgres.database, clock }, { dedupWindowMs });
  return {
    ...log,
    advance: async (ms) => clock.advance(ms),
    close: async () => {
      await log.appender.close();
      await postgres.close();
    },
  };
}

describeWithPostgres("postgres", () => describeEventLogConformance("postgres", setup));
