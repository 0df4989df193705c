import { afterEach, beforeEach, expect, test } from "bun:test";
import { AckPolicy, DiscardPolicy, RetentionPolicy, StorageType } from "@nats-io/jetstream";
import { isCodedError, silentLogger, systemClock, type Logger } from "@flowcatalyst/foundation";
import type { GroupKey, JobId, MessageId, PoolCode } from "../../domain/ids.ts";
import type { PlatformMessage } from "../../domain/message.ts";
import { describeWithNats, testNatsUrl } from "../../ports/needs-services.fixture.ts";
import type { DeadLetterKey, ReceivedMessage } from "../../ports/queue.ts";
import type { BrokerQueue } from "../broker-queue.ts";
import { openCuttableLine } from "../postgres/cuttable-line.fixture.ts";
import { openTestNats, type TestNats } from "./nats-bench.fixture.ts";
import { natsQueueLimits } from "./nats-queue-config.ts";

type Queue = BrokerQueue["queue"];

const lane = "DEFAULT-POOL" as PoolCode;
const never = new AbortController().signal;
const soonMs = 2_000;

function message(id: string, group: string | null = null, at: PoolCode = lane): PlatformMessage {
  const jobs = [{ kind: "reference" as const, jobId: "job_1" as JobId, generation: 1, bytes: 10 }];
  return {
    kind: "platform",
    id: id as MessageId,
    lane: at,
    groupKey: group as GroupKey | null,
    jobs,
    traceparent: null,
  };
}

const messages = (count: number, from = 0): PlatformMessage[] =>
  Array.from({ length: count }, (_, at) => message(`m${from + at}`, `g${from + at}`));
const idsOf = (batch: readonly ReceivedMessage[]): string[] => batch.map((each) => each.message.id);
const receiptsOf = (batch: readonly ReceivedMessage[]) => batch.map(({ receipt }) => receipt);

const faultOf = (call: Promise<unknown>): Promise<string> =>
  call.then(
    () => "none",
    (error: unknown) => (isCodedError(error) ? `${error.code}: ${error.publicMessage}` : String(error)),
  );

