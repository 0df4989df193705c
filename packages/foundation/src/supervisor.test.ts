import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { FakeClock } from "./clock.ts";
import { CodedError } from "./coded-error.ts";
import { deferred } from "./deferred.ts";
import { HealthRegistry } from "./health.ts";
import { createLogger } from "./logger.ts";
import { seededRandom } from "./random.ts";
import { supervise, type Service } from "./supervisor.ts";

const SOFT_MS = 1_000;
const HARD_MS = 5_000;
const RESTART_MS = 100;

function setup() {
  const clock = new FakeClock();
  const health = new HealthRegistry(clock);
  const lines: { level: string; message: string; service?: string; services?: string[] }[] = [];
  const destination = { write: (line: string) => void lines.push(JSON.parse(line)) };
  const logger = createLogger({ level: "debug", format: "json", destination, clock });
  const stop = new AbortController();
  const kill = new AbortController();
  const events: string[] = [];
  const start = (services: readonly Service[]) =>
    supervise(services, {
      signal: stop.signal,
      hardSignal: kill.signal,
      logger,
      clock,
      health,
      random: seededRandom(1),
      softDeadlineMs: SOFT_MS,
      hardDeadlineMs: HARD_MS,
      restart: { baseMs: RESTART_MS, capMs: 10_000, jitter: "none" },
      stableAfterMs: 2_000,
    });
  /** Runs until told to stop, and notes both. */
  const steady = (name: string): Service => ({
    name,
    async run(signal) {
      events.push(`${name} runs`);
      await aborted(signal);
      events.push(`${name} stopped`);
    },
  });
  const statusOf = async (name: string) => (await health.ready()).checks.find((check) => check.name === name)?.status;
  const errors = () => lines.filter((line) => line.level === "error");
  return { clock, health, lines, stop, kill, events, start, steady, statusOf, errors };
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

/** A service whose every life is ended by the test. */
function mortal(name: string) {
  const lives: { die: (error?: Error) => void }[] = [];
  const born = { waiters: [] as (() => void)[] };
  const service: Service = {
    name,
    async run(signal) {
      const life = deferred();
      lives.push({ die: (error) => (error === undefined ? life.resolve() : life.reject(error)) });
      for (const waiter of born.waiters.splice(0)) waiter();
      await Promise.race([life.promise, aborted(signal)]);
    },
  };
  return { service, lives };
}

describe("start", () => {
  test("goes in order, each waiting for the one before to be ready", async () => {
    const { clock, events, start, stop } = setup();
    const ready = deferred();
    const slow: Service = {
      name: "store",
      run: async (signal) => {
        events.push("store runs");
        await aborted(signal);
      },
      ready: () => ready.promise.then(() => void events.push("store ready")),
    };
    const next: Service = {
      name: "api",
      run: async (signal) => {
        events.push("api runs");
        await aborted(signal);
      },
    };
    const running = start([slow, next]);
    await clock.advance(0);
    expect(events).toEqual(["store runs"]);
    ready.resolve();
    await running.started;
    expect(events).toEqual(["store runs", "store ready", "api runs"]);
    stop.abort();
    expect(await running.stopped).toEqual({ clean: true, unfinished: [] });
  });

  test("a service that ends before it was ready fails the start, and those before it are stopped", async () => {
    const { events, start, steady, statusOf } = setup();
    const taken: Service = {
      name: "api",
      run: () => Promise.reject(new CodedError("PORT_IN_USE")),
      ready: () => deferred().promise,
    };
    const running = start([steady("store"), taken, steady("never")]);
    expect(await running.started.catch((error: unknown) => error)).toMatchObject({ code: "PORT_IN_USE" });
    expect(await running.stopped).toEqual({ clean: true, unfinished: [] });
    expect(events).toEqual(["store runs", "store stopped"]);
    expect(await statusOf("store")).toBe("DOWN");
  });

  test("a run that fails at once fails the start even without ready, and also when it throws in the call", async () => {
    const failing: Service["run"][] = [
      () => Promise.reject(new Error("no disk")),
      () => {
        throw new Error("no disk");
      },
    ];
    for (const run of failing) {
      const { start } = setup();
      const running = start([{ name: "writer", run }]);
      expect(await running.started.catch((error: unknown) => error)).toMatchObject({ message: "no disk" });
      expect((await running.stopped).clean).toBe(true);
    }
  });

  test("stopped during the start, the rest is not started", async () => {
    const { events, start, steady, stop } = setup();
    const never: Service = { name: "slow", run: aborted, ready: () => deferred().promise };
    const running = start([never, steady("api")]);
    stop.abort();
    await running.started;
    expect((await running.stopped).clean).toBe(true);
    expect(events).toEqual([]);
  });
});

describe("restart", () => {
  test("a service that dies turns red, is logged once, and comes back after the backoff", async () => {
    const { clock, start, stop, statusOf, errors, lines } = setup();
    const { service, lives } = mortal("stream");
    const running = start([service]);
    await running.started;
    expect(await statusOf("stream")).toBe("UP");
    await clock.advance(10_000);

    lives[0]!.die(new Error("store is gone"));
    await clock.advance(0);
    expect(await statusOf("stream")).toBe("DOWN");
    expect(lives).toHaveLength(1);
    await clock.advance(RESTART_MS);
    expect(lives).toHaveLength(2);

    // It keeps dying: each time later, but no second error line.
    lives[1]!.die(new Error("store is gone"));
    await clock.advance(RESTART_MS * 2 - 1);
    expect(lives).toHaveLength(2);
    await clock.advance(1);
    expect(lives).toHaveLength(3);
    expect(errors()).toHaveLength(1);
    expect(errors()[0]).toMatchObject({ service: "stream", message: "service died and will be restarted" });

    // Only after having run for a while it counts as up again, and a new death is news again.
    expect(await statusOf("stream")).toBe("DOWN");
    await clock.advance(2_000);
    expect(await statusOf("stream")).toBe("UP");
    expect(lines.some((line) => line.message === "service runs again")).toBe(true);
    lives[2]!.die();
    await clock.advance(RESTART_MS);
    expect(lives).toHaveLength(4);
    expect(errors()).toHaveLength(2);
    stop.abort();
    expect((await running.stopped).clean).toBe(true);
  });

  test("a service with ready is UP again as soon as it is ready", async () => {
    const { clock, start, stop, statusOf } = setup();
    const { service, lives } = mortal("api");
    const readiness = [Promise.resolve(), deferred(), Promise.resolve()] as const;
    let asked = 0;
    const running = start([
      {
        ...service,
        ready: () => {
          const answer = readiness[asked++]!;
          return "promise" in answer ? answer.promise : answer;
        },
      },
    ]);
    await running.started;
    lives[0]!.die(new Error("x"));
    await clock.advance(RESTART_MS);
    expect(await statusOf("api")).toBe("DOWN");
    readiness[1].resolve();
    await clock.advance(0);
    expect(await statusOf("api")).toBe("UP");
    stop.abort();
    await running.stopped;
  });

  test("others go on while one is being restarted, and a stop ends the waiting", async () => {
    const { clock, events, start, stop, steady } = setup();
    const { service, lives } = mortal("stream");
    const running = start([steady("store"), service]);
    await running.started;
    lives[0]!.die(new Error("x"));
    await clock.advance(0);
    expect(events).toEqual(["store runs"]);
    stop.abort();
    expect(await running.stopped).toEqual({ clean: true, unfinished: [] });
    expect(lives).toHaveLength(1);
    expect(clock.timerCount).toBe(0);
  });
});

describe("stop", () => {
  test("goes in reverse order, each after the one before has settled", async () => {
    const { events, start, steady, stop } = setup();
    const running = start(["store", "stream", "api"].map(steady));
    await running.started;
    events.length = 0;
    stop.abort();
    await running.stopped;
    expect(events).toEqual(["api stopped", "stream stopped", "store stopped"]);
  });

  test("everything turns red at once, before anything has stopped", async () => {
    const { health, start, steady, stop } = setup();
    const hold = deferred();
    const draining: Service = { name: "router", run: (signal) => aborted(signal).then(() => hold.promise) };
    const running = start([steady("store"), draining]);
    await running.started;
    expect((await health.ready()).status).toBe("UP");
    stop.abort();
    await Promise.resolve();
    expect((await health.ready()).checks.map((check) => check.status)).toEqual(["DOWN", "DOWN"]);
    hold.resolve();
    await running.stopped;
  });

  test("after the soft deadline all are told, after the hard one nobody is waited for", async () => {
    const { clock, events, start, steady, stop, lines } = setup();
    const stuck: Service = { name: "router", run: () => deferred().promise };
    const running = start([steady("store"), stuck]);
    await running.started;
    stop.abort();
    await clock.advance(SOFT_MS - 1);
    expect(events).toEqual(["store runs"]);
    await clock.advance(1);
    expect(events).toEqual(["store runs", "store stopped"]);
    expect(lines.at(-1)).toMatchObject({ level: "warn", services: ["router", "store"] });
    await clock.advance(HARD_MS - SOFT_MS);
    expect(await running.stopped).toEqual({ clean: false, unfinished: ["router"] });
    expect(clock.timerCount).toBe(0);
  });

  test("a second signal waits for nobody", async () => {
    const { start, steady, stop, kill } = setup();
    const stuck: Service = { name: "router", run: () => deferred().promise };
    const running = start([steady("store"), stuck]);
    await running.started;
    stop.abort();
    kill.abort();
    expect(await running.stopped).toEqual({ clean: false, unfinished: ["router", "store"] });
  });

  test("a fault while stopping is logged and does not stop the stopping", async () => {
    const { start, steady, stop, lines, events } = setup();
    const clumsy: Service = {
      name: "writer",
      run: async (signal) => {
        await aborted(signal);
        throw new Error("flush failed");
      },
    };
    const running = start([steady("store"), clumsy]);
    await running.started;
    stop.abort();
    expect((await running.stopped).clean).toBe(true);
    expect(events.at(-1)).toBe("store stopped");
    expect(lines.at(-1)).toMatchObject({ level: "warn", service: "writer" });
  });
});

test("property: started and stopped in many ways, nothing is left running", async () => {
  const step = fc.record({
    services: fc.array(fc.constantFrom("steady", "dies", "ends", "slow"), { minLength: 1, maxLength: 6 }),
    runForMs: fc.nat(3_000),
  });
  await fc.assert(
    fc.asyncProperty(step, async ({ services, runForMs }) => {
      const { clock, start, stop } = setup();
      let running = 0;
      const made = services.map((kind, index): Service => {
        const live = async (signal: AbortSignal): Promise<void> => {
          if (kind === "dies" || kind === "ends") await clock.sleep(50 + index, signal);
          else await aborted(signal);
          if (kind === "slow") await clock.sleep(30);
          if (kind === "dies" && !signal.aborted) throw new Error("dies");
        };
        return {
          name: `${kind}-${index}`,
          run: (signal) => {
            running++;
            return live(signal).finally(() => running--);
          },
        };
      });
      const supervisor = start(made);
      await supervisor.started;
      await clock.advance(runForMs);
      stop.abort();
      await clock.advance(SOFT_MS);
      expect(await supervisor.stopped).toEqual({ clean: true, unfinished: [] });
      expect(running).toBe(0);
      expect(clock.timerCount).toBe(0);
    }),
    { numRuns: 200 },
  );
});
