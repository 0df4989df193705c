import { expect, test } from "bun:test";
import fc from "fast-check";
import type { GroupKey, JobId, MessageId, PoolCode } from "./ids.ts";
import type { JobDelivery, PlatformMessage, QueueMessage, StandaloneMessage } from "./message.ts";
import { decodeMessage, deduplicationIdOf, describeFaults, encodeMessage } from "./message-codec.ts";
import { parseStandaloneMessage } from "./standalone-message.ts";

const references: PlatformMessage = {
  kind: "platform",
  id: "job_1:1" as MessageId,
  lane: "DEFAULT-POOL" as PoolCode,
  groupKey: "sub_1:orders" as GroupKey,
  jobs: [
    { kind: "reference", jobId: "job_1" as JobId, generation: 1, bytes: 500 },
    { kind: "reference", jobId: "job_2" as JobId, generation: 3, bytes: 0 },
  ],
  traceparent: null,
};

const delivery: JobDelivery = {
  kind: "delivery",
  jobId: "job_1" as JobId,
  generation: 1,
  attemptCount: 0,
  generationAttempts: 0,
  clientId: null,
  subscriptionId: null,
  target: "https://example.test/hook",
  contentType: "application/json",
  format: "data",
  headers: { "x-a": "1" },
  payloadKind: "json",
  payload: '{"a":1}',
  timeoutSeconds: 30,
  retry: { delaysMs: [1000], maxRetries: 1 },
  expiresAtMs: 1_700_000_000_000,
  legacySignature: false,
  secretRef: null,
  event: null,
};

const minimal = { id: "m1", poolCode: "P", mediationType: "HTTP", target: "https://example.test/h", payload: { a: 1 } };

function standalone(text: string): StandaloneMessage {
  const decoded = decodeMessage(text);
  if (decoded.kind !== "message" || decoded.message.kind !== "standalone") throw new Error(JSON.stringify(decoded));
  return decoded.message;
}

function faultPaths(value: unknown): string[] {
  const decoded = decodeMessage(typeof value === "string" ? value : JSON.stringify(value));
  return decoded.kind === "malformed" ? decoded.faults.map((fault) => fault.path) : [];
}

test("references travel as a short array and read back equal", () => {
  const text = encodeMessage(references);
  expect(text).toBe('[1,"job_1:1","DEFAULT-POOL","sub_1:orders",null,[["job_1",1,500],["job_2",3,0]]]');
  expect(decodeMessage(text)).toEqual({ kind: "message", message: references });
});

test("deliveries travel as an object and read back equal", () => {
  const message: PlatformMessage = { ...references, jobs: [delivery] };
  expect(decodeMessage(encodeMessage(message))).toEqual({ kind: "message", message });
  const mixed: PlatformMessage = { ...references, jobs: [delivery, ...references.jobs] };
  expect(decodeMessage(encodeMessage(mixed))).toEqual({ kind: "message", message: mixed });
});

test("a version of the future is refused, not guessed at", () => {
  expect(faultPaths('[2,"a","b",null,null,[["j",1,1]]]')).toEqual(["[0]"]);
  expect(faultPaths({ v: 2, id: "a", lane: "b", jobs: [] })).toEqual(["v"]);
});

test("faults of platform messages name their paths", () => {
  expect(faultPaths('[1,"",5,7,8,[]]')).toEqual(["id", "lane", "groupKey", "traceparent", "jobs"]);
  expect(faultPaths('[1,"a","b",null,null,[["j",1,1],["j",-1,1],5]]')).toEqual(["jobs[1]", "jobs[2]"]);
  expect(faultPaths({ v: 1, id: "a", lane: "b", jobs: [{ ...delivery, retry: 1, target: "" }] })).toEqual([
    "jobs[0].target",
    "jobs[0].retry",
  ]);
});

