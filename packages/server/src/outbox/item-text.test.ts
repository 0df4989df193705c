import { expect, test } from "bun:test";
import type { OutboxRowId, PlatformRow, RouterRow } from "../domain/outbox-row.ts";
import { readRow } from "./item-text.ts";

const id = "0HZXEQ5Y8JY5Z" as OutboxRowId;
const common = { id, position: { createdAt: "1", id }, payloadBytes: 1, retryCount: 0 };
const platformRow = (changes: Partial<PlatformRow>): PlatformRow => ({
  ...common,
  form: "platform",
  type: "EVENT",
  group: null,
  payload: "{}",
  headers: null,
  clientId: null,
  ...changes,
});
const routerRow = (changes: Partial<RouterRow>): RouterRow => ({
  ...common,
  form: "router",
  group: null,
  payload: "{}",
  headers: null,
  poolCode: null,
  target: "https://shop.example/hook",
  deduplicationId: null,
  ...changes,
});

function textOf(row: PlatformRow | RouterRow): string {
  const read = readRow(row);
  return read.kind === "item" ? read.json : read.kind;
}

test("the payload stays as it was written, digits, spaces and order; what columns say is added", () => {
  const payload = ' { "data" : 12345678901234567890.10 , "a":"}" }\n';
  expect(textOf(platformRow({ payload, group: 'g"1', clientId: "c" }))).toBe(
    ` { "data" : 12345678901234567890.10 , "a":"}" ,"deduplicationId":"${id}","messageGroup":"g\\"1","clientId":"c"}`,
  );
  expect(textOf(platformRow({ payload: "{ }" }))).toBe(`{ "deduplicationId":"${id}"}`);
});

test("what the payload says itself stands; null counts as absent", () => {
  const payload = '{"deduplicationId":"mine","messageGroup":null}';
  expect(JSON.parse(textOf(platformRow({ payload, group: "g" })))).toEqual({
    deduplicationId: "mine",
    messageGroup: "g",
  });
  const whole = '{"deduplicationId":"mine"}';
  expect(textOf(platformRow({ payload: whole }))).toBe(whole);
});

test("each type has its own name for the id", () => {
  expect(JSON.parse(textOf(platformRow({ type: "DISPATCH_JOB" })))).toEqual({ idempotencyKey: id });
  expect(JSON.parse(textOf(platformRow({ type: "AUDIT_LOG", group: "g" })))).toEqual({ id, messageGroup: "g" });
});

test("headers are of jobs and of messages to the router", () => {
  const headers = '{"x-a":"1"}';
  expect(JSON.parse(textOf(platformRow({ type: "DISPATCH_JOB", headers })))).toMatchObject({ headers: { "x-a": "1" } });
  expect(JSON.parse(textOf(platformRow({ headers })))).toEqual({ deduplicationId: id });
  expect(textOf(platformRow({ type: "DISPATCH_JOB", headers: "[]" }))).toBe("bad");
  expect(textOf(routerRow({ headers: "no" }))).toBe("bad");
});

test("a message to the router has its payload as text, and what the older table has", () => {
  const row = routerRow({ payload: "not JSON", group: "g", poolCode: "P", headers: '{"a":"1"}', deduplicationId: "d" });
  expect(JSON.parse(textOf(row))).toEqual({
    id,
    target: "https://shop.example/hook",
    payload: "not JSON",
    deduplicationId: "d",
    headers: { a: "1" },
    poolCode: "P",
    messageGroupId: "g",
  });
  expect(JSON.parse(textOf(routerRow({})))).toMatchObject({ deduplicationId: id });
});
