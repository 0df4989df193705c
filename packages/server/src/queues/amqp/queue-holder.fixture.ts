import { silentLogger, systemClock, systemRandom } from "@flowcatalyst/foundation";
import type { PoolCode } from "../../domain/ids.ts";
import { openAmqpQueue } from "./index.ts";

/** A process of its own that takes ten messages of the queue at argv[2], says so, and holds them until it is killed. */
const url = process.argv[2] ?? "";
const deps = { clock: systemClock(), random: systemRandom(), logger: silentLogger() };
const { queue } = await openAmqpQueue(deps, { url, name: "held", visibilityMs: 60_000, parallelReceives: 1 });
let held = 0;
while (held < 10) {
  const request = { lane: "DEFAULT-POOL" as PoolCode, max: 10 - held, waitMs: 10_000 };
  held += (await queue.receive(request, new AbortController().signal)).length;
}
process.stdout.write("held\n");
