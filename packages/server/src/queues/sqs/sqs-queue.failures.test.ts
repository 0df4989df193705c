import { afterEach, beforeEach, expect, test } from "bun:test";
import { FakeClock, isCodedError, silentLogger, systemRandom } from "@flowcatalyst/foundation";
import { openCuttableLine } from "../postgres/cuttable-line.fixture.ts";
import { describeWithSqs } from "../../ports/needs-services.fixture.ts";
import type { PublishResult, ReceivedMessage } from "../../ports/queue.ts";
import { openSqsQueue } from "./index.ts";
import { sqsLimits } from "./sqs-queue-limits.ts";
import { createSqsBench, message, ofGroup, testLane, type SqsBench } from "./sqs-bench.fixture.ts";
import { entriesOf, startSqsProxy, type SqsProxy } from "./sqs-proxy.fixture.ts";

const signal = new AbortController().signal;
const ask = (waitMs: number, max = 10) => ({ lane: testLane, max, waitMs });
const idsOf = (batch: readonly ReceivedMessage[]): string[] => batch.map((each) => each.message.id);
const receiptsOf = (batch: readonly ReceivedMessage[]) => batch.map(({ receipt }) => receipt);
const kindsOf = (results: readonly PublishResult[]): string[] => results.map(({ kind }) => kind);

const faultOf = (call: Promise<unknown>): Promise<{ code: string; message: string }> =>
  call.then(
    () => ({ code: "none", message: "" }),
    (error: unknown) =>
      isCodedError(error) ? { code: error.code, message: error.publicMessage } : { code: "?", message: String(error) },
  );

