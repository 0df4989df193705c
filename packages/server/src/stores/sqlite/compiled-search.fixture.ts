import { systemClock } from "@flowcatalyst/foundation";
import { anchorScope } from "../../domain/scope.ts";
import { createSamples } from "../../ports/sample-entities.fixture.ts";
import { openDatabase } from "./database.ts";
import { createEventLog } from "./event-log.ts";
import { createSearches } from "./searches.ts";
import { createWakeSignal } from "./wake-signal.ts";

/** A program that a test compiles: publishes one event into the database named and searches for it on a thread. */
const clock = systemClock();
const database = openDatabase({ path: process.argv[2] ?? "" }, { clock, pid: process.pid });
const log = createEventLog({ database, clock, appended: createWakeSignal() }, { dedupWindowMs: 1 });
await log.appender.append([createSamples().event()]);
const searches = createSearches({ database, clock });
const found = await searches.events({}, { page: 0, size: 1 }, anchorScope);
await searches.close();
database.close();
process.stdout.write(JSON.stringify({ found: found.totalItems }));