test("a stand-alone message in camelCase", () => {
  const text = JSON.stringify({
    ...minimal,
    headers: { "x-a": "1", "Content-Type": "application/vnd.a+json" },
    messageGroupId: "g",
    deduplicationId: "d",
    highPriority: true,
    secretRef: "s",
  });
  expect(standalone(text)).toEqual({
    kind: "standalone",
    id: "m1" as MessageId,
    lane: "P" as PoolCode,
    groupKey: "g" as GroupKey,
    deduplicationId: "d",
    highPriority: true,
    target: "https://example.test/h",
    payload: '{"a":1}',
    contentType: "application/vnd.a+json",
    headers: { "x-a": "1" },
    secretRef: "s",
    traceparent: null,
  });
});

test("the same in snake_case, with nulls for what is absent", () => {
  const camel = JSON.stringify({ ...minimal, messageGroupId: "g", deduplicationId: "d", highPriority: true });
  const snake = JSON.stringify({
    id: "m1",
    pool_code: "P",
    mediation_type: "HTTP",
    target: "https://example.test/h",
    payload: { a: 1 },
    headers: null,
    message_group_id: "g",
    deduplication_id: "d",
    high_priority: true,
    secret_ref: null,
  });
  expect(standalone(snake)).toEqual(standalone(camel));
});

test("a missing pool, and the name other builds give it, is the default pool", () => {
  const { poolCode: _, ...withoutPool } = minimal;
  expect(standalone(JSON.stringify(withoutPool)).lane).toBe("DEFAULT-POOL" as PoolCode);
  expect(standalone(JSON.stringify({ ...minimal, poolCode: "default" })).lane).toBe("DEFAULT-POOL" as PoolCode);
});

test("payloads: a text as it is, anything else as JSON text", () => {
  const sent = (payload: unknown): readonly [string, string] => {
    const message = standalone(JSON.stringify({ ...minimal, payload }));
    return [message.payload, message.contentType];
  };
  expect(sent("plain")).toEqual(["plain", "text/plain; charset=utf-8"]);
  expect(sent(' {"a": 1}')).toEqual([' {"a": 1}', "application/json"]);
  expect(sent(null)).toEqual(["null", "application/json"]);
  expect(sent([1])).toEqual(["[1]", "application/json"]);
  expect(sent(5)).toEqual(["5", "application/json"]);
  expect(sent("")).toEqual(["", "text/plain; charset=utf-8"]);
});

test("other mediation types are refused with a code of their own", () => {
  const decoded = decodeMessage(JSON.stringify({ ...minimal, mediationType: "KAFKA" }));
  expect(decoded).toMatchObject({ kind: "malformed", code: "MEDIATION_TYPE_UNSUPPORTED", id: "m1", lane: "P" });
});

test("every fault of a stand-alone message is told at once, by path", () => {
  const { id: _id, payload: _payload, ...rest } = minimal;
  expect(
    faultPaths({ ...rest, target: "ftp://x", highPriority: "yes", headers: { "a b": "1", c: "x\ny", Host: "a" } }),
  ).toEqual(["id", "payload", "headers.a b", "headers.c", "highPriority", "target"]);
  expect(faultPaths({ ...minimal, pool_code: "Q" })).toEqual(["pool_code"]);
  // No transport sends those: they would be tried for hours and then set aside.
  for (const target of ["http://user:password@example.test/", "http://example.test:0/", "http://[::1%25lo]/", ""]) {
    expect(faultPaths({ ...minimal, target })).toEqual(["target"]);
  }
  expect(faultPaths("not json")).toEqual([""]);
  expect(faultPaths("5")).toEqual([""]);
});

test("unknown fields are passed over on a queue and refused in a request", () => {
  const value = { ...minimal, colour: "red" };
  expect(decodeMessage(JSON.stringify(value)).kind).toBe("message");
  const refused = parseStandaloneMessage(value, "refuseUnknownFields");
  expect(refused).toMatchObject({ kind: "malformed", faults: [{ path: "colour" }] });
  expect(refused.kind === "malformed" ? describeFaults(refused.faults) : "").toBe("colour is not a field of a message");
});

test("the deduplication id is the sender's, else the message's", () => {
  expect(deduplicationIdOf(references)).toBe("job_1:1");
  expect(deduplicationIdOf(standalone(JSON.stringify({ ...minimal, deduplicationId: "d" })))).toBe("d");
});

