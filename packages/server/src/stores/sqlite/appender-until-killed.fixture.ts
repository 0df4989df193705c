import { systemClock } from "@flowcatalyst/foundation";
import type { EventId } from "../../domain/ids.ts";
import { createSamples } from "../../ports/sample-entities.fixture.ts";
import { openDatabase } from "./database.ts";
import { createEventLog } from "./event-log.ts";
import { createWakeSignal } from "./wake-signal.ts";

/** A program that a test kills: appends batches for ever, four at once, and prints the ids of each one answered. */
const clock = systemClock();
const database = openDatabase({ path: process.argv[2] ?? "" }, { clock, pid: process.pid });
const log = createEventLog({ database, clock, appended: createWakeSignal() }, { dedupWindowMs: 3_600_000 });
const samples = createSamples();
const prefix = process.argv[3] ?? "";

async function appendForEver(): Promise<never> {
  for (;;) {
    const batch = [samples.event(), samples.event()].map((event) => ({
      ...event,
      id: `evt_${prefix}${event.id.slice(-8)}` as EventId,
      deduplicationId: prefix + event.id,
    }));
    const appended = await log.appender.append(batch);
    process.stdout.write(`${appended.map((one) => one.event.id).join(" ")}\n`);
  }
}

await Promise.all([appendForEver(), appendForEver(), appendForEver(), appendForEver()]);
