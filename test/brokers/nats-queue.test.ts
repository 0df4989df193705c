import { afterEach, expect, test } from "bun:test";
import { isCodedError, seededRandom, silentLogger, systemClock } from "@flowcatalyst/foundation";
import type { JobId, MessageId, PoolCode } from "../../packages/server/src/domain/ids.ts";
import type { PlatformMessage } from "../../packages/server/src/domain/message.ts";
import { describeWithNats } from "../../packages/server/src/ports/needs-services.fixture.ts";
import type { BrokerQueue } from "../../packages/server/src/queues/broker-queue.ts";
import { openNatsQueue } from "../../packages/server/src/queues/nats/index.ts";
import type { BrokerServer } from "../harness/broker-process.ts";
import { eventually } from "../harness/eventually.ts";
import { freePort } from "../harness/free-port.ts";
import { blocksOf } from "../docs/markdown.ts";
import { createNatsServer, findNats, type NatsServerOptions } from "../harness/nats-server.ts";

/** The queue on NATS and a server that is killed, frozen, or not what it should be: a private one for each test. */

const lane = "DEFAULT-POOL" as PoolCode;
const visibilityMs = 2_000;
const refusedWithinMs = 7_000;
/** What was taken twice comes again one visibility later, on a busy machine in many small batches. */
const emptyWithinMs = 60_000;
const step = 200;
const closing: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

async function startNats(options: NatsServerOptions = {}): Promise<BrokerServer> {
  const server = await createNatsServer(options);
  closing.push(() => server.remove());
  return server;
}

function open(url: string, parameters = ""): Promise<BrokerQueue> {
  return openAs(`${url}/KILLED?${parameters}`);
}

async function openAs(url: string): Promise<BrokerQueue> {
  const deps = { clock: systemClock(), random: seededRandom(1), logger: silentLogger() };
  const config = { url, name: "nats", visibilityMs, parallelReceives: 2 };
  const broker = await openNatsQueue(deps, config);
  closing.push(() => broker.close());
  return broker;
}

function message(id: string): PlatformMessage {
  const jobs = [{ kind: "reference" as const, jobId: "job_1" as JobId, generation: 1, bytes: 10 }];
  return { kind: "platform", id: id as MessageId, lane, groupKey: null, jobs, traceparent: null };
}

const faultOf = (call: Promise<unknown>): Promise<string> =>
  call.then(
    () => "none",
    (error: unknown) => (isCodedError(error) ? `${error.code}: ${error.publicMessage}` : String(error)),
  );

/** Publishes and receives for a while, whatever fails, and keeps account. */
class Load {
  readonly accepted = new Set<string>();
  readonly received = new Map<string, number>();
  /** Received again after the queue had said that the ack is done. */
  readonly afterAck = new Set<string>();
  refused = 0;
  readonly #ackedIds = new Set<string>();
  readonly #queue: BrokerQueue["queue"];
  readonly #published = new AbortController();
  readonly #done = new AbortController();
  readonly #running: Promise<unknown>;

  constructor(queue: BrokerQueue["queue"]) {
    this.#queue = queue;
    this.#running = Promise.all([this.#publish(), this.#receive(), this.#receive()]);
  }

  async finish(): Promise<void> {
    this.#published.abort();
    await eventually("everything that was accepted is received", () =>
      [...this.accepted].every((id) => this.received.has(id)) ? true : undefined,
    );
    this.#done.abort();
    await this.#running;
  }