describeWithSqs("the queue on SQS when something fails", () => {
  let fifo: SqsBench;
  let proxy: SqsProxy;
  beforeEach(() => {
    fifo = createSqsBench(".fifo");
    proxy = startSqsProxy(fifo.url);
  });
  afterEach(async () => {
    await fifo.close();
    await proxy.stop();
  });

  test("a cut connection is told, loses nothing, and is made again", async () => {
    const line = await openCuttableLine(fifo.url);
    const broker = await fifo.open({ endpoint: new URL(line.url).origin });
    const { queue } = broker;
    expect(kindsOf(await queue.publish([message("a", ofGroup("g")), message("b", ofGroup("g"))]))).toEqual([
      "published",
      "published",
    ]);
    const [a] = await queue.receive(ask(0, 1), signal);
    const waiting = queue.receive(ask(20_000), signal);
    line.cut();
    expect((await faultOf(waiting)).code).toBe("QUEUE_UNAVAILABLE");
    expect((await faultOf(queue.ack([a!.receipt]))).code).toBe("QUEUE_UNAVAILABLE");
    expect(kindsOf(await queue.publish([message("c", ofGroup("g"))]))).toEqual(["refused"]);
    expect((await broker.probe()).status).toBe("DOWN");
    line.mend();
    expect(await queue.ack([a!.receipt])).toEqual(["done"]);
    expect((await broker.probe()).status).toBe("UP");
    expect(kindsOf(await queue.publish([message("c", ofGroup("g"))]))).toEqual(["published"]);
    expect(idsOf(await queue.receive(ask(1_000), signal))).toEqual(["b", "c"]);
    await line.close();
  }, 20_000);

  test("what a poll brings after its question was aborted goes to another consumer soon", async () => {
    const { queue: one } = await fifo.open();
    const { queue: other } = await fifo.open();
    const abort = new AbortController();
    const aborted = one.receive(ask(20_000), abort.signal);
    await one.metrics();
    abort.abort();
    expect(await aborted).toEqual([]);
    await other.publish([message("a", ofGroup("g")), message("b", ofGroup("g"))]);
    const received = await other.receive(ask(10_000), signal);
    expect(idsOf(received)).toEqual(["a", "b"]);
  }, 20_000);

  test("more than a question asked for, brought by a poll it took over, is given back", async () => {
    const { queue } = await fifo.open();
    const abort = new AbortController();
    const aborted = queue.receive(ask(20_000), abort.signal);
    await queue.metrics();
    abort.abort();
    await aborted;
    const one = queue.receive(ask(10_000, 1), signal);
    await queue.publish([message("a", ofGroup("g")), message("b", ofGroup("g"))]);
    const first = await one;
    expect(idsOf(first)).toEqual(["a"]);
    await queue.ack(receiptsOf(first));
    expect(idsOf(await queue.receive(ask(5_000), signal))).toEqual(["b"]);
  }, 20_000);

  test("a consumer that closes gives back what it holds", async () => {
    const broker = await fifo.open();
    const { queue: other } = await fifo.open();
    await broker.queue.publish([message("a", ofGroup("g")), message("b", ofGroup("g"))]);
    expect(idsOf(await broker.queue.receive(ask(0), signal))).toEqual(["a", "b"]);
    await broker.close();
    expect(idsOf(await other.receive(ask(0), signal))).toEqual(["a", "b"]);
    expect((await faultOf(broker.queue.publish([message("c")]))).code).toBe("none");
    expect(kindsOf(await broker.queue.publish([message("c")]))).toEqual(["refused"]);
  });

  test("a poll whose answer was lost is asked again under its name", async () => {
    const line = await openCuttableLine(proxy.url);
    const { queue } = await fifo.open({ endpoint: new URL(line.url).origin });
    await queue.publish([message("a")]);
    proxy.interfere(async ({ action }, forward) => {
      const answer = await forward();
      if (action === "ReceiveMessage") line.cut();
      return answer;
    });
    expect((await faultOf(queue.receive(ask(0), signal))).code).toBe("QUEUE_UNAVAILABLE");
    proxy.interfere((_request, forward) => forward());
    line.mend();
    await queue.receive(ask(0), signal);
    await queue.receive(ask(0), signal);
    const polls = proxy.requests.filter(({ action }) => action === "ReceiveMessage");
    const names = polls.map(({ body }) => body["ReceiveRequestAttemptId"]);
    expect(names.slice(0, -1).every((name) => name === names[0])).toBe(true);
    expect(names.at(-1)).not.toBe(names[0]);
    await line.close();
  }, 20_000);

  test("a poll that was refused, or whose messages are visible again, is asked under a new name", async () => {
    const clock = new FakeClock();
    const { queue } = await fifo.open({ endpoint: proxy.url, clock });
    const namesOf = (): unknown[] =>
      proxy.requests
        .filter(({ action }) => action === "ReceiveMessage")
        .map(({ body }) => body["ReceiveRequestAttemptId"]);
    proxy.interfere(async () => ({ refusal: "InvalidParameterValue" }));
    expect((await faultOf(queue.receive(ask(0), signal))).code).toBe("QUEUE_UNAVAILABLE");
    expect((await faultOf(queue.receive(ask(0), signal))).code).toBe("QUEUE_UNAVAILABLE");
    expect(new Set(namesOf()).size).toBe(2);
    const asked = Promise.withResolvers<void>();
    proxy.interfere(() => {
      asked.resolve();
      return new Promise(() => undefined);
    });
    const silent = faultOf(queue.receive(ask(0), signal));
    await asked.promise;
    await clock.advance(sqsLimits.callTimeoutMs);
    expect((await silent).code).toBe("QUEUE_UNAVAILABLE");
    await clock.advance(60_000);
    proxy.interfere((_request, forward) => forward());
    await queue.receive(ask(0), signal);
    expect(new Set(namesOf()).size).toBe(4);
  }, 20_000);

  test("of a batch that fails in part, what failed in passing is done again, and the rest is not", async () => {
    const { queue } = await fifo.open({ endpoint: proxy.url });
    await queue.publish([message("a"), message("b"), message("c")]);
    const received = await queue.receive(ask(0), signal);
    let failures = 2;
    proxy.interfere(async (request, forward) => {
      const [first, ...rest] = entriesOf(request);
      if (request.action !== "DeleteMessageBatch" || first === undefined || failures-- <= 0) return forward();
      const answer = rest.length === 0 ? { Successful: [] } : await forward({ ...request.body, Entries: rest });
      return { ...answer, Failed: [{ Id: first.Id, SenderFault: false, Code: "InternalError" }] };
    });
    expect(await queue.ack(receiptsOf(received))).toEqual(["done", "done", "done"]);
    const sizes = proxy.requests
      .filter(({ action }) => action === "DeleteMessageBatch")
      .map((request) => entriesOf(request).length);
    expect(sizes).toEqual([3, 1, 1]);
    expect(await queue.metrics()).toMatchObject({ visible: 0, inFlight: 0 });
  });

  test("a message that was set aside and could not be deleted comes again, and is one dead letter", async () => {
    const { queue } = await fifo.open({ endpoint: proxy.url });
    await queue.publish([message("a")]);
    const [first] = await queue.receive(ask(0), signal);
    proxy.interfere(async ({ action }, forward) =>
      action === "DeleteMessageBatch" ? { refusal: "AccessDenied" } : forward(),
    );
    expect((await faultOf(queue.deadLetter(first!.receipt, "BAD: it is"))).code).toBe("QUEUE_UNAVAILABLE");
    proxy.interfere((_request, forward) => forward());
    await fifo.passTime(60_001);
    const [again] = await queue.receive(ask(0), signal);
    expect(await queue.deadLetter(again!.receipt, "BAD: it is")).toBe("done");
    const { letters } = await queue.listDeadLetters({ limit: 10, after: null });
    expect(letters.map(({ id }) => String(id))).toEqual(["a"]);
  });

  test("dead letters that may not be hidden are a fault, not missing", async () => {
    const { queue } = await fifo.open({ endpoint: proxy.url });
    await queue.publish([message("a")]);
    const [received] = await queue.receive(ask(0), signal);
    await queue.deadLetter(received!.receipt, "BAD: it is");
    const { letters } = await queue.listDeadLetters({ limit: 10, after: null });
    proxy.interfere(async ({ action }, forward) =>
      action === "ChangeMessageVisibility" ? { refusal: "AccessDenied" } : forward(),
    );
    const settled = queue.settleDeadLetters(
      letters.map(({ key }) => key),
      async () => "remove",
    );
    expect((await faultOf(settled)).code).toBe("QUEUE_UNAVAILABLE");
  });

  test("a message that SQS refuses for now holds back those behind it in its group", async () => {
    const { queue } = await fifo.open({ endpoint: proxy.url });
    proxy.interfere(async (request, forward) => {
      const [first, ...rest] = entriesOf(request);
      if (request.action !== "SendMessageBatch" || first === undefined) return forward();
      const answer = await forward({ ...request.body, Entries: rest });
      return { ...answer, Failed: [{ Id: first.Id, SenderFault: true, Code: "RequestThrottled" }] };
    });
    const first = Array.from({ length: 10 }, (_, at) => message(`x${at}`, ofGroup("g")));
    const results = await queue.publish([...first, message("y", ofGroup("g"))]);
    proxy.interfere((_request, forward) => forward());
    expect(results[0]).toEqual({ kind: "refused", detail: "RequestThrottled: refused by SQS" });
    expect(kindsOf(results.slice(1, 10))).toEqual(Array.from({ length: 9 }, () => "published"));
    expect(results[10]).toMatchObject({ kind: "refused", detail: "an earlier message of its group was refused" });
    expect(kindsOf(await queue.publish([message("x0", ofGroup("g")), message("y", ofGroup("g"))]))).toEqual([
      "published",
      "published",
    ]);
  });

  test("calls that are too many for SQS are made again", async () => {
    const { queue } = await fifo.open({ endpoint: proxy.url });
    let refusals = 1;
    proxy.interfere(async (_request, forward) => (refusals-- > 0 ? { refusal: "ThrottlingException" } : forward()));
    expect(kindsOf(await queue.publish([message("a")]))).toEqual(["published"]);
    refusals = 1;
    expect(idsOf(await queue.receive(ask(0), signal))).toEqual(["a"]);
  }, 20_000);

  test("a receipt that SQS knows no more is dead", async () => {
    const { queue: one } = await fifo.open();
    const { queue: other } = await fifo.open();
    await one.publish([message("a"), message("b")]);
    const [a, b] = await one.receive(ask(0), signal);
    await fifo.passTime(60_001);
    expect(idsOf(await other.receive(ask(0), signal)).toSorted()).toEqual(["a", "b"]);
    expect(await one.extend([a!.receipt, b!.receipt], 60_000)).toEqual(["dead", "dead"]);
    expect(await one.nack([a!.receipt], 0)).toEqual(["dead"]);
  });

  test("nothing is kept for longer than the twelve hours that SQS allows from a receipt", async () => {
    const clock = new FakeClock();
    const { queue } = await fifo.open({ clock });
    await queue.publish([message("a"), message("b")]);
    const [a, b] = await queue.receive(ask(0), signal);
    for (let hours = 0; hours < 11; hours++) {
      await clock.advance(3_600_000);
      expect(await queue.extend([a!.receipt, b!.receipt], 7_000_000)).toEqual(
        hours < 10 ? ["done", "done"] : ["dead", "dead"],
      );
    }
    // An hour is left of the twelve, so a delay of two is cut to it.
    expect(await queue.nack([a!.receipt], 7_200_000)).toEqual(["done"]);
  });

  test("a queue that is not there is a fault that says how to make it; so is a service that is not there", async () => {
    const deps = { clock: new FakeClock(), random: systemRandom(), logger: silentLogger() };
    const config = { name: "sqs", visibilityMs: 60_000, parallelReceives: 1 };
    const missing = await faultOf(openSqsQueue(deps, { ...config, url: fifo.urlOf("nowhere.fifo") }));
    expect(missing.code).toBe("CONFIG_INVALID");
    expect(missing.message).toContain("aws sqs create-queue --queue-name nowhere-dead.fifo --attributes ");
    const opening = faultOf(openSqsQueue(deps, { ...config, url: "http://127.0.0.1:9/000000000000/a" }));
    for (let tries = 0; tries < 10; tries++) {
      await Promise.race([opening, deps.clock.whenTimers(1)]);
      await deps.clock.advance(10_000);
    }
    const unreachable = await opening;
    expect(unreachable.code).toBe("QUEUE_UNAVAILABLE");
    expect(unreachable.message).toContain("could not be reached for 30 s");
  }, 20_000);
});
