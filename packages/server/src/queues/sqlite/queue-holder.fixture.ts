import { systemClock } from "@flowcatalyst/foundation";
import { parseStandaloneMessage } from "../../domain/standalone-message.ts";
import { defaultPoolCode } from "../../domain/dispatch-pool.ts";
import { openSqliteQueue } from "./index.ts";

/** A process that publishes two messages, receives one, says so, and holds it until it is killed. */
const { queue } = openSqliteQueue({ clock: systemClock() }, { path: process.argv[2] ?? "" });
for (const id of ["a", "b"]) {
  const parsed = parseStandaloneMessage({ id, target: "https://example.test/", payload: id }, "refuseUnknownFields");
  if (parsed.kind === "message") await queue.publish([parsed.message]);
}
const [held] = await queue.receive({ lane: defaultPoolCode, max: 1, waitMs: 0 }, new AbortController().signal);
process.stdout.write(`holding ${held?.message.id}\n`);
setInterval(() => undefined, 1_000);
