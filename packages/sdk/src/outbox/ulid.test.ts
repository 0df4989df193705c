import assert from "node:assert/strict";
import { test } from "node:test";
import { createUlids } from "./ulid.ts";

const zeros = (count: number): Uint8Array => new Uint8Array(count);
const ones = (count: number): Uint8Array => new Uint8Array(count).fill(255);

test("an id is its time and its chance, as the specification of ULIDs has it", () => {
  // The example of the specification: 1469918176385 is 01ARYZ6S41.
  assert.equal(createUlids({ now: () => 1_469_918_176_385, randomBytes: zeros })(), "01ARYZ6S410000000000000000");
  assert.equal(createUlids({ now: () => 1_469_918_176_385, randomBytes: ones })(), "01ARYZ6S41FZZZZZZZZZZZZZZZ");
});

test("ids rise within a millisecond, over a carry, and while the clock goes back", () => {
  const times = [5, 5, 5, 4, 3, 5, 6, 6];
  let at = 0;
  const next = createUlids({ now: () => times[at++] ?? 7, randomBytes: ones });
  const ids = times.map(() => next());
  assert.deepEqual(ids.toSorted(), ids);
  assert.equal(new Set(ids).size, ids.length);
  assert.equal(ids[1], "0000000005G000000000000000");
  assert.equal(ids[5]?.slice(0, 10), "0000000005");
  assert.equal(ids[6]?.slice(0, 10), "0000000006");
});

test("two makers do not meet", () => {
  const randomBytes = (count: number): Uint8Array => crypto.getRandomValues(new Uint8Array(count));
  const makers = Array.from({ length: 50 }, () => createUlids({ now: () => 1, randomBytes }));
  const ids = makers.flatMap((next) => Array.from({ length: 200 }, next));
  assert.equal(new Set(ids).size, 10_000);
});
