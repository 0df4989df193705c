import { expect, test } from "bun:test";
import { seededRandom, silentLogger, systemClock } from "@flowcatalyst/foundation";
import { openSqliteQueue } from "../../queues/sqlite/index.ts";
import { Warnings } from "../../router/warnings.ts";
import { QueueSet } from "./queue-set.ts";
import type { ConfiguredQueue } from "./router-config-shapes.ts";

/** What happens to queues, in order; the router lets go of one when `letGo` is called. */
function setup() {
  const clock = systemClock();
  const logger = silentLogger();
  const seen: string[] = [];
  const letGo = Promise.withResolvers<void>();
  const open = async ({ name, uri }: ConfiguredQueue) => {
    seen.push(`open ${name}`);
    const { queue, close } = openSqliteQueue({ clock }, { path: ":memory:", name });
    const closed = (): void => {
      seen.push(`close ${name}`);
      close();
    };
    return { queue, uri, close: closed };
  };
  const set = new QueueSet({ clock, random: seededRandom(1), logger, warnings: new Warnings(clock, logger), open });
  set.attach({
    addQueue: ({ name }) => seen.push(`add ${name}`),
    removeQueue: (name) => {
      seen.push(`remove ${name}`);
      return letGo.promise;
    },
  });
  return { set, seen, letGo: () => letGo.resolve() };
}

/** All that can go on without the router has gone on. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("a queue that only gets another name is opened under it when the old one is closed", async () => {
  const { set, seen, letGo } = setup();
  set.want([{ name: "old", uri: "nats://n:4222" }]);
  await settled();
  set.want([
    { name: "new", uri: "nats://me:secret@n:4222" },
    { name: "other", uri: "nats://o:4222" },
  ]);
  await settled();
  expect(seen).toEqual(["open old", "add old", "remove old", "open other", "add other"]);
  letGo();
  await settled();
  expect(seen.slice(5)).toEqual(["close old", "open new", "add new"]);
  await set.close();
});

test("what is told while all are being closed opens nothing", async () => {
  const { set, seen } = setup();
  set.want([{ name: "a", uri: "nats://a" }]);
  await settled();
  const closing = set.close();
  set.want([{ name: "b", uri: "nats://b" }]);
  await closing;
  expect(seen).toEqual(["open a", "add a", "close a"]);
  expect(set.opened()).toEqual([]);
});