test("any stand-alone message reads back equal, and any text at all is read without a throw", () => {
  const text = fc.string({ minLength: 1, maxLength: 40 });
  const message = fc.record({
    kind: fc.constant("standalone" as const),
    id: text,
    lane: text.filter((code) => code !== "default"),
    groupKey: fc.option(text),
    deduplicationId: fc.option(text),
    highPriority: fc.boolean(),
    target: fc.webUrl().filter((url) => url.length < 2_000),
    payload: fc.string(),
    contentType: fc.constantFrom("application/json", "text/xml"),
    headers: fc.dictionary(fc.stringMatching(/^x-[a-z]{1,8}$/), fc.stringMatching(/^[ -~]{0,20}$/), { maxKeys: 5 }),
    secretRef: fc.option(text),
    traceparent: fc.option(text),
  });
  fc.assert(
    fc.property(message, (given) => {
      expect(decodeMessage(encodeMessage(given as unknown as QueueMessage))).toEqual({
        kind: "message",
        message: given as unknown as QueueMessage,
      });
    }),
  );
  fc.assert(fc.property(fc.oneof(fc.string(), fc.json()), (given) => typeof decodeMessage(given).kind === "string"));
});

test("a job that no store can hold is a fault of its message, not of the call that would ask for many jobs", () => {
  const broken = [
    ["job\u0000", 1],
    ["job_\ud800", 1],
    ["", 1],
    ["é", 1],
    ["j".repeat(256), 1],
    ["job_1", 2 ** 31],
  ];
  for (const [jobId, generation] of broken) {
    expect(
      faultPaths([
        1,
        "m",
        "P",
        null,
        null,
        [
          ["job_1", 1, 0],
          [jobId, generation, 0],
        ],
      ]),
    ).toEqual(["jobs[1]"]);
    const item = { ...delivery, jobId, generation };
    expect(faultPaths({ v: 1, id: "m", lane: "P", jobs: [item] })).toHaveLength(1);
  }
});

test.each([
  ["a payload", (deep: string) => `{"id":"a","target":"https://a.test/","payload":${deep}}`],
  ["a mediation type", (deep: string) => `{"id":"a","target":"https://a.test/","payload":1,"mediationType":${deep}}`],
  ["a version", (deep: string) => `{"v":${deep},"id":"a"}`],
  ["a list", (deep: string) => deep],
])("%s that is nested without end is a fault, never an exception", (_what, bodyOf) => {
  for (const depth of [1_000, 50_000, 400_000]) {
    const decoded = decodeMessage(bodyOf("[".repeat(depth) + "]".repeat(depth)));
    if (decoded.kind !== "malformed") throw new Error("it was read");
    expect(describeFaults(decoded.faults).length).toBeLessThan(4_000);
  }
});

test("what is told of a message that cannot be read is short, however long its parts are", () => {
  const headers = Object.fromEntries(Array.from({ length: 40 }, (_, at) => [`${"\u20ac".repeat(4_000)}${at}`, "x"]));
  const body = { id: "\u20ac".repeat(200_000), poolCode: "p".repeat(600_000), target: "https://a.test/", headers };
  const decoded = decodeMessage(JSON.stringify(body));
  if (decoded.kind !== "malformed") throw new Error("it was read");
  expect(decoded.id!.length).toBeLessThanOrEqual(255);
  expect(decoded.lane!.length).toBeLessThanOrEqual(255);
  expect(describeFaults(decoded.faults).length).toBeLessThan(4_000);
});

test("a stand-alone message that names no pool is of the pool whose lane it lay in", () => {
  const body = (rest: object) => JSON.stringify({ id: "a", target: "https://a.test/", payload: 1, ...rest });
  const laneOf = (rest: object) => {
    const decoded = decodeMessage(body(rest), "ORDERS" as PoolCode);
    return decoded.kind === "message" ? (decoded.message.lane as string) : decoded.kind;
  };
  expect(laneOf({})).toBe("ORDERS");
  expect(laneOf({ poolCode: "BILLING" })).toBe("BILLING");
  expect(laneOf({ poolCode: "default" })).toBe("DEFAULT-POOL");
});
