import { afterEach, expect, test } from "bun:test";
import { setupPlatform, type TestPlatform } from "../platform.fixture.ts";
import { readOwnEvent } from "./own-event.ts";
import { createSchemaCompiler, createSchemaGate } from "./schema-gate.ts";

let platform: TestPlatform;
afterEach(() => platform.close());

const code = "shop:sales:order:created";

test("a schema that changes while it is being read for one event is not kept for the next", async () => {
  platform = setupPlatform();
  const { store, deps } = platform;
  const { id } = await platform.call("POST /api/event-types", { code, schema: { type: "object" } });
  const reading = Promise.withResolvers<void>();
  const goOn = Promise.withResolvers<void>();
  const gate = createSchemaGate({
    compiler: createSchemaCompiler(deps.clock),
    log: deps.log,
    eventTypes: {
      revision: () => store.eventTypes.revision(),
      byCode: async (...args) => {
        const found = await store.eventTypes.byCode(...args);
        reading.resolve();
        await goOn.promise;
        return found;
      },
    },
  });
  const read = readOwnEvent({ type: code, source: "/s", data: 5 }, "", { nowMs: 0, dataMaxBytes: 1_000 });
  if (read.kind !== "draft") throw new Error("the event is not valid");
  await gate.refresh();
  const before = gate.faults(read.draft, "");
  await reading.promise;
  await platform.call(`POST /api/event-types/${id}/schemas/1.0/finalise`);
  await gate.refresh();
  goOn.resolve();
  expect(await before).toEqual([]);
  expect(await gate.faults(read.draft, "")).toEqual([{ path: "data", message: "must be object" }]);
});
