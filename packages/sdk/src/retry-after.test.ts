import assert from "node:assert/strict";
import { test } from "node:test";
import { retryAfterMs } from "./retry-after.ts";

const now = Date.UTC(2026, 10, 21, 16, 0, 0);

test("Retry-After is a number of seconds", () => {
  assert.equal(retryAfterMs("0", now), 0);
  assert.equal(retryAfterMs(" 120 ", now), 120_000);
});

test("Retry-After is an HTTP date, in each of its three forms", () => {
  assert.equal(retryAfterMs("Sat, 21 Nov 2026 16:00:30 GMT", now), 30_000);
  assert.equal(retryAfterMs("Saturday, 21-Nov-26 16:00:30 GMT", now), 30_000);
  assert.equal(retryAfterMs("Sat, 21 Nov 2026 15:00:00 GMT", now), 0, "a moment that is past");
});

test("what is neither is as if it were absent", () => {
  for (const header of [null, "", "soon", "-1", "1.5", "1e3", "21 November", "Sat, 99 Nov 2026"]) {
    assert.equal(retryAfterMs(header, now), null, String(header));
  }
});