  async #publish(): Promise<void> {
    for (let from = 0; !this.#published.signal.aborted; from += step) {
      const batch = Array.from({ length: step }, (_, at) => message(`m${from + at}`));
      for (let left: readonly PlatformMessage[] = batch; left.length > 0;) {
        const results = await this.#queue.publish(left);
        const again: PlatformMessage[] = [];
        results.forEach(({ kind }, at) => {
          const sent = left[at];
          if (sent === undefined) return;
          if (kind === "refused") again.push(sent);
          else this.accepted.add(sent.id);
        });
        this.refused += again.length;
        left = again;
        await systemClock().sleep(again.length > 0 ? 50 : 2);
      }
    }
  }

  async #receive(): Promise<void> {
    while (!this.#done.signal.aborted) {
      try {
        await this.#takeBatch();
      } catch (error) {
        if (!isCodedError(error, "QUEUE_UNAVAILABLE")) throw error;
        await systemClock().sleep(50);
      }
    }
  }

  async #takeBatch(): Promise<void> {
    const batch = await this.#queue.receive({ lane, max: 100, waitMs: 500 }, this.#done.signal);
    const ids = batch.map((each) => each.message.id);
    for (const id of ids) {
      this.received.set(id, (this.received.get(id) ?? 0) + 1);
      if (this.#ackedIds.has(id)) this.afterAck.add(id);
    }
    await this.#queue.ack(batch.map(({ receipt }) => receipt));
    for (const id of ids) this.#ackedIds.add(id);
  }
}

