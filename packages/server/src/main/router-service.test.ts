import { afterEach, expect, test } from "bun:test";
import {
  CodedError,
  createMetrics,
  FakeClock,
  HealthRegistry,
  seededRandom,
  silentLogger,
  type Service,
} from "@flowcatalyst/foundation";
import type { StandaloneMessage } from "../domain/message.ts";
import { parseStandaloneMessage } from "../domain/standalone-message.ts";
import type { DeliveryControl } from "../ports/delivery-control.ts";
import type { TransportRequest } from "../ports/transport.ts";
import { openSqliteQueue, type SqliteQueue } from "../queues/sqlite/index.ts";
import type { ProcessContext } from "./process-context.ts";
import { createRouterServices, type RouterSettings } from "./router-service.ts";

const settings: RouterSettings = {
  host: "127.0.0.1",
  routerPort: 0,
  apiTokens: [],
  routerVisibilityTimeoutSecs: 60,
  routerDrainTimeoutSecs: 30,
  routerMaxInFlight: 100,
};

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

/** A queue whose connection the test can cut. */
function cuttable(queue: SqliteQueue): { readonly queue: SqliteQueue; isCut: boolean; extensionsTried: number } {
  const noConnection = (): Promise<never> =>
    Promise.reject(new CodedError("QUEUE_UNAVAILABLE", { message: "no connection" }));
  const line = {
    isCut: false,
    extensionsTried: 0,
    queue: new Proxy(queue, {
      get(target, name) {
        if (name === "readyLanes" && line.isCut) return noConnection;
        if (name === "extend" && line.isCut) {
          line.extensionsTried += 1;
          return noConnection;
        }
        const member: unknown = Reflect.get(target, name, target);
        return typeof member === "function" ? (member.bind(target) as unknown) : member;
      },
    }),
  };
  return line;
}

function setup(changes: Partial<ProcessContext> = {}, hangs = false) {
  const clock = new FakeClock();
  const { queue, close } = openSqliteQueue({ clock }, { path: ":memory:" });
  ends.push(close);
  const line = cuttable(queue);
  const calls: string[] = [];
  const health = new HealthRegistry(clock);
  const context: ProcessContext = {
    version: "1.2.3",
    holder: "here:1:1",
    clock,
    steerClock: () => undefined,
    random: seededRandom(1),
    logger: silentLogger(),
    metrics: createMetrics(),
    health,
    maxSimultaneousRequests: 1_000,
    announce: () => undefined,
    ...changes,
  };
  const state = { revision: 1, pools: [], pausedSubscriptions: new Set<never>(), cancelledJobs: new Set<never>() };
  const control: DeliveryControl = {
    read: async (known, waitMs, signal) => {
      if (known !== null) await clock.sleep(waitMs, signal);
      return state;
    },
    secrets: async () => [],
  };
  const parts = {
    queues: [{ queue: line.queue, uri: "sqlite:", close }],
    control,
    jobs: null,
    transport: {
      post: async (request: TransportRequest) => {
        calls.push(request.headers["webhook-id"] ?? "");
        if (hangs) await new Promise(() => undefined);
        return { kind: "response", status: 200, retryAfter: null, body: "" } as const;
      },
    },
    guard: { check: async () => ({ kind: "allowed", address: "192.0.2.1" }) as const },
    addresses: {},
  };
  const create = (): readonly Service[] => createRouterServices(parts, settings, context);
  const start = async (): Promise<void> => {
    const [router] = create();
    const stop = new AbortController();
    const running = router?.run(stop.signal);
    ends.unshift(async () => {
      stop.abort();
      // A call that hangs is given up when the time for stopping is over.
      await Promise.all([running, clock.advance(60_000)]);
    });
    await router?.ready?.();
  };
  return { clock, health, line, queue, calls, create, start };
}

function standalone(id: string): StandaloneMessage {
  const parsed = parseStandaloneMessage({ id, target: "https://a.example/hook", payload: {} }, "refuseUnknownFields");
  if (parsed.kind === "malformed" || parsed.message.kind !== "standalone") throw new Error("the message is one");
  return parsed.message;
}

test("readiness tells of a queue that is out of reach, and of its return", async () => {
  const { clock, health, line, start } = setup();
  await start();
  await clock.advance(10);
  expect(await health.ready()).toMatchObject({ status: "UP", checks: [{ name: "queue", status: "UP" }] });
  line.isCut = true;
  await clock.advance(1_100);
  const [check] = (await health.ready()).checks;
  expect(check).toMatchObject({ name: "queue", status: "DOWN" });
  expect(JSON.stringify(check?.data)).toContain("no connection");
  line.isCut = false;
  await clock.advance(6_000);
  expect((await health.ready()).status).toBe("UP");
});

test("a router that dies of what nobody foresaw leaves nothing running, and goes on when it is run again", async () => {
  let isLoggerBroken = true;
  const warn = (): void => {
    if (isLoggerBroken) throw new Error("no space left on device");
  };
  const { clock, line, queue, calls, create } = setup({ logger: { ...silentLogger(), warn } });
  const [router] = create();
  const stop = new AbortController();
  line.isCut = true;
  const died = router?.run(stop.signal).catch((error: unknown) => error);
  await clock.advance(10);
  expect(await died).toMatchObject({ message: "no space left on device" });
  expect(clock.timerCount).toBe(0);
  isLoggerBroken = false;
  line.isCut = false;
  await queue.publish([standalone("m1")]);
  const running = router?.run(stop.signal);
  await clock.advance(1_000);
  expect(calls).toEqual(["m1"]);
  stop.abort();
  await running;
});

test("what is held is extended in time to be tried three times before it would come back", async () => {
  const { clock, line, queue, calls, start } = setup({}, true);
  await start();
  await clock.advance(100);
  await queue.publish([standalone("m1")]);
  await clock.advance(10);
  expect(calls).toEqual(["m1"]);
  line.isCut = true;
  await clock.advance(59_000);
  expect(line.extensionsTried).toBeGreaterThanOrEqual(3);
});

test("a start with more calls at once than the runtime makes is refused", () => {
  const { create } = setup({ maxSimultaneousRequests: 50 });
  expect(create).toThrow(expect.objectContaining({ code: "TRANSPORT_LIMIT_TOO_LOW" }));
});
