import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { CodedError } from "./coded-error.ts";
import { createTsidGenerator, isTsid, lowestTsidAt, TSID_EPOCH_MS, tsidTimeMs } from "./tsid.ts";

/** A wall clock that shows whatever the test sets. */
function setup(startMs: number, node = 1) {
  const clock = { ms: startMs, now: () => clock.ms };
  return { clock, generator: createTsidGenerator({ clock, node }) };
}

/** The 64 bits of an id, read back digit by digit without the generator's own tables. */
function decode(id: string): { timeMs: number; node: number; counter: number } {
  const digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
  const bits = id.split("").reduce((value, char) => value * 32n + BigInt(digits.indexOf(char)), 0n);
  return { timeMs: Number(bits >> 22n), node: Number((bits >> 12n) & 1023n), counter: Number(bits & 4095n) };
}

describe("tsid", () => {
  test("property: holds exactly time, node and counter", () => {
    const maxMs = 2 ** 42 - 1;
    fc.assert(
      fc.property(fc.integer({ min: 1, max: maxMs }), fc.integer({ min: 0, max: 1023 }), (ms, node) => {
        const { generator } = setup(TSID_EPOCH_MS + ms, node);
        const ids = [generator.next(), generator.next()];
        expect(ids.map(decode)).toEqual([
          { timeMs: ms, node, counter: 0 },
          { timeMs: ms, node, counter: 1 },
        ]);
        expect(ids.every(isTsid)).toBe(true);
        expect(tsidTimeMs(ids[0]!)).toBe(TSID_EPOCH_MS + ms);
      }),
    );
  });

  test("property: the lowest id of a time lies between the ids made before and those made from then on", () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 2 ** 42 - 2 }), fc.integer({ min: 0, max: 1023 }), (ms, node) => {
        const bound = lowestTsidAt(TSID_EPOCH_MS + ms);
        expect(setup(TSID_EPOCH_MS + ms - 1, node).generator.next() < bound).toBe(true);
        expect(setup(TSID_EPOCH_MS + ms, node).generator.next() >= bound).toBe(true);
      }),
    );
    expect(lowestTsidAt(0)).toBe("0".repeat(13));
  });

  test("property: text order is order of making, whatever the clock does", () => {
    const steps = fc.array(
      fc.record({ moveMs: fc.integer({ min: -100_000, max: 100_000 }), count: fc.integer({ min: 0, max: 300 }) }),
      { maxLength: 40 },
    );
    fc.assert(
      fc.property(steps, (moves) => {
        const { clock, generator } = setup(Date.UTC(2026, 5, 1));
        let last = "";
        for (const { moveMs, count } of moves) {
          clock.ms += moveMs;
          for (let i = 0; i < count; i++) {
            const id = generator.next();
            if (id <= last) throw new Error(`${id} does not follow ${last}`);
            last = id;
          }
        }
      }),
    );
  });

  test("more than 4,096 in a millisecond borrow from the next, and the clock catches up without a repeat", () => {
    const startMs = Date.UTC(2026, 0, 1);
    const { clock, generator } = setup(startMs);
    const ids = Array.from({ length: 10_000 }, () => generator.next());
    clock.ms += 1;
    ids.push(generator.next());
    clock.ms += 10;
    ids.push(generator.next());
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids.toSorted()).toEqual(ids);
    expect(tsidTimeMs(ids[9_999]!)).toBe(startMs + 2);
    expect(tsidTimeMs(ids[10_000]!)).toBe(startMs + 2);
    expect(tsidTimeMs(ids[10_001]!)).toBe(startMs + 11);
  });

  test("two nodes never meet", () => {
    const clock = { now: () => Date.UTC(2026, 0, 1) };
    const one = createTsidGenerator({ clock, node: 7 });
    const other = createTsidGenerator({ clock, node: 8 });
    const ids = Array.from({ length: 5_000 }, () => [one.next(), other.next()]).flat();
    expect(new Set(ids).size).toBe(ids.length);
  });

  test("starts after what a predecessor may have used", () => {
    const nowMs = Date.UTC(2026, 0, 1);
    const generator = createTsidGenerator({ clock: { now: () => nowMs }, node: 1, notBeforeMs: nowMs + 5_000 });
    expect(tsidTimeMs(generator.next())).toBe(nowMs + 5_000);
  });

  test("refuses a node number outside its ten bits", () => {
    for (const node of [-1, 1024, 1.5]) {
      expect(() => createTsidGenerator({ clock: Date, node })).toThrow(CodedError);
    }
  });

  test("knows what is no id", () => {
    for (const text of ["", "0S9VNQ7H7ZW0", "0S9VNQ7H7ZW00X", "0s9vnq7h7zw00", "GS9VNQ7H7ZW00", "0S9VNQ7H7ZWI0"]) {
      expect(isTsid(text)).toBe(false);
      expect(tsidTimeMs(text)).toBeUndefined();
    }
  });
});
