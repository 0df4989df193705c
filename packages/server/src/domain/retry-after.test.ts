import { expect, test } from "bun:test";
import { retryAfterMs } from "./retry-after.ts";

const nowMs = Date.UTC(2026, 0, 1, 12, 0, 0);

test.each([
  ["7", 7_000],
  [" 120 ", 120_000],
  ["0", 1_000],
  ["999999", 3_600_000],
  ["Thu, 01 Jan 2026 12:00:30 GMT", 30_000],
  ["Thursday, 01-Jan-26 12:01:00 GMT", 60_000],
  ["Thu Jan  1 12:00:05 2026", 5_000],
  ["Thu, 01 Jan 2026 11:00:00 GMT", 1_000],
  ["Fri, 02 Jan 2026 12:00:00 GMT", 3_600_000],
])("reads %p", (value, expected) => {
  expect(retryAfterMs(value, nowMs)).toBe(expected);
});

test.each([null, "", "soon", "-5", "1.5", "2026-01-01T12:00:30Z", "Thu, 41 Jan 2026 12:00:30 GMT"])(
  "falls back to 30 s for %p",
  (value) => {
    expect(retryAfterMs(value, nowMs)).toBe(30_000);
  },
);