describeWithNats("the queue on NATS when something fails", () => {
  let nats: TestNats;

  beforeEach(async () => {
    nats = await openTestNats(testNatsUrl ?? "");
  });
  afterEach(() => nats.close());

  const receive = (queue: Queue, max = 10, waitMs = soonMs): Promise<readonly ReceivedMessage[]> =>
    queue.receive({ lane, max, waitMs }, never);

  test("a connection that is cut: nothing is taken, receivers are told, and all goes on when it is back", async () => {
    const line = await openCuttableLine(testNatsUrl ?? "");
    const broker = await nats.open({ server: line.url });
    const { queue } = broker;
    await queue.publish([message("a")]);
    const held = await receive(queue);
    const waiting = faultOf(receive(queue, 10, 60_000));
    line.cut();
    expect(await waiting).toContain("QUEUE_UNAVAILABLE: NATS at 127.0.0.1:");
    expect((await queue.publish([message("b")])).map(({ kind }) => kind)).toEqual(["refused"]);
    expect(await faultOf(receive(queue))).toContain("QUEUE_UNAVAILABLE");
    expect(await faultOf(queue.ack(receiptsOf(held)))).toContain("QUEUE_UNAVAILABLE");
    const away = await broker.probe();
    expect(away.status).toBe("DOWN");
    expect(String(away.data?.["reason"])).toContain("the connection is lost");
    line.mend();
    while ((await broker.probe()).status === "DOWN") await systemClock().sleep(20);
    const kinds = (await queue.publish([message("b"), message("a")])).map(({ kind }) => kind);
    expect(kinds).toEqual(["published", "duplicate"]);
    expect(idsOf(await receive(queue))).toEqual(["b"]);
    // What was received before is still ours to settle.
    expect(await queue.ack(receiptsOf(held))).toEqual(["done"]);
    await broker.close();
    await line.close();
  });

  test("a consumer that dies with messages in flight leaves them to another one", async () => {
    const line = await openCuttableLine(testNatsUrl ?? "");
    const { queue: dying } = await nats.open({ server: line.url, visibilityMs: 500 });
    const { queue: other } = await nats.open({ visibilityMs: 500 });
    await other.publish(messages(20));
    expect(await receive(dying, 10)).toHaveLength(10);
    await line.close();
    const seen = new Set<string>();
    while (seen.size < 20) {
      const batch = await receive(other, 10);
      expect(batch.length).toBeGreaterThan(0);
      await other.ack(receiptsOf(batch));
      for (const id of idsOf(batch)) seen.add(id);
    }
    expect((await other.metrics()).inFlight).toBe(0);
  });

  test("closing gives back what was received", async () => {
    const leaving = await nats.open();
    await leaving.queue.publish([message("a")]);
    expect(idsOf(await receive(leaving.queue))).toEqual(["a"]);
    await leaving.close();
    const { queue } = await nats.open();
    const [again] = await receive(queue);
    expect(again).toMatchObject({ receiveCount: 2, message: { id: "a" } });
  });

  test("what comes while a wait is aborted is received at once by the next question, by whoever asks", async () => {
    const { queue } = await nats.open();
    const { queue: other } = await nats.open();
    const seen: string[] = [];
    const rounds = 200;
    for (let round = 0; round < rounds; round++) {
      const abort = new AbortController();
      const waiting = queue.receive({ lane, max: 10, waitMs: 60_000 }, abort.signal);
      const publishing = other.publish([message(`m${round}`)]);
      await systemClock().sleep(round % 4);
      abort.abort();
      const batch = [...(await waiting)];
      await publishing;
      if (batch.length === 0) batch.push(...(await receive(queue)));
      seen.push(...idsOf(batch));
      await queue.ack(receiptsOf(batch));
    }
    expect(new Set(seen).size).toBe(rounds);
  });

  test("two questions of one lane share what comes, and each ends as soon as it has something", async () => {
    const { queue } = await nats.open();
    const waiting = [receive(queue, 10, 10_000), receive(queue, 10, 10_000)];
    await queue.publish(messages(1));
    await Promise.race(waiting);
    await queue.publish(messages(1, 1));
    const batches = await Promise.all(waiting);
    expect(batches.flatMap(idsOf).toSorted()).toEqual(["m0", "m1"]);
  });

  test("a full stream refuses, and takes again when something was settled", async () => {
    const { queue } = await nats.open({ parameters: "max_msgs=3" });
    const results = await queue.publish(messages(4));
    expect(results.map(({ kind }) => kind).toSorted()).toEqual(["published", "published", "published", "refused"]);
    expect(results.find(({ kind }) => kind === "refused")).toMatchObject({ detail: "maximum messages exceeded" });
    await queue.ack(receiptsOf(await receive(queue)));
    expect((await queue.publish([message("later")])).map(({ kind }) => kind)).toEqual(["published"]);
  });

  test("with as many unsettled as the lane may have nothing more comes, until some are settled", async () => {
    const { queue } = await nats.open({ parameters: "max_ack_pending=5" });
    await queue.publish(messages(8));
    const first = await receive(queue);
    expect(first).toHaveLength(5);
    expect(await receive(queue, 10, 300)).toEqual([]);
    const waiting = receive(queue, 10, 10_000);
    await queue.ack(receiptsOf(first));
    const rest = [...(await waiting)];
    while (rest.length < 3) rest.push(...(await receive(queue)));
    expect(new Set([...idsOf(first), ...idsOf(rest)]).size).toBe(8);
  });

  test("a lane that is full of unsettled messages says so, to who asks and in the log, and goes on", async () => {
    const warned: string[] = [];
    const logger: Logger = { ...silentLogger(), warn: (_, told) => void warned.push(told) };
    const { queue } = await nats.open({ parameters: "max_ack_pending=5", logger });
    await queue.publish(messages(8));
    const first = await receive(queue);
    await queue.nack(receiptsOf(first.slice(1)), 3_600_000);
    const full = "the lane DEFAULT-POOL has 5 unsettled messages, its max_ack_pending";
    for (let at = 0; at < 2; at++) {
      const fault = await faultOf(receive(queue, 10, natsQueueLimits.roomQuietMs + 200));
      expect(fault).toContain("QUEUE_UNAVAILABLE");
      expect(fault).toContain(full);
    }
    expect(warned).toEqual([expect.stringContaining(full)]);
    const waiting = receive(queue, 10, 10_000);
    await queue.ack(receiptsOf(first.slice(0, 1)));
    expect(await waiting).toHaveLength(1);
  }, 30_000);

  test("an empty lane, and one whose messages are all unsettled, is no error", async () => {
    const { queue } = await nats.open({ parameters: "max_ack_pending=2" });
    await queue.publish(messages(2));
    expect(await receive(queue)).toHaveLength(2);
    expect(await receive(queue, 10, natsQueueLimits.roomQuietMs + 200)).toEqual([]);
  }, 30_000);

  test("a consumer made by hand that takes no question of ours: receiving says why, and does not hammer", async () => {
    const { stream, lanePrefix } = nats.names;
    const { queue } = await nats.open();
    await queue.publish([message("a")]);
    const common = { durable_name: lane, ack_policy: AckPolicy.Explicit, filter_subject: lanePrefix + lane };
    await nats.manager.consumers.add(stream, { ...common, max_batch: 1 });
    expect(await faultOf(receive(queue))).toContain("takes no question of ours: Exceeded MaxRequestBatch of 1");
    await nats.manager.consumers.delete(stream, lane);
    expect(idsOf(await receive(queue))).toEqual(["a"]);
  });

  test("what was neither settled nor extended in its time is not taken from who has it now, at closing", async () => {
    const leaving = await nats.open({ visibilityMs: 1_000 });
    const { queue } = await nats.open({ visibilityMs: 1_000 });
    await queue.publish([message("a")]);
    expect(idsOf(await receive(leaving.queue))).toEqual(["a"]);
    const mine = await receive(queue);
    expect(idsOf(mine)).toEqual(["a"]);
    await leaving.close();
    expect(await receive(queue, 10, 200)).toEqual([]);
    expect(await queue.ack(receiptsOf(mine))).toEqual(["done"]);
  });

  test("while dead letters are not taken, a batch does not wait for each that cannot be read", async () => {
    const { queue } = await nats.open();
    await nats.manager.streams.delete(nats.names.deadStream);
    // A stranger who takes letters and says nothing: each write ends by its time limit.
    const silent = nats.connection.subscribe(nats.names.deadSubject, { callback: () => undefined });
    for (let at = 0; at < 4; at++) await nats.putRaw(lane, "?");
    await queue.publish([message("a")]);
    const beganAtMs = performance.now();
    expect(idsOf(await receive(queue, 5))).toEqual(["a"]);
    expect(performance.now() - beganAtMs).toBeLessThan(natsQueueLimits.answerWithinMs * 2);
    silent.unsubscribe();
  }, 30_000);

  test("an idle lane's consumer goes, and nothing of it is lost", async () => {
    const { queue } = await nats.open({ parameters: "consumer_idle_secs=1" });
    await queue.publish(messages(3));
    const [held] = await receive(queue, 1);
    while ((await nats.manager.consumers.list(nats.names.stream).next()).length > 0) await systemClock().sleep(50);
    expect(await queue.ack(receiptsOf(held === undefined ? [] : [held]))).toEqual(["dead"]);
    const seen: string[] = [];
    while (seen.length < 3) seen.push(...idsOf(await receive(queue)));
    expect(seen.toSorted()).toEqual(["m0", "m1", "m2"]);
  });

  test("lanes are told apart, whatever their names", async () => {
    const { queue } = await nats.open();
    const names = ["a.b", "a b", "*", ">", "ü/\\", "=41", "A", "a=41", "x".repeat(200), "日本"] as PoolCode[];
    await queue.publish(names.map((name, at) => message(`m${at}`, null, name)));
    expect((await queue.readyLanes()).toSorted()).toEqual(names.toSorted());
    for (const [at, name] of names.entries()) {
      const batch = await queue.receive({ lane: name, max: 10, waitMs: soonMs }, never);
      expect(idsOf(batch)).toEqual([`m${at}`]);
    }
    const [tooLong] = await queue.publish([message("long", null, "ü".repeat(200) as PoolCode)]);
    expect(tooLong).toMatchObject({ kind: "invalid", code: "MESSAGE_INVALID" });
  });

  test("ids that a header cannot hold are known again", async () => {
    const { queue } = await nats.open();
    const ids = ["a b", " a b", "line\nbreak", "ü", "%C3%BC", "%"];
    const kinds = async (): Promise<string[]> =>
      (await queue.publish(ids.map((id) => message(id)))).map(({ kind }) => kind);
    expect(await kinds()).toEqual(ids.map(() => "published"));
    expect(await kinds()).toEqual(ids.map(() => "duplicate"));
    expect(idsOf(await receive(queue)).toSorted()).toEqual(ids.toSorted());
  });

  test("a stranger's message that names no pool is of the pool whose lane it came through", async () => {
    const { queue } = await nats.open();
    const partners = "PARTNERS" as PoolCode;
    await nats.putRaw(partners, JSON.stringify({ id: "f", target: "https://example.test/", payload: 1 }));
    const [received] = await queue.receive({ lane: partners, max: 10, waitMs: soonMs }, never);
    expect(received!.message).toMatchObject({ id: "f", lane: partners });
  });

  test("a stranger's body that cannot be read is set aside, however large it is", async () => {
    const { queue } = await nats.open();
    const largest = nats.connection.info?.max_payload ?? 0;
    await nats.putRaw(lane, "x".repeat(largest));
    await queue.publish([message("a")]);
    expect(idsOf(await receive(queue))).toEqual(["a"]);
    const { letters } = await queue.listDeadLetters({ limit: 10, after: null });
    expect(letters.map(({ reason }) => reason)).toEqual([expect.stringContaining("MESSAGE_INVALID")]);
    expect(letters[0]?.body.length).toBeGreaterThan(largest / 2);
  });

  test("ids, lanes and reasons without end: they are set aside, and the rest of the batch is delivered", async () => {
    const { queue } = await nats.open();
    const long = "€".repeat(200_000);
    await nats.putRaw(lane, JSON.stringify({ id: long, target: "https://example.test/", payload: 1 }));
    await nats.putRaw(lane, JSON.stringify({ id: "p", poolCode: long, target: "https://example.test/", payload: 1 }));
    await nats.putRaw(lane, JSON.stringify({ id: "t", mediationType: "€".repeat(300_000) }));
    await nats.putRaw(lane, "[".repeat(500_000));
    await queue.publish([message("a")]);
    expect(idsOf(await receive(queue))).toEqual(["a"]);
    expect((await queue.metrics()).dead).toBe(4);
    expect(await receive(queue, 10, 200)).toEqual([]);
  });

  test("a letter that cannot be written costs nobody else anything, and its message comes later", async () => {
    const { queue } = await nats.open();
    await nats.manager.streams.update(nats.names.deadStream, { max_msg_size: 10 });
    await nats.putRaw(lane, "not to be read, and too long to be set aside");
    await queue.publish([message("a")]);
    expect(idsOf(await receive(queue))).toEqual(["a"]);
    expect(await receive(queue, 10, 300)).toEqual([]);
    expect(await queue.metrics()).toMatchObject({ dead: 0, inFlight: 2 });
  });

  test("a stream of dead letters that was removed is made again with the next letter", async () => {
    const { queue } = await nats.open();
    await nats.manager.streams.delete(nats.names.deadStream);
    for (let at = 0; at < 3; at++) await nats.putRaw(lane, `? ${at}`);
    await queue.publish([message("a")]);
    const seen: string[] = [];
    while (seen.length === 0) seen.push(...idsOf(await receive(queue)));
    const { letters } = await queue.listDeadLetters({ limit: 10, after: null });
    expect(letters.map(({ body }) => body).toSorted()).toEqual(["? 0", "? 1", "? 2"]);
  });

  test("a stream that was made again: its dead letters are not taken for those of the one before", async () => {
    const { queue } = await nats.open();
    await nats.putRaw(lane, "first");
    expect(await receive(queue, 10, 200)).toEqual([]);
    await nats.manager.streams.delete(nats.names.stream);
    const { queue: later } = await nats.open();
    await nats.putRaw(lane, "second");
    expect(await receive(later, 10, 200)).toEqual([]);
    const { letters } = await later.listDeadLetters({ limit: 10, after: null });
    expect(letters.map(({ body }) => body)).toEqual(["second", "first"]);
  });

  test("a dead letter that is removed is overwritten: a server that is killed cannot have it again", async () => {
    const { queue } = await nats.open();
    await nats.putRaw(lane, "?");
    await receive(queue, 10, 200);
    const { letters } = await queue.listDeadLetters({ limit: 10, after: null });
    const asked: unknown[] = [];
    const listening = nats.connection.subscribe(`$JS.API.STREAM.MSG.DELETE.${nats.names.deadStream}`, {
      callback: (_, question) => void asked.push(question.json<unknown>()),
    });
    // The queue has a connection of its own: the server must know of the listener before it is asked.
    await nats.connection.flush();
    const keys = letters.map(({ key }) => key);
    expect(await queue.settleDeadLetters(keys, async () => "remove")).toEqual(["removed"]);
    await nats.connection.flush();
    expect(asked).toEqual([{ seq: 1 }]);
    listening.unsubscribe();
  });

  test("what lies on a subject that names no lane is set aside as well", async () => {
    const { queue } = await nats.open();
    const subject = `${nats.names.lanePrefix}=zz`;
    for (const body of ["one", "two"]) nats.connection.publish(subject, body);
    await queue.publish([message("a")]);
    await nats.connection.flush();
    while (((await queue.metrics()).dead ?? 0) < 2) {
      expect(await queue.readyLanes()).toEqual([lane]);
      await systemClock().sleep(50);
    }
    const { letters } = await queue.listDeadLetters({ limit: 10, after: null });
    expect(letters.map(({ body }) => body).toSorted()).toEqual(["one", "two"]);
    expect(letters[0]?.reason).toContain(`the subject ${subject} names no lane`);
    expect(idsOf(await receive(queue))).toEqual(["a"]);
  }, 20_000);

  test("closing is no reason to warn", async () => {
    const warned: unknown[] = [];
    const logger: Logger = { ...silentLogger(), warn: (...told: unknown[]) => warned.push(told) };
    const broker = await nats.open({ logger });
    await broker.close();
    expect(warned).toEqual([]);
  });

  test("a stand-alone message put by a stranger is delivered", async () => {
    const { queue } = await nats.open();
    await nats.putRaw(lane, JSON.stringify({ id: "s", target: "https://example.test/", payload: { a: 1 } }));
    const [received] = await receive(queue);
    expect(received?.message).toMatchObject({ kind: "standalone", id: "s", payload: '{"a":1}' });
  });

  test("dead letters are listed across gaps of any size", async () => {
    const { queue } = await nats.open();
    const { deadSubject, deadStream } = nats.names;
    const count = 3_000;
    for (let at = 1; at <= count; at++) nats.connection.publish(deadSubject, `letter ${at}`);
    await nats.connection.flush();
    // All but the first two, one in the middle, and the last.
    const left = [1, 2, 1_500, count];
    const gone = Array.from({ length: count }, (_, at) => at + 1).filter((seq) => !left.includes(seq));
    await queue.settleDeadLetters(
      gone.map((seq) => String(seq) as DeadLetterKey),
      async () => "remove",
    );
    const seen: string[] = [];
    let after: DeadLetterKey | null = null;
    do {
      const page = await queue.listDeadLetters({ limit: 2, after });
      seen.push(...page.letters.map(({ key }) => key as string));
      after = page.next;
    } while (after !== null);
    expect(seen).toEqual(left.toReversed().map(String));
    expect((await nats.manager.streams.info(deadStream)).state.messages).toBe(left.length);
  }, 30_000);

  test("streams of other settings are refused in one line, and those made by hand are used", async () => {
    const { stream, laneSubjects, deadStream, deadSubject } = nats.names;
    const { streams } = nats.manager;
    await streams.add({ name: stream, subjects: [laneSubjects], retention: RetentionPolicy.Limits, max_age: 1e9 });
    const fault = await faultOf(nats.open());
    expect(fault).toStartWith(`CONFIG_INVALID: The NATS stream ${stream} at 127.0.0.1:`);
    expect(fault).toContain("retention is limits, must be workqueue, max_age is set, must be 0");
    await streams.delete(stream);
    await streams.add({ name: stream, subjects: ["other.>"], storage: StorageType.Memory });
    expect(await faultOf(nats.open())).toContain(`subjects are other.>, must be ${laneSubjects}`);
    await streams.delete(stream);
    const common = { duplicate_window: 5e9, max_msgs: 77, retention: RetentionPolicy.Workqueue };
    await streams.add({ name: stream, subjects: [laneSubjects], discard: DiscardPolicy.New, ...common });
    await streams.add({ name: deadStream, subjects: [deadSubject] });
    const { queue } = await nats.open();
    expect(queue.capabilities.dedupWindowMs).toBe(5_000);
    expect((await streams.info(stream)).config.max_msgs).toBe(77);
    const changed = await nats.open({ parameters: "max_msgs=78&dedup_window_secs=6" });
    expect(changed.queue.capabilities.dedupWindowMs).toBe(6_000);
    expect((await streams.info(stream)).config.max_msgs).toBe(78);
  });

  test("a router with another visibility sets the lane's, and its messages stay with it for so long", async () => {
    const { queue: short } = await nats.open({ visibilityMs: 300 });
    await receive(short, 1, 0);
    const { queue: long } = await nats.open({ visibilityMs: 30_000 });
    await receive(long, 1, 0);
    const { config } = await nats.manager.consumers.info(nats.names.stream, lane);
    expect(config.ack_wait).toBe(30_000 * 1_000_000);
  });

  test("groups by the hundred thousand", async () => {
    const { queue } = await nats.open();
    const groups = 100_000;
    const step = 1_000;
    for (let from = 0; from < groups; from += step) {
      const results = await queue.publish(messages(step, from));
      expect(results.every(({ kind }) => kind === "published")).toBe(true);
    }
    expect(await queue.metrics()).toMatchObject({ visible: groups, inFlight: 0 });
    const seen = new Set<string>();
    while (seen.size < groups) {
      const batch = await receive(queue, step);
      expect(batch.length).toBeGreaterThan(0);
      await queue.ack(receiptsOf(batch));
      for (const id of idsOf(batch)) seen.add(id);
    }
    expect(await queue.metrics()).toMatchObject({ visible: 0, inFlight: 0, oldestUnsettledAtMs: null });
  }, 120_000);
});