describeWithNats("the queue on a private NATS", () => {
  test(
    "a server that is killed and started again under load loses nothing",
    async () => {
      const server = await startNats();
      const broker = await open(server.url);
      const load = new Load(broker.queue);
      for (let kills = 0; kills < 3; kills++) {
        const before = load.received.size;
        await eventually("something is received", () => (load.received.size > before + 2_000 ? true : undefined));
        await server.kill();
        await eventually("it is noticed", async () => ((await broker.probe()).status === "DOWN" ? true : undefined));
        await server.start();
        await eventually("it is back", async () => ((await broker.probe()).status === "UP" ? true : undefined));
      }
      const atLast = load.accepted.size;
      await eventually("it goes on", () => (load.accepted.size > atLast + 500 ? true : undefined));
      await load.finish();
      const times = [...load.received.values()];
      const twice = times.filter((count) => count > 1).length;
      expect(load.refused).toBeGreaterThan(0);
      expect(load.accepted.size).toBeGreaterThan(6_000);
      // At least once: what was in flight or just acked at a kill comes again, and that is all.
      expect(twice).toBeLessThan(load.accepted.size / 2);
      process.stdout.write(
        `NATS killed 3 times: ${load.accepted.size} accepted, all received, ${twice} more than once ` +
          `(${load.afterAck.size} of them after their ack), ${load.refused} refused and published again\n`,
      );
      const counts = async () => {
        const { visible, inFlight } = await broker.queue.metrics();
        return visible === 0 && inFlight === 0 ? true : undefined;
      };
      const emptied = async (): Promise<true | undefined> => {
        const batch = await broker.queue.receive({ lane, max: 100, waitMs: 100 }, new AbortController().signal);
        await broker.queue.ack(batch.map(({ receipt }) => receipt));
        return counts();
      };
      await eventually("the queue is empty", emptied, emptyWithinMs);
    },
    3 * emptyWithinMs,
  );

  test("a server that answers nobody is noticed, and what was sent meanwhile is refused in time", async () => {
    const server = await startNats();
    const { queue } = await open(server.url);
    await queue.publish([message("a")]);
    server.freeze();
    const startedMs = performance.now();
    expect((await queue.publish([message("b")])).map(({ kind }) => kind)).toEqual(["refused"]);
    expect(performance.now() - startedMs).toBeLessThan(refusedWithinMs);
    server.thaw();
    const [again] = await queue.publish([message("b")]);
    // It had taken it when it woke, or not.
    expect(again?.kind).toBeOneOf(["published", "duplicate"]);
    const seen = new Set<string>();
    while (seen.size < 2) {
      const batch = await queue.receive({ lane, max: 10, waitMs: 1_000 }, new AbortController().signal);
      for (const {
        message: { id },
      } of batch)
        seen.add(id);
    }
    expect([...seen].toSorted()).toEqual(["a", "b"]);
  });

  test("what is wrong with a server is said in one line, without the password", async () => {
    const nobody = `nats://user:hunter2@127.0.0.1:${await freePort()}`;
    const unreachable = await faultOf(open(nobody, "connect_secs=1"));
    expect(unreachable).toStartWith("QUEUE_UNAVAILABLE: NATS at 127.0.0.1:");
    expect(unreachable).not.toContain("hunter2");
    const server = await startNats({ settings: { authorization: '{ user: "fc", password: "right" }' } });
    const place = server.url.slice("nats://".length);
    expect(await faultOf(open(`nats://fc:hunter2@${place}`))).toBe(
      `CONFIG_INVALID: NATS at ${place} refuses the user, token or key of the queue's URL.`,
    );
    expect((await (await open(`nats://fc:right@${place}`)).probe()).status).toBe("UP");
  });

  test("a server without JetStream is said to be so", async () => {
    const port = await freePort();
    const command = [findNats() ?? "", "-a", "127.0.0.1", "-p", String(port)];
    const bare = Bun.spawn(command, {
      stdio: ["ignore", "ignore", "ignore"],
    });
    closing.push(async () => {
      bare.kill();
      await bare.exited;
    });
    expect(await faultOf(open(`nats://127.0.0.1:${port}`))).toBe(
      `CONFIG_INVALID: NATS at 127.0.0.1:${port} has no JetStream: start nats-server with -js, or with jetstream {}.`,
    );
  });

  test("the user of the guide may do all that is needed, with streams made by others", async () => {
    const block = blocksOf("docs/guides/queue-nats.md").find(({ code }) => code.startsWith("authorization {"));
    const users = (block?.code ?? "")
      .replace(/^authorization/, "")
      .replace(/password: .*/, 'password: "right"')
      .replace("users: [", 'users: [\n{ user: operator, password: "operator" }');
    const server = await startNats({ settings: { authorization: users } });
    const place = server.url.slice("nats://".length);
    const operator = await openAs(`nats://operator:operator@${place}/FLOWCATALYST`);
    await operator.close();
    const { queue } = await openAs(`nats://flowcatalyst:right@${place}/FLOWCATALYST`);
    expect((await queue.publish([message("a"), message("b"), message("c")])).map(({ kind }) => kind)).toEqual([
      "published",
      "published",
      "published",
    ]);
    const [a, b, c] = await queue.receive({ lane, max: 10, waitMs: 2_000 }, new AbortController().signal);
    if (a === undefined || b === undefined || c === undefined) throw new Error("three were published");
    expect(await queue.readyLanes()).toEqual([lane]);
    expect(await queue.ack([a.receipt])).toEqual(["done"]);
    expect(await queue.extend([b.receipt], visibilityMs)).toEqual(["done"]);
    expect(await queue.nack([b.receipt], 60_000)).toEqual(["done"]);
    expect(await queue.deadLetter(c.receipt, "told so")).toBe("done");
    expect(await queue.metrics()).toMatchObject({ visible: 0, inFlight: 1, dead: 1 });
    const { letters } = await queue.listDeadLetters({ limit: 10, after: null });
    const keys = letters.map(({ key }) => key);
    expect(await queue.settleDeadLetters(keys, async () => "remove")).toEqual(["removed"]);
  });

  test("a user who may not do it is told what", async () => {
    const users = '{ users: [{ user: fc, password: "right", permissions: { publish: "nothing" } }] }';
    const server = await startNats({ settings: { authorization: users } });
    const fault = await faultOf(open(server.url.replace("nats://", "nats://fc:right@")));
    expect(fault).toStartWith("CONFIG_INVALID: The NATS stream KILLED at 127.0.0.1:");
    expect(fault).toContain("$JS.API.STREAM.INFO.KILLED");
  });

  test("the size of a message is the server's limit, if that is smaller than ours", async () => {
    const large = await startNats({ settings: { max_payload: "8MB" } });
    const small = await startNats({ settings: { max_payload: "256KB" } });
    expect((await open(large.url)).queue.capabilities.maxMessageBytes).toBe(1_048_576);
    expect((await open(small.url)).queue.capabilities.maxMessageBytes).toBeLessThan(262_144);
  });
});
